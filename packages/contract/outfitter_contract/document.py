"""Job documents: what the update application writes and the device reads.

    {"operation": "install", "url": "https://…", "forced": false,
     "name": "pump", "version": "1.4.0", "sha256": "<64 hex digits>", "size": 123456,
     "deltas": [{"base": "<64 hex digits>", "url": "https://…", "sha256": "<64 hex digits>", "size": 789}],
     "delta_policy": "full"}

    {"operation": "config-download", "url": "https://…", "sha256": "<64 hex digits>", "size": 321, "merge": true}
    {"operation": "config-upload", "url": "https://…"}
    {"operation": "trust-update", "signed": "outfitter-keys-1.…"}

``operation`` is required, and so is ``url`` by all but ``trust-update``, ``forced`` and ``merge`` are false when absent, the rest is optional and checked
when given. Members that are not known here are ignored, so that a newer server can say more. ``forced``, ``merge`` and
``size`` are also taken as text (``"true"``, ``"1024"``): a parameter placeholder always leaves text behind.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from outfitter_contract.details import PAIRS_MAX, VALUE_LENGTH_MAX
from outfitter_contract.operations import NEEDS_URL, Operation
from outfitter_contract.signed import SIGNED_LENGTH_MAX

URL_LENGTH_MAX: Final = 8192
NAME_LENGTH_MAX: Final = 128
VERSION_TEXT_LENGTH_MAX: Final = 64
SIZE_MAX: Final = 1 << 50
DELTAS_MAX: Final = 4

_DETAIL: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_SHOWN: Final = 80
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_TRUTH: Final = {True: True, False: False, "true": True, "false": False}


class DocumentError(ValueError):
    """The document is malformed; the message says which member and why."""


class UnknownOperation(DocumentError):  # noqa: N818 - reads as the answer that it becomes
    """The document asks for something that this side does not know."""


class DeltaPolicy(StrEnum):
    """What a device does that cannot make the image with one of the deltas."""

    FULL = "full"
    """It downloads the whole image."""
    FAIL = "fail"
    """Its job fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A delta that makes the image of the document out of another one."""

    base: str
    """Digest of the image file that must have been installed, 64 lower-case hex digits."""
    url: str
    sha256: str
    """Digest of the delta's own file."""
    size: int
    """Length of the delta's own file in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDocument:
    """A job document, parsed."""

    operation: Operation
    url: str
    """Where the data is: a (pre-signed) URL, or in a document not yet delivered a placeholder for one."""
    forced: bool = False
    """Whether a version that is not newer than the running one may be installed; a configuration, applied again."""
    name: str | None = None
    """The software's name."""
    version: str | None = None
    """The version that the image must carry."""
    sha256: str | None = None
    """Digest of the file at the URL, 64 lower-case hex digits."""
    size: int | None = None
    """Length of the file at the URL in bytes."""
    signed: str | None = None
    """What an offline key says of the image, or of the keys that count: a signed text, not verified."""
    merge: bool = False
    """Whether parameters that the configuration at the URL does not name stay as they are on the device."""
    confirm: Mapping[str, str] | None = None
    """The status details without which no SUCCEEDED counts."""
    deltas: tuple[Delta, ...] = ()
    """Each for another base."""
    delta_policy: DeltaPolicy = DeltaPolicy.FULL


def parse_document(value: object) -> JobDocument:
    """The document in a decoded JSON value; raises UnknownOperation or DocumentError."""
    if not isinstance(value, Mapping):
        raise DocumentError("the job document is not a JSON object")
    operation = _operation(value.get("operation"))
    url = _text(value, "url", URL_LENGTH_MAX)
    if url is None and operation in NEEDS_URL:
        raise DocumentError(f"the job document has no 'url', which {operation} needs")
    sha256 = _sha256(value)
    return JobDocument(
        operation=operation,
        url=url or "",
        forced=_truth(value, "forced"),
        name=_text(value, "name", NAME_LENGTH_MAX),
        version=_text(value, "version", VERSION_TEXT_LENGTH_MAX),
        sha256=sha256,
        size=_size(value),
        signed=_text(value, "signed", SIGNED_LENGTH_MAX),
        merge=_truth(value, "merge"),
        confirm=parse_confirm(value.get("confirm")),
        deltas=_deltas(value.get("deltas"), sha256),
        delta_policy=_delta_policy(value.get("delta_policy")),
    )


