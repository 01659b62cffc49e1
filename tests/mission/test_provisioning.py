"""Devices that join for as long as a line runs, row by row."""

import json

import pytest
from outfitter_fleet.demo.device import Device
from outfitter_fleet.stage.processes import program

ARN = "arn:aws:iot:us-east-1:000000000000"
ROLE = "arn:aws:iam::000000000000:role/provisioning"


@pytest.fixture
def bell(world):
    """Software for another type of device, in two versions."""
    for version in ("1.0.0", "1.1.0"):
        folder = world.folder / f"bell-{version}"
        folder.mkdir()
        start = ["python3", "-c", "import signal; signal.pause()"]
        manifest = {"name": "bell", "version": version, "device_types": ["bell-push"], "start": start}
        (folder / "outfitter.json").write_text(json.dumps(manifest))
        image = f"{folder}.tar.gz"
        world.outfitter("software", "pack", folder, "--out", image)
        world.outfitter("software", "upload", image)
    return "bell"


@pytest.fixture
def configuration(world):
    file = world.folder / "line.json"
    file.write_text(json.dumps({"interval": 60}))
    return file


def order(world, thing):
    """What ran on a device, the first first."""
    found = world.iot.list_job_executions_for_thing(thingName=thing)["executionSummaries"]
    found.sort(key=lambda each: str(each["jobExecutionSummary"].get("startedAt", "not yet")))
    documents = [json.loads(world.iot.get_job_document(jobId=each["jobId"])["document"]) for each in found]
    return [
        (document["operation"], each["jobExecutionSummary"]["status"])
        for document, each in zip(documents, found, strict=True)
    ]


# A bell has no services to be told.
BELL = "configuration_reload = []"
BOTH = [("install", "SUCCEEDED"), ("config-download", "SUCCEEDED")]


def test_a_device_that_joins_later_gets_software_and_configuration_by_itself(
    world, configuration, eventually
):
    line = world.outfitter(
        *("line", "create", world.device_type, "--software", world.software, "2.0.0"),
        *("--config", configuration),
    )
    late = world.device("mission-late", line=world.device_type)
    for kind in ("software", "configuration"):
        job = line[kind]["job_id"]
        assert eventually(lambda job=job: world.status_of(late.name, job) == "SUCCEEDED")
    assert order(world, late.name) == BOTH
    assert late.answer() == "2.0.0"
    assert json.loads((late.folder / "configuration.json").read_text()) == {"interval": 60}


def test_each_type_has_its_line_and_a_newer_job_takes_the_place_of_the_older(
    world, bell, configuration, eventually
):
    def create(version):
        words = ("--software", bell, version, "--config", configuration)
        return world.outfitter("line", "create", "bell-push", *words)

    first = create("1.0.0")
    assert create("1.0.0")["created"] == []
    device = world.device("mission-bell", line="bell-push", settings=BELL)
    eventually(lambda: order(world, device.name) == BOTH)
    second = create("1.1.0")
    old, new = first["software"]["job_id"], second["software"]["job_id"]
    assert old in second["canceled"]
    assert world.iot.describe_job(jobId=old)["job"]["status"] == "CANCELED"
    assert eventually(lambda: world.status_of(device.name, new) == "SUCCEEDED")
    assert world.told(device)["version"] == "1.1.0"
    later = world.device("mission-bell-later", line="bell-push", settings=BELL)
    eventually(lambda: order(world, later.name) == BOTH)
    assert (world.told(later)["version"], world.told(later)["slot"]) == ("1.1.0", "a")
    groups = world.iot.list_thing_groups_for_thing(thingName=later.name)["thingGroups"]
    assert [each["groupName"] for each in groups] == ["line-bell-push"]


@pytest.fixture
def claim(world):
    """What every device of a line is made with: a certificate that may ask for an identity, and nothing else."""
    name, policy = f"line-{world.device_type}", "mission-claim"
    asked = ("$aws/certificates/create/*", f"$aws/provisioning-templates/{name}/provision/*")
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{ARN}:topic/{topic}" for topic in asked],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [f"{ARN}:topicfilter/{topic}" for topic in asked],
        },
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    world.iot.create_policy(policyName=policy, policyDocument=document)
    made = world.iot.create_keys_and_certificate(setAsActive=True)
    world.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    thing = {
        "ThingName": {"Fn::Join": ["-", ["mission", {"Ref": "SerialNumber"}]]},
        "ThingTypeName": world.device_type,
        "ThingGroups": [f"line-{world.device_type}"],
    }
    certificate = {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}
    body = {
        "Parameters": {"SerialNumber": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": thing},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "outfitter-device"}},
        },
    }
    world.iot.create_provisioning_template(
        templateName=name, templateBody=json.dumps(body), provisioningRoleArn=ROLE, enabled=True
    )
    folder = world.folder / "claim"
    folder.mkdir()
    (folder / "certificate.pem").write_text(made["certificatePem"])
    (folder / "private.key").write_text(made["keyPair"]["PrivateKey"])
    (folder / "ca.pem").write_bytes(world.server.ca.read_bytes())
    return folder


def test_a_device_with_a_claim_gets_its_identity_and_then_everything_else_by_itself(
    world, configuration, claim, eventually
):
    first = world.device("mission-first")  # brings the type and the policy of devices
    line = world.outfitter(
        *("line", "create", world.device_type, "--software", world.software, "2.0.0"),
        *("--config", configuration),
    )
    out = world.folder / "mission-4711"

    def provision(serial="4711"):
        world.run(
            *(program("outfitter-agent"), "provision", "--claim", claim, "--out", out),
            *("--endpoint", f"localhost:{world.server.port('mqtts')}", "--type", world.device_type),
            *("--template", f"line-{world.device_type}", "--parameter", f"SerialNumber={serial}"),
        )

    provision()
    kept = (out / "private.key").read_bytes()
    provision()  # a factory may try again: who has an identity keeps it
    assert (out / "private.key").read_bytes() == kept
    assert (out / "private.key").stat().st_mode & 0o077 == 0
    device = Device("mission-4711", out, world.processes)
    world.devices.append(device)
    device.switch_on()
    for kind in ("software", "configuration"):
        job = line[kind]["job_id"]
        assert eventually(lambda job=job: world.status_of(device.name, job) == "SUCCEEDED")
    assert order(world, device.name) == BOTH
    assert world.iot.describe_thing(thingName=device.name)["thingTypeName"] == world.device_type
    del first
