"""Software update, row by row, with the real agent and the lamp that it runs."""

import hashlib
import json

import pytest

ROLE = "arn:aws:iam::000000000000:role/signer"
SETTINGS = "settle_seconds = 0.4\nhealth_interval_seconds = 0.1\n"


@pytest.fixture(scope="module")
def lamp(world):
    """A device on which 2.0.0 runs."""
    device = world.device("mission-lamp", settings=SETTINGS)
    made = world.outfitter("update", device.name, world.software, "2.0.0", "--wait", "--timeout", "25")
    assert made["status"] == "COMPLETED", made
    return device


@pytest.fixture
def install(world, ended):
    """A job made of a document with boto3; its execution's end."""

    def job(device, job_id, **document):
        arn = world.iot.describe_thing(thingName=device.name)["thingArn"]
        world.iot.create_job(
            jobId=job_id,
            targets=[arn],
            document=json.dumps({"operation": "install", **document}),
            presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 300},
        )
        return ended(device.name, job_id)

    return job


def placeholder(stored):
    return f"${{aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/{stored['bucket']}/{stored['key']}}}"


@pytest.fixture(scope="module")
def catalogue(world):
    """What is known of each version."""
    return {each["version"]: each for each in world.outfitter("software", "list", world.software)}


def test_images_are_files_in_the_store_many_versions_at_once(world, catalogue):
    assert {"1.0.0", "2.0.0", "2.1.0", "3.0.0"} <= set(catalogue)
    for stored in catalogue.values():
        content = world.s3.get_object(Bucket=stored["bucket"], Key=stored["key"])["Body"].read()
        assert hashlib.sha256(content).hexdigest() == stored["sha256"]
        assert stored["device_types"] == [world.device_type]


def test_the_function_builds_the_document_of_what_the_page_asks_for(world, lamp, ended, install, catalogue):
    """Signed as the page signs; the device takes the job, and ignores members that it does not know."""
    url = world.deployment["function_url"]
    request = {"operation": "install", "target": {"thing": lamp.name}, "software": world.software}
    status, made = world.post(url, {**request, "version": "2.1.0"})
    assert status == 200, made
    document = json.loads(world.iot.get_job_document(jobId=made["jobId"])["document"])
    assert document["operation"] == "install"
    assert catalogue["2.1.0"]["key"] in document["url"]
    assert document["forced"] is False
    assert ended(lamp.name, made["jobId"])[0] == "SUCCEEDED"
    assert lamp.answer() == "2.1.0"
    back = placeholder(catalogue["2.0.0"])
    assert install(lamp, "mission-more", url=back, forced=True, colour="green")[0] == "SUCCEEDED"
    status, refused = world.post(url, {**request, "version": "9"})
    assert (status, "no version '9'" in refused["message"]) == (404, True)


def test_forced_allows_a_downgrade(lamp, world, ended):
    def update(job_id, *flags):
        world.outfitter("update", lamp.name, world.software, "1.0.0", "--job-id", job_id, *flags)
        return ended(lamp.name, job_id)

    status, details = update("mission-down-refused")
    assert (status, "not newer" in details["reason"]) == ("FAILED", True)
    assert lamp.answer() == "2.0.0"
    assert update("mission-down-forced", "--forced")[0] == "SUCCEEDED"
    assert lamp.answer() == "1.0.0"


def test_the_device_takes_the_job_checks_installs_and_restarts_while_it_is_in_progress(world, lamp, ended):
    """Every state of the execution, as it is seen from outside while the agent works."""
    connections = world.log(lamp).count("connected to")
    world.outfitter("update", lamp.name, world.software, "2.1.0", "--job-id", "mission-flow")
    seen = []
    while not seen or seen[-1][0] in ("QUEUED", "IN_PROGRESS"):
        status, details = world.execution(lamp.name, "mission-flow")
        if not seen or seen[-1] != (status, details.get("step")):
            seen.append((status, details.get("step")))
    assert seen[-1] == ("SUCCEEDED", "done")
    assert ("IN_PROGRESS", "verifying") in seen
    assert {status for status, _ in seen[:-1]} <= {"QUEUED", "IN_PROGRESS"}
    assert world.log(lamp).count("connected to") == connections + 1
    assert lamp.answer() == "2.1.0"


def test_a_check_that_fails_ends_the_job_at_once_with_the_reason(world, lamp, catalogue, install):
    """Not accessible, corrupt, not acceptable."""
    before = lamp.answer()
    good = {"url": placeholder(catalogue["1.0.0"]), "forced": True}
    cases = {
        "gone": (good | {"url": f"{world.server.http}/no-such-bucket/image"}, "not accessible"),
        "corrupt": (good | {"sha256": "0" * 64}, "corrupt"),
        "foreign": (good | {"name": "pump"}, "the job says 'pump'"),
    }
    for name, (document, reason) in cases.items():
        status, details = install(lamp, f"mission-check-{name}", **document)
        assert (status, details["step"]) == ("FAILED", "refused"), details
        assert reason in details["reason"]
    assert lamp.answer() == before


def test_after_the_restart_the_device_completes_the_job_in_whose_middle_it_is(world, eventually, ended):
    """The power goes while the new software is on trial; the job waits, and is told to the device again."""
    device = world.device("mission-power", settings="settle_seconds = 1.5\ntrial_boots_max = 5\n")
    world.outfitter("update", device.name, world.software, "1.0.0", "--job-id", "mission-power")
    eventually(lambda: world.execution(device.name, "mission-power")[1].get("step") == "verifying")
    device.cut_power()
    assert world.execution(device.name, "mission-power")[0] == "IN_PROGRESS"
    assert device.answer() == "nothing"
    device.switch_on()
    assert ended(device.name, "mission-power")[0] == "SUCCEEDED"
    assert device.answer() == "1.0.0"


def test_software_that_does_not_start_gives_way_to_the_version_before(world, lamp, ended, eventually):
    before = lamp.answer()
    world.outfitter("update", lamp.name, world.software, "3.0.0", "--job-id", "mission-crash")
    status, details = ended(lamp.name, "mission-crash")
    assert (status, details["step"]) == ("FAILED", "rolled-back")
    assert "exit code 1" in details["reason"]
    assert "light.json" in "".join(details.get(f"log_{number}", "") for number in (1, 2, 3))
    assert eventually(lambda: lamp.answer() == before)
