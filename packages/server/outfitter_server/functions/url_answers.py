"""What a function returned, as the answer of its URL: response payload format 2.0.

JSON with a ``statusCode`` is an answer with its status, headers, cookies and body; any other JSON is the body of a 200.
Source: AWS Lambda developer guide, "Invoking Lambda function URLs", response payload format.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

HEADERS_MAX: Final = 100
_STATUS_MIN: Final = 200
_STATUS_MAX: Final = 599
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]{0,8192}")
# Of the connection, not of the answer: the door sets them.
_NOT_ITS_OWN: Final = frozenset(
    {
        "connection", "content-length", "date", "keep-alive", "proxy-authenticate", "server", "te", "trailer",
        "transfer-encoding", "upgrade", "x-amzn-requestid",
    }
)  # fmt: skip


class AnswerUnusable(Exception):  # noqa: N818 - a verdict, which the door turns into 502
    """The function returned what cannot be an HTTP answer; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlAnswer:
    """An HTTP answer; header names in lower case."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    body: bytes = b""


def url_answer(payload: bytes) -> UrlAnswer:
    """The answer in what a function returned.

    Raises:
        AnswerUnusable: a status, header or body that HTTP cannot have.
    """
    try:
        value = json.loads(payload) if payload else None
    except (ValueError, RecursionError) as error:
        raise AnswerUnusable("it is not JSON") from error
    if not isinstance(value, dict) or "statusCode" not in value:
        return UrlAnswer(headers={"content-type": "application/json"}, body=payload)
    headers = _headers(value.get("headers"))
    headers.setdefault("content-type", "application/json")
    return UrlAnswer(
        status=_status(value["statusCode"]),
        headers=headers,
        cookies=_cookies(value.get("cookies")),
        body=_body(value.get("body"), encoded=value.get("isBase64Encoded") is True),
    )


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise AnswerUnusable("its statusCode is no number") from error
    if isinstance(value, bool) or not _STATUS_MIN <= status <= _STATUS_MAX:
        raise AnswerUnusable(f"its statusCode is not between {_STATUS_MIN} and {_STATUS_MAX}")
    return status


def _headers(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > HEADERS_MAX:
        raise AnswerUnusable(f"its headers are no object of at most {HEADERS_MAX} members")
    found = {}
    for name, item in value.items():
        text = _text(item)
        if not _TOKEN.fullmatch(name) or text is None:
            raise AnswerUnusable(f"its header {name[:64]!r} cannot be sent")
        if name.lower() not in _NOT_ITS_OWN:
            found[name.lower()] = text
    return found


def _text(value: Any) -> str | None:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    usable = isinstance(value, str | int | float) and _VALUE.fullmatch(text) and _encodable(text)
    return text if usable else None


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _cookies(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > HEADERS_MAX:
        raise AnswerUnusable(f"its cookies are no list of at most {HEADERS_MAX}")
    cookies = [_text(item) for item in value]
    if None in cookies:
        raise AnswerUnusable("one of its cookies cannot be sent")
    return tuple(cookie for cookie in cookies if cookie is not None)


def _body(value: Any, *, encoded: bool) -> bytes:
    if value is None:
        return b""
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return base64.b64decode(text, validate=True) if encoded else text.encode()
    except (binascii.Error, ValueError) as error:
        raise AnswerUnusable("its body is not what isBase64Encoded says, or no Unicode text") from error
