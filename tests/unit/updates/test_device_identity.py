"""A new device: its policy, its files, and nothing left behind when it cannot be made."""

import json
import tomllib
from copy import deepcopy
from dataclasses import replace

import pytest
from outfitter_agent.main.settings import load_settings
from outfitter_updates.catalogue.devices import Device, Identity, host_and_port
from outfitter_updates.operations.policy import arn_prefix, device_policy, same_policy
from outfitter_updates.operations.settings import SYSTEM_AUTHORITIES, agent_settings, identity_files

PREFIX = "arn:aws:iot:us-east-1:000000000000:"
IDENTITY = Identity(
    device=Device(name="pump-1", arn=f"{PREFIX}thing/pump-1", device_type="pc", attributes={}),
    certificate_id="c" * 64,
    certificate_pem="CERTIFICATE\n",
    private_key_pem="KEY\n",
    ca_pem="CA\n",
    mqtt_host="updates.example.net",
    mqtt_port=8884,
    notes=(),
)
CERTIFICATE = "c" * 64
CERTIFICATE_ARN = f"{PREFIX}cert/{CERTIFICATE}"
THING = {"thingName": "pump-1", "thingArn": f"{PREFIX}thing/pump-1", "attributes": {}, "version": 1}
GOOD = {
    "GET /endpoint": {"endpointAddress": "updates.example.net"},
    "GET /thing-groups/pumps": {"thingGroupName": "pumps", "thingGroupArn": f"{PREFIX}thinggroup/pumps"},
    "GET /cacertificates": {"certificates": [{"certificateId": "a" * 64, "status": "ACTIVE"}]},
    "GET /cacertificate/a+": {"certificateDescription": {"certificatePem": "CA\n"}},
    "GET /things/pump-1": [(404, "ResourceNotFoundException"), THING],
    "POST /things/pump-1": THING,
    "POST /policies/outfitter-device": {},
    "POST /keys-and-certificate": {
        "certificateArn": CERTIFICATE_ARN,
        "certificateId": CERTIFICATE,
        "certificatePem": "CERTIFICATE\n",
        "keyPair": {"PrivateKey": "KEY\n", "PublicKey": "PUBLIC\n"},
    },
    "PUT /target-policies/outfitter-device": {},
    "PUT /things/pump-1/principals": {},
    "GET /things/pump-1/thing-groups": {"thingGroups": []},
    "PUT /thing-groups/addThingToThingGroup": {},
    "PUT /thing-groups/removeThingFromThingGroup": {},
    "DELETE /things/pump-1/principals": {},
    "POST /target-policies/outfitter-device": {},
    "PUT /certificates/c+": {},
    "DELETE /certificates/c+": {},
    "DELETE /things/pump-1": {},
}
UNDONE = [
    "DELETE /things/pump-1/principals",
    "POST /target-policies/outfitter-device",
    f"PUT /certificates/{CERTIFICATE}",
    f"DELETE /certificates/{CERTIFICATE}",
    "DELETE /things/pump-1",
]


def test_the_policy_allows_the_own_jobs_and_configuration_and_nothing_else():
    statements = json.loads(device_policy(PREFIX))["Statement"]
    allowed = {}
    for statement in statements:
        for action in statement["Action"]:
            allowed.setdefault(action, []).extend(statement["Resource"])
    thing = "${iot:Connection.Thing.ThingName}"
    jobs = f"$aws/things/{thing}/jobs/*"
    running = f"outfitter/things/{thing}/configuration"
    assert allowed == {
        "iot:Connect": [f"{PREFIX}client/{thing}"],
        "iot:Publish": [f"{PREFIX}topic/{jobs}", f"{PREFIX}topic/{running}"],
        "iot:RetainPublish": [f"{PREFIX}topic/{running}"],
        "iot:Receive": [f"{PREFIX}topic/{jobs}"],
        "iot:Subscribe": [f"{PREFIX}topicfilter/{jobs}"],
        "iotjobsdata:DescribeJobExecution": [f"{PREFIX}thing/{thing}"],
        "iotjobsdata:GetPendingJobExecutions": [f"{PREFIX}thing/{thing}"],
        "iotjobsdata:StartNextPendingJobExecution": [f"{PREFIX}thing/{thing}"],
        "iotjobsdata:UpdateJobExecution": [f"{PREFIX}thing/{thing}"],
    }
    assert {statement["Effect"] for statement in statements} == {"Allow"}


def test_policies_are_compared_by_what_they_say():
    assert same_policy('{"a": 1}', '{ "a":1 }')
    assert not same_policy('{"a": 1}', '{"a": 2}')
    assert not same_policy("not json", "not json")


def test_the_prefix_is_the_services_own():
    assert arn_prefix("arn:aws-cn:iot:cn-north-1:1:thing/a:thing/b") == "arn:aws-cn:iot:cn-north-1:1:"


def test_settings_are_toml_that_names_the_other_files():
    told = tomllib.loads(agent_settings(IDENTITY))
    assert told == {
        "thing_name": "pump-1",
        "device_type": "pc",
        "endpoint": "updates.example.net",
        "port": 8884,
        "ca": "ca.pem",
        "certificate": "certificate.pem",
        "private_key": "private.key",
    }
    assert set(identity_files(IDENTITY)) == {"ca.pem", "certificate.pem", "private.key", "agent.toml"}


