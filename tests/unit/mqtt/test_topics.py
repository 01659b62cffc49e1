import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_server.mqtt import topics

MATCHING = [
    ("a", "a", True),
    ("a", "b", False),
    ("a/b", "a/b", True),
    ("a/b", "a/b/c", False),
    ("a/b/c", "a/b", False),
    ("+", "a", True),
    ("+", "a/b", False),
    ("+/+", "a/b", True),
    ("+/+", "/b", True),
    ("/+", "/b", True),
    ("a/+/c", "a/b/c", True),
    ("a/+/c", "a//c", True),
    ("a/+", "a/", True),
    ("a/+", "a", False),
    ("#", "a", True),
    ("#", "a/b/c", True),
    ("#", "/", True),
    ("a/#", "a", True),
    ("a/#", "a/", True),
    ("a/#", "a/b/c", True),
    ("a/#", "b", False),
    ("+/#", "a", True),
    ("a/c/#", "a/c", False),
    ("a/c/#", "a/c/", True),
    ("a/c/#", "a/c/x", True),
    ("a/c/#", "a/c/x/y", True),
    ("a/+/#", "a/c", False),
    ("#", "$aws/events/x", False),
    ("+/events/x", "$aws/events/x", False),
    ("+/#", "$aws/events/x", False),
    ("$aws/#", "$aws/events/x", True),
    ("$aws/+/x", "$aws/events/x", True),
    ("$aws/things/T/jobs/#", "$aws/things/T/jobs/notify", True),
    ("$aws/things/T/jobs/#", "$aws/things/T/jobs", False),
    ("$aws/things/+/jobs/notify", "$aws/things/T/jobs/notify", True),
]


@pytest.mark.parametrize(("topic_filter", "topic", "expected"), MATCHING)
def test_matching(topic_filter, topic, expected):
    assert topics.matches(topic_filter, topic) is expected
    trie: topics.SubscriptionTrie[str, int] = topics.SubscriptionTrie()
    trie.add(topic_filter, "k", 1)
    assert list(trie.match(topic)) == ([("k", 1)] if expected and topic else [])


VALID = [
    ("a", True, True),
    ("", False, False),
    ("/", True, True),
    ("a b/ü", True, True),
    ("a\0b", False, False),
    ("a/+", False, True),
    ("a/#", False, True),
    ("#", False, True),
    ("#/a", False, False),
    ("a#", False, False),
    ("a/b#", False, False),
    ("a+/b", False, False),
    ("a/+b", False, False),
    ("a/#/b", False, False),
    ("x" * 256, True, True),
    ("x" * 257, False, False),
    ("ü" * 129, False, False),
    ("1/2/3/4/5/6/7/8", True, True),
    ("1/2/3/4/5/6/7/8/9", False, False),
    ("$aws/rules/r/1/2/3/4/5/6/7/8", True, True),
    ("$aws/rules/r/1/2/3/4/5/6/7/8/9", False, False),
]


@pytest.mark.parametrize(("name", "as_topic", "as_filter"), VALID)
def test_validity(name, as_topic, as_filter):
    assert topics.valid_topic(name) is as_topic
    assert topics.valid_filter(name) is as_filter


levels = st.sampled_from(["a", "b", "", "$x"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = (
    st.lists(st.sampled_from(["a", "b", "", "+", "$x"]), min_size=1, max_size=4)
    .flatmap(lambda found: st.sampled_from(["/".join(found), "/".join([*found, "#"]), "#"]))
    .filter(topics.valid_filter)
)


@given(st.lists(st.tuples(filters, st.integers(0, 3)), max_size=12), st.data())
@settings(max_examples=120, deadline=None)
def test_trie_agrees_with_matching_while_subscriptions_come_and_go(entries, data):
    trie: topics.SubscriptionTrie[int, str] = topics.SubscriptionTrie()
    model: dict[tuple[str, int], str] = {}
    for topic_filter, key in entries:
        trie.add(topic_filter, key, topic_filter)
        model[topic_filter, key] = topic_filter
    for gone in data.draw(st.lists(st.sampled_from(list(model)), max_size=6)) if model else []:
        trie.remove(*gone)
        model.pop(gone, None)
    topic = data.draw(names)
    expected = sorted((key, name) for (name, key) in model if topics.matches(name, topic))
    assert sorted(trie.match(topic)) == expected


def test_removed_filters_leave_nothing_behind():
    trie: topics.SubscriptionTrie[int, int] = topics.SubscriptionTrie()
    for topic_filter in ("a/b", "a/+/c", "a/+/#", "#", "+"):
        trie.add(topic_filter, 1, 1)
        trie.remove(topic_filter, 1)
        trie.remove(topic_filter, 1)
    assert not trie._exact
    assert not trie._root.below
