"""The part of CBOR that has a counterpart in JSON, beside a library that knows all of it."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base import cbor

SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_what_we_write_is_read_by_others_and_what_others_write_by_us(value):
    assert cbor2.loads(cbor.encode(value)) == value
    assert cbor.decode(cbor2.dumps(value)) == value
    assert cbor.decode(cbor2.dumps(value, canonical=True)) == value


@given(st.binary(max_size=64))
def test_whatever_comes_is_read_or_refused(data):
    try:
        value = cbor.decode(data)
    except cbor.CborError:
        return
    assert cbor.decode(cbor.encode(value)) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [("bf6161016162 9fff ff", {"a": 1, "b": []}), ("7f6173 6174 ff", "st"), ("f93c00", 1.0), ("f7", None)],
)
def test_lengths_may_be_told_at_the_end(data, value):
    assert cbor.decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "data",
    [
        "",
        "ff",  # an end of nothing
        "0000",  # two values
        "9bffffffffffffffff",  # a list that says it has more entries than there are atoms
        "7bffffffffffffffff61",
        "81" * 40 + "00",  # nested without a bound
        "9f" * 40,
        "a1 01 02",  # a key that is no text
        "a2 6161 01 6161 02",  # a key twice
        "a1 6161 ff",
        "82 01 ff",
        "c0 6161",  # a tag
        "41 61",  # bytes
        "61 ff",  # no UTF-8
        "f97e00",  # NaN
        "fb7ff0000000000000",  # Infinity
        "f8 20",
        "1c",
        "7f 7f ff ff",
    ],
)
def test_what_json_has_not_is_refused(data):
    with pytest.raises(cbor.CborError):
        cbor.decode(bytes.fromhex(data.replace(" ", "")))


def test_what_has_no_form_is_not_written():
    with pytest.raises(cbor.CborError):
        cbor.encode({"bytes": b"x"})


@pytest.mark.parametrize(
    ("head", "each"), [("9f", "a0"), ("9f", "80"), ("9f", "00"), ("9f", "60"), ("9f", "7fff"), ("7f", "60")]
)
def test_what_is_read_has_a_bounded_number_of_parts(head, each):
    few = bytes.fromhex(head + each * (cbor.PARTS_MAX // 2 - 2) + "ff")
    assert len(cbor.decode(few)) in {cbor.PARTS_MAX // 2 - 2, 0}
    with pytest.raises(cbor.CborError, match="more than"):
        cbor.decode(bytes.fromhex(head + each * cbor.PARTS_MAX + "ff"))


def test_a_text_is_one_part_however_long():
    value = {f"{number}": "x" * 1_000 for number in range(100)}
    assert cbor.decode(cbor2.dumps(value)) == value
