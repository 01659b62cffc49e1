from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.mqtt.packets import Properties
from outfitter_server.mqtt.properties import write_pairs
from outfitter_server.mqtt.retained import Retained, RetainedTopics
from outfitter_server.mqtt.topics import matches, valid_filter, valid_topic

LEVEL = st.sampled_from(["a", "b", "", "a%2Fb", "$x"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(valid_topic)
FILTERS = (
    st.lists(st.one_of(LEVEL, st.just("+")), min_size=0, max_size=4)
    .flatmap(lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"])]))
    .filter(valid_filter)
)


def message(topic, payload=b"x"):
    return Retained(topic, payload, 1, 5)


@given(st.lists(st.tuples(TOPICS, st.booleans()), max_size=12), FILTERS)
def test_a_filter_finds_the_topics_that_it_matches(changes, topic_filter):
    topics, kept = RetainedTopics(), set()
    for topic, there in changes:
        if there:
            topics.put(message(topic))
            kept.add(topic)
        else:
            assert topics.remove(topic) == (topic in kept)
            kept.discard(topic)
    found = list(topics.match(topic_filter))
    assert sorted(found) == sorted(topic for topic in kept if matches(topic_filter, topic))
    assert len(topics) == len(kept)
    for topic in kept:
        topics.remove(topic)
    assert topics.held == 0
    assert not topics._root.below


def test_the_newest_message_of_a_topic_counts():
    topics = RetainedTopics()
    topics.put(message("a", b"12345"))
    held = topics.held
    topics.put(message("a", b"1"))
    assert topics.get("a").payload == b"1"
    assert topics.held == held - 4


def test_properties_count_and_expiry_ends():
    plain, rich = (
        message("a"),
        Retained("a", b"x", 0, 0, write_pairs(Properties(user=(("k", "v" * 100),))), 10),
    )
    assert rich.size() > plain.size() + 101
    assert (rich.lives(9), rich.lives(10), plain.lives(10**15)) == (True, False, True)
