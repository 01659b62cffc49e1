"""Refusals as S3's error documents."""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from outfitter_server.base.refusals import Refusal, Unavailable
from outfitter_server.s3.xml import tag, text

_ELEMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def error_code(refusal: Refusal) -> str:
    """S3's name for a refusal; those of other services lose their suffix."""
    if isinstance(refusal, Unavailable):
        return "ServiceUnavailable"
    return refusal.code.removesuffix("Exception")


def error_xml(code: str, message: str, members: Mapping[str, object], resource: str, request_id: str) -> str:
    """The error document without its declaration."""
    return tag(
        "Error",
        text("Code", code),
        text("Message", message),
        *(text(name, str(value)) for name, value in members.items() if _ELEMENT.fullmatch(name)),
        text("Resource", resource),
        text("RequestId", request_id),
        text("HostId", request_id),
    )


def error_response(
    request: web.BaseRequest, refusal: Refusal | None, request_id: str, headers: Mapping[str, str]
) -> web.Response:
    """The answer to a refused request; ``refusal`` None: the server is at fault.

    A body that was not read to its end makes the connection useless: it is closed.
    """
    if refusal is None:
        code, status, message = "InternalError", 500, "We encountered an internal error. Please try again."
        members: Mapping[str, object] = {}
    else:
        code, status, message = error_code(refusal), refusal.status, refusal.message
        members = refusal.members
    response = web.Response(status=status, headers={**headers, "Content-Type": "application/xml"})
    document = error_xml(code, message, members, request.raw_path.partition("?")[0], request_id)
    response.body = ('<?xml version="1.0" encoding="UTF-8"?>\n' + document).encode("utf-8", "replace")
    if not request.content.is_eof():
        response.force_close()
    return response
