"""Every operation served: botocore's serialiser to our parser, our serialiser to botocore's parser, same values."""

import contextlib
import datetime as dt
import importlib
import inspect
import io
import pkgutil
import re
from functools import cache

import botocore.parsers
import botocore.serialize
import msgspec
import pytest
from botocore.awsrequest import AWSRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outfitter_server.aws import operations
from outfitter_server.aws.model import Route, load_services
from outfitter_server.aws.parse import parse
from outfitter_server.aws.serialize import serialize
from outfitter_server.aws.validate import validate
from outfitter_server.aws.wire import WireRequest
from outfitter_server.base.refusals import InvalidRequest

SERVICES = load_services()
SCOPES = {
    "ConnectionOperations": "iotdata",
    "IdentityOperations": "sts",
    "JobsDataOperations": "iot-jobs-data",
    "DataPlaneOperations": "iotdata",
    "ShadowOperations": "iotdata",
    "FunctionOperations": "lambda",
    "FunctionPermissionOperations": "lambda",
    "FunctionUrlOperations": "lambda",
    "InvocationOperations": "lambda",
}


def served():
    """The operations of every class in the operations room; what a class is made of does not matter for their names."""
    found = set()
    for module in pkgutil.iter_modules(operations.__path__):
        room = importlib.import_module(f"{operations.__name__}.{module.name}")
        for name, kind in inspect.getmembers(room, inspect.isclass):
            if kind.__module__ == room.__name__ and hasattr(kind, "handlers"):
                made = kind(**dict.fromkeys(inspect.signature(kind).parameters))
                service = SCOPES.get(name, "iot")
                found.update((service, operation) for operation in made.handlers())
    return sorted(pair for pair in found if pair[0] in SERVICES)


OPERATIONS = served()

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)

letters = st.characters(exclude_categories=("Cs",), max_codepoint=0x10FFFF)
moments = st.datetimes(
    min_value=dt.datetime(2000, 1, 1),  # noqa: DTZ001 - made aware below
    max_value=dt.datetime(2100, 1, 1),  # noqa: DTZ001 - made aware below
).map(lambda moment: moment.replace(microsecond=0, tzinfo=dt.UTC))


def values(shape, depth=0):
    kind = shape.type_name
    if kind == "structure":
        return structures(shape, depth + 1)
    if kind == "list":
        return st.lists(values(shape.member, depth + 1), min_size=1 if depth else 0, max_size=3)
    if kind == "map":
        return st.dictionaries(values(shape.key), values(shape.value, depth + 1), max_size=3)
    return {
        "string": st.text(letters, min_size=1, max_size=12),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**53), 2**53),
        "double": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "boolean": st.booleans(),
        "blob": st.binary(max_size=16),
        "timestamp": moments,
    }[kind]


def structures(shape, depth=0):
    required = {name: values(shape.members[name], depth) for name in shape.required_members}
    optional = {
        name: header_values(member)
        if member.serialization.get("location") in LOCATED
        else values(member, depth)
        for name, member in shape.members.items()
        if name not in required and depth < 5
    }
    required.update(
        (name, header_values(member))
        for name, member in shape.members.items()
        if name in required and member.serialization.get("location") == "header"
    )
    return st.fixed_dictionaries(required, optional=optional)


LOCATED = {"header", "statusCode"}


def header_values(shape):
    if shape.type_name == "integer":
        return st.integers(200, 299)
    assert shape.type_name == "string"
    return st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@cache
def members_of(service, name, side):
    shape = getattr(model_of(service, name), side)
    return structures(shape) if shape else st.just({})


def model_of(service, name):
    return SERVICES[service].operation(name)


def on_the_wire(operation, parameters):
    serializer = botocore.serialize.create_serializer("rest-json", include_validation=False)
    serialized = serializer.serialize_to_request(parameters, operation)
    prepared = AWSRequest(
        method=serialized["method"],
        url="http://h" + serialized["url_path"],
        params=serialized["query_string"],
        headers=serialized["headers"],
        data=serialized["body"],
    ).prepare()
    raw_path, _, raw_query = prepared.url.removeprefix("http://h").partition("?")
    body = prepared.body or b""
    return WireRequest(
        method=prepared.method,
        raw_path=raw_path,
        raw_query=raw_query,
        headers={name.lower(): value for name, value in serialized["headers"].items()},
        body=body if isinstance(body, bytes) else body.encode(),
    )


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@few
@given(data=st.data())
def test_what_botocore_serialises_we_parse(service, name, data):
    operation = model_of(service, name)
    parameters = data.draw(members_of(service, name, "input_shape"))
    request = on_the_wire(operation, parameters)
    route = SERVICES[service].route(request.method, request.raw_path)
    assert route is not None
    assert route.operation.name == name
    assert parse(request, route) == without_nothing(operation, parameters)


def without_nothing(operation, parameters):
    """Without what cannot be told from absence on the wire: an empty list in the query, an empty body."""
    shape = operation.input_shape
    return {
        name: value
        for name, value in parameters.items()
        if not (shape.members[name].serialization.get("location") == "querystring" and value == [])
        and not (shape.serialization.get("payload") == name and value == b"")
    }


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@few
@given(data=st.data())
def test_what_we_serialise_botocore_parses(service, name, data):
    operation = model_of(service, name)
    result = data.draw(members_of(service, name, "output_shape"))
    answer = serialize(result, operation)
    assert answer.status == result.get("StatusCode", operation.http.get("responseCode", 200))
    streaming = operation.get_streaming_output() is not None
    body = io.BytesIO(answer.body) if streaming else answer.body
    parsed = botocore.parsers.create_parser("rest-json").parse(
        {"status_code": answer.status, "headers": dict(answer.headers), "body": body}, operation.output_shape
    )
    parsed.pop("ResponseMetadata", None)
    if streaming:
        payload = operation.output_shape.serialization["payload"]
        parsed[payload] = parsed[payload].read()
        result.setdefault(payload, b"")
    assert parsed == {**status_members(operation, answer.status), **result}


def status_members(operation, status):
    """Members that every answer has because they are the answer's status."""
    members = operation.output_shape.members if operation.output_shape else {}
    return {
        name: status for name, shape in members.items() if shape.serialization.get("location") == "statusCode"
    }


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@few
@given(data=st.data())
def test_any_json_is_accepted_or_refused_and_never_fails(service, name, data):
    operation = model_of(service, name)
    members = sorted(operation.input_shape.members) if operation.input_shape else []
    body = data.draw(st.dictionaries(st.sampled_from([*members, "unknown"]), json_values))
    labels = dict.fromkeys(re.findall(r"\{(\w+)\}", operation.http["requestUri"]), "%7B")
    request = WireRequest(
        method="POST", raw_path="/", raw_query="maxResults=x&force=", body=msgspec.json.encode(body)
    )
    with contextlib.suppress(InvalidRequest):
        validate(parse(request, Route(operation=operation, labels=labels)), operation.input_shape)
