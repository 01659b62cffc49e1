"""What is said in signed texts: that an image may be installed, and which keys count from now on.

A payload is JSON in one form only: the members in alphabetical order, no blanks, ASCII, every member present. Another
spelling of the same is refused, and so are members that are not known here: a signer that says more says it in
another kind.

    outfitter-image-1   {"device_types":["pump-controller"],"minimum":"1.2.0","name":"pump","sha256":"…","size":123456,
                         "version":"1.4.0"}
    outfitter-keys-1    {"add":["outfitter-key-1 …"],"counter":1790000000,"minimums":{"pump":"1.2.0"},"revoke":["…"]}
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from outfitter_contract.document import SIZE_MAX
from outfitter_contract.image import DEVICE_TYPES_MAX, WORD
from outfitter_contract.signed import (
    PublicKey,
    SignedError,
    build_public_key,
    parse_key_id,
    parse_public_key,
)
from outfitter_contract.version import is_newer, is_version

IMAGE_KIND: Final = "outfitter-image-1"
KEYS_KIND: Final = "outfitter-keys-1"
COUNTER_MAX: Final = (1 << 53) - 1
"""The largest whole number that every reader of JSON keeps."""
CHANGES_MAX: Final = 32
"""Keys added, keys revoked, minimums set by one statement."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStatement:
    """That this image is what it says, and may be installed."""

    name: str
    version: str
    device_types: tuple[str, ...]
    """Sorted, each once."""
    sha256: str
    """Digest of the image file."""
    size: int
    """Length of the image file in bytes."""
    minimum: str | None = None
    """Once this image is proven, versions of this software below are refused; never above ``version``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysStatement:
    """Which keys count from now on, and which versions."""

    counter: int
    """Higher than that of every statement before."""
    add: tuple[PublicKey, ...] = ()
    revoke: tuple[str, ...] = ()
    """Key ids that never count again."""
    minimums: Mapping[str, str]
    """By software name: the lowest version that may be installed from now on. May be lower than the one before."""


def image_payload(statement: ImageStatement) -> bytes:
    """The payload of an image statement; raises SignedError when it says something impossible."""
    return _payload(
        {
            "device_types": list(statement.device_types),
            "minimum": statement.minimum,
            "name": statement.name,
            "sha256": statement.sha256,
            "size": statement.size,
            "version": statement.version,
        },
        _image,
    )


def keys_payload(statement: KeysStatement) -> bytes:
    """The payload of a keys statement; raises SignedError when it says something impossible."""
    return _payload(
        {
            "add": [build_public_key(key) for key in statement.add],
            "counter": statement.counter,
            "minimums": dict(statement.minimums),
            "revoke": list(statement.revoke),
        },
        _keys,
    )


def parse_image_statement(payload: bytes) -> ImageStatement:
    """The statement in a payload; raises SignedError."""
    return _image(_members(payload))


def parse_keys_statement(payload: bytes) -> KeysStatement:
    """The statement in a payload; raises SignedError."""
    return _keys(_members(payload))


def _encode(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _payload(members: Mapping[str, Any], check: Any) -> bytes:
    check(members)
    return _encode(members)


def _members(payload: bytes) -> Mapping[str, Any]:
    try:
        members = json.loads(payload)
        canonical = isinstance(members, dict) and _encode(members) == payload
    except (ValueError, RecursionError):
        canonical = False
    if not canonical:
        raise SignedError("the payload is not a JSON object in the one form of statements")
    return members  # type: ignore[no-any-return] # a dict with texts as keys, by the line above


def _only(members: Mapping[str, Any], names: set[str]) -> None:
    if set(members) != names:
        raise SignedError(f"the statement does not have the members {', '.join(sorted(names))}")


def _image(members: Mapping[str, Any]) -> ImageStatement:
    _only(members, {"device_types", "minimum", "name", "sha256", "size", "version"})
    version, minimum = _version(members["version"]), members["minimum"]
    if minimum is not None and is_newer(_version(minimum), version):
        raise SignedError(f"the minimum version {minimum} is above the image's own, {version}")
    sha256, size = members["sha256"], members["size"]
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise SignedError("'sha256' of the statement is not 64 hex digits")
    return ImageStatement(
        name=_word(members["name"]),
        version=version,
        device_types=_device_types(members["device_types"]),
        sha256=sha256,
        size=_number(size, "size", SIZE_MAX),
        minimum=minimum,
    )


def _keys(members: Mapping[str, Any]) -> KeysStatement:
    _only(members, {"add", "counter", "minimums", "revoke"})
    minimums = members["minimums"]
    if not isinstance(minimums, dict) or len(minimums) > CHANGES_MAX:
        raise SignedError(f"'minimums' of the statement is not an object of at most {CHANGES_MAX} versions")
    return KeysStatement(
        counter=_number(members["counter"], "counter", COUNTER_MAX),
        add=tuple(parse_public_key(line) for line in _texts(members["add"], "add", CHANGES_MAX)),
        revoke=tuple(parse_key_id(each) for each in _texts(members["revoke"], "revoke", CHANGES_MAX)),
        minimums={_word(name): _version(version) for name, version in minimums.items()},
    )


def _device_types(value: object) -> tuple[str, ...]:
    types = tuple(_word(each) for each in _texts(value, "device_types", DEVICE_TYPES_MAX))
    if not types or list(types) != sorted(set(types)):
        raise SignedError("'device_types' of the statement is not a sorted list of one or more names")
    return types


def _texts(value: object, member: str, count_max: int) -> list[str]:
    if (
        not isinstance(value, list)
        or len(value) > count_max
        or not all(isinstance(each, str) for each in value)
    ):
        raise SignedError(f"'{member}' of the statement is not a list of at most {count_max} texts")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise SignedError("a name in the statement is not 1 to 128 of A-Z a-z 0-9 _ . : -")
    return value


def _version(value: object) -> str:
    if not isinstance(value, str) or not is_version(value):
        raise SignedError(f"a version in the statement is none: {str(value)[:64]!r}")
    return value


def _number(value: object, member: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise SignedError(f"'{member}' of the statement is not a whole number from 1 to {most}")
    return value
