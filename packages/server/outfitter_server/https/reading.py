"""What the door reads of a request before anybody serves it."""

import asyncio
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from aiohttp import HttpVersion11

from outfitter_server.access.signature import Headers
from outfitter_server.aws.errors import BodyTooLarge
from outfitter_server.base.refusals import InvalidRequest, Refusal
from outfitter_server.https import limits
from outfitter_server.https.listener import DoorRequest

_DIGEST_INLINE_BYTES: Final = 1 << 18
_SECRET_MEMBERS: Final = re.compile(
    r"((?:X-Amz-Signature|X-Amz-Security-Token|X-Amz-Credential|Signature|AWSAccessKeyId)=)[^&\s]*",
    re.IGNORECASE,
)
_SCOPE: Final = re.compile(r"(?:/|%2F)([a-z0-9-]+)(?:/|%2F)aws4_request", re.IGNORECASE)
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,255})(?::\d{1,5})?\Z")


class BodyTooSlow(Refusal):
    """The client did not send its body in time."""

    code = "RequestTimeoutException"
    status = 408


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """A request's line and headers, as they stood on the wire."""

    method: str
    raw_path: str
    raw_query: str
    headers: Headers


def read_head(request: DoorRequest) -> RequestHead:
    """The head of a request; header names in lower case.

    Raises:
        InvalidRequest: the target is no path, has a fragment, or is no UTF-8.
    """
    target = request.raw_path
    if not target.isascii() and any("\ud800" <= character <= "\udfff" for character in target):
        raise InvalidRequest("the request target is not UTF-8")
    if "#" in target:
        # No client sends one; what is behind it would be signed by nobody and read by somebody.
        raise InvalidRequest("the request target has a fragment; encode # as %23")
    raw_path, _, raw_query = target.partition("?")
    if not raw_path.startswith("/") and not (raw_path == "*" and request.method == "OPTIONS"):
        raise InvalidRequest("the request target must be a path")
    headers = tuple(
        [
            (name.decode("ascii", "replace").lower(), value.decode("utf-8", "surrogateescape"))
            for name, value in request.raw_headers
        ]
    )
    return RequestHead(method=request.method, raw_path=raw_path, raw_query=raw_query, headers=headers)


async def read_body(request: DoorRequest, bytes_max: int = limits.API_BODY_BYTES_MAX) -> bytes:
    """The body of an API call.

    Raises:
        BodyTooLarge: it is longer than ``bytes_max``.
        BodyTooSlow: it did not come within API_BODY_SECONDS_MAX.
    """
    if not request.body_exists:
        return b""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    await allow_body(request)
    if request.content.is_eof():
        return request.content.read_nowait()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.API_BODY_SECONDS_MAX):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                chunks.append(chunk)
    except TimeoutError as error:
        raise BodyTooSlow(f"the body did not arrive within {limits.API_BODY_SECONDS_MAX} seconds") from error
    return b"".join(chunks)


async def digest(body: bytes) -> str:
    """The hex SHA-256 of a body; of a long one in a thread."""
    if len(body) <= _DIGEST_INLINE_BYTES:
        return sha256(body).hexdigest()
    return await asyncio.to_thread(lambda: sha256(body).hexdigest())


async def allow_body(request: DoorRequest) -> None:
    """Answer ``Expect: 100-continue``: the client may send its body now."""
    expects = request.headers.get("Expect", "").lower() == "100-continue"
    if expects and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp takes written bytes for a begun answer; this was none.
        request.writer.output_size = 0


def body_is_pending(request: DoorRequest) -> bool:
    """Whether bytes of the body may still come; the client may also wait to be allowed to send them."""
    return not request.content.is_eof()


def called_host(request: DoorRequest) -> str:
    """The name in the Host header, without a port; empty when it is none."""
    match = _HOST.match(request.headers.get("Host", ""))
    return "" if match is None else match[1]


def named_service(head: RequestHead) -> str:
    """The service in a claim too malformed to read, to answer in its format; S3 when none is named."""
    authorization = next((value for name, value in head.headers if name == "authorization"), "")
    match = _SCOPE.search(authorization) or _SCOPE.search(head.raw_query)
    return "s3" if match is None else match[1]


def redacted(target: str) -> str:
    """A request target for logs: without what would let a reader repeat the request."""
    return _SECRET_MEMBERS.sub(r"\1...", target)


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body of an API call may have at most {bytes_max} bytes")
