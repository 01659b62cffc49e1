"""Cross-origin rules of a function URL. The platform answers preflights itself; the function never sees them.

Source: AWS Lambda developer guide, "Cross-origin resource sharing (CORS)" of function URLs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outfitter_server.base.refusals import InvalidRequest

METHODS: Final = frozenset({"GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"})
MAX_AGE_SECONDS_MAX: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlCors:
    """The rules; None and empty mean that the answer does not speak of it."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    credentials: bool | None = None
    max_age_seconds: int | None = None


def check_cors(cors: UrlCors) -> UrlCors:
    """The rules themselves.

    Raises:
        InvalidRequest: an unknown method, an origin that is none, credentials for everybody.
    """
    for method in cors.methods:
        if method not in METHODS:
            raise InvalidRequest(f"AllowMethods: {method!r} is none of {', '.join(sorted(METHODS))}")
    for origin in cors.origins:
        scheme, separator, rest = origin.partition("://")
        if origin != "*" and (scheme not in {"http", "https"} or not separator or not rest or "/" in rest):
            raise InvalidRequest(f"AllowOrigins: {origin!r} is no origin; write https://HOST[:PORT], or *")
    if cors.credentials and "*" in cors.origins:
        raise InvalidRequest("AllowCredentials cannot be true where AllowOrigins has *")
    for name in cors.headers + cors.exposed:
        if not name or any(character in name for character in "\r\n,:"):
            raise InvalidRequest(f"{name!r} is no name of a header")
    return cors


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks for permission."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def preflight_headers(cors: UrlCors, headers: Mapping[str, str]) -> dict[str, str]:
    """What a preflight is told; empty when the origin or the method is not allowed."""
    granted = answer_headers(cors, headers.get("origin", ""))
    method = headers.get("access-control-request-method", "")
    if not granted or ("*" not in cors.methods and method not in cors.methods):
        return {}
    granted["Access-Control-Allow-Methods"] = method if "*" in cors.methods else ",".join(cors.methods)
    asked = headers.get("access-control-request-headers", "")
    if cors.headers:
        # A browser does not take * to cover Authorization, so that what it asked for is named.
        granted["Access-Control-Allow-Headers"] = asked if "*" in cors.headers else ",".join(cors.headers)
    if cors.max_age_seconds is not None:
        granted["Access-Control-Max-Age"] = str(cors.max_age_seconds)
    return {name: value for name, value in granted.items() if _printable(value)}


def answer_headers(cors: UrlCors, origin: str) -> dict[str, str]:
    """What every answer to this origin carries; empty when it is not allowed."""
    allowed = _allowed_origin(cors.origins, origin)
    if allowed is None:
        return {}
    granted = {"Access-Control-Allow-Origin": allowed}
    if allowed != "*":
        granted["Vary"] = "Origin"
    if cors.credentials:
        granted["Access-Control-Allow-Credentials"] = "true"
    if cors.exposed:
        granted["Access-Control-Expose-Headers"] = ",".join(cors.exposed)
    return granted


def _allowed_origin(origins: Sequence[str], origin: str) -> str | None:
    if not origin:
        return None
    if "*" in origins:
        return "*"
    return origin if origin in origins else None


def _printable(value: str) -> bool:
    return value.isascii() and value.isprintable()
