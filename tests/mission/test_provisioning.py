"""Devices that join for as long as a line runs, row by row."""

import json

import pytest
from outfitter_fleet.demo.device import Device
from outfitter_fleet.stage.processes import program


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


def test_a_device_with_a_claim_gets_its_identity_and_then_everything_else_by_itself(
    world, configuration, eventually
):
    line = world.outfitter(
        *("line", "create", world.device_type, "--software", world.software, "2.0.0"),
        *("--config", configuration),
    )
    claim, name = world.folder / "claim", f"{world.device_type}-4711"
    made = world.outfitter("line", "claim", world.device_type, "--out", claim)
    out = world.folder / name

    def provision(serial="4711"):
        world.run(
            *(program("outfitter-agent"), "provision", "--claim", claim, "--out", out),
            *("--endpoint", f"localhost:{world.server.port('mqtts')}", "--type", world.device_type),
            *("--template", made["template"], "--parameter", f"SerialNumber={serial}"),
        )

    provision()
    kept = (out / "private.key").read_bytes()
    provision()  # a factory may try again: who has an identity keeps it
    assert (out / "private.key").read_bytes() == kept
    assert (out / "private.key").stat().st_mode & 0o077 == 0
    device = Device(name, out, world.processes)
    world.devices.append(device)
    device.switch_on()
    for kind in ("software", "configuration"):
        job = line[kind]["job_id"]
        assert eventually(lambda job=job: world.status_of(device.name, job) == "SUCCEEDED")
    assert order(world, device.name) == BOTH
    assert world.iot.describe_thing(thingName=device.name)["thingTypeName"] == world.device_type
