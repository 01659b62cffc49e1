"""Jobs that ask for a proof, by AWS's clients, by MQTT, and with a real agent that can give it, and one that cannot."""

import hashlib
import json

import pytest

ROLE = "arn:aws:iam::000000000000:role/updates"
PROOF = {"version": "2.0.0", "sha256": "b" * 64}
DOCUMENT = {"operation": "install", "url": "https://x/y", "confirm": PROOF}
CONFIGURATION = b'{"lamp": "new"}'
DIGEST = hashlib.sha256(CONFIGURATION).hexdigest()


@pytest.fixture
def thing(fleet):
    return fleet.thing()


@pytest.fixture
def shell(make_shell, server):
    return make_shell(server)


@pytest.fixture
def job(fleet, thing):
    return fleet.job(thing, document=DOCUMENT)


def test_over_mqtt_success_counts_with_its_proof_only(fleet, link, thing, job):
    device = fleet.device(thing, link)
    device.ask("start-next")
    body = device.refused(
        f"{job}/update",
        {"status": "SUCCEEDED", "statusDetails": {**PROOF, "version": "1.0.0"}, "clientToken": "t"},
    )
    assert list(body) == ["clientToken", "code", "message", "executionState", "timestamp"]
    assert body["code"] == "InvalidRequest"
    assert body["message"].endswith("confirm asks: version is '1.0.0' instead of '2.0.0'")
    assert body["executionState"]["status"] == "IN_PROGRESS"
    assert fleet.execution(thing, job)["status"] == "IN_PROGRESS"
    device.ask(f"{job}/update", {"status": "SUCCEEDED", "statusDetails": {**PROOF, "slot": "b"}})
    assert fleet.status(job) == "COMPLETED"
    assert fleet.execution(thing, job)["statusDetails"]["detailsMap"] == {**PROOF, "slot": "b"}


def test_over_https_too_and_why_tells_of_it(fleet, shell, thing, job):
    fleet.data.start_next_pending_job_execution(thingName=thing)
    with pytest.raises(fleet.data.exceptions.InvalidRequestException, match="SUCCEEDED is not proven"):
        fleet.data.update_job_execution(thingName=thing, jobId=job, status="SUCCEEDED")
    (told,) = shell.told("why", thing)["executions"]
    assert "to report, with version '2.0.0'" in told["waitsFor"]
    assert [each["kind"] for each in told["moments"]][-1] == "REFUSED"
    fleet.data.update_job_execution(thingName=thing, jobId=job, status="FAILED")
    assert fleet.counts(job) == {"Failed": 1}


def test_documents_written_for_aws_mean_what_they_meant(fleet, thing):
    job = fleet.job(thing, document={"operation": "reboot", "confirm": {"sure": "yes"}})
    fleet.data.update_job_execution(thingName=thing, jobId=job, status="SUCCEEDED")
    assert fleet.counts(job) == {"Succeeded": 1}


def test_a_proof_that_nobody_can_give_makes_no_job(fleet, thing):
    with pytest.raises(fleet.iot.exceptions.InvalidRequestException, match="'confirm' of the job document"):
        fleet.job(thing, document=DOCUMENT | {"confirm": "please"})


def test_an_agent_proves_and_one_that_cannot_ends_with_the_reason(fleet, shell, server, agents):
    device = agents(server, name=fleet.name("thing")).configured(lamp="old").start()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="proofs")
    s3.put_object(Bucket="proofs", Key="new.json", Body=CONFIGURATION)
    url = "${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/proofs/new.json}"

    def ends(**confirm):
        document = {"operation": "config-download", "url": url, "forced": True, "confirm": confirm}
        job = fleet.job(device.name, document=document, presignedUrlConfig={"roleArn": ROLE})
        return job, *device.ends(job)

    job, status, told = ends(sha256=DIGEST)
    assert (status, told["sha256"]) == ("SUCCEEDED", DIGEST)
    assert f"sha256 {DIGEST[:40]}" in shell.run("job", "show", job).stdout
    job, status, told = ends(sha256="0" * 64)
    assert (status, told["step"]) == ("FAILED", "refused")
    assert told["reason"].startswith("this could not be proven as the job's confirm asks: sha256 is")
    job, status, told = ends(slot="z")
    assert (status, told["sha256"]) == ("FAILED", DIGEST)
    assert told["reason"].startswith("the service does not take SUCCEEDED: SUCCEEDED is not proven")
    assert "slot 'z' is missing" in shell.run("job", "show", job).stdout
    assert json.loads(CONFIGURATION) == device.holds()
