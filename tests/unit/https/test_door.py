import asyncio
import datetime as dt
import gzip
import json
import logging
import random
import ssl
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from outfitter_server.access.signature import Credentials
from outfitter_server.https import limits

in_thread = asyncio.to_thread


async def refused(call, /, *args, **kwargs):
    with pytest.raises(ClientError) as caught:
        await in_thread(call, *args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


async def exchange(port, request, *, until_close=False):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.read() if until_close else head
    finally:
        writer.close()


def fetch(url, *, method="GET", context=None, data=None, headers=None):
    request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, context=context, timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


async def test_boto3_calls_over_http_and_https(house, tmp_path):
    for url, verify in ((house.url, None), (house.secure_url, house.ca(tmp_path))):
        iot = house.client("iot", url=url, verify=verify)
        answer = await in_thread(
            iot.create_thing, thingName="a:b", attributePayload={"attributes": {"k": "v.w"}}
        )
        assert answer["thingArn"] == "arn:a:b"
        assert "thingId" not in answer
        assert answer["ResponseMetadata"]["RequestId"] != "-"
        call = house.registry.calls[-1]
        assert call.parameters == {"thingName": "a:b", "attributePayload": {"attributes": {"k": "v.w"}}}
        assert (call.host, call.secure) == ("127.0.0.1", url == house.secure_url)
        assert call.caller.arn == "arn:aws:iam::000000000000:root"


async def test_the_scope_tells_services_with_the_same_path_apart(house):
    control = await in_thread(house.client("iot").list_job_executions_for_thing, thingName="t")
    device = await in_thread(house.client("iot-jobs-data").get_pending_job_executions, thingName="t")
    assert control["nextToken"] == "control-plane"
    assert device["queuedJobs"][0]["jobId"] == "device-plane"


async def test_start_next_reaches_its_literal_path(house):
    client = house.client("iot-jobs-data")
    answer = await in_thread(client.start_next_pending_job_execution, thingName="t", statusDetails={"a": "b"})
    assert answer["execution"] == {"jobId": "next", "status": "IN_PROGRESS"}
    assert house.registry.calls[-1].parameters == {"thingName": "t", "statusDetails": {"a": "b"}}


async def test_get_caller_identity(house):
    answer = await in_thread(house.client("sts").get_caller_identity)
    assert answer["Account"] == "000000000000"
    assert answer["UserId"] == "000000000000"
    assert answer["Arn"] == "arn:aws:iam::000000000000:root"


async def test_refusals_have_the_names_of_the_model(house):
    iot, data = house.client("iot"), house.client("iot-jobs-data")
    assert await refused(iot.describe_thing, thingName="x") == ("ResourceNotFoundException", 404)
    with pytest.raises(iot.exceptions.ResourceNotFoundException, match="there is no thing x"):
        await in_thread(iot.describe_thing, thingName="x")
    with pytest.raises(data.exceptions.InvalidStateTransitionException):
        await in_thread(data.update_job_execution, thingName="t", jobId="j", status="FAILED")


async def test_a_fault_is_answered_500_and_logged_with_its_request(house, caplog):
    with pytest.raises(ClientError) as caught:
        await in_thread(house.client("iot").describe_thing, thingName="broken")
    assert caught.value.response["Error"]["Code"] == "InternalFailureException"
    request_id = caught.value.response["ResponseMetadata"]["RequestId"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert request_id in record.getMessage()
    assert "ZeroDivisionError" in caplog.text


async def test_what_has_no_handler_is_an_unknown_operation(house):
    iot = house.client("iot")
    assert await refused(iot.list_things) == ("UnknownOperationException", 404)
    assert await refused(house.client("sts").get_session_token) == ("InvalidAction", 400)
    assert await refused(house.client("lambda").list_functions) == ("UnknownOperationException", 404)
    assert await refused(house.client("iot-data").publish, topic="t") == ("UnknownOperationException", 404)


async def test_invalid_parameters_are_all_told_at_once(house):
    client = house.client("iot", parameter_validation=False)
    with pytest.raises(client.exceptions.InvalidRequestException) as caught:
        await in_thread(
            client.create_thing, thingName="no spaces", thingTypeName="!", attributePayload={"merge": 1}
        )
    message = caught.value.response["Error"]["Message"]
    assert message.startswith("3 validation errors detected: ")
    assert (
        "Value 'no spaces' at 'thingName' failed to satisfy constraint: Member must satisfy regular"
        in message
    )
    assert "'attributePayload.merge' failed to satisfy constraint: Member must be of type boolean" in message


@pytest.mark.parametrize(
    ("service", "wrong_secret", "wrong_key"),
    [
        ("iot", "InvalidSignatureException", "UnrecognizedClientException"),
        ("iot-jobs-data", "InvalidSignatureException", "UnrecognizedClientException"),
        ("sts", "SignatureDoesNotMatch", "InvalidClientTokenId"),
        ("s3", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
    ],
)
async def test_wrong_keys_are_refused_in_the_services_own_words(house, service, wrong_secret, wrong_key):
    def call(client):
        if service == "iot":
            return client.create_thing(thingName="t")
        if service == "iot-jobs-data":
            return client.get_pending_job_executions(thingName="t")
        return client.get_caller_identity() if service == "sts" else client.get_object(Bucket="b", Key="k")

    secret = Credentials(access_key_id="AKIAROOT", secret_access_key="guess")
    key = Credentials(access_key_id="AKIAOTHER", secret_access_key="root-secret")
    assert await refused(call, house.client(service, credentials=secret)) == (wrong_secret, 403)
    assert await refused(call, house.client(service, credentials=key)) == (wrong_key, 403)
    token = Credentials(access_key_id="AKIAROOT", secret_access_key="root-secret", session_token="x")
    assert (await refused(call, house.client(service, credentials=token)))[1] == 403
    house.clock[0] = 16 * 60_000
    assert (await refused(call, house.client(service)))[1] == 403
    assert house.registry.calls == []
    assert house.objects.seen == []


async def test_malformed_signatures_are_refused_in_the_services_own_words(house):
    for scope, code in (("iot", "IncompleteSignatureException"), ("sts", "IncompleteSignature")):
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential=AK/20200101/r/{scope}/aws4_request"}
        status, answer, body = await in_thread(fetch, house.url + "/things/t", headers=headers)
        assert status == 403
        assert code in answer.get("x-amzn-ErrorType", "") or code in body.decode()
    status, _, body = await in_thread(fetch, house.url + "/b/k", headers={"Authorization": "Basic eDp5"})
    assert (status, b"<Code>InvalidRequest</Code>" in body) == (400, True)


async def test_objects_come_and_go_signed_presigned_and_unsigned(house, tmp_path):
    for url, verify in ((house.url, None), (house.secure_url, house.ca(tmp_path))):
        s3 = house.client("s3", url=url, verify=verify)
        key = "a b/(1)+ü~%2F.txt"
        await in_thread(s3.put_object, Bucket="b", Key=key, Body=b"x" * 100_000)
        method, claim, caller, context = house.objects.seen[-1]
        assert (method, claim.service, caller.access_key_id) == ("PUT", "s3", "AKIAROOT")
        assert context.seed_signature == claim.signature
        assert (await in_thread(s3.get_object, Bucket="b", Key=key))["Body"].read().count(b"x") >= 100_000
        presigned = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": key}, ExpiresIn=60)
        tls = ssl.create_default_context(cafile=verify) if verify else None
        status, headers, _ = await in_thread(fetch, presigned, context=tls)
        assert status == 200
        assert headers["x-amzn-RequestId"]
        assert house.objects.seen[-1][1].presigned
        status, _, _ = await in_thread(fetch, presigned.partition("?")[0], context=tls)
        assert house.objects.seen[-1] == ("GET", None, None, None)


async def test_an_expired_url_is_refused(house):
    s3 = house.client("s3")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}, ExpiresIn=60)
    house.clock[0] = 61_500
    status, _, body = await in_thread(fetch, url)
    assert status == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in body


async def test_encoded_bodies_reach_the_store_as_they_are(house):
    packed = gzip.compress(b"text" * 1000)
    s3 = house.client("s3", request_checksum_calculation="when_required")
    await in_thread(s3.put_object, Bucket="b", Key="z", Body=packed, ContentEncoding="gzip")
    assert house.objects.objects["/b/z"] == packed


async def test_preflight_requests_go_to_the_objects(house):
    house.objects.objects["/b/k"] = b""
    await in_thread(fetch, house.url + "/b/k", method="OPTIONS")
    assert house.objects.seen[-1] == ("OPTIONS", None, None, None)


async def test_health_needs_no_signature(house):
    status, headers, body = await in_thread(fetch, house.url + "/_outfitter/health")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers["x-amzn-RequestId"]
    assert headers["Server"] == "Outfitter"
    for unknown in ("/_outfitter/other", "/_outfitter/"):
        status, headers, body = await in_thread(fetch, house.url + unknown)
        assert (status, headers["Content-Type"]) == (404, "application/json")
        assert "there is no page" in json.loads(body)["message"]


async def test_a_client_that_expects_100_gets_it_before_its_body_only_when_welcome(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http)
    writer.write(b"PUT /b/expected HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert house.objects.objects["/b/expected"] == b"hello"
    writer.write(
        b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
        b"Authorization: AWS4-HMAC-SHA256 wrong\r\n\r\n"
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Connection: close" in answer
    writer.close()


async def test_bodies_of_api_calls_are_bounded(house):
    client = house.client("iot", parameter_validation=False)
    big = {"attributes": {"k": "x" * limits.API_BODY_BYTES_MAX}}
    answer = await refused(client.create_thing, thingName="t", attributePayload=big)
    assert answer == ("RequestEntityTooLargeException", 413)
    assert house.registry.calls == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"x" * limits.LINE_BYTES_MAX + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (limits.FIELD_BYTES_MAX + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n"
        + b"".join(b"X%d: y\r\n" % number for number in range(limits.FIELDS_MAX + 1))
        + b"\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET foo HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_400_and_not_logged_as_a_fault(house, request_bytes, caplog):
    answer = await exchange(house.http, request_bytes)
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


PIECES = [
    b"/", b"things", b"jobs", b"$next", b"%24next", b"%ff", b"%", b"\xff", b"\xc3\xbc", b"?", b"&", b"=", b"..", b"//", b"*",
    b"X-Amz-Signature=" + b"0" * 64, b"X-Amz-Algorithm=AWS4-HMAC-SHA256", b"X-Amz-Expires=60", b"http://h",
    b"X-Amz-Credential=AKIAROOT%2F20261123%2Fr%2Fs3%2Faws4_request", b"_outfitter/health", b"+", b"#", b"\xed\xa0\x80",
]  # fmt: skip
HEADERS = [
    b"Authorization: AWS4-HMAC-SHA256 Credential=AKIAROOT/20261123/r/iot/aws4_request, SignedHeaders=host, Signature="
    + b"0" * 64,
    b"Authorization: AWS4-HMAC-SHA256 Credential=AKIAROOT/20261123/\xff/s3/aws4_request, SignedHeaders=host, Signature="
    + b"0" * 64,
    b"Authorization: \xff", b"X-Amz-Security-Token: \xff", b"X-Amz-Date: 20261123T000000Z", b"X-Amz-Date: \xff",
    b"Date: Mon, 99 Foo 2026", b"Expect: 100-continue", b"Content-Length: 3", b"Content-Type: \xff", b"Host: \xff:99999999",
    b"Transfer-Encoding: chunked", b"X-Amz-Content-Sha256: \xff", b"Origin: \xff",
]  # fmt: skip


async def test_no_bytes_of_a_client_are_a_fault_of_the_server(house, caplog):
    chance = random.Random(20261123)
    day = dt.datetime.now(dt.UTC).strftime("%Y%m%d").encode()
    for _ in range(400):
        method = chance.choice([b"GET", b"PUT", b"POST", b"OPTIONS", b"HEAD", b"BREW"])
        target = b"/" * chance.randint(0, 1) + b"".join(chance.choices(PIECES, k=chance.randint(0, 6)))
        lines = [
            method + b" " + target + b" HTTP/1.1",
            b"Host: h",
            *chance.sample(HEADERS, chance.randint(0, 5)),
        ]
        # This tail ends a body of three bytes and a chunked one, and is no request.
        head = b"\r\n".join(lines).replace(b"20261123", day)
        request = head + b"\r\n\r\n" + b"3\r\nabc\r\n0\r\n\r\n"
        answer = await exchange(house.http, request)
        assert not answer.startswith(b"HTTP/1.1 5"), request
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_absolute_targets_are_understood(house):
    answer = await exchange(house.http, b"GET http://any.host/_outfitter/health HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_an_answer_that_breaks_off_is_seen_to_be_broken(house, caplog):
    answer = await exchange(house.http, b"GET /breaks/off HTTP/1.1\r\nHost: h\r\n\r\n", until_close=True)
    assert answer.endswith(b"12345")
    assert "ZeroDivisionError" in caplog.text


async def test_connections_serve_several_requests(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http)
    for _ in range(3):
        writer.write(b"GET /_outfitter/health HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(len(b'{"status": "ok"}'))
    writer.close()


async def test_too_many_connections_are_turned_away(house, monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS_MAX", 1)
    _, first = await asyncio.open_connection("127.0.0.1", house.http)
    reader, second = await asyncio.open_connection("127.0.0.1", house.http)
    assert await reader.read() == b""
    second.close()
    first.close()


async def test_a_client_too_slow_with_its_headers_is_closed(house, monkeypatch):
    await house.door.close()
    monkeypatch.setattr(limits, "KEEPALIVE_SECONDS", 0.05)
    house.http = await house.door.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_client_too_slow_with_its_body_is_told(house, monkeypatch, tmp_path):
    issued = await house.device("slow")
    context = device_context(house, issued, tmp_path)
    monkeypatch.setattr(limits, "API_BODY_SECONDS_MAX", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.https, ssl=context)
    writer.write(b"PUT /things/slow/jobs/$next HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_closing_lets_requests_under_way_end(house):
    iot = house.client("iot")
    waiting = asyncio.create_task(in_thread(iot.describe_endpoint))
    await house.registry.reached.wait()
    closing = asyncio.create_task(house.door.close())
    await asyncio.sleep(0)
    house.registry.gate.set()
    assert (await waiting)["endpointAddress"] == "late"
    await closing
    with pytest.raises(EndpointConnectionError):
        await in_thread(house.client("iot").describe_endpoint)


async def test_logs_tell_requests_without_their_signatures(house, caplog):
    caplog.set_level(logging.DEBUG, "outfitter_server.https")
    s3 = house.client("s3")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}, ExpiresIn=60)
    await in_thread(fetch, url)
    assert "GET /b/k?" in caplog.text
    assert "X-Amz-Signature=..." in caplog.text
    assert url.partition("X-Amz-Signature=")[2] not in caplog.text
    assert "AKIAROOT" not in caplog.text


def device_context(house, issued, tmp_path):
    certificate, key = tmp_path / "device.pem", tmp_path / "device.key"
    certificate.write_text(issued.certificate_pem)
    key.write_text(issued.private_key_pem)
    context = ssl.create_default_context(cafile=house.ca(tmp_path))
    context.load_cert_chain(certificate, key)
    return context


POLICY = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Action": ["iotjobsdata:GetPendingJobExecutions", "iotjobsdata:StartNextPendingJobExecution"],
    "Resource": ["arn:aws:iot:us-east-1:000000000000:thing/${iot:Connection.Thing.ThingName}"]}]}"""


async def test_a_device_is_known_by_its_certificate_and_bound_by_its_policies(house, tmp_path):
    issued = await house.device("d1")
    context = device_context(house, issued, tmp_path)
    pending, start = house.secure_url + "/things/d1/jobs", house.secure_url + "/things/d1/jobs/%24next"
    status, headers, _ = await in_thread(fetch, pending, context=context)
    assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    await house.policies.create("p", POLICY, {}, "arn:p")
    await house.policies.attach("p", f"cert/{issued.certificate_id}")
    status, _, body = await in_thread(fetch, pending, context=context)
    assert status == 200
    assert json.loads(body)["queuedJobs"] == [{"jobId": "device-plane", "queuedAt": 5}]
    assert house.registry.calls[-1].caller.certificate_id == issued.certificate_id
    assert (await in_thread(fetch, start, method="PUT", data=b"{}", context=context))[0] == 200
    # Another thing, an action that no policy names, and a path of no operation:
    assert (await in_thread(fetch, house.secure_url + "/things/d2/jobs", context=context))[0] == 403
    assert (
        await in_thread(fetch, pending + "/j1", method="POST", data=b'{"status":"FAILED"}', context=context)
    )[0] == 403
    assert (await in_thread(fetch, house.secure_url + "/bucket/key", context=context))[0] == 404


@pytest.mark.parametrize(("network", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 403)])
async def test_policies_may_ask_where_a_call_comes_from(house, tmp_path, network, status):
    issued = await house.device("d1")
    policy = json.loads(POLICY)
    for each in policy["Statement"]:
        each["Condition"] = {"IpAddress": {"aws:SourceIp": network}}
    await house.policies.create("p", json.dumps(policy), {}, "arn:p")
    await house.policies.attach("p", f"cert/{issued.certificate_id}")
    context = device_context(house, issued, tmp_path)
    pending = house.secure_url + "/things/d1/jobs"
    assert (await in_thread(fetch, pending, context=context))[0] == status


async def test_a_device_cannot_name_itself_after_the_thing_that_it_asks_for(house, tmp_path):
    issued = await house.device("d1")
    await house.policies.create(
        "p", POLICY.replace("iot:Connection.Thing.ThingName", "iot:ClientId"), {}, "arn:p"
    )
    await house.policies.attach("p", f"cert/{issued.certificate_id}")
    context = device_context(house, issued, tmp_path)
    for thing, status in (("d1", 200), ("d2", 403)):
        url = f"{house.secure_url}/things/{thing}/jobs"
        assert (await in_thread(fetch, url, context=context))[0] == status


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
async def test_a_certificate_that_is_not_active_is_refused(house, tmp_path, status):
    issued = await house.device("d1")
    await house.certificates.set_status(issued.certificate_id, status)
    context = device_context(house, issued, tmp_path)
    code, headers, body = await in_thread(fetch, house.secure_url + "/things/d1/jobs", context=context)
    assert (code, headers["x-amzn-ErrorType"]) == (400, "CertificateValidationException")
    assert status in json.loads(body)["message"]


async def test_a_certificate_that_is_not_registered_is_refused(house, tmp_path):
    issued = house.authority.issue_device(house.door._clock())
    context = device_context(house, issued, tmp_path)
    code, headers, _ = await in_thread(fetch, house.secure_url + "/things/d1/jobs", context=context)
    assert (code, headers["x-amzn-ErrorType"]) == (400, "CertificateValidationException")


async def test_a_signature_goes_before_a_certificate(house, tmp_path):
    issued = await house.device("d1")
    certificate, key = tmp_path / "device.pem", tmp_path / "device.key"
    certificate.write_text(issued.certificate_pem)
    key.write_text(issued.private_key_pem)
    client = house.client(
        "iot", url=house.secure_url, verify=house.ca(tmp_path), client_cert=(str(certificate), str(key))
    )
    assert (await in_thread(client.list_job_executions_for_thing, thingName="d1"))[
        "nextToken"
    ] == "control-plane"
