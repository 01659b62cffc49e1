"""The jobs data plane over HTTPS for devices that show their certificate and sign nothing; curl stands for them."""

import json
import subprocess

import pytest


@pytest.fixture
def thing(fleet):
    return fleet.thing()


@pytest.fixture
def call(server):
    """Status and JSON of a request by certificate."""

    def request(identity, method, path, body=None):
        command = ["curl", "-sS", "--cacert", server.ca, "-X", method, "-w", "\n%{http_code}"]
        if identity is not None:
            command += ["--cert", identity.certificate, "--key", identity.key]
        if body is not None:
            command += ["--data-binary", json.dumps(body)]
        done = subprocess.run(
            [*command, server.https + path], capture_output=True, text=True, timeout=20, check=True
        )
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text) if text.startswith("{") else text

    return request


def test_the_four_operations_without_a_signature(fleet, call, thing):
    identity = fleet.identity(thing)
    job = fleet.job(thing, document={"n": 1})
    base = f"/things/{thing}/jobs"
    status, body = call(identity, "GET", base)
    assert status == 200
    assert [entry["jobId"] for entry in body["queuedJobs"]] == [job]
    for name in ("$next", "%24next", job):
        status, body = call(identity, "GET", f"{base}/{name}")
        assert (status, body["execution"]["jobId"]) == (200, job)
        assert json.loads(body["execution"]["jobDocument"]) == {"n": 1}
    status, body = call(identity, "PUT", f"{base}/$next", {"statusDetails": {"a": "b"}})
    assert (status, body["execution"]["status"]) == (200, "IN_PROGRESS")
    status, body = call(
        identity, "POST", f"{base}/{job}", {"status": "SUCCEEDED", "includeJobExecutionState": True}
    )
    assert (status, body["executionState"]["versionNumber"]) == (200, 3)
    assert fleet.status(job) == "COMPLETED"
    assert call(identity, "PUT", f"{base}/$next", {}) == (200, {})


def test_errors_have_the_shape_of_the_data_plane(fleet, call, thing):
    identity = fleet.identity(thing)
    job = fleet.job(thing)
    path = f"/things/{thing}/jobs/{job}"
    assert call(identity, "POST", path, {"status": "REMOVED"})[0] == 409
    assert call(identity, "POST", path, {"status": "FAILED", "expectedVersion": 3})[0] == 409
    assert call(identity, "POST", path, {"statusDetails": {}})[0] == 400
    assert call(identity, "POST", f"/things/{thing}/jobs/none", {"status": "FAILED"})[0] == 404
    assert fleet.execution(thing, job)["versionNumber"] == 1
    call(identity, "POST", path, {"status": "FAILED"})
    status, body = call(identity, "GET", path)
    assert status == 410
    assert set(body) == {"message"}


def test_a_foreign_thing_is_refused(fleet, call, thing):
    foreign = fleet.thing()
    job = fleet.job(foreign)
    status, body = call(fleet.identity(thing), "GET", f"/things/{foreign}/jobs")
    assert status == 403
    assert "queuedJobs" not in body
    update = {"status": "SUCCEEDED"}
    assert call(fleet.identity(thing), "POST", f"/things/{foreign}/jobs/{job}", update)[0] == 403
    assert fleet.execution(foreign, job)["status"] == "QUEUED"


def test_the_policy_decides_each_operation(fleet, call, thing):
    look = {
        "Effect": "Allow",
        "Action": "iotjobsdata:DescribeJobExecution",
        "Resource": f"arn:aws:iot:us-east-1:000000000000:thing/{thing}",
    }
    identity = fleet.identity(thing, fleet.policy(look))
    job = fleet.job(thing)
    assert call(identity, "GET", f"/things/{thing}/jobs/{job}")[0] == 200
    assert call(identity, "GET", f"/things/{thing}/jobs")[0] == 403
    assert call(identity, "POST", f"/things/{thing}/jobs/{job}", {"status": "FAILED"})[0] == 403
    assert fleet.execution(thing, job)["status"] == "QUEUED"


@pytest.mark.parametrize("status", ["REVOKED", "INACTIVE"])
def test_a_certificate_that_is_not_active_is_refused(fleet, call, thing, status):
    identity = fleet.identity(thing)
    job = fleet.job(thing)
    path = f"/things/{thing}/jobs/{job}"
    assert call(identity, "GET", path)[0] == 200
    fleet.iot.update_certificate(certificateId=identity.certificate_id, newStatus=status)
    code, body = call(identity, "POST", path, {"status": "SUCCEEDED"})
    assert code in (400, 403)
    assert status in body["message"]
    assert fleet.execution(thing, job)["status"] == "QUEUED"


def test_without_certificate_or_signature_nothing_of_a_thing_is_shown(fleet, call, thing):
    fleet.job(thing)
    status, body = call(None, "GET", f"/things/{thing}/jobs")
    assert status in (403, 404)
    assert "queuedJobs" not in body


def test_a_certificate_opens_neither_the_control_plane_nor_the_store(server, fleet, call, thing):
    identity = fleet.identity(thing)
    assert call(identity, "GET", "/things")[0] in (403, 404)
    bucket = f"private-{fleet.name()}"
    s3 = server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    status, body = call(identity, "GET", f"/{bucket}/secret")
    assert status == 403
    assert "AccessDenied" in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_urls_show_the_host_that_the_device_called(server, fleet, thing, host):
    bucket = f"hosts-{fleet.name()}"
    s3 = server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="image", Body=b"image")
    placeholder = f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{bucket}/image}}"
    role = {"roleArn": "arn:aws:iam::000000000000:role/signer"}
    fleet.job(thing, document={"url": placeholder}, presignedUrlConfig=role)
    identity = fleet.identity(thing)
    base = f"https://{host}:{server.port('https')}"
    curl = ["curl", "-sSf", "--cacert", server.ca]
    by_certificate = [*curl, "--cert", identity.certificate, "--key", identity.key]
    asked = subprocess.run(
        [*by_certificate, f"{base}/things/{thing}/jobs/$next"], capture_output=True, timeout=20, check=True
    )
    url = json.loads(json.loads(asked.stdout)["execution"]["jobDocument"])["url"]
    assert url.startswith(f"{base}/{bucket}/image?")
    assert subprocess.run([*curl, url], capture_output=True, timeout=20, check=True).stdout == b"image"
