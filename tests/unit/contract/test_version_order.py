"""The order of versions, by example and as a law."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_contract.version import InvalidVersion, is_newer, is_same, is_version, sort_key

OLD_TO_NEW = [
    "0-alpha",
    "0",
    "0.0.1",
    "0.9",
    "1.0-1",
    "1.0-2",
    "1.0-10",
    "1.0-alpha",
    "1.0-alpha.1",
    "1.0-alpha.beta",
    "1.0-beta",
    "1.0-beta.2",
    "1.0-beta.11",
    "1.0-rc.1",
    "1.0",
    "1.0.0.1",
    "1.0.1-rc",
    "1.0.1",
    "1.2",
    "1.10",
    "2",
    "10.0",
    "2024.1",
]

SAME = [
    ("1.0", "1.0.0"),
    ("v2.1", "2.1"),
    ("1.0+a", "1.0+b"),
    ("01.2", "1.2"),
    ("0", "0.0.0"),
    ("1.0-01", "1.0-1"),
]

NO_VERSIONS = [
    "",
    "latest",
    "1.",
    ".1",
    "1..2",
    "-1",
    "1.0-",
    "1 0",
    "1.0\n",
    "V1",
    "1.0-a..b",
    "1.0-ä",
    "1" * 65,
    "\uff11.0",
]

parts = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=4).map(".".join)
pre = st.lists(st.sampled_from(["1", "2", "10", "alpha", "rc", "0a", "x-y"]), min_size=1, max_size=3).map(
    ".".join
)
versions = st.one_of(parts, st.builds("{}-{}".format, parts, pre))


@pytest.mark.parametrize(("older", "newer"), list(itertools.combinations(OLD_TO_NEW, 2)))
def test_table_is_in_order(older, newer):
    assert is_newer(newer, older)
    assert not is_newer(older, newer)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_place(one, other):
    assert is_same(one, other)
    assert not is_newer(one, other)
    assert not is_newer(other, one)


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_not_a_version(text):
    assert not is_version(text)
    with pytest.raises(InvalidVersion, match="is no version"):
        sort_key(text)


@given(versions, versions, versions)
def test_order_is_total_and_transitive(a, b, c):
    assert is_newer(a, b) + is_newer(b, a) + is_same(a, b) == 1
    if is_newer(a, b) and is_newer(b, c):
        assert is_newer(a, c)
