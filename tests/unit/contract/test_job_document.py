"""Job documents: parsed, refused, built."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_contract.document import (
    DocumentError,
    JobDocument,
    UnknownOperation,
    build_document,
    parse_document,
)
from outfitter_contract.operations import Operation

URL = "https://store.example/images/pump.tar.gz?X-Amz-Signature=abc"
DIGEST = "ab" * 32
INSTALL = {"operation": "install", "url": URL}


def test_least_document():
    assert parse_document(INSTALL) == JobDocument(operation=Operation.INSTALL, url=URL)


def test_whole_document_and_unknown_members():
    whole = INSTALL | {"forced": True, "name": "pump", "version": "1.4", "sha256": DIGEST.upper(), "size": 12}
    assert parse_document(whole | {"later": {"deep": 1}}) == JobDocument(
        operation=Operation.INSTALL, url=URL, forced=True, name="pump", version="1.4", sha256=DIGEST, size=12
    )


def test_texts_left_by_placeholders():
    parsed = parse_document(INSTALL | {"forced": "true", "size": "1024"})
    assert (parsed.forced, parsed.size) == (True, 1024)


@pytest.mark.parametrize("operation", list(Operation))
def test_every_operation_parses(operation):
    assert parse_document({"operation": operation.value, "url": URL}).operation is operation


def test_unknown_operation_is_told_apart():
    with pytest.raises(UnknownOperation, match="'reboot' is not known"):
        parse_document({"operation": "reboot"})


MALFORMED = {
    "not an object": [],
    "null": None,
    "no operation": {"url": URL},
    "operation of another type": {"operation": 1, "url": URL},
    "no url": {"operation": "install"},
    "empty url": {"operation": "install", "url": ""},
    "url of another type": {"operation": "install", "url": ["x"]},
    "url with a line break": {"operation": "install", "url": "https://x\n"},
    "url too long": {"operation": "install", "url": "https://" + "x" * 9000},
    "forced is a number": INSTALL | {"forced": 1},
    "forced is another word": INSTALL | {"forced": "yes"},
    "forced is null": INSTALL | {"forced": None},
    "forced is a list": INSTALL | {"forced": []},
    "digest too short": INSTALL | {"sha256": "ab"},
    "digest no hex": INSTALL | {"sha256": "zz" * 32},
    "size is zero": INSTALL | {"size": 0},
    "size is negative": INSTALL | {"size": -1},
    "size is true": INSTALL | {"size": True},
    "size is a fraction": INSTALL | {"size": 1.5},
    "size is absurd": INSTALL | {"size": 1 << 60},
    "name is empty": INSTALL | {"name": ""},
    "version is a number": INSTALL | {"version": 1.4},
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(value):
    with pytest.raises(DocumentError):
        parse_document(value)


def test_built_documents_parse_back():
    document = JobDocument(operation=Operation.INSTALL, url=URL, version="1.0", sha256=DIGEST, size=7)
    assert parse_document(build_document(document)) == document
    assert build_document(JobDocument(operation=Operation.INSTALL, url=URL)) == INSTALL | {"forced": False}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(["operation", "url", "forced", "name", "version", "sha256", "size", "x"])


@given(st.dictionaries(members, json_values | st.just("install")) | json_values)
def test_any_json_is_parsed_or_refused(value):
    with contextlib.suppress(DocumentError):
        parse_document(value)
