"""What devices and functions are given to unpack, and what tells them to."""

import contextlib
import gzip
import io
import json
import tempfile
from pathlib import Path

from outfitter_agent.hands import archive, journal
from outfitter_agent.plans.acceptance import operation_of, read_document
from outfitter_agent.plans.troubles import Trouble
from outfitter_contract.configuration import ConfigurationError, build_configuration, parse_configuration
from outfitter_contract.document import DocumentError, build_document, parse_document
from outfitter_contract.image import ManifestError, build_manifest, parse_manifest
from outfitter_contract.operations import Operation
from outfitter_contract.version import InvalidVersion, is_newer, is_same
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.sandbox.code import _extract

from fuzzing.bites import Bites

_IMAGE_BYTES_MAX = 1 << 20


def image(data: bytes) -> None:
    """An image is unpacked below its folder or refused; an odd first byte: the rest is still to be compressed."""
    bites = Bites(data)
    plain = bites.number() & 1
    content = gzip.compress(bites.rest(), 1) if plain else bites.rest()
    with tempfile.TemporaryDirectory() as folder:
        packed, slot = Path(folder) / "image", Path(folder) / "slot"
        packed.write_bytes(content)
        slot.mkdir()
        for act in (
            lambda: archive.read_manifest(packed, _IMAGE_BYTES_MAX),
            lambda: archive.unpack(packed, slot, slot.parent / "frame", _IMAGE_BYTES_MAX),
        ):
            try:
                act()
            except (Trouble, OSError):  # what its callers take for a failed job
                continue
        assert {path.name for path in Path(folder).iterdir()} <= {"image", "slot", "frame"}
        _check(slot, _IMAGE_BYTES_MAX)


def _check(folder: Path, bytes_max: int) -> None:
    total = 0
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.is_file()
        total += path.stat().st_size if path.is_file() else 0
    assert total <= bytes_max


def function_zip(data: bytes) -> None:
    """A function's code is unpacked below its folder or refused."""
    with tempfile.TemporaryDirectory() as folder:
        packed, place = Path(folder) / "code.zip", Path(folder) / "code"
        packed.write_bytes(data)
        with contextlib.suppress(InvalidRequest):
            _extract(packed, place)
        assert {path.name for path in Path(folder).iterdir()} == {"code.zip", "code"}
        _check(place, 1_001 * len(data) + (1 << 21))


def manifest(data: bytes) -> None:
    """A manifest, a configuration, a journal: read or refused, and what was read is written to be read again."""
    try:
        read = parse_manifest(data)
        assert parse_manifest(build_manifest(read)) == read
        assert is_same(read.version, read.version)
        assert not is_newer(read.version, read.version)
    except (ManifestError, InvalidVersion):
        pass
    try:
        parameters = parse_configuration(data)
        assert parse_configuration(build_configuration(parameters)) == parameters
    except ConfigurationError:
        pass
    try:
        loaded = journal.decode(data)
    except (ValueError, KeyError, TypeError):
        return
    assert journal.decode(journal.encode(loaded)) == loaded


def job_document(data: bytes) -> None:
    """A job document is one, or the agent says what is wrong with it; io and JSON come from its MQTT client."""
    try:
        value = json.load(io.BytesIO(data))
    except (ValueError, RecursionError):
        return
    try:
        document = parse_document(value)
        assert parse_document(build_document(document)) == document
    except DocumentError:
        pass
    for operation in Operation:
        try:
            read_document(value, operation)
        except Trouble:
            continue
        assert operation_of(value) is operation
