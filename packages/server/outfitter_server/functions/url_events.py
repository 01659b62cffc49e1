"""A request on a function URL as the event that the function gets: payload format 2.0.

Source: AWS Lambda developer guide, "Invoking Lambda function URLs", request payload format.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_plus

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TEXTUAL: Final = re.compile(
    r"(text/[^;]*|application/(?:[^;]*\+)?(?:json|xml|javascript))\s*(?:;.*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlCaller:
    """Who signed the request, for ``requestContext.authorizer.iam``."""

    access_key_id: str
    account: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRequest:
    """A request on a function URL.

    Attributes:
        raw_path: what follows the URL's own path, percent-encoded as received; begins with a slash.
        headers: lower-case names, in order; a name may come more than once.
        caller: None without authentication.
    """

    url_id: str
    method: str
    raw_path: str
    raw_query: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    domain: str
    source_ip: str
    request_id: str
    caller: UrlCaller | None = None


def build_event(request: UrlRequest, now: int) -> dict[str, Any]:
    """The event; ``now`` in milliseconds since the epoch."""
    headers = joined(request.headers)
    cookies = headers.pop("cookie", None)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.raw_path,
        "rawQueryString": request.raw_query,
        "headers": headers,
        "requestContext": _context(request, headers.get("user-agent", ""), now),
    }
    if cookies:
        event["cookies"] = [part.strip() for part in cookies.split(";") if part.strip()]
    if request.raw_query:
        event["queryStringParameters"] = _query(request.raw_query)
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request.body, headers.get("content-type", ""))
    else:
        event["isBase64Encoded"] = False
    return event


def joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Each header once; repeated ones joined by a comma, cookies by a semicolon."""
    found: dict[str, str] = {}
    for name, value in headers:
        clean = value.encode("utf-8", "replace").decode()
        separator = "; " if name == "cookie" else ","
        found[name] = f"{found[name]}{separator}{clean}" if name in found else clean
    return found


def _context(request: UrlRequest, user_agent: str, now: int) -> dict[str, Any]:
    moment = datetime.fromtimestamp(now / 1000, UTC)
    context: dict[str, Any] = {
        "accountId": "anonymous" if request.caller is None else request.caller.account,
        "apiId": request.url_id,
        "domainName": request.domain,
        "domainPrefix": request.url_id,
        "http": {
            "method": request.method,
            "path": request.raw_path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": user_agent,
        },
        "requestId": request.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S} +0000",
        "timeEpoch": now,
    }
    if request.caller is not None:
        context["authorizer"] = {
            "iam": {
                "accessKey": request.caller.access_key_id,
                "accountId": request.caller.account,
                "callerId": request.caller.access_key_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": request.caller.arn,
                "userId": request.caller.access_key_id,
            }
        }
    return context


def _query(raw_query: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for member in raw_query.split("&"):
        name, _, value = member.partition("=")
        name, value = unquote_plus(name), unquote_plus(value)
        if name:
            found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    if not content_type or _TEXTUAL.fullmatch(content_type.strip()):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
