"""Frames off and on: whatever bytes come, in whatever pieces, and what the door does around it."""

import asyncio
import time

import aiohttp
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.https.limits import WEBSOCKET_FRAME_BYTES_MAX, WEBSOCKET_FRAME_BYTES_SENT
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
    """Keeps what comes; closes when it is told to in the middle of it."""

    def __init__(self, closes_at=None):
        self.received, self.closes_at, self.calls = b"", closes_at, []

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
    assert reader.received == data
    assert not socket.closed


@given(st.lists(st.binary(max_size=80), max_size=8), st.none() | st.integers(0, 40))
def test_no_bytes_are_too_strange(reads, closes_at):
    socket, reader = begun(closes_at)
    for data in reads:
        socket.protocol.data_received(data)
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


async def test_a_full_gateway_refuses_before_the_upgrade(house):
    asked = []
    house.door._mqtt = MqttUpgrade(house.door._signatures, asked.append, lambda: int(time.time() * 1000))
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
    house.door._mqtt = MqttUpgrade(house.door._signatures, lambda _: None, lambda: 0)
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/mqtt") as answer:
        assert await answer.read() == b"its objects"
