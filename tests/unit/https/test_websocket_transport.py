"""Frames off and on: whatever bytes come, in whatever pieces, and what the door does around it."""

import asyncio
import time

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.https.limits import (
    FRAMES_AT_ONCE,
    WEBSOCKET_FRAME_BYTES_MAX,
    WEBSOCKET_FRAME_BYTES_SENT,
)
from outfitter_server.https.mqtt_upgrade import MqttUpgrade
from outfitter_server.https.websocket import WebSocketTransport
from raw_websocket import signed_target
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
}


class Socket(asyncio.Transport):
    """A socket that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written, self.closed, self.aborted, self.reading = b"", False, False, True

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        assert not self.closed
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Reader(asyncio.Protocol):
    """Keeps what comes; closes when it is told to in the middle of it. Turns are the test's to give."""

    patient = False

    def __init__(self, closes_at=None):
        self.received, self.closes_at, self.calls = b"", closes_at, []
        self.frames, self.line = 0, []

    def frames_came(self, count):
        self.frames += count

    def wait_for_turn(self, frames):
        self.line.append(frames)

    def go_round(self):
        """Turns for all who wait, until nobody does; how many that took."""
        turns = 0
        while self.line:
            turns += 1
            each = self.line.pop(0)
            if each.take_turn():
                self.line.append(each)
            else:
                assert each.take_turn() is False, "who has left the round has nothing to do"
        return turns

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        if self.closes_at is not None and len(self.received) >= self.closes_at:
            self.transport.write(b"a last word")
            self.transport.close()

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.calls.append("lost")


def begun(closes_at=None):
    socket, reader = Socket(), Reader(closes_at)
    WebSocketTransport(reader, socket).begin()
    return socket, reader


