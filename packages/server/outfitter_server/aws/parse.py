"""rest-json requests into parameters in botocore's shape: the server's half of ``botocore.serialize``.

Parsing is lenient where it can be: a value of the wrong type is passed on as it came, and validation tells of it together
with everything else that is wrong. Members that the model does not know, and JSON nulls, are left out as AWS does.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import unquote_plus, unquote_to_bytes

import msgspec

from outfitter_server.aws.model import Route, Shape
from outfitter_server.aws.wire import WireRequest
from outfitter_server.base.refusals import InvalidRequest

QUERY_MEMBERS_MAX: Final = 1_000

_BOOLEANS: Final = {"true": True, "false": False}


def parse(request: WireRequest, route: Route) -> dict[str, Any]:
    """The parameters of a request, by member name.

    Raises:
        InvalidRequest: the body is not a JSON object, the path or the query is not UTF-8.
    """
    shape = route.operation.input_shape
    if shape is None:
        return {}
    parameters: dict[str, Any] = {}
    query = _read_query(request.raw_query)
    in_body: list[tuple[str, Shape]] = []
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        value: Any = None
        if "location" in member.serialization:
            value = _located(name, member, request, route, query)
        elif name == payload:
            value = _payload(request.body, member)
        elif payload is None:
            in_body.append((name, member))
        if value is not None:
            parameters[name] = value
    if in_body:
        parameters.update(_members(_read_json(request.body), in_body))
    return parameters


def from_json(value: Any, shape: Shape) -> Any:
    """A JSON value as the Python value that botocore would hand over for the shape; wrong types as they came."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return _members(value, shape.members.items())
    if kind == "list" and isinstance(value, list):
        return [from_json(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: from_json(item, shape.value) for key, item in value.items()}
    if kind == "blob" and isinstance(value, str):
        return _blob(value)
    if kind == "timestamp" and isinstance(value, int | float | str) and not isinstance(value, bool):
        return _timestamp(value)
    if kind in {"integer", "long"} and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _located(
    name: str, member: Shape, request: WireRequest, route: Route, query: Mapping[str, list[str]]
) -> Any:
    location = member.serialization["location"]
    wire_name = member.serialization.get("name", name)
    if location == "uri":
        return _scalar(_decoded(route.labels[wire_name]), member)
    if location == "querystring":
        return _from_query(query, wire_name, member)
    if location == "headers":
        return _prefixed(request.headers, wire_name.lower())
    return _from_header(request.headers.get(wire_name.lower()), member)


def _members(value: Mapping[str, Any], members: Any) -> dict[str, Any]:
    found = {}
    for name, member in members:
        item = value.get(member.serialization.get("name", name))
        if item is not None:
            found[name] = from_json(item, member)
    return found


def _read_json(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the request body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest("the request body must be a JSON object")
    return value


def _payload(body: bytes, shape: Shape) -> Any:
    if shape.type_name == "blob":
        return body or None
    if shape.type_name == "string":
        return _utf8(body) or None
    return from_json(_read_json(body), shape) if body else None


def _read_query(raw_query: str) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    if raw_query:
        members = raw_query.split("&")
        if len(members) > QUERY_MEMBERS_MAX:
            raise InvalidRequest(f"the query has more than {QUERY_MEMBERS_MAX} members")
        for member in members:
            name, _, value = member.partition("=")
            query.setdefault(_decoded_query(name), []).append(_decoded_query(value))
    return query


def _from_query(query: Mapping[str, list[str]], wire_name: str, shape: Shape) -> Any:
    if shape.type_name == "map":
        # A map's keys are query members themselves; those that are not its own do no harm in AWS's models.
        several = shape.value.type_name == "list"
        found = {
            key: [_scalar(value, shape.value.member) for value in values]
            if several
            else _scalar(values[0], shape.value)
            for key, values in query.items()
        }
        return found or None
    values = query.get(wire_name)
    if values is None:
        return None
    if shape.type_name == "list":
        return [_scalar(value, shape.member) for value in values]
    return _scalar(values[0], shape)


def _from_header(value: str | None, shape: Shape) -> Any:
    if value is None:
        return None
    if shape.serialization.get("jsonvalue"):
        try:
            return msgspec.json.decode(base64.b64decode(value, validate=True))
        except (msgspec.DecodeError, binascii.Error, ValueError) as error:
            raise InvalidRequest("a header is not base64-encoded JSON") from error
    if shape.type_name == "list":
        return [_scalar(item.strip(), shape.member) for item in value.split(",")]
    return _scalar(value, shape)


def _prefixed(headers: Mapping[str, str], prefix: str) -> dict[str, str] | None:
    found = {name[len(prefix) :]: value for name, value in headers.items() if name.startswith(prefix)}
    return found or None


def _scalar(text: str, shape: Shape) -> Any:
    kind = shape.type_name
    try:
        if kind in {"integer", "long"}:
            return int(text) if text.isascii() and "_" not in text else text
        if kind in {"double", "float"}:
            return float(text)
    except ValueError:
        return text
    if kind == "boolean":
        return _BOOLEANS.get(text, text)
    if kind == "timestamp":
        return _timestamp(text)
    if kind == "blob":
        return _blob(text)
    return text


def _timestamp(value: str | float) -> Any:
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            moment = dt.datetime.fromisoformat(value) if "-" in value else parsedate_to_datetime(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return dt.datetime.fromtimestamp(float(value), dt.UTC)
    except (ValueError, OverflowError, OSError):
        return value


def _blob(text: str) -> Any:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text


def _decoded(segment: str) -> str:
    return _utf8(unquote_to_bytes(segment)) if "%" in segment else segment


def _decoded_query(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest("the query is not UTF-8") from error


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("the request path or body is not UTF-8") from error
