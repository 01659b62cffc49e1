import json
import logging
import xml.etree.ElementTree as ET

import pytest
from outfitter_server.access.signature import SignatureRefused
from outfitter_server.aws.dispatch import Dispatcher, Origin
from outfitter_server.aws.operations.identity import IdentityOperations
from outfitter_server.aws.wire import WireRequest
from outfitter_server.base import refusals
from outfitter_server.services.callers import Caller

CALLER = Caller(account="000000000000", access_key_id="AK", arn="arn:aws:iam::000000000000:root")
ORIGIN = Origin(caller=CALLER, host="h", secure=False, request_id="r-1")


def failing(error):
    async def handler(call):
        raise error

    return handler


async def outcome(service, operation, error, method, path, body=b"{}"):
    dispatcher = Dispatcher({service: {operation: failing(error)}})
    answer = await dispatcher.answer(service, WireRequest(method=method, raw_path=path, body=body), ORIGIN)
    return answer.headers["x-amzn-ErrorType"], answer.status, json.loads(answer.body)


CREATE_JOB = ("iot", "CreateJob", "PUT", "/jobs/j", b'{"targets": ["t"]}')
CANCEL_JOB = ("iot", "CancelJob", "PUT", "/jobs/j/cancel", b"")
CREATE_THING = ("iot", "CreateThing", "POST", "/things/t", b"")
CREATE_PACKAGE = ("iot", "CreatePackage", "PUT", "/packages/p", b"")
UPDATE = ("iot-jobs-data", "UpdateJobExecution", "POST", "/things/t/jobs/j", b'{"status": "FAILED"}')
DESCRIBE = ("iot-jobs-data", "DescribeJobExecution", "GET", "/things/t/jobs/j", b"")
PENDING = ("iot-jobs-data", "GetPendingJobExecutions", "GET", "/things/t/jobs", b"")


@pytest.mark.parametrize(
    ("request_line", "error", "name", "status"),
    [
        (CREATE_JOB, refusals.InvalidRequest("m"), "InvalidRequestException", 400),
        (CREATE_JOB, refusals.NotFound("m"), "ResourceNotFoundException", 404),
        (CREATE_JOB, refusals.LimitExceeded("m"), "LimitExceededException", 410),
        (CREATE_JOB, refusals.Throttled("m"), "ThrottlingException", 400),
        (CREATE_JOB, refusals.Unavailable("m"), "ServiceUnavailableException", 503),
        (CREATE_JOB, refusals.Validation("m"), "InvalidRequestException", 400),
        (CREATE_JOB, refusals.Forbidden("m"), "AccessDeniedException", 403),
        (CREATE_JOB, ZeroDivisionError(), "InternalFailureException", 500),
        (CANCEL_JOB, refusals.InvalidStateTransition("m"), "InvalidRequestException", 400),
        (CREATE_THING, refusals.Conflict("m"), "ResourceAlreadyExistsException", 409),
        (CREATE_PACKAGE, refusals.InvalidRequest("m"), "ValidationException", 400),
        (CREATE_PACKAGE, refusals.LimitExceeded("m"), "ServiceQuotaExceededException", 402),
        (CREATE_PACKAGE, refusals.AlreadyExists("m"), "ConflictException", 409),
        (CREATE_PACKAGE, ZeroDivisionError(), "InternalServerException", 500),
        (UPDATE, refusals.VersionConflict("m"), "InvalidStateTransitionException", 409),
        (UPDATE, refusals.TerminalState("m"), "InvalidStateTransitionException", 409),
        (UPDATE, refusals.Throttled("m"), "ThrottlingException", 429),
        (DESCRIBE, refusals.TerminalState("m"), "TerminalStateException", 410),
        (PENDING, ZeroDivisionError(), "InternalServerException", 500),
    ],
)
async def test_refusals_become_errors_that_the_operation_lists(request_line, error, name, status):
    service, operation, method, path, body = request_line
    answer = await outcome(service, operation, error, method, path, body)
    assert answer[:2] == (name, status)
    assert "message" in answer[2]


async def test_an_error_carries_the_members_of_its_shape_and_no_others():
    error = refusals.AlreadyExists("taken", resourceId="t", resourceArn="arn:t", secret="x")
    _, _, body = await outcome("iot", "CreateThing", error, "POST", "/things/t", b"")
    assert body == {"message": "taken", "resourceId": "t", "resourceArn": "arn:t"}


async def test_a_result_that_the_model_does_not_know_is_a_fault_of_the_server(caplog):
    async def handler(call):
        return {"thingColour": "red"}

    dispatcher = Dispatcher({"iot": {"CreateThing": handler}})
    answer = await dispatcher.answer("iot", WireRequest(method="POST", raw_path="/things/t"), ORIGIN)
    assert answer.status == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"x"', b"\xff", b"NaN", b'{"tags": ' + b"[" * 100_000, b'{"billingGroupName": "\\ud800"}'],
)
async def test_a_body_that_is_no_json_object_is_refused(body):
    code, status, _ = await outcome("iot", "CreateThing", AssertionError(), "POST", "/things/t", body)
    assert (code, status) == ("InvalidRequestException", 400)