def pieces(data, cuts):
    ends = [*sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    begins = [0, *ends]
    return [data[begin:end] for begin, end in zip(begins, ends, strict=False)]


def heard(socket):
    """What a client makes of what was written: opcodes and bytes."""
    client = Protocol(Side.CLIENT, max_size=None)
    client.receive_data(socket.written)
    assert client.parser_exc is None
    return [(event.opcode, bytes(event.data)) for event in client.events_received()]


cuts = st.lists(st.integers(0, 1 << 20), max_size=8)


@given(st.binary(max_size=600), cuts, cuts)
def test_frames_and_reads_are_cut_as_they_like(data, frame_cuts, read_cuts):
    socket, reader = begun()
    parts = pieces(data, frame_cuts)
    wire = b"".join(
        Frame(Opcode.CONT if index else Opcode.BINARY, part, index == len(parts) - 1).serialize(mask=True)
        for index, part in enumerate(parts)
    )
    for part in pieces(wire, read_cuts):
        socket.protocol.data_received(part)
        reader.go_round()
    assert reader.received == data
    assert not socket.closed


@given(st.lists(st.binary(max_size=80), max_size=8), st.none() | st.integers(0, 40))
def test_no_bytes_are_too_strange(reads, closes_at):
    socket, reader = begun(closes_at)
    for data in reads:
        socket.protocol.data_received(data)
        reader.go_round()
    reader.transport.write(b"late")
    reader.transport.close()
    reader.transport.close()
    heard(socket)
    socket.protocol.connection_lost(None)
    assert reader.calls == ["lost"]


def test_what_is_long_goes_out_in_frames_of_a_bounded_size_as_one_message():
    socket, reader = begun()
    data = bytes(range(256)) * (WEBSOCKET_FRAME_BYTES_SENT // 256) * 2 + b"rest"
    reader.transport.write(data)
    frames = heard(socket)
    assert [opcode for opcode, _ in frames] == [Opcode.BINARY, Opcode.CONT, Opcode.CONT]
    assert b"".join(part for _, part in frames) == data


def test_a_frame_is_bounded_and_a_message_is_not():
    socket, reader = begun()
    part = b"p" * WEBSOCKET_FRAME_BYTES_MAX
    for index in range(4):
        socket.protocol.data_received(
            Frame(Opcode.CONT if index else Opcode.BINARY, part, fin=False).serialize(mask=True)
        )
    assert reader.received == part * 4
    socket.protocol.data_received(Frame(Opcode.CONT, part + b"p", fin=True).serialize(mask=True)[:14])
    assert socket.closed
    assert heard(socket)[-1][0] is Opcode.CLOSE


def test_pauses_go_through_in_both_directions_and_a_goodbye_is_heard_all_the_same():
    socket, reader = begun()
    socket.protocol.pause_writing()
    socket.protocol.resume_writing()
    assert reader.calls == ["pause", "resume"]
    reader.transport.pause_reading()
    assert not socket.reading
    reader.transport.close()
    assert socket.reading
    assert not socket.closed
    socket.protocol.data_received(Frame(Opcode.BINARY, b"too late").serialize(mask=True))
    socket.protocol.data_received(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    assert (socket.closed, socket.aborted, reader.received) == (True, False, b"")


FLOODS = {
    "empty frames": (Opcode.BINARY, b""),
    "pings": (Opcode.PING, b"?"),
    "fragments of a byte": (Opcode.CONT, b"x"),
}


def flood(case, count):
    opcode, data = FLOODS[case]
    begun = Frame(Opcode.BINARY, b"x", fin=False).serialize(mask=True) * (opcode is Opcode.CONT)
    fin = opcode is not Opcode.CONT
    return begun + Frame(opcode, data, fin).serialize(mask=True) * (count - (opcode is Opcode.CONT))


@pytest.mark.parametrize("case", FLOODS)
def test_many_frames_of_one_read_are_taken_by_turns(case):
    socket, reader = begun()
    socket.protocol.data_received(flood(case, 100 * FRAMES_AT_ONCE))
    assert reader.frames == FRAMES_AT_ONCE
    assert (len(reader.line), socket.reading) == (1, True)
    reader.line[0].hold_back()
    assert not socket.reading
    assert reader.go_round() in {99, 100}
    assert (reader.frames, socket.reading) == (100 * FRAMES_AT_ONCE, True)
    assert len(reader.received) == (100 * FRAMES_AT_ONCE if case == "fragments of a byte" else 0)
    assert not socket.closed


def test_who_is_beyond_its_share_waits_with_its_first_frame():
    socket, reader = begun()
    reader.patient = True
    for data in (b"one", b"two"):
        socket.protocol.data_received(Frame(Opcode.BINARY, data).serialize(mask=True))
        assert (reader.received, len(reader.line)) == (b"", 1)
    assert not socket.reading, "nothing more is read from who did not wait"
    reader.go_round()
    assert (reader.received, socket.reading) == (b"onetwo", True)


def test_frames_wait_while_their_reader_has_paused_and_go_on_by_turns():
    socket, reader = begun()
    socket.protocol.data_received(flood("fragments of a byte", 3 * FRAMES_AT_ONCE))
    reader.transport.pause_reading()
    reader.go_round()
    assert (len(reader.received), socket.reading) == (FRAMES_AT_ONCE, False)
    reader.transport.resume_reading()
    assert (len(reader.received), len(reader.line)) == (FRAMES_AT_ONCE, 1)
    reader.go_round()
    assert (len(reader.received), socket.reading) == (3 * FRAMES_AT_ONCE, True)


def test_nothing_is_left_of_a_connection_that_is_lost_while_it_waits():
    socket, reader = begun()
    socket.protocol.data_received(flood("fragments of a byte", 3 * FRAMES_AT_ONCE))
    socket.close()
    socket.protocol.connection_lost(None)
    reader.go_round()
    assert (len(reader.received), reader.calls) == (FRAMES_AT_ONCE, ["lost"])


def test_a_goodbye_is_heard_behind_frames_that_wait():
    socket, reader = begun()
    goodbye = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)
    socket.protocol.data_received(flood("empty frames", 3 * FRAMES_AT_ONCE) + goodbye)
    reader.transport.close()
    reader.go_round()
    assert (socket.closed, socket.aborted) == (True, False)


async def test_a_full_gateway_refuses_before_the_upgrade(house):
    asked = []
    house.door._mqtt = MqttUpgrade(
        house.door._signatures, lambda caller, _: asked.append(caller), lambda: int(time.time() * 1000)
    )
    target = signed_target(house.url, "AKIAROOT", "root-secret")
    async with (
        aiohttp.ClientSession() as session,
        session.get(house.url + target, headers=HANDSHAKE) as answer,
    ):
        assert answer.status == 503
        assert "try again" in (await answer.json())["message"]
    assert [caller.access_key_id for caller in asked] == ["AKIAROOT"]


async def test_a_bucket_may_be_called_mqtt(house):
    house.objects.objects["/mqtt"] = b"its objects"
    house.door._mqtt = MqttUpgrade(house.door._signatures, lambda *_: None, lambda: 0)
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/mqtt") as answer:
        assert await answer.read() == b"its objects"
