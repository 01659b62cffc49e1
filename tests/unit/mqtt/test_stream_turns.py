"""Packets out of a stream, a few at a time: none is lost, doubled or out of order, whatever arrives meanwhile."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.mqtt import packets as p
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.stream import Decoder

LIMIT = 1_000


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=20),
    at_once=st.integers(1, 4),
    patience=st.lists(st.integers(0, 3), min_size=1, max_size=10),
)
def test_turns_give_what_one_feed_gives(sizes, cuts, at_once, patience):
    sent = [p.Publish("a", bytes([number % 256]) * size, 0) for number, size in enumerate(sizes)]
    stream, decoder, received, turn = b"".join(encode(each, 4) for each in sent), Decoder(LIMIT, 4), [], 0
    while stream:
        cut = cuts[turn % len(cuts)]
        data, stream = stream[:cut], stream[cut:]
        if decoder.more:
            decoder.keep(data)
        else:
            taken = decoder.feed(data, at_once)
            assert len(taken) <= at_once
            received += taken
        for _ in range(patience[turn % len(patience)]):
            if decoder.more:
                received += decoder.go_on(at_once)
        turn += 1
    while decoder.more:
        received += decoder.go_on(at_once)
    assert received == sent
    assert decoder.failure is None


@pytest.mark.parametrize("bytes_", [b"\xff\xff\xff\xff\xff\xff", b"\xb0\x00", b"\x10\x02\x00\x00"])
def test_a_broken_stream_leaves_nothing_to_the_garbage_collector(bytes_):
    gc.collect()
    gc.disable()
    try:
        decoder = Decoder(LIMIT)
        assert decoder.feed(bytes_) == []
        assert decoder.failure is not None
        del decoder
        assert gc.collect() == 0
    finally:
        gc.enable()
