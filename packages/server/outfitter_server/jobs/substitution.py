"""What is filled into a job document once, when its job is made: parameters of templates, content of package versions.

The other placeholders, for pre-signed URLs, stay and are filled in at each delivery (documents.py). Texts are put in
string by string, so that a value cannot end the string that it stands in; and the number of placeholders that are left
is counted, so that a value cannot become one. Sources: AWS IoT developer guide, "Preparing AWS IoT Jobs" of the Software
Package Catalog, and "Create a job from AWS managed templates".
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.documents import BEGINNING, SUBSTITUTIONS_MAX

DEFAULT_VERSION: Final = "$default"

_PACKAGE_BEGINNING: Final = BEGINNING + "package:"
_PARAMETER_BEGINNING: Final = BEGINNING + "parameter:"
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PACKAGE: Final = re.compile(
    r"\$\{aws:iot:package:(?P<package>[a-zA-Z0-9_.-]{0,128}):version:(?P<version>\$default|[a-zA-Z0-9_.-]{0,64}):"
    r"(?:attributes:(?P<attribute>[a-zA-Z0-9:_-]+)|(?P<all>attributes)|artifact(?:-location)?:s3-presigned-url)\}"
)
_PARAMETER: Final = re.compile(r"\$\{aws:iot:parameter:(?P<name>[a-zA-Z0-9_-]{1,128})\}")
_BRACES: Final = re.compile(r"\$\{|\}")
_KEY_FOLLOWS: Final = re.compile(r"\s*:")


class PackagePart(StrEnum):
    """What of a package version a placeholder stands for."""

    ATTRIBUTE = "attribute"
    ATTRIBUTES = "attributes"
    ARTIFACT = "artifact"


class PackagePlaceholder(msgspec.Struct, frozen=True, kw_only=True):
    """One occurrence; an empty ``package`` or ``version`` means the only one that the job installs."""

    package: str
    version: str
    part: PackagePart
    attribute: str = ""

    @property
    def text(self) -> str:
        """As refusals quote it."""
        last = (
            "artifact:s3-presigned-url"
            if self.part is PackagePart.ARTIFACT
            else f"attributes:{self.attribute}"
        )
        return f"{_PACKAGE_BEGINNING}{self.package}:version:{self.version}:{last.rstrip(':')}}}"


FillPackage = Callable[[PackagePlaceholder], str | Mapping[str, str]]


def count_placeholders(document: str) -> None:
    """Refuse a compact document with more placeholders than AWS fills in, of whatever kind.

    Raises:
        InvalidRequest: more than SUBSTITUTIONS_MAX.
    """
    found = document.count(BEGINNING)
    if found > SUBSTITUTIONS_MAX:
        raise InvalidRequest(f"document: {found} placeholders, at most {SUBSTITUTIONS_MAX} are allowed")


def with_parameters(document: str, parameters: Mapping[str, str], declared: Mapping[str, bool]) -> str:
    """A managed template's document with its parameters in place.

    The values come from whoever makes the job, so that they may hold placeholders of their own.

    Args:
        document: JSON text of the template.
        parameters: documentParameters of CreateJob.
        declared: the template's parameters, and whether each must be given; what is left out is empty.

    Raises:
        InvalidRequest: a parameter is missing, or is none of the template's.
    """
    for name in parameters:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise InvalidRequest(
                f"documentParameters: the template has no parameter {name!r}; it has {known}"
            )
    for name, required in declared.items():
        if required and not parameters.get(name):
            raise InvalidRequest(f"documentParameters: the template's parameter {name!r} must be given")

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in declared:
            raise InvalidRequest(f"document: the template does not declare its parameter {name!r}")
        return parameters.get(name, "")

    def in_string(token: re.Match[str]) -> str:
        text = token.group()
        value = json.loads(text) if "aws:iot:parameter:" in text or "\\u" in text else ""
        return _quoted(_PARAMETER.sub(fill, value)) if _PARAMETER_BEGINNING in value else text

    return _STRING.sub(in_string, document)


def with_packages(document: str, fill: FillPackage) -> str:
    """A document with the content of package versions in place; valid JSON in, valid JSON out.

    ``fill`` answers an attribute's value, all attributes, or the placeholder that an artifact is delivered by.

    Raises:
        InvalidRequest: a malformed placeholder, one where its content cannot stand, or a value that would be a placeholder.
    """

    def in_string(token: re.Match[str]) -> str:
        text = token.group()
        if "aws:iot:package:" not in text and "\\u" not in text:
            return text
        value = json.loads(text)
        if _PACKAGE_BEGINNING not in value:
            return text
        found = list(_PACKAGE.finditer(value))
        if value.count(_PACKAGE_BEGINNING) != len(found):
            raise InvalidRequest(
                "document: a package placeholder is malformed; write ${aws:iot:package:NAME:version:VERSION:attributes:KEY},"
                " …:attributes} or …:artifact:s3-presigned-url}"
            )
        whole = _parsed(found[0])
        if whole.part is PackagePart.ATTRIBUTES and found[0].group() == value:
            if _KEY_FOLLOWS.match(document, token.end()):
                raise InvalidRequest(f"document: {whole.text} is an object, and no name of a member")
            attributes = fill(whole)
            for one in attributes.values() if isinstance(attributes, Mapping) else ():
                _refuse_placeholder(one, whole)
            return json.dumps(attributes, ensure_ascii=False)
        return _quoted(_filled(value, found, fill))

    return _STRING.sub(in_string, document)


def _filled(value: str, found: list[re.Match[str]], fill: FillPackage) -> str:
    parts, end = [], 0
    kept = value.count(BEGINNING) - len(found)
    for match in found:
        placeholder = _parsed(match)
        is_inside = _is_inside(value[: match.start()])
        if placeholder.part is PackagePart.ATTRIBUTES:
            raise InvalidRequest(f"document: {placeholder.text} is an object: let it be a string of its own")
        if is_inside and placeholder.part is PackagePart.ARTIFACT:
            raise InvalidRequest(f"document: {placeholder.text} cannot be put inside another placeholder")
        content = str(fill(placeholder))
        if placeholder.part is PackagePart.ARTIFACT:
            kept += 1
        else:
            _refuse_placeholder(content, placeholder)
            if is_inside and ("{" in content or "}" in content):
                raise InvalidRequest(
                    f"document: the value of {placeholder.text} has braces, and cannot be put inside another placeholder"
                )
        parts += [value[end : match.start()], content]
        end = match.end()
    filled = "".join([*parts, value[end:]])
    if filled.count(BEGINNING) != kept:
        raise InvalidRequest(
            "document: the value of an attribute makes a placeholder together with the text around it"
        )
    return filled


def _refuse_placeholder(value: str, placeholder: PackagePlaceholder) -> None:
    if BEGINNING in value:
        raise InvalidRequest(
            f"document: the value of {placeholder.text} holds a placeholder, which is not filled in: write it into the document"
        )


def _parsed(match: re.Match[str]) -> PackagePlaceholder:
    if match["attribute"] is not None:
        part = PackagePart.ATTRIBUTE
    else:
        part = PackagePart.ATTRIBUTES if match["all"] else PackagePart.ARTIFACT
    return PackagePlaceholder(
        package=match["package"], version=match["version"], part=part, attribute=match["attribute"] or ""
    )


def _is_inside(before: str) -> bool:
    depth = 0
    for match in _BRACES.finditer(before):
        depth = max(0, depth + (1 if match.group() == "${" else -1))
    return depth > 0


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
