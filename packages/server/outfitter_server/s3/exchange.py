"""One request on its way through the door, and the answers that every handler gives."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final

from aiohttp import web

from outfitter_server.access.signature import Claim, SigningContext
from outfitter_server.objects.conditions import Conditions
from outfitter_server.objects.refusals import InvalidArgument
from outfitter_server.s3.routing import Operation, Target
from outfitter_server.services.callers import Caller

SERVER_NAME: Final = "Outfitter"
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_DIGITS_MAX: Final = 19


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request, what the door knows about it, and the headers that its answer carries whatever happens.

    Attributes:
        query: decoded; the last value of a name that comes twice.
        pinned: headers that a pre-signed URL carries in its query: signed, so they outrank those of the request.
        caller: None when the request is not signed.
        context: what signatures of body chunks continue from; None when the request is not signed.
        answer_headers: request id and CORS.
    """

    request: web.BaseRequest
    request_id: str
    target: Target
    query: Mapping[str, str]
    pinned: Mapping[str, str]
    claim: Claim | None
    caller: Caller | None
    context: SigningContext | None
    operation: Operation | None = None
    answer_headers: dict[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """A header by lower-case name.

        Raises:
            InvalidArgument: it holds control characters or is not UTF-8.
        """
        value = self.pinned.get(name)
        if value is None:
            value = self.request.headers.get(name)
        return None if value is None else check_header(name, value)

    def number(self, name: str, default: int, maximum: int) -> int:
        """A query parameter that is a whole number from 0 on; larger than ``maximum`` counts as that.

        Raises:
            InvalidArgument: it is no such number.
        """
        text = self.query.get(name)
        if text is None or text == "":
            return default
        return min(parse_number(name, text), maximum)

    def conditions(self, prefix: str = "") -> Conditions:
        """The conditional headers; ``prefix`` for those of a copy source."""
        return Conditions(
            if_match=self.header(f"{prefix}if-match"),
            if_none_match=self.header(f"{prefix}if-none-match"),
            if_modified_since=self.header(f"{prefix}if-modified-since"),
            if_unmodified_since=self.header(f"{prefix}if-unmodified-since"),
        )

    def answer(
        self, status: int = 200, body: str = "", headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """A whole answer; ``body`` is XML without its declaration."""
        response = web.Response(status=status, headers={**self.answer_headers, **(headers or {})})
        if body:
            response.body = ('<?xml version="1.0" encoding="UTF-8"?>\n' + body).encode(
                "utf-8", "surrogatepass"
            )
            response.headers["Content-Type"] = "application/xml"
        return response


def check_header(name: str, value: str) -> str:
    """The value itself.

    Raises:
        InvalidArgument: it cannot be kept or sent as a header.
    """
    if _UNPRINTABLE.search(value):
        raise InvalidArgument(
            f"the value of {name} has characters that a header cannot hold", ArgumentName=name
        )
    return value


def parse_number(name: str, text: str) -> int:
    """A whole number from 0 on.

    Raises:
        InvalidArgument: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise InvalidArgument(
            f"{name} must be a whole number from 0 on", ArgumentName=name, ArgumentValue=text
        )
    return int(text)


def http_date(milliseconds: int) -> str:
    """As in Last-Modified."""
    return formatdate(milliseconds // 1000, usegmt=True)
