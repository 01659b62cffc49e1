"""The gateway on transports in memory, so that thousands of histories can be tried."""

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_server.base.installation import Installation
from outfitter_server.gateway.connection import Connection
from outfitter_server.gateway.server import Gateway
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    FilterRequest,
    PingReq,
    Properties,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from outfitter_server.mqtt.stream import Decoder
from outfitter_server.services.effects import PendingChanged, PrincipalChanged

JOBS = "$aws/things/dev/jobs"
TOPICS = (f"{JOBS}/notify", f"{JOBS}/notify-next")


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; tells its protocol of the end."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.protocol, self.written, self.open = protocol, b"", True
        protocol.connection_made(self)

    def write(self, data):
        assert self.open
        self.written += data

    def close(self):
        if self.open:
            self.open = False
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in {"sockname", "peername"} else default

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        pass

    resume_reading = pause_reading


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def make_gateway(doubles):
    plane, committer = doubles.plane(), doubles.committer()
    gateway = Gateway(
        devices=None,
        plane=plane,
        committer=committer,
        delivery=doubles.delivery(),
        rules=doubles.rules(),
        clock=lambda: 0,
        installation=Installation(),
    )
    return gateway, plane, committer


class Device:
    """A device with a persistent session: what it was sent, and the revisions that it saw."""

    def __init__(self, gateway: Gateway, window: int) -> None:
        self.gateway, self.window, self.granted = gateway, window, window
        self.transport: MemoryTransport | None = None
        self.unacknowledged: list[Publish] = []
        self.seen: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        self.acknowledged: dict[str, set[int]] = {topic: set() for topic in TOPICS}

    async def connect(self) -> None:
        if self.transport is not None:
            return
        self.granted = self.window
        protocol = Connection(self.gateway, plain=True)
        self.transport = MemoryTransport(protocol)
        self.decoder = Decoder(1 << 20, 5)
        properties = Properties(session_expiry_seconds=100, receive_maximum=self.window)
        self.send(Connect(version=5, client_id="dev", clean_start=False, properties=properties))
        await self.listen()

    def send(self, packet) -> None:
        assert self.transport is not None
        self.transport.protocol.data_received(encode(packet, 5))

    async def listen(self) -> None:
        await turns()
        if self.transport is None:
            return
        written, self.transport.written = self.transport.written, b""
        for packet in self.decoder.feed(written):
            if isinstance(packet, Publish):
                self.unacknowledged.append(packet)
                revision = json.loads(packet.payload)["timestamp"]
                assert revision not in self.acknowledged[packet.topic], "sent again what was acknowledged"
                assert revision >= max(self.seen[packet.topic], default=0), "sent what is older"
                self.seen[packet.topic].append(revision)
        assert len(self.unacknowledged) <= self.granted

    async def widen(self) -> None:
        self.window = 3

    async def narrow(self) -> None:
        self.window = 1

    async def acknowledge(self) -> None:
        if self.transport is not None and self.unacknowledged:
            packet = self.unacknowledged.pop(0)
            self.acknowledged[packet.topic].add(json.loads(packet.payload)["timestamp"])
            self.send(PubAck(packet.packet_id))
            await self.listen()

    async def drop(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None
            self.unacknowledged.clear()
            await turns()


@given(
    st.lists(
        st.sampled_from(["change", "change", "connect", "drop", "acknowledge", "widen", "narrow"]),
        max_size=40,
    ),
    st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_no_notification_is_lost_and_none_comes_again_after_its_acknowledgement(doubles, steps, window):
    async def history():
        gateway, plane, committer = make_gateway(doubles)
        device = Device(gateway, window)
        await device.connect()
        device.send(Subscribe(1, tuple(FilterRequest(topic, 1) for topic in TOPICS)))
        await device.listen()
        for step in [*steps, "connect", *["acknowledge"] * 20]:
            if step == "change":
                notification = plane.change("dev")
                if "dev" in plane.watched:
                    committer.emit(PendingChanged(notification))
                await device.listen()
            else:
                await getattr(device, step)()
            assert ("dev" in plane.watched) == (device.transport is not None)
        revision = plane.revisions.get("dev", (0, 0))[0]
        for topic in TOPICS:
            assert max(device.acknowledged[topic], default=0) == revision
        await device.drop()

    asyncio.run(history())


STRANGE = st.sampled_from(
    ["a", "a/b", "#", "a/#", "+", "", f"{JOBS}/get", f"{JOBS}/x", *TOPICS, f"{JOBS}/#", "$x"]
)
NUMBERS = st.integers(1, 3)
ANY = st.one_of(
    st.builds(Publish, STRANGE, st.binary(max_size=9), st.just(1), NUMBERS, st.booleans()),
    st.builds(Publish, STRANGE, st.sampled_from([b"", b"{}", b"[", b'{"clientToken":1}'])),
    st.builds(PubAck, NUMBERS),
    st.builds(
        Subscribe, NUMBERS, st.lists(st.builds(FilterRequest, STRANGE), min_size=1, max_size=3).map(tuple)
    ),
    st.builds(Unsubscribe, NUMBERS, st.lists(STRANGE, min_size=1, max_size=3).map(tuple)),
    st.builds(Disconnect, st.sampled_from([0, 4])),
    st.builds(PingReq),
    st.builds(ConnAck),
    st.binary(min_size=1, max_size=6),
)


@st.composite
def strangers(draw):
    version = draw(st.sampled_from([4, 5]))
    will = draw(st.none() | st.builds(Will, topic=STRANGE, payload=st.just(b"w"), qos=st.integers(0, 2)))
    first = Connect(
        version=version,
        client_id=draw(st.sampled_from(["dev", "x", ""])),
        clean_start=draw(st.booleans()),
        will=will,
    )
    packets = [first, *draw(st.lists(ANY, max_size=6))]
    return version, [packet if isinstance(packet, bytes) else encode(packet, version) for packet in packets]


@given(st.lists(strangers(), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_nothing_that_clients_say_breaks_the_gateway(doubles, clients, chance):
    async def history():
        gateway, plane, committer = make_gateway(doubles)
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        failures = []
        transports = [MemoryTransport(Connection(gateway, plain=True)) for _ in clients]
        waiting = [
            (transport, list(said)) for transport, (_version, said) in zip(transports, clients, strict=True)
        ]
        while waiting:
            transport, said = chance.choice(waiting)
            data = said.pop(0)
            if not said:
                waiting.remove((transport, said))
            if transport.open:
                transport.protocol.data_received(data)
            committer.emit(PendingChanged(plane.change("dev")), PrincipalChanged(None))
            await turns(chance.randint(0, 3))
        for second in range(0, 4_000, 40):
            gateway.pass_to(second + gateway.second % 5)
        await turns()
        for transport in transports:
            transport.close()
        await turns()
        gateway.pass_to(10_000)
        assert failures == []
        assert gateway.connected == 0
        assert not gateway.broker.sessions
        assert plane.watched == {}

    asyncio.run(history())
