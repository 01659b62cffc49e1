"""Bad input, as a hostile or unlucky client sends it: a clear answer in the right shape, and nothing changed."""

import base64
import hashlib
import http.client
import json
import os
import resource
import ssl
import subprocess

import pytest
from botocore.exceptions import ClientError

PAYLOAD_BYTES_MAX = 128 * 1024
NOT_AUTHORIZED, TOPIC_INVALID, FILTER_INVALID, PACKET_TOO_LARGE = 0x87, 0x90, 0x8F, 0x95


def refused(call, **given):
    """Code and HTTP status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def bucket(server, fleet):
    name = f"refusals-{fleet.name()}"
    server.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize(
    ("keys", "json_code", "s3_code"),
    [
        ({"secret_key": "wrong"}, "InvalidSignatureException", "SignatureDoesNotMatch"),
        ({"access_key": "AKIANOBODYKNOWSTHIS0"}, "UnrecognizedClientException", "InvalidAccessKeyId"),
    ],
    ids=["wrong-secret", "unknown-key"],
)
def test_a_wrong_signature_is_refused_by_every_service(server, fleet, bucket, tls, keys, json_code, s3_code):
    thing = fleet.thing()
    job, name = fleet.job(thing), fleet.name("thing")
    iot, data, s3 = (server.client(service, tls=tls, **keys) for service in ("iot", "iot-jobs-data", "s3"))
    assert refused(iot.create_thing, thingName=name) == (json_code, 403)
    assert refused(iot.delete_job, jobId=job, force=True) == (json_code, 403)
    update = {"jobId": job, "thingName": thing, "status": "SUCCEEDED"}
    assert refused(data.update_job_execution, **update) == (json_code, 403)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x") == (s3_code, 403)
    assert refused(fleet.iot.describe_thing, thingName=name)[1] == 404
    assert fleet.execution(thing, job)["status"] == "QUEUED"
    assert "Contents" not in server.client("s3").list_objects_v2(Bucket=bucket)


def test_an_expired_upload_url_stores_nothing(server, bucket, eventually):
    s3 = server.client("s3")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=1)

    def put():
        command = [
            "curl",
            "-sS",
            "-o",
            os.devnull,
            "-w",
            "%{http_code}",
            "-X",
            "PUT",
            "--data-binary",
            "late",
            url,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout

    eventually(lambda: put() == "403")
    s3.delete_object(Bucket=bucket, Key="k")
    assert put() == "403"
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_a_wrong_digest_leaves_the_object_as_it_was(server, bucket, tls):
    s3 = server.client("s3", tls=tls)
    s3.put_object(Bucket=bucket, Key="image", Body=b"good")
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(s3.put_object, Bucket=bucket, Key="image", Body=b"bad", ContentMD5=md5) == (
        "BadDigest",
        400,
    )
    sha = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    code, status = refused(s3.put_object, Bucket=bucket, Key="image", Body=b"bad", ChecksumSHA256=sha)
    assert (code, status) in {("BadDigest", 400), ("XAmzContentChecksumMismatch", 400)}
    assert s3.get_object(Bucket=bucket, Key="image")["Body"].read() == b"good"


@pytest.mark.parametrize("status", ["REVOKED", "INACTIVE"])
@pytest.mark.parametrize("version", [4, 5])
def test_a_connected_device_is_cut_off_with_its_certificate(fleet, make_link, version, status):
    thing = fleet.thing()
    job = fleet.job(thing)
    device = fleet.device(thing, make_link(version, True))
    device.ask("get")
    certificate = fleet.identity(thing).certificate_id
    fleet.iot.update_certificate(certificateId=certificate, newStatus=status)
    assert device.closed.wait(5)
    device.connect()
    if version == 5:
        assert device.connack.value == NOT_AUTHORIZED
    else:
        assert device.connack is None or device.connack.is_failure
    assert fleet.execution(thing, job)["status"] == "QUEUED"
    fleet.iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")
    assert device.connect().connack == "Success"
    device.ask("start-next")


def test_a_certificate_of_another_authority_ends_in_the_handshake(server, fleet, tmp_path):
    make = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=stranger -days 1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(make.split(), cwd=tmp_path, capture_output=True, check=True)
    context = ssl.create_default_context(cafile=str(server.ca))
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", server.port("https"), context=context, timeout=10)

    def ask():
        connection.request("GET", "/things/x/jobs")
        connection.getresponse()

    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask()
    connection.close()


@pytest.mark.parametrize("tls_link", [False, True], ids=["plain", "tls"])
def test_foreign_topics_are_refused_to_mqtt_5_and_the_connection_stays(fleet, make_link, tls_link):
    thing, foreign = fleet.thing(), fleet.thing()
    job = fleet.job(foreign)
    device = fleet.device(thing, make_link(5, tls_link))
    (reason,) = device.subscribe(f"$aws/things/{foreign}/jobs/notify-next")
    assert reason.value == NOT_AUTHORIZED
    (reason,) = device.subscribe("$SYS/#")
    assert reason.value in {FILTER_INVALID, NOT_AUTHORIZED}
    device.publish(f"$aws/things/{foreign}/jobs/{job}/update", {"status": "SUCCEEDED"})
    assert device.acknowledged().value == NOT_AUTHORIZED
    device.publish(f"$aws/things/{foreign}/jobs/start-next")
    assert device.acknowledged().value == NOT_AUTHORIZED
    device.publish("notify", {"jobs": {}})
    assert device.acknowledged().value in {TOPIC_INVALID, NOT_AUTHORIZED}
    device.quiet()
    assert fleet.execution(foreign, job)["versionNumber"] == 1


@pytest.mark.parametrize("tls_link", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("act", ["publish", "subscribe", "reply"])
def test_foreign_topics_end_a_connection_of_mqtt_3_1_1(fleet, make_link, tls_link, act):
    thing, foreign = fleet.thing(), fleet.thing()
    job = fleet.job(foreign)
    device = fleet.device(thing, make_link(4, tls_link))
    match act:
        case "publish":
            device.publish(f"$aws/things/{foreign}/jobs/{job}/update", {"status": "SUCCEEDED"})
        case "reply":
            device.publish("get/accepted", {"queuedJobs": []})
        case "subscribe":
            device.send_subscribe(f"$aws/things/{foreign}/jobs/notify-next")
    assert device.closed.wait(5)
    assert device.connack == "Success"
    assert fleet.execution(foreign, job)["versionNumber"] == 1


def test_a_client_id_that_the_policy_does_not_allow_is_refused(server, fleet, make_link):
    thing, other = fleet.thing(), fleet.thing()
    identity = fleet.identity(thing)
    fleet.use_identity(other, identity)
    five = fleet.device(other, make_link(5, True))
    assert five.connack.value == NOT_AUTHORIZED
    three = fleet.device(other, make_link(4, True))
    assert three.connack is None


def test_taking_the_policy_away_takes_effect_on_the_open_connection(fleet, make_link):
    thing = fleet.thing()
    job = fleet.job(thing)
    device = fleet.device(thing, make_link(5, True))
    device.ask("get")
    device.acknowledged()
    fleet.iot.detach_policy(policyName="acceptance-device", target=fleet.identity(thing).certificate_arn)
    device.publish("start-next")
    assert device.acknowledged().value == NOT_AUTHORIZED
    assert fleet.execution(thing, job)["status"] == "QUEUED"


@pytest.mark.parametrize("version", [4, 5])
def test_an_oversized_payload_ends_the_connection(fleet, make_link, version):
    thing = fleet.thing()
    job = fleet.job(thing)
    device = fleet.device(thing, make_link(version, False))
    body = {"status": "SUCCEEDED", "padding": "x" * PAYLOAD_BYTES_MAX}
    device.publish(f"{job}/update", body)
    assert device.closed.wait(5)
    if version == 5:
        assert device.close_reason.value == PACKET_TOO_LARGE
    assert fleet.execution(thing, job)["status"] == "QUEUED"


def test_an_oversized_api_call_is_refused_before_it_is_read(server, fleet):
    job = fleet.name("job")
    code, status = refused(
        fleet.iot.create_job,
        jobId=job,
        targets=[fleet.arn(fleet.thing())],
        document=json.dumps({"padding": "x" * 40_000}),
    )
    assert (code, status) == ("InvalidRequestException", 400)
    connection = http.client.HTTPConnection("127.0.0.1", server.port("http"), timeout=10)
    connection.putrequest("PUT", f"/jobs/{job}")
    for name, value in {
        "Content-Length": str(1 << 40),
        "Authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIAACCEPTANCETESTS0/20300101/us-east-1/iot/aws4_request, "
            "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
        ),
        "X-Amz-Date": "20300101T000000Z",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status in (403, 413)
    connection.close()
    assert refused(fleet.iot.describe_job, jobId=job)[1] == 404


def written(server):
    """The size of the largest file that the server writes its state to."""
    return max(path.stat().st_size for path in server.data.glob("state.sqlite3*"))


def test_a_full_disk_refuses_changes_keeps_state_and_recovers(own_server, make_fleet, make_link, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="images")
    s3.put_object(Bucket="images", Key="old", Body=b"old")
    thing = fleet.thing()
    job = fleet.job(thing)
    before = fleet.execution(thing, job)
    device = fleet.device(thing, make_link(5, False))
    device.subscribe("notify", "notify-next")
    process = own_server.process.pid
    usual = resource.prlimit(process, resource.RLIMIT_FSIZE)
    log = own_server.data / "state.sqlite3-wal"
    # From here on no file may grow beyond the size that the log of the store has: what a full disk looks like.
    resource.prlimit(process, resource.RLIMIT_FSIZE, (log.stat().st_size, usual[1]))

    assert refused(fleet.iot.create_thing, thingName="late") == ("ServiceUnavailableException", 503)
    assert refused(fleet.iot.create_job, jobId="late", targets=[fleet.arn(thing)], document="{}") == (
        "ServiceUnavailableException",
        503,
    )
    body = device.refused(f"{job}/update", {"status": "SUCCEEDED", "clientToken": "t"})
    assert body["code"] == "InternalError"
    assert body["clientToken"] == "t"
    big = os.urandom(written(own_server) + 1)
    code, status = refused(s3.put_object, Bucket="images", Key="new", Body=big)
    assert status in (503, 507)
    assert code in {"ServiceUnavailable", "SlowDown", "InsufficientStorage"}
    assert fleet.execution(thing, job) == before
    assert refused(fleet.iot.describe_thing, thingName="late")[1] == 404
    assert s3.get_object(Bucket="images", Key="old")["Body"].read() == b"old"
    device.quiet()

    resource.prlimit(process, resource.RLIMIT_FSIZE, usual)
    fleet.iot.create_thing(thingName="late")
    s3.put_object(Bucket="images", Key="new", Body=big)
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    assert device.take_named("notify")["jobs"] == {}
    device.take_named("notify-next")
    assert fleet.status(job) == "COMPLETED"
    fleet.close()
    own_server.kill()
    own_server.start()
    assert s3.get_object(Bucket="images", Key="new")["Body"].read() == big
    assert fleet.status(job) == "COMPLETED"
    fragments = [path for path in (own_server.data / "blobs").rglob("*") if path.is_file()]
    assert len(fragments) == 2, fragments
