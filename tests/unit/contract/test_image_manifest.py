"""The manifest of an image."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_contract.image import (
    MANIFEST_BYTES_MAX,
    Manifest,
    ManifestError,
    build_manifest,
    parse_manifest,
)

GOOD = {"name": "pump", "version": "1.4.0", "device_types": ["p1", "p2"], "start": ["python3", "main.py"]}


def test_good_manifest():
    manifest = parse_manifest(json.dumps(GOOD | {"health": ["./ok"], "more": 1}).encode())
    assert manifest == Manifest(
        name="pump",
        version="1.4.0",
        device_types=("p1", "p2"),
        start=("python3", "main.py"),
        health=("./ok",),
    )
    assert parse_manifest(build_manifest(manifest)) == manifest


def test_health_may_be_left_out():
    manifest = parse_manifest(json.dumps(GOOD).encode())
    assert manifest.health is None
    assert parse_manifest(build_manifest(manifest)) == manifest


BAD = {
    "no name": GOOD | {"name": None},
    "name with a slash": GOOD | {"name": "a/b"},
    "no version": {key: value for key, value in GOOD.items() if key != "version"},
    "version is a word": GOOD | {"version": "latest"},
    "no device types": GOOD | {"device_types": []},
    "device type with a space": GOOD | {"device_types": ["a b"]},
    "start is a text": GOOD | {"start": "python3 main.py"},
    "start is empty": GOOD | {"start": []},
    "start names no program": GOOD | {"start": [""]},
    "start holds a number": GOOD | {"start": ["a", 1]},
    "start holds a zero byte": GOOD | {"start": ["a", "\0"]},
    "health is empty": GOOD | {"health": []},
    "a list": [1],
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_bad_manifest(value):
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(value).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b" " * (MANIFEST_BYTES_MAX + 1)])
def test_no_json(content):
    with pytest.raises(ManifestError):
        parse_manifest(content)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(content):
    with contextlib.suppress(ManifestError):
        parse_manifest(content)
