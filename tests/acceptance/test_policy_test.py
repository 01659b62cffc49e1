"""Which statement lets a device do something: TestAuthorization and GetEffectivePolicies of boto3, and the command line."""

import json

import pytest

ARN = "arn:aws:iot:us-east-1:000000000000"
NAME = "${iot:Connection.Thing.ThingName}"


def statement(effect, action, *resources, **more):
    return {"Effect": effect, "Action": action, "Resource": list(resources), **more}


@pytest.fixture
def device(fleet):
    """A thing of a type, in a group below another, with a certificate: policies on all of them."""
    iot = fleet.iot
    kind = iot.create_thing_type(thingTypeName=fleet.name("type"))["thingTypeName"]
    thing = fleet.name("thing")
    attributes = {"attributes": {"site": "bremen"}}
    iot.create_thing(thingName=thing, thingTypeName=kind, attributePayload=attributes)
    policies = {
        "own": fleet.policy(
            statement("Allow", "iot:Connect", f"{ARN}:client/{NAME}"),
            statement("Allow", ["iot:Publish", "iot:Receive"], f"{ARN}:topic/own/{NAME}/*", Sid="Own"),
            statement("Allow", "iot:Publish", f"{ARN}:topic/site/${{iot:Connection.Thing.Attributes[site]}}"),
            statement("Allow", "iot:Publish", f"{ARN}:topic/city/${{iot:Connection.Thing.Attributes[city]}}"),
        ),
        "group": fleet.policy(statement("Allow", "iot:Sub*", f"{ARN}:topicfilter/news/?")),
        "above": fleet.policy(statement("Deny", "iot:*", f"{ARN}:topic/own/*/secret")),
    }
    above = fleet.group()
    below = iot.create_thing_group(thingGroupName=fleet.name("below"), parentGroupName=above)[
        "thingGroupName"
    ]
    iot.add_thing_to_thing_group(thingGroupName=below, thingName=thing)
    identity = fleet.identity(thing, policies["own"])
    for name, group in (("group", below), ("above", above)):
        iot.attach_policy(policyName=policies[name], target=f"{ARN}:thinggroup/{group}")
    return thing, identity, policies


def test_aws_clients_ask_what_a_certificate_may(fleet, device):
    thing, identity, policies = device

    def ask(action, resource, **more):
        infos = [{"actionType": action, "resources": [f"{ARN}:{resource}"]}]
        given = {"principal": identity.certificate_arn, "clientId": thing, "authInfos": infos, **more}
        result = fleet.iot.test_authorization(**given)["authResults"][0]
        assert result["authInfo"] == infos[0]
        return result

    def names(part):
        return [each["policyName"] for each in part["policies"]]

    allowed = ask("PUBLISH", f"topic/own/{thing}/x")
    assert (allowed["authDecision"], names(allowed["allowed"])) == ("ALLOWED", [policies["own"]])
    assert allowed["missingContextValues"] == ["iot:Connection.Thing.Attributes[city]"]
    denied = ask("PUBLISH", f"topic/own/{thing}/secret")
    assert denied["authDecision"] == "EXPLICIT_DENY"
    assert names(denied["denied"]["explicitDeny"]) == [policies["above"]]
    assert names(denied["allowed"]) == [policies["own"]]
    silent = ask("PUBLISH", "topic/city/bremen")
    assert silent["authDecision"] == "IMPLICIT_DENY"
    assert sorted(names(silent["denied"]["implicitDeny"])) == sorted(policies.values())
    assert ask("PUBLISH", "topic/site/bremen")["authDecision"] == "ALLOWED"
    assert ask("SUBSCRIBE", "topicfilter/news/1")["authDecision"] == "ALLOWED"
    assert ask("SUBSCRIBE", "topicfilter/news/12")["authDecision"] == "IMPLICIT_DENY"
    assert ask("CONNECT", f"client/{thing}")["authDecision"] == "ALLOWED"
    # Under another client id it is no thing, and has no thing's variables.
    assert ask("CONNECT", "client/other", clientId="other")["authDecision"] == "IMPLICIT_DENY"
    skipped = ask("PUBLISH", f"topic/own/{thing}/secret", policyNamesToSkip=[policies["above"]])
    assert skipped["authDecision"] == "ALLOWED"
    more = fleet.policy(statement("Allow", "iot:Publish", f"{ARN}:topic/city/*"))
    assert ask("PUBLISH", "topic/city/bremen", policyNamesToAdd=[more])["authDecision"] == "ALLOWED"
    with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
        ask("PUBLISH", "topic/x", policyNamesToAdd=["there-is-none"])
    both = [{"actionType": "PUBLISH", "resources": [f"{ARN}:topic/own/{thing}/x", f"{ARN}:topic/other"]}]
    result = fleet.iot.test_authorization(principal=identity.certificate_arn, clientId=thing, authInfos=both)
    assert result["authResults"][0]["authDecision"] == "IMPLICIT_DENY"


