import asyncio
import json
import sys

import msgspec
import pytest
from outfitter_fleet.load import packets
from outfitter_fleet.load.plan import Client, Exchange, Plan, Round, Spread, middle


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 16_383, 16_384, 130_000])
def test_publish_comes_back_as_it_was(size):
    payload = bytes(size)
    frames, left = packets.split(packets.publish(7, "a/b", payload))
    assert left == b""
    ((first, body),) = frames
    assert first == 0x32
    assert packets.published(first, body) == (b"a/b", b"\x00\x07", payload)


def test_publish_at_qos_0_has_no_packet_id():
    assert packets.published(0x30, b"\x00\x01ahello") == (b"a", b"", b"hello")


def test_any_cut_of_a_stream_gives_the_same_packets():
    stream = packets.publish(1, "t", bytes(200)) + packets.puback(b"\x00\x01") + packets.publish(2, "t", b"x")
    whole, _ = packets.split(stream)
    for cut in range(len(stream)):
        before, left = packets.split(stream[:cut])
        after, rest = packets.split(left + stream[cut:])
        assert before + after == whole
        assert rest == b""


def test_a_length_without_end_is_refused():
    with pytest.raises(packets.BadFrame):
        packets.split(b"\x30\xff\xff\xff\xff\x01")


def test_connect_and_subscribe_are_those_of_the_standard():
    assert packets.connect("ab", 60) == bytes.fromhex("100e00044d5154540402003c00026162")
    assert packets.subscribe(1, "t") == bytes.fromhex("820600010001" + "7401")
    assert packets.subscribe(1, "t", "u") == bytes.fromhex("820a0001" + "00017401" + "00017501")


def test_the_round_in_the_middle_is_taken_whole():
    rounds = [Round(answers=1, rate=rate, p50_ms=rate, p99_ms=rate) for rate in (3.0, 1.0, 2.0)]
    assert middle(rounds).p99_ms == 2.0


class Echo(asyncio.Protocol):
    """As much of a broker as the generator talks to; ``answer`` is what it makes of a payload."""

    def __init__(self, answer):
        self.left, self.answer = b"", answer

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        found, self.left = packets.split(self.left + data)
        for first, body in found:
            if first == 0x10:
                self.transport.write(b"\x20\x02\x00\x00")
            elif first == 0x82:
                self.transport.write(b"\x90" + bytes([4]) + body[:2] + b"\x01\x01")
            elif first & 0xF0 == packets.PUBLISH:
                topic, packet_id, payload = packets.published(first, body)
                back = packets.publish(9, topic.decode(), self.answer(payload))
                told = packets.publish(10, "told", b"by the way")
                self.transport.write(packets.puback(packet_id) + back + told)


CLIENT = Client(
    client_id="c",
    topic="t",
    answer="t",
    listens=("t", "told"),
    aside=("told",),
    exchanges=(Exchange(payload="hello", expected="hello"),),
)


async def generate(tmp_path, echo, seconds=(0.05, 0.1), **changes):
    """The generator in its own process, against an echo; its last line."""
    server = await asyncio.get_running_loop().create_server(lambda: Echo(echo), "127.0.0.1", 0)
    client = msgspec.structs.replace(CLIENT, **changes)
    plan = Plan(
        host="127.0.0.1",
        port=server.sockets[0].getsockname()[1],
        clients=(client,),
        warm_up_seconds=seconds[0],
        round_seconds=seconds[1],
    )
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan))
    generator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "outfitter_fleet.load.generator", str(path), stdout=asyncio.subprocess.PIPE
    )
    async with server, asyncio.timeout(20):
        output, _ = await generator.communicate()
    return generator.returncode, output.decode().strip()


async def test_the_generator_counts_round_trips(tmp_path):
    status, line = await generate(tmp_path, lambda payload: payload)
    assert status == 0
    measured = json.loads(line.removeprefix("result "))
    assert measured["rate"] > 100
    assert measured["answers"] > 10
    assert measured["asides"] >= measured["answers"]


async def test_a_round_ends_when_a_client_has_nothing_left_to_ask(tmp_path):
    exchanges = tuple(
        Exchange(payload=str(number), expected=str(number), topic=f"t/{number}", answer=f"t/{number}")
        for number in range(1_500)
    )
    status, line = await generate(
        tmp_path, lambda payload: payload, seconds=(0, 60), exchanges=exchanges, once=True
    )
    assert status == 0, line
    assert json.loads(line.removeprefix("result "))["answers"] == 1_500


def test_things_take_turns_out_of_order():
    spread = Spread(name="x-{:03}", first=7, count=5, stride=2)
    assert [spread.thing(turn) for turn in range(6)] == ["x-007", "x-009", "x-011", "x-008", "x-010", "x-007"]


async def test_one_connection_speaks_for_many_things(tmp_path):
    spread = Spread(name="x-{}", first=0, count=5, stride=2)
    status, line = await generate(
        tmp_path, lambda payload: payload, topic="t/{thing}/u", answer="t/{thing}/u", spread=spread
    )
    assert status == 0, line
    assert json.loads(line.removeprefix("result "))["answers"] > 10


async def test_a_wrong_answer_spoils_the_measurement(tmp_path):
    status, line = await generate(tmp_path, lambda _: b"something else")
    assert status == 1
    assert "something else" in line