@pytest.mark.parametrize(
    ("path", "query"), [("/things/%ff", ""), ("/things/t", "a=%ff"), ("/things/t", "&" * 2000)]
)
async def test_text_that_is_not_utf8_and_endless_queries_are_refused(path, query):
    dispatcher = Dispatcher({"iot": {"CreateThing": failing(AssertionError())}})
    request = WireRequest(method="POST", raw_path=path, raw_query=query)
    assert (await dispatcher.answer("iot", request, ORIGIN)).status == 400


async def test_unknown_members_and_nulls_are_left_out():
    seen = []

    async def handler(call):
        seen.append(call.parameters)
        return {}

    dispatcher = Dispatcher({"iot": {"CreateThing": handler}})
    body = b'{"thingTypeName": null, "colour": "red", "attributePayload": {"merge": true, "x": 1}}'
    await dispatcher.answer("iot", WireRequest(method="POST", raw_path="/things/t", body=body), ORIGIN)
    assert seen == [{"thingName": "t", "attributePayload": {"merge": True}}]


async def test_who_may_not_is_refused_before_the_handler():
    def permit(call):
        raise refusals.Forbidden(f"not {call.parameters['thingName']}")

    dispatcher = Dispatcher({"iot": {"CreateThing": failing(AssertionError())}})
    answer = await dispatcher.answer("iot", WireRequest(method="POST", raw_path="/things/t"), ORIGIN, permit)
    assert (answer.status, json.loads(answer.body)) == (403, {"message": "not t"})


async def test_an_operation_without_output_answers_an_empty_body():
    async def handler(call):
        return {}

    dispatcher = Dispatcher({"iot": {"CancelJobExecution": handler}})
    request = WireRequest(method="PUT", raw_path="/things/t/jobs/j/cancel")
    answer = await dispatcher.answer("iot", request, ORIGIN)
    assert (answer.status, answer.body) == (200, b"")


def test_handlers_for_what_aws_does_not_have_are_refused_at_start():
    with pytest.raises(LookupError, match="MakeCoffee"):
        Dispatcher({"iot": {"MakeCoffee": failing(AssertionError())}})
    with pytest.raises(LookupError, match="teapot"):
        Dispatcher({"teapot": {}})


def test_a_dispatcher_knows_request_lines_whether_served_or_not():
    dispatcher = Dispatcher({})
    assert dispatcher.knows("iot-jobs-data", "GET", "/things/t/jobs")
    assert not dispatcher.knows("iot-jobs-data", "GET", "/bucket/key")
    assert not dispatcher.knows("teapot", "GET", "/")


@pytest.mark.parametrize("service", ["iot", "sts", "teapot"])
@pytest.mark.parametrize(
    "code",
    [
        "SignatureDoesNotMatch",
        "AuthorizationHeaderMalformed",
        "InvalidAccessKeyId",
        "MissingAuthenticationToken",
    ],
)
def test_signature_refusals_are_403_in_the_services_format(service, code):
    answer = Dispatcher({}).refuse(service, SignatureRefused(code, "a < b", 400), "r-1")
    assert answer.status == 403
    if service == "sts":
        assert ET.fromstring(answer.body).findtext(".//{*}Message") == "a < b"
    else:
        assert answer.headers["x-amzn-ErrorType"].endswith("Exception")


STS = {"sts": IdentityOperations().handlers()}


async def test_sts_speaks_xml():
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    answer = await Dispatcher(STS).answer("sts", WireRequest(method="POST", raw_path="/", body=body), ORIGIN)
    root = ET.fromstring(answer.body)
    assert root.findtext(".//{*}Account") == "000000000000"
    assert root.findtext(".//{*}RequestId") == "r-1"
    query = WireRequest(method="GET", raw_path="/", raw_query="Action=GetCallerIdentity&X-Amz-Date=x")
    assert (await Dispatcher(STS).answer("sts", query, ORIGIN)).status == 200


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"", "InvalidAction", 400),
        (b"Action=AssumeRole", "InvalidAction", 400),
        (b"\xff", "InvalidRequest", 400),
        (b"a=%ff", "InvalidRequest", 400),
        (b"&".join([b"a=b"] * 1001), "InvalidRequest", 400),
    ],
)
async def test_sts_refuses_in_xml(body, code, status):
    answer = await Dispatcher(STS).answer("sts", WireRequest(method="POST", raw_path="/", body=body), ORIGIN)
    root = ET.fromstring(answer.body)
    assert (root.findtext(".//{*}Code"), root.findtext(".//{*}Type")) == (code, "Sender")
    assert answer.status == status


async def test_sts_tells_faults_of_the_server():
    dispatcher = Dispatcher({"sts": {"GetCallerIdentity": failing(ZeroDivisionError())}})
    request = WireRequest(method="POST", raw_path="/", body=b"Action=GetCallerIdentity")
    answer = await dispatcher.answer("sts", request, ORIGIN)
    assert answer.status == 500
    assert ET.fromstring(answer.body).findtext(".//{*}Type") == "Receiver"