def test_the_default_version_decides(fleet, device):
    thing, identity, policies = device
    document = {"Version": "2012-10-17", "Statement": [statement("Deny", "iot:Connect", "*")]}
    fleet.iot.create_policy_version(
        policyName=policies["own"], policyDocument=json.dumps(document), setAsDefault=True
    )
    infos = [{"actionType": "CONNECT", "resources": [f"{ARN}:client/{thing}"]}]
    result = fleet.iot.test_authorization(principal=identity.certificate_arn, clientId=thing, authInfos=infos)
    assert result["authResults"][0]["authDecision"] == "EXPLICIT_DENY"
    fleet.iot.set_default_policy_version(policyName=policies["own"], policyVersionId="1")
    result = fleet.iot.test_authorization(principal=identity.certificate_arn, clientId=thing, authInfos=infos)
    assert result["authResults"][0]["authDecision"] == "ALLOWED"


def test_the_policies_in_force_are_told(fleet, device):
    thing, identity, policies = device

    def effective(**given):
        found = fleet.iot.get_effective_policies(**given)["effectivePolicies"]
        for each in found:
            assert each["policyArn"] == f"{ARN}:policy/{each['policyName']}"
            assert json.loads(each["policyDocument"])["Version"] == "2012-10-17"
        return sorted(each["policyName"] for each in found)

    assert effective(principal=identity.certificate_arn) == sorted(policies.values())
    assert effective(thingName=thing) == sorted([policies["group"], policies["above"]])
    with pytest.raises(fleet.iot.exceptions.InvalidRequestException):
        effective()
    with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
        effective(thingName="there-is-none")


def test_the_command_names_the_statement(fleet, device, server, make_shell):
    thing, identity, policies = device
    shell = make_shell(server)

    def told(*arguments, expect=0):
        return shell.run("policy", "test", thing, *arguments, expect=expect).stdout

    output = told("publish", f"own/{thing}/x")
    assert output.startswith(f"allowed: iot:Publish on {ARN}:topic/own/{thing}/x, with certificate ")
    assert f"{policies['own']}, statement 2 (Own) allows it: {ARN}:topic/own/{NAME}/*\n" in output
    output = told("publish", f"own/{thing}/secret", expect=1)
    assert output.startswith("denied: ")
    assert f"{policies['above']}, statement 1 denies it: {ARN}:topic/own/*/secret\n" in output
    output = told("publish", "city/bremen", expect=1)
    assert "No statement allows it." in output
    assert "statement 4 allows it for" in output
    assert "this connection has no iot:Connection.Thing.Attributes[city]" in output
    assert f"{policies['own']}, statement 2 (Own) allows it for other resources: " in output
    assert told("connect").startswith("allowed: iot:Connect")
    assert told("connect", "--client-id", "other", expect=1).startswith("denied: iot:Connect")
    assert told("subscribe", "news/1").startswith("allowed: iot:Subscribe")
    shell.run("policy", "test", thing, "publish", expect=2)
    shell.run("policy", "test", "there-is-none", "connect", expect=1)
    fleet.iot.update_certificate(certificateId=identity.certificate_id, newStatus="INACTIVE")
    output = told("connect", expect=1)
    assert "The certificate is INACTIVE: nothing connects with it." in output
    [verdict] = shell.told("policy", "test", thing, "connect", expect=1)
    assert (verdict["decision"], verdict["allowed"], verdict["certificate_status"]) == (
        "ALLOWED",
        False,
        "INACTIVE",
    )
    assert verdict["statements"][0]["why"] == "applies"
