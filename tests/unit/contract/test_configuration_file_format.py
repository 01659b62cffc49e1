"""Configurations: what is one, what is none, and that two programs never read one differently."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_contract.configuration import (
    NESTING_MAX,
    ConfigurationError,
    build_configuration,
    merged,
    parse_configuration,
)

names = st.text(min_size=1, max_size=20).filter(str.isprintable)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
parameters = st.dictionaries(names, values, max_size=5)


@given(parameters)
def test_what_is_written_is_read(told):
    assert parse_configuration(build_configuration(told)) == told


@given(parameters)
def test_the_order_of_names_does_not_count(told):
    assert build_configuration(told) == build_configuration(dict(reversed(told.items())))


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(content):
    try:
        told = parse_configuration(content)
    except ConfigurationError:
        return
    assert isinstance(told, dict)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON: .* in line 1, column 2"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"null", "not a JSON object"),
        (b'{"a": {"b": 1, "b": 2}}', "the name 'b' stands twice"),
        (b'{"a": -Infinity}', "-Infinity is no JSON value"),
        (b'{"a\\u0000": 1}', "a parameter's name"),
        (b'{"' + b"n" * 257 + b'": 1}', "a parameter's name"),
        (b'{"a":' * NESTING_MAX + b"{}" + b"}" * NESTING_MAX, "nested deeper than"),
        (b'{"a":' + b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_none(content, reason):
    with pytest.raises(ConfigurationError, match=reason):
        parse_configuration(content)


def test_a_byte_order_mark_does_no_harm():
    assert parse_configuration(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode()) == {"a": 1}


def test_deepest():
    content = b'{"a":' * (NESTING_MAX - 1) + b"{}" + b"}" * (NESTING_MAX - 1)
    assert parse_configuration(content)


def test_merging_takes_whole_values():
    own = {"a": {"x": 1, "y": 2}, "b": 1}
    assert merged(own, {"a": {"x": 3}}) == {"a": {"x": 3}, "b": 1}
    assert own == {"a": {"x": 1, "y": 2}, "b": 1}
