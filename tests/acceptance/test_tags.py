"""Tags of everything that has some, as boto3 sees them."""

import json

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:iot:us-east-1:000000000000"
TAGS = [{"Key": "site", "Value": "north"}, {"Key": "line:1/a=b+c-d@e._", "Value": ""}]


@pytest.fixture
def iot(server):
    return server.client("iot")


def refused(call, **given):
    """Code and HTTP status of the refusal, and its message."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Message"],
    )


def tags_of(iot, arn):
    return {tag["Key"]: tag["Value"] for tag in iot.list_tags_for_resource(resourceArn=arn)["tags"]}


def make_type(iot, fleet, name, tags):
    return iot.create_thing_type(thingTypeName=name, tags=tags)["thingTypeArn"]


def make_group(iot, fleet, name, tags):
    return iot.create_thing_group(thingGroupName=name, tags=tags)["thingGroupArn"]


def make_dynamic_group(iot, fleet, name, tags):
    given = {"thingGroupName": name, "queryString": f"thingName:{name}", "tags": tags}
    return iot.create_dynamic_thing_group(**given)["thingGroupArn"]


def make_policy(iot, fleet, name, tags):
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
    }
    return iot.create_policy(policyName=name, policyDocument=json.dumps(document), tags=tags)["policyArn"]


def make_package(iot, fleet, name, tags):
    return iot.create_package(packageName=name, tags=mapped(tags))["packageArn"]


def make_version(iot, fleet, name, tags):
    iot.create_package(packageName=name)
    made = iot.create_package_version(packageName=name, versionName="1.0", tags=mapped(tags))
    return made["packageVersionArn"]


def make_template(iot, fleet, name, tags):
    given = {"jobTemplateId": name, "description": "d", "document": "{}", "tags": tags}
    return iot.create_job_template(**given)["jobTemplateArn"]


def make_job(iot, fleet, name, tags):
    target = fleet.arn(fleet.thing())
    return iot.create_job(jobId=name, targets=[target], document="{}", tags=tags)["jobArn"]


def mapped(tags):
    return {tag["Key"]: tag["Value"] for tag in tags}


MAKERS = [
    make_type,
    make_group,
    make_dynamic_group,
    make_policy,
    make_package,
    make_version,
    make_template,
    make_job,
]


@pytest.mark.parametrize("make", MAKERS, ids=[make.__name__.removeprefix("make_") for make in MAKERS])
def test_tags_from_creation_to_removal(fleet, iot, make):
    arn = make(iot, fleet, fleet.name("tagged"), TAGS)
    assert tags_of(iot, arn) == mapped(TAGS)
    iot.tag_resource(
        resourceArn=arn, tags=[{"Key": "site", "Value": "south"}, {"Key": "owner", "Value": "ü"}]
    )
    assert tags_of(iot, arn) == {**mapped(TAGS), "site": "south", "owner": "ü"}
    iot.untag_resource(resourceArn=arn, tagKeys=["site", "never there"])
    assert tags_of(iot, arn) == {"line:1/a=b+c-d@e._": "", "owner": "ü"}


@pytest.mark.parametrize("make", MAKERS, ids=[make.__name__.removeprefix("make_") for make in MAKERS])
def test_what_may_be_no_tag_is_refused_and_nothing_is_made(fleet, iot, make):
    name = fleet.name("untagged")
    code, status, message = refused(
        make, iot=iot, fleet=fleet, name=name, tags=[{"Key": "aws:k", "Value": ""}]
    )
    assert code in {"InvalidRequestException", "ValidationException"}
    assert (status, "reserved" in message) == (400, True)
    name = fleet.name("untagged")
    assert tags_of(iot, make(iot, fleet, name, [{"Key": "k", "Value": "v"}])) == {"k": "v"}


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("job/nobody", "job nobody does not exist"),
        ("jobtemplate/nobody", "job template nobody does not exist"),
        ("thingtype/nobody", "thing type nobody does not exist"),
        ("thinggroup/nobody", "thing group nobody does not exist"),
        ("policy/nobody", "policy nobody does not exist"),
        ("package/nobody", "package nobody does not exist"),
        ("package/nobody/version/1", "package version nobody/version/1 does not exist"),
    ],
)
def test_what_does_not_exist_has_no_tags(iot, resource, words):
    arn = f"{ARN}:{resource}"
    for call, more in (
        (iot.list_tags_for_resource, {}),
        (iot.tag_resource, {"tags": TAGS}),
        (iot.untag_resource, {"tagKeys": ["k"]}),
    ):
        assert refused(call, resourceArn=arn, **more) == (
            "ResourceNotFoundException",
            404,
            f"resourceArn: {words}",
        )


@pytest.mark.parametrize(
    "arn",
    [
        f"{ARN}:thing/t",
        f"{ARN}:rule/r",
        f"{ARN}:cert/{'0' * 64}",
        f"{ARN}:job/",
        "arn:aws:iot:us-east-1:111111111111:job/j",
        "arn:aws:iot:us-east-1::jobtemplate/AWS-Reboot:1.0",
        "arn:aws:s3:::bucket",
        "nothing",
    ],
)
def test_arns_that_name_nothing_with_tags(iot, arn):
    assert refused(iot.list_tags_for_resource, resourceArn=arn)[:2] == ("InvalidRequestException", 400)


def test_the_limits_of_tags(fleet, iot):
    arn = make_group(iot, fleet, fleet.name("tagged"), [])
    assert tags_of(iot, arn) == {}
    longest = {"Key": "k" * 128, "Value": "v" * 256}
    iot.tag_resource(resourceArn=arn, tags=[longest, *({"Key": f"k{n}", "Value": ""} for n in range(49))])
    assert len(tags_of(iot, arn)) == 50
    one_more = {"resourceArn": arn, "tags": [{"Key": "one more", "Value": ""}]}
    assert refused(iot.tag_resource, **one_more)[:2] == ("LimitExceededException", 410)
    twice = {"resourceArn": arn, "tags": [{"Key": "k0", "Value": "1"}, {"Key": "k0", "Value": "2"}]}
    assert refused(iot.tag_resource, **twice)[:2] == ("InvalidRequestException", 400)
    for tag in (
        {"Key": "k" * 129, "Value": ""},
        {"Key": "k", "Value": "v" * 257},
        {"Key": "what?", "Value": ""},
    ):
        assert refused(iot.tag_resource, resourceArn=arn, tags=[tag])[:2] == ("InvalidRequestException", 400)
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "k0", "Value": "still possible"}])
    assert len(tags_of(iot, arn)) == 50


def test_tags_go_with_what_they_belong_to(fleet, iot):
    name = fleet.name("tagged")
    arn = make_group(iot, fleet, name, TAGS)
    iot.delete_thing_group(thingGroupName=name)
    assert refused(iot.list_tags_for_resource, resourceArn=arn)[1] == 404
    assert tags_of(iot, make_group(iot, fleet, name, [])) == {}


def test_tags_survive_a_restart(own_server):
    iot = own_server.client("iot")
    arn = iot.create_thing_type(thingTypeName="t", tags=TAGS)["thingTypeArn"]
    own_server.kill()
    own_server.start()
    assert tags_of(own_server.client("iot"), arn) == mapped(TAGS)
