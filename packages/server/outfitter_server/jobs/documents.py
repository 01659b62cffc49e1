"""Job documents: what may be stored, what devices get, and the placeholders in between.

The document is kept twice: as the caller gave it (GetJobDocument returns that), and compact with null members left out
(devices get that). Placeholders for pre-signed URLs stay in both and are replaced at each delivery, so that every fetch
yields a fresh URL. Source: AWS IoT developer guide, "Managing jobs: presigned URLs" and "substitution parameters".
"""

import json
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec

from outfitter_server.base.refusals import InvalidRequest

DOCUMENT_BYTES_MAX: Final = 32_768
NESTING_MAX: Final = 1_000
SUBSTITUTIONS_MAX: Final = 10
KEYWORD_USES_MAX: Final = 2  # of each in one upload key
UPLOAD_KEYWORDS: Final = ("thingName", "jobId", "executionNumber")

# An argument ends with the string that it stands in: no bare quote, and no brace but those of a keyword.
_PLACEHOLDER: Final = re.compile(r"""\$\{aws:iot:([a-z0-9-]+)(?::((?:[^{}"\\]|\\.|\$\{[A-Za-z]+\})*))?\}""")
BEGINNING: Final = "${aws:iot:"  # of every placeholder
_INSTEAD: Final = {
    "parameter": "parameters belong to AWS's managed templates: give their ARN as jobTemplateArn, with documentParameters",
    "package": "write package:NAME:version:VERSION:attributes:KEY, …:attributes or …:artifact:s3-presigned-url",
    "code-sign-signature": "AWS's console alone fills it in: sign the file yourself, and write the signature into the document",
}
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_KEYWORD: Final = re.compile(r"\$\{([A-Za-z]+)\}")


class PlaceholderKind(StrEnum):
    """The placeholders that are replaced at delivery."""

    DOWNLOAD = "s3-presigned-url"
    DOWNLOAD_V1 = "s3-presigned-url-v1"
    DOWNLOAD_V2 = "s3-presigned-url-v2"
    UPLOAD = "s3-presigned-url-upload"


class Placeholder(msgspec.Struct, frozen=True):
    """One occurrence: ``argument`` is the object URL between the last colon of the kind and the closing brace."""

    kind: PlaceholderKind
    argument: str


def compact(text: str) -> str:
    """The document as devices get it: compact UTF-8 JSON without null members.

    Raises:
        InvalidRequest: it is too long, no JSON, nested too deep, or holds NaN or Infinity.
    """
    if len(text.encode(errors="surrogatepass")) > DOCUMENT_BYTES_MAX:
        raise InvalidRequest(
            f"document: longer than {DOCUMENT_BYTES_MAX} bytes; put large content in the file store"
        )
    depth = 0
    for match in _BRACKETS.finditer(text):
        bracket = match.group()
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > NESTING_MAX:
            raise InvalidRequest(f"document: nested deeper than {NESTING_MAX} levels")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        delivered = json.dumps(
            _without_nulls(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        delivered.encode()  # half a surrogate pair is no character, and fits into no store
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"document: not valid JSON: {error}") from error
    return delivered


def placeholders(text: str) -> list[Placeholder]:
    """The placeholders that a compact document has for its delivery.

    Raises:
        InvalidRequest: a kind that this service does not fill in, the beginning of one without its end, or too many.
    """
    if text.count(BEGINNING) != len(_PLACEHOLDER.findall(text)):
        raise InvalidRequest(
            f"document: a placeholder is malformed; write {BEGINNING}KIND:URL}} in one string, without further braces"
        )
    found: list[Placeholder] = []
    for kind, argument in _PLACEHOLDER.findall(text):
        if not argument and kind != PlaceholderKind.UPLOAD:
            raise InvalidRequest(f"document: placeholder ${{aws:iot:{kind}}} is malformed: it names nothing")
        try:
            found.append(Placeholder(PlaceholderKind(kind), _unescaped(argument)))
        except ValueError as error:
            instead = _INSTEAD.get(kind, f"supported are {', '.join(PlaceholderKind)}")
            raise InvalidRequest(
                f"document: placeholder ${{aws:iot:{kind}:…}} is not filled in: {instead}"
            ) from error
    if len(found) > SUBSTITUTIONS_MAX:
        raise InvalidRequest(f"document: {len(found)} placeholders, at most {SUBSTITUTIONS_MAX} are allowed")
    return found


def substituted(text: str, replace: Callable[[Placeholder], str]) -> str:
    """A compact document with each placeholder replaced; the replacement is escaped for the string it stands in."""
    if BEGINNING not in text:
        return text

    def fill(match: re.Match[str]) -> str:
        url = replace(Placeholder(PlaceholderKind(match.group(1)), _unescaped(match.group(2) or "")))
        return json.dumps(url, ensure_ascii=False)[1:-1]

    return _PLACEHOLDER.sub(fill, text)


def upload_key(key: str, *, thing: str, job: str, number: int) -> str:
    """An upload key with its local keywords filled in: thingName, jobId, executionNumber, each at most twice.

    Raises:
        InvalidRequest: another keyword, or one used too often.
    """
    values = dict(zip(UPLOAD_KEYWORDS, (thing, job, str(number)), strict=True))
    words = _KEYWORD.findall(key)
    for word in words:
        if word not in values:
            raise InvalidRequest(
                f"document: upload key has ${{{word}}}; known are {', '.join(sorted(values))}"
            )
        if words.count(word) > KEYWORD_USES_MAX:
            raise InvalidRequest(f"document: upload key uses ${{{word}}} more than {KEYWORD_USES_MAX} times")
    return _KEYWORD.sub(lambda match: values[match.group(1)], key)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in value]
    return value


def _unescaped(argument: str) -> str:
    return str(json.loads(f'"{argument}"')) if "\\" in argument else argument
