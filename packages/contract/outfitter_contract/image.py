"""The manifest of a software image: ``outfitter.json``, at the top of its tar.gz.

    {"name": "pump", "version": "1.4.0", "device_types": ["pump-controller"],
     "start": ["python3", "main.py"], "health": ["./healthy.sh"]}

``start`` and ``health`` are argument lists, run in the image's own folder; ``health`` may be left out. Members that
are not known here are ignored. An image of another kind, such as a bundle of RAUC's, is described by the same members in
a file beside it, without ``start``: the machine runs it by itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from outfitter_contract.version import InvalidVersion, sort_key

MANIFEST_NAME: Final = "outfitter.json"
MANIFEST_BYTES_MAX: Final = 64 * 1024
DEVICE_TYPES_MAX: Final = 100
ARGUMENTS_MAX: Final = 64
ARGUMENT_LENGTH_MAX: Final = 4096
WORD: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")
"""What a software's name and a device type may look like."""


class ManifestError(ValueError):
    """The manifest is missing or malformed; the message says which member and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an image says about itself."""

    name: str
    version: str
    device_types: tuple[str, ...]
    """The device types that may run it."""
    start: tuple[str, ...]
    """The program to run, with its arguments; empty where the machine runs what the image holds by itself."""
    health: tuple[str, ...] | None = None
    """A command that ends with 0 while the software is healthy; None: running is healthy."""


def parse_manifest(content: bytes, *, starts: bool = True) -> Manifest:
    """The manifest in the bytes of ``outfitter.json``; raises ManifestError.

    ``starts``: whether it must name a program to run; a description beside an image need not.
    """
    if len(content) > MANIFEST_BYTES_MAX:
        raise ManifestError(f"{MANIFEST_NAME} is larger than {MANIFEST_BYTES_MAX} bytes")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ManifestError(f"{MANIFEST_NAME} is not JSON in UTF-8") from None
    if not isinstance(value, Mapping):
        raise ManifestError(f"{MANIFEST_NAME} is not a JSON object")
    health = value.get("health")
    return Manifest(
        name=_word(value.get("name"), "name"),
        version=_version(value.get("version")),
        device_types=_device_types(value.get("device_types")),
        start=_arguments(value.get("start"), "start") if starts or "start" in value else (),
        health=None if health is None else _arguments(health, "health"),
    )


def build_manifest(manifest: Manifest) -> bytes:
    """The bytes of ``outfitter.json`` for a manifest."""
    members: dict[str, object] = {
        "name": manifest.name,
        "version": manifest.version,
        "device_types": list(manifest.device_types),
        "start": list(manifest.start),
    }
    if manifest.health is not None:
        members["health"] = list(manifest.health)
    return json.dumps(members, indent=2).encode() + b"\n"


def _word(value: object, member: str) -> str:
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise ManifestError(f"'{member}' of {MANIFEST_NAME} is not a text of 1 to 128 of A-Z a-z 0-9 _ . : -")
    return value


def _version(value: object) -> str:
    if not isinstance(value, str):
        raise ManifestError(f"'version' of {MANIFEST_NAME} is missing or not a text")
    try:
        sort_key(value)
    except InvalidVersion as error:
        raise ManifestError(f"'version' of {MANIFEST_NAME}: {error}") from None
    return value


def _device_types(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= DEVICE_TYPES_MAX:
        raise ManifestError(
            f"'device_types' of {MANIFEST_NAME} is not a list of 1 to {DEVICE_TYPES_MAX} names"
        )
    return tuple(_word(item, "device_types") for item in value)


def _arguments(value: object, member: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= ARGUMENTS_MAX:
        raise ManifestError(f"'{member}' of {MANIFEST_NAME} is not a list of 1 to {ARGUMENTS_MAX} arguments")
    for item in value:
        if not isinstance(item, str) or len(item) > ARGUMENT_LENGTH_MAX or "\0" in item:
            raise ManifestError(f"an argument in '{member}' of {MANIFEST_NAME} is not a text")
    if not value[0]:
        raise ManifestError(f"'{member}' of {MANIFEST_NAME} names no program")
    return tuple(value)
