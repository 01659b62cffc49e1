"""XML by hand: the few elements of S3, written and read."""

import html
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from outfitter_server.objects.refusals import MalformedXml

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f]")


def tag(name: str, *content: str) -> str:
    """An element whose content is XML already."""
    return f"<{name}>{''.join(content)}</{name}>"


def root(name: str, *content: str) -> str:
    """The outermost element, in S3's namespace."""
    return f'<{name} xmlns="{NAMESPACE}">{"".join(content)}</{name}>'


def text(name: str, value: str | int | None) -> str:
    """An element with text; nothing for None.

    Control characters become references, as S3 sends them: clients that list such keys ask for ``encoding-type=url``.
    """
    if value is None:
        return ""
    escaped = _CONTROL.sub(lambda match: f"&#x{ord(match[0]):X};", html.escape(str(value), quote=False))
    return f"<{name}>{escaped}</{name}>"


def flag(name: str, value: bool) -> str:
    """``true`` or ``false``."""
    return f"<{name}>{'true' if value else 'false'}</{name}>"


def etag(value: str) -> str:
    """An ETag element, quoted as S3 does."""
    return f"<ETag>&quot;{value}&quot;</ETag>"


def time(name: str, milliseconds: int) -> str:
    """An element with an ISO 8601 time."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"<{name}>{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z</{name}>"


def url_encoded(value: str) -> str:
    """As ``encoding-type=url`` wants keys and prefixes."""
    return quote(value, safe="/*-._")


def parse_document(data: bytes, name: str) -> ET.Element:
    """The root element of a document, namespaces taken off.

    Raises:
        MalformedXml: it is not XML, has a DOCTYPE, or another root than ``name``.
    """
    try:
        decoded = data.decode("utf-8-sig")
        if "<!" in decoded:
            raise MalformedXml("the document has a declaration that S3 documents do not have")
        document = ET.fromstring(decoded)  # noqa: S314 - no declarations (above), so no entities and nothing external
    except (ET.ParseError, ValueError) as error:
        raise MalformedXml("the XML of the request is not well-formed") from error
    for element in document.iter():
        element.tag = element.tag.rpartition("}")[2]
    if document.tag != name:
        raise MalformedXml(f"the root of the document is {document.tag}, not {name}")
    return document


def child_text(element: ET.Element, name: str) -> str | None:
    """The text of a child element; None when it is not there."""
    found = element.find(name)
    return None if found is None else (found.text or "")


def need_text(element: ET.Element, name: str) -> str:
    """The text of a child element.

    Raises:
        MalformedXml: it is not there or empty.
    """
    value = child_text(element, name)
    if not value:
        raise MalformedXml(f"{element.tag} has no {name}")
    return value


def need_number(element: ET.Element, name: str) -> int:
    """A child element that holds a whole number.

    Raises:
        MalformedXml: it does not.
    """
    value = need_text(element, name).strip()
    if not (value.isascii() and value.isdigit() and len(value) <= len("2147483647")):
        raise MalformedXml(f"{name} is not a whole number")
    return int(value)