def test_on_aws_the_public_authorities_are_trusted():
    identity = replace(IDENTITY, ca_pem=None)
    assert tomllib.loads(agent_settings(identity))["ca"] == SYSTEM_AUTHORITIES
    assert "ca.pem" not in identity_files(identity)


def test_an_identity_never_shows_its_key():
    assert "KEY" not in repr(IDENTITY)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("host", ("host", 8883)),
        ("host:1", ("host", 1)),
        ("[::1]:1884", ("::1", 1884)),
        ("host:0", None),
        ("host:70000", None),
        ("a:b:c", None),
        ("", None),
        ("mqtt://host", None),
    ],
)
def test_broker_addresses(address, found):
    assert host_and_port(address, 8883) == found


def test_a_device_is_added(outfitter, script, tmp_path):
    script.answers |= deepcopy(GOOD)
    out = tmp_path / "pump-1"
    result = outfitter("device", "add", "pump-1", "--group", "pumps", "--out", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["certificate_id"] == CERTIFICATE
    assert (out / "private.key").read_text() == "KEY\n"
    assert (out / "private.key").stat().st_mode & 0o777 == 0o600
    assert (out / "ca.pem").read_text() == "CA\n"
    assert tomllib.loads((out / "agent.toml").read_text())["device_type"] == "generic"
    assert script.bodies["PUT /thing-groups/addThingToThingGroup"] == {
        "thingGroupName": "pumps",
        "thingName": "pump-1",
    }


def test_an_existing_key_is_never_overwritten(outfitter, script, tmp_path):
    (tmp_path / "private.key").write_text("precious")
    result = outfitter("device", "add", "pump-1", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "not overwritten" in result.stderr
    assert script.asked == []
    assert (tmp_path / "private.key").read_text() == "precious"


@pytest.mark.parametrize(
    ("broken", "undone"),
    [
        ("POST /policies/outfitter-device", UNDONE[4:]),
        ("POST /keys-and-certificate", UNDONE[4:]),
        ("PUT /target-policies/outfitter-device", UNDONE[2:]),
        ("PUT /things/pump-1/principals", UNDONE[1:]),
        ("PUT /thing-groups/addThingToThingGroup", UNDONE),
    ],
)
def test_a_failure_half_way_leaves_nothing_behind(outfitter, script, tmp_path, broken, undone):
    script.answers |= deepcopy(GOOD) | {broken: (400, "InvalidRequestException")}
    out = tmp_path / "new"
    result = outfitter("device", "add", "pump-1", "--group", "pumps", "--out", str(out))
    assert result.exit_code == 1
    assert "InvalidRequestException happened" in result.stderr
    assert script.asked[script.asked.index(broken) + 1 :] == undone
    assert not out.exists()


def test_what_cannot_be_taken_back_is_told(outfitter, script, tmp_path):
    script.answers |= deepcopy(GOOD) | {
        "PUT /target-policies/outfitter-device": (400, "InvalidRequestException"),
        "DELETE /things/pump-1": (400, "InvalidRequestException"),
    }
    result = outfitter("device", "add", "pump-1", "--out", str(tmp_path / "new"))
    assert "Left behind, remove by hand: thing pump-1." in result.stderr


def test_files_that_cannot_be_written_take_the_identity_back(outfitter, script, tmp_path, monkeypatch):
    script.answers |= deepcopy(GOOD)
    out = tmp_path / "new"
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    result = outfitter("device", "add", "pump-1", "--out", str(out))
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert script.asked[-5:] == UNDONE
    assert not out.exists()


def test_a_foreign_policy_of_the_name_is_not_used(outfitter, script, tmp_path):
    script.answers |= deepcopy(GOOD) | {
        "POST /policies/outfitter-device": (409, "ResourceAlreadyExistsException"),
        "GET /policies/outfitter-device": {"policyDocument": "{}"},
    }
    result = outfitter("device", "add", "pump-1", "--out", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "--policy" in result.stderr


def test_an_existing_thing_of_another_type_is_a_conflict(outfitter, script, tmp_path):
    script.answers |= deepcopy(GOOD) | {"GET /things/pump-1": {**THING, "thingTypeName": "valve"}}
    result = outfitter("device", "add", "pump-1", "--type", "pump", "--out", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "exists with the type valve" in result.stderr
    assert "POST /keys-and-certificate" not in script.asked


def test_an_unknown_group_is_told_before_anything_is_made(outfitter, script, tmp_path):
    script.answers |= deepcopy(GOOD) | {
        "GET /thing-groups": {"thingGroups": [{"groupName": "pumps", "groupArn": "x"}]}
    }
    result = outfitter("device", "add", "pump-1", "--group", "pump", "--out", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "Did you mean pumps?" in result.stderr
    assert not [each for each in script.asked if each.startswith("POST /things")]


def test_the_agent_takes_what_is_written(outfitter, script, tmp_path):
    script.answers |= deepcopy(GOOD)
    assert outfitter("device", "add", "pump-1", "--out", str(tmp_path / "pump-1")).exit_code == 0
    settings = load_settings(tmp_path / "pump-1" / "agent.toml", {})
    assert (settings.thing_name, settings.endpoint, settings.port) == ("pump-1", "updates.example.net", 8883)
    assert settings.private_key == tmp_path / "pump-1" / "private.key"
