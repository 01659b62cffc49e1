"""Status details stay within what the service takes, whatever goes in."""

from hypothesis import given
from hypothesis import strategies as st
from outfitter_contract.details import PAIRS_MAX, VALUE_LENGTH_MAX, clean_details, clean_value


def test_line_breaks_and_control_characters():
    assert clean_value("one\ntwo\r\n\n  three\t4\x07\x1b[31m") == "one | two | three 4[31m"


def test_cut_to_length():
    assert len(clean_value("x" * 5000)) == VALUE_LENGTH_MAX


def test_empty_values_are_left_out():
    assert clean_details({"a": None, "b": "", "c": "\n", "d": 0}) == {"d": "0"}


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none(), max_size=20))
def test_limits_hold(pairs):
    cleaned = clean_details(pairs)
    assert len(cleaned) <= PAIRS_MAX
    for value in cleaned.values():
        assert 1 <= len(value) <= VALUE_LENGTH_MAX
        assert value.isprintable()
