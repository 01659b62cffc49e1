"""The images and the documents of the proof's jobs, the same bytes at each call."""

import gzip
import hashlib
import io
import random
import tarfile
from functools import cache
from typing import Final

from outfitter_contract.image import Manifest, build_manifest

from outfitter_fleet.power.deltas import delta_between
from outfitter_fleet.power.lives import REFUSED, REFUSED_BY_HOOK, UNHEALTHY
from outfitter_fleet.power.service import SIGNATURE
from outfitter_fleet.power.signatures import signed_image

OLD: Final = b'{"lamp": "old"}'
NEW: Final = b'{"lamp": "new"}'
BAD: Final = b'{"lamp": ' + REFUSED + b"}"
SICKENING: Final = b'{"lamp": ' + UNHEALTHY + b"}"
HOOKED: Final = b'{"fan": "new", "lamp": "new"}'
BAD_FOR_A_HOOK: Final = b'{"fan": "new", "lamp": ' + REFUSED_BY_HOOK + b"}"
URL: Final = "https://store.example/"
PAYLOAD_BYTES: Final = 40_000
"""Does not compress, so that an image is fetched in a few blocks."""


def files_of(version: str) -> dict[str, bytes]:
    """What an image of that version holds, by path."""
    manifest = Manifest(name="pump", version=version, device_types=("p1",), start=("./run",))
    return {
        "outfitter.json": build_manifest(manifest),
        "run": f"#!/bin/sh\nexec pump {version}\n".encode(),
        "lib/pump/data.bin": random.Random(version).randbytes(PAYLOAD_BYTES),
    }


@cache
def image_of(version: str) -> bytes:
    """The image, the same bytes at each call."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name, content in files_of(version).items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if name == "run" else 0o644
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def signed(document: dict[str, object], minimum: str | None = None) -> dict[str, object]:
    """An install document with the owner's signature of its image."""
    version = str(document["version"])
    return {**document, "signed": signed_image(image_of(version), version, minimum)}


def install(version: str, **more: object) -> dict[str, object]:
    """An install document as the update application writes it."""
    digest = hashlib.sha256(image_of(version)).hexdigest()
    return {
        "operation": "install",
        "url": f"{URL}{version}.tar.gz?{SIGNATURE}",
        "version": version,
        "sha256": digest,
        **more,
    }


def by_delta(base: str, version: str, **more: object) -> dict[str, object]:
    """An install document with a delta for those that run the version ``base``."""
    content, name = delta_of(base, version)
    delta = {
        "base": hashlib.sha256(image_of(base)).hexdigest(),
        "url": f"{URL}{name}?{SIGNATURE}",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    return install(version, deltas=[delta], **more)


@cache
def delta_of(base: str, version: str) -> tuple[bytes, str]:
    """A delta and its name in the store."""
    return delta_between(image_of(base), image_of(version)), f"{base}-{version}.delta"


def configure(content: bytes, **more: object) -> dict[str, object]:
    """A config-download document."""
    digest = hashlib.sha256(content).hexdigest()
    return {"operation": "config-download", "url": f"{URL}new.json?{SIGNATURE}", "sha256": digest, **more}


def steps_document() -> dict[str, object]:
    """A document of AWS's device client."""
    actions = [
        {"name": "first", "type": "runCommand", "input": {"command": "touch,/first"}},
        {"name": "reboot", "type": "runHandler", "input": {"handler": "reboot.sh"}},
        {"name": "second", "type": "runCommand", "input": {"command": "touch,/second"}},
    ]
    return {"version": "1.0", "steps": [{"action": action} for action in actions]}


def without_digest(document: dict[str, object]) -> dict[str, object]:
    """A document that promises no digest."""
    return {name: value for name, value in document.items() if name != "sha256"}