def build_document(document: JobDocument) -> dict[str, object]:
    """The JSON object for a document; optional members that are None are left out."""
    members: dict[str, object] = {
        "operation": document.operation.value,
        "url": document.url or None,
        "forced": document.forced,
        "name": document.name,
        "version": document.version,
        "sha256": document.sha256,
        "size": document.size,
        "signed": document.signed,
        "merge": document.merge or None,
        "confirm": None if document.confirm is None else dict(document.confirm),
        "deltas": [asdict(each) for each in document.deltas] or None,
        "delta_policy": document.delta_policy.value if document.deltas else None,
    }
    return {key: value for key, value in members.items() if value is not None}


def parse_confirm(value: object) -> dict[str, str] | None:
    """The member ``confirm`` of a document, None when it is absent; raises DocumentError."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or not 0 < len(value) <= PAIRS_MAX:
        raise DocumentError(
            f"'confirm' of the job document is not an object of 1 to {PAIRS_MAX} status details"
        )
    for key, wanted in value.items():
        if not isinstance(key, str) or not _DETAIL.fullmatch(key):
            raise DocumentError(
                f"'confirm' of the job document: {str(key)[:40]!r} is no name of a status detail"
            )
        if not isinstance(wanted, str) or not 0 < len(wanted) <= VALUE_LENGTH_MAX or not wanted.isprintable():
            raise DocumentError(
                f"'{key}' in 'confirm' of the job document is not a text of 1 to {VALUE_LENGTH_MAX} characters"
            )
    return dict(value)


def unproven(confirm: Mapping[str, str], told: Mapping[str, str]) -> str | None:
    """What status details lack of the proof that a document asks for, for people; None when they are it."""
    lacking = [
        f"{key} is {told[key][:_SHOWN]!r} instead of {wanted[:_SHOWN]!r}"
        if key in told
        else f"{key} {wanted[:_SHOWN]!r} is missing"
        for key, wanted in confirm.items()
        if told.get(key) != wanted
    ]
    return ", ".join(lacking) or None


def _deltas(value: object, sha256: str | None) -> tuple[Delta, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > DELTAS_MAX:
        raise DocumentError(f"'deltas' of the job document is not a list of at most {DELTAS_MAX} deltas")
    if value and sha256 is None:
        raise DocumentError(
            "the job document has 'deltas' and no 'sha256', which what they make is checked with"
        )
    return tuple(_delta(each) for each in value)


def _delta(members: object) -> Delta:
    if not isinstance(members, Mapping):
        raise DocumentError("a delta of the job document is not an object")
    base, url = _sha256(members, "base"), _text(members, "url", URL_LENGTH_MAX)
    sha256, size = _sha256(members), _size(members)
    if base is None or url is None or sha256 is None or size is None:
        raise DocumentError("a delta of the job document lacks one of 'base', 'url', 'sha256', 'size'")
    return Delta(base=base, url=url, sha256=sha256, size=size)


def _delta_policy(value: object) -> DeltaPolicy:
    try:
        return DeltaPolicy.FULL if value is None else DeltaPolicy(str(value))
    except ValueError:
        raise DocumentError(
            f"'delta_policy' of the job document is not one of {', '.join(DeltaPolicy)}"
        ) from None


def _operation(word: object) -> Operation:
    if not isinstance(word, str) or not word:
        raise DocumentError("the job document has no 'operation'")
    try:
        return Operation(word)
    except ValueError:
        raise UnknownOperation(f"operation '{word[:64]}' is not known to this agent") from None


def _text(members: Mapping[str, object], key: str, length_max: int) -> str | None:
    value = members.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= length_max or not value.isprintable():
        raise DocumentError(f"'{key}' of the job document is not a text of 1 to {length_max} characters")
    return value


def _truth(members: Mapping[str, object], key: str) -> bool:
    value = members.get(key, False)
    if isinstance(value, (bool, str)) and value in _TRUTH:
        return _TRUTH[value]
    raise DocumentError(f"'{key}' of the job document is neither true nor false")


def _sha256(members: Mapping[str, object], key: str = "sha256") -> str | None:
    value = members.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise DocumentError(f"'{key}' of the job document is not 64 hex digits")
    return value.lower()


def _size(members: Mapping[str, object]) -> int | None:
    value = members.get("size")
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(SIZE_MAX)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= SIZE_MAX:
        raise DocumentError("'size' of the job document is not a number of bytes above 0")
    return value
