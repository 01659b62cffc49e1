import pytest
from outfitter_server.base.refusals import InvalidRequest, LimitExceeded, Validation
from outfitter_server.base.tags import TAGS_MAX, new_tags, tagged, untagged

MANY = {f"k{number}": "" for number in range(TAGS_MAX)}


def test_tags_keep_their_order_and_may_be_empty():
    assert list(new_tags([("b", "1"), ("a", "")]).items()) == [("b", "1"), ("a", "")]
    assert new_tags([]) == {}
    assert len(new_tags(MANY.items())) == TAGS_MAX


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("k", "1"), ("k", "1")], "'k' is given twice"),
        ([("aws:owner", "")], "reserved"),
        ([("AWS:owner", "")], "reserved"),
        ([*MANY.items(), ("one more", "")], "51 given"),
    ],
)
def test_what_may_be_no_tag(pairs, words):
    with pytest.raises(InvalidRequest, match=words):
        new_tags(pairs)
    with pytest.raises(Validation, match=words):
        new_tags(pairs, Validation)


def test_case_tells_keys_apart():
    assert new_tags([("k", "1"), ("K", "2")]) == {"k": "1", "K": "2"}


def test_adding_gives_new_values_and_stops_at_the_limit():
    assert tagged({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == {"a": "1", "b": "3", "c": "4"}
    assert tagged(MANY, {"k0": "new"})["k0"] == "new"
    with pytest.raises(LimitExceeded, match="51"):
        tagged(MANY, {"one more": ""})


def test_removing_what_is_not_there_is_nothing_to_do():
    assert untagged({"a": "1", "b": "2"}, ["b", "c"]) == {"a": "1"}
