"""Configuration, row by row, with the real agent and the command line."""

import json

import pytest

ROLE = "arn:aws:iam::000000000000:role/signer"
# The services of the device: they note each reload, and refuse a configuration that has a parameter called "bad".
SETTINGS = """
configuration_schema = "schema.json"
configuration_reload = [
    "sh", "-c", 'if grep -q bad "$OUTFITTER_CONFIGURATION"; then echo cannot; exit 3; else echo told >> reloads; fi',
]
"""
SCHEMA = {"type": "object", "properties": {"interval": {"type": "integer", "minimum": 1}}}


class Configured:
    """A device with a configuration."""

    def __init__(self, world, name, **parameters):
        self.world, self.name = world, name
        self.device = world.device(name, settings=SETTINGS, on=False)
        (self.device.folder / "schema.json").write_text(json.dumps(SCHEMA))
        self.file = self.device.folder / "configuration.json"
        self.file.write_text(json.dumps(parameters))
        self.arn = world.iot.describe_thing(thingName=name)["thingArn"]
        self.device.switch_on()

    @property
    def parameters(self):
        return json.loads(self.file.read_text())

    @property
    def reloads(self):
        noted = self.device.folder / "reloads"
        return len(noted.read_text().split()) if noted.exists() else 0

    def job(self, job_id, **document):
        self.world.iot.create_job(
            jobId=job_id,
            targets=[self.arn],
            document=json.dumps(document),
            presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 300},
        )


@pytest.fixture(scope="module")
def giver(world):
    return Configured(world, "mission-giver", interval=30, site={"hall": 4, "line": "b"}, serial="G-1")


@pytest.fixture(scope="module")
def taker(world):
    return Configured(world, "mission-taker", interval=10, serial="T-1")


@pytest.fixture(scope="module")
def bucket(world):
    world.s3.create_bucket(Bucket="mission-configurations")
    return "mission-configurations"


@pytest.fixture
def push(world, tmp_path, ended):
    """Send parameters to a device: how it ends there."""

    def send(device, job_id, parameters, *flags):
        file = tmp_path / f"{job_id}.json"
        file.write_text(json.dumps(parameters))
        world.outfitter("config", "push", file, device.name, "--job-id", job_id, *flags)
        return ended(device.name, job_id)

    return send


def test_named_parameters_are_checked_applied_whole_and_announced_to_services(taker, push):
    before = taker.reloads
    wanted = {"interval": 15, "alarms": ["heat", {"level": 2.5}], "night": None}
    assert push(taker, "mission-config-good", wanted)[0] == "SUCCEEDED"
    assert (taker.parameters, taker.reloads) == (wanted, before + 1)
    status, details = push(taker, "mission-config-schema", {"interval": 0})
    assert (status, "interval" in details["reason"]) == ("FAILED", True), details
    assert (taker.parameters, taker.reloads) == (wanted, before + 1)


def test_config_upload_puts_the_configuration_to_the_url_of_the_document(world, giver, bucket, ended):
    url = f"https://s3.us-east-1.amazonaws.com/{bucket}/${{thingName}}/${{jobId}}.json"
    giver.job("mission-upload", operation="config-upload", url=f"${{aws:iot:s3-presigned-url-upload:{url}}}")
    status, details = ended(giver.name, "mission-upload")
    assert status == "SUCCEEDED", details
    stored = world.s3.get_object(Bucket=bucket, Key=f"{giver.name}/mission-upload.json")["Body"].read()
    assert json.loads(stored) == giver.parameters


def test_config_download_fetches_and_applies_or_goes_back(world, taker, bucket, ended):
    def download(name, parameters):
        world.s3.put_object(Bucket=bucket, Key=f"{name}.json", Body=json.dumps(parameters).encode())
        url = f"https://s3.us-east-1.amazonaws.com/{bucket}/{name}.json"
        taker.job(name, operation="config-download", url=f"${{aws:iot:s3-presigned-url-v2:{url}}}")
        return ended(taker.name, name)

    assert download("mission-download", {"interval": 20})[0] == "SUCCEEDED"
    assert taker.parameters == {"interval": 20}
    status, details = download("mission-download-bad", {"interval": 20, "bad": True})
    assert (status, details["step"]) == ("FAILED", "rolled-back"), details
    assert "3" in details["reason"]
    assert taker.parameters == {"interval": 20}


def test_propagation_is_an_upload_from_one_and_a_download_to_the_others(world, giver, taker):
    words = ("config", "propagate", giver.name, taker.name, "--except", "serial", "--id", "mission-spread")
    own = {**taker.parameters, "serial": "T-2"}
    taker.file.write_text(json.dumps(own))
    made = world.outfitter(*words, "--wait", "--timeout", "20")
    assert made["status"] == "COMPLETED", made
    assert taker.parameters == {**giver.parameters, "serial": "T-2"}
    reloads = taker.reloads
    jobs = {
        each["jobId"]
        for each in world.iot.list_job_executions_for_thing(thingName=giver.name)["executionSummaries"]
    }
    assert "mission-spread-up" in jobs
    # Given again, it goes on where it was: nothing is left to do.
    again = world.outfitter(*words)
    assert (again["upload_job"], again["download_job"]) == ("mission-spread-up", "mission-spread-down")
    assert taker.reloads == reloads
