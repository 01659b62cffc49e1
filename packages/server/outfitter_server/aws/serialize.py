"""Results in botocore's shape into rest-json answers: the server's half of ``botocore.parsers``."""

import base64
import datetime as dt
from typing import Any

import msgspec

from outfitter_server.aws.model import OperationModel, Shape
from outfitter_server.aws.wire import WireAnswer

JSON = "application/json"


def serialize(result: dict[str, Any], operation: OperationModel) -> WireAnswer:
    """The answer to an operation. Members that are None are left out.

    Raises:
        LookupError: the result has a member that the model does not know; a fault of the handler.
    """
    shape = operation.output_shape
    status: int = operation.http.get("responseCode", 200)
    if shape is None:
        if result:
            raise LookupError(f"{operation.name} answers nothing, but its handler did: {', '.join(result)}")
        return WireAnswer(status=status, headers={}, body=b"")
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    payload = shape.serialization.get("payload")
    for name, value in result.items():
        member = shape.members[name]
        location = member.serialization.get("location")
        if value is None:
            continue
        if location == "statusCode":
            status = value
        elif location == "header":
            headers[member.serialization.get("name", name)] = _header(value)
        elif location == "headers":
            prefix = member.serialization.get("name", "")
            headers.update({prefix + key: str(item) for key, item in value.items()})
        elif name != payload:
            body[member.serialization.get("name", name)] = to_json(value, member)
    if payload is not None:
        return _payload_answer(status, headers, result.get(payload), shape.members[payload])
    headers["Content-Type"] = JSON
    return WireAnswer(status=status, headers=headers, body=msgspec.json.encode(body))


def to_json(value: Any, shape: Shape) -> Any:
    """A Python value as JSON prints it: timestamps as epoch seconds, blobs as base64, None members left out."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        return {
            members[name].serialization.get("name", name): to_json(item, members[name])
            for name, item in value.items()
            if item is not None
        }
    if kind == "list":
        return [to_json(item, shape.member) for item in value]
    if kind == "map":
        return {key: to_json(item, shape.value) for key, item in value.items()}
    if kind == "timestamp" and isinstance(value, dt.datetime):
        return value.timestamp()
    if kind == "blob":
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
    return value


def _payload_answer(status: int, headers: dict[str, str], value: Any, shape: Shape) -> WireAnswer:
    if value is None:
        body = b""
    elif shape.type_name == "structure":
        headers["Content-Type"] = JSON
        body = msgspec.json.encode(to_json(value, shape))
    else:
        headers.setdefault("Content-Type", "application/octet-stream")
        body = value.encode() if isinstance(value, str) else value
    return WireAnswer(status=status, headers=headers, body=body)


def _header(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return str(value)
