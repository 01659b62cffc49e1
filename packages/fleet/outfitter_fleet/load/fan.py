"""Publishers and subscribers: ``python -m outfitter_fleet.load.fan PLAN.json``, one line ``result {...}`` at the end.

Each publisher has subscribers of its own, and sends its next message when all of them have the one that is a window
before it. The packets that come are all of one length, so that they are counted rather than read.
"""

import asyncio
import sys
import time
from typing import Final, cast

import msgspec

from outfitter_fleet.load import packets
from outfitter_fleet.load.generator import LoadFailed, cpu_seconds, run_plan
from outfitter_fleet.load.plan import Round

_CONNECT_SECONDS: Final = 20.0
_HEAD_BYTES: Final = 2  # of a packet of less than 128 bytes
_TOPIC: Final = "bench/fan/{:04}"


class FanPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One round.

    Attributes:
        subscribers: of each publisher.
        window: messages of one publisher that are under way at most.
        payload_bytes: at most 90, so that a packet's length takes one byte.
    """

    host: str
    port: int
    publishers: int
    subscribers: int
    qos: int
    window: int = 1
    payload_bytes: int = 64
    round_seconds: float = 4.0
    warm_up_seconds: float = 1.0
    core: int | None = None
    server_pid: int | None = None


class Fan:
    """One publisher's message on its way to its subscribers."""

    def __init__(self, plan: FanPlan, number: int) -> None:
        """Nothing is sent yet."""
        self.topic = _TOPIC.format(number)
        self.delivered = 0
        self.times: list[float] = []
        self._plan = plan
        self._sent_at: dict[int, float] = {}
        self._sent = 0
        self._done = 0
        self.publisher: Publisher | None = None

    def begin(self) -> None:
        """Fill the window."""
        for _ in range(self._plan.window):
            self._send()

    def took(self, count: int) -> None:
        """Subscribers got so many messages."""
        self.delivered += count
        while self.delivered >= (self._done + 1) * self._plan.subscribers:
            self.times.append(time.perf_counter() - self._sent_at.pop(self._done))
            self._done += 1
            self._send()

    def _send(self) -> None:
        if self.publisher is not None:
            self._sent_at[self._sent] = time.perf_counter()
            self._sent += 1
            self.publisher.publish()


class Peer(asyncio.Protocol):
    """A connection, until it is in."""

    _transport: asyncio.Transport

    def __init__(self, client_id: str, topic: str | None, qos: int) -> None:
        """Subscribes to the topic, if there is one."""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client_id = client_id
        self._topic = topic
        self._qos = qos

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(packets.connect(self._client_id))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is to leave before the end."""
        if not self.ready.done():
            self.ready.set_exception(LoadFailed(f"{self._client_id} lost its connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        """CONNACK, and SUBACK for who subscribes."""
        if self.ready.done():
            self._got(data)
        elif data[0] == packets.CONNACK and self._topic:
            self._transport.write(packets.subscribe(1, self._topic, qos=self._qos))
        else:
            self.ready.set_result(None)

    def _got(self, data: bytes) -> None:
        """What comes afterwards."""

    def close(self) -> None:
        """Leave."""
        self._transport.write(packets.DISCONNECT)
        self._transport.close()


class Publisher(Peer):
    """Sends the same message again and again."""

    def __init__(self, fan: Fan, plan: FanPlan) -> None:
        """Not connected yet."""
        super().__init__(f"{fan.topic}/publisher", None, plan.qos)
        payload = b"x" * plan.payload_bytes
        self._frames = [packets.publish(number, fan.topic, payload, qos=plan.qos) for number in range(1, 65)]
        self._turn = 0

    def publish(self) -> None:
        """Send it."""
        self._turn += 1
        self._transport.write(self._frames[self._turn % len(self._frames)])


class Subscriber(Peer):
    """Counts what comes, and acknowledges it at QoS 1."""

    def __init__(self, fan: Fan, plan: FanPlan, number: int) -> None:
        """Not connected yet."""
        super().__init__(f"{fan.topic}/{number}", fan.topic, plan.qos)
        self._fan = fan
        self._bytes = len(packets.publish(1, fan.topic, b"x" * plan.payload_bytes, qos=plan.qos))
        self._packet_id_at = _HEAD_BYTES + 2 + len(fan.topic)
        self._left = b""

    def _got(self, data: bytes) -> None:
        if self._left:
            data = self._left + data
        count, left = divmod(len(data), self._bytes)
        self._left = data[-left:] if left else b""
        if self._qos and count:
            at = self._packet_id_at
            acknowledged = [
                packets.puback(data[start + at : start + at + 2])
                for start in range(0, count * self._bytes, self._bytes)
            ]
            self._transport.write(b"".join(acknowledged))
        self._fan.took(count)


async def _join(plan: FanPlan, peer: Peer) -> None:
    async with asyncio.timeout(_CONNECT_SECONDS):
        await asyncio.get_running_loop().create_connection(lambda: peer, plan.host, plan.port)
        await peer.ready


async def fan_out(plan: FanPlan) -> Round:
    """Connect all, warm up, measure, disconnect all.

    Raises:
        LoadFailed: somebody was cut off, or nothing came.
    """
    fans = [Fan(plan, number) for number in range(plan.publishers)]
    peers: list[Peer] = []
    for fan in fans:
        fan.publisher = Publisher(fan, plan)
        subscribers = [Subscriber(fan, plan, number) for number in range(plan.subscribers)]
        for peer in (*subscribers, fan.publisher):
            await _join(plan, peer)
            peers.append(peer)
    for fan in fans:
        fan.begin()
    await asyncio.sleep(plan.warm_up_seconds)
    for fan in fans:
        fan.times.clear()
    began, delivered = time.perf_counter(), sum(fan.delivered for fan in fans)
    server, clients = cpu_seconds(plan.server_pid), time.process_time()
    await asyncio.sleep(plan.round_seconds)
    elapsed = time.perf_counter() - began
    count = sum(fan.delivered for fan in fans) - delivered
    times = sorted(taken for fan in fans for taken in fan.times)
    if not times:
        raise LoadFailed(f"no message came to all in {plan.round_seconds:g} s")
    measured = Round(
        answers=count,
        rate=count / elapsed,
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)] * 1000,
        server_busy=(cpu_seconds(plan.server_pid) - server) / elapsed,
        clients_busy=(time.process_time() - clients) / elapsed,
    )
    for fan in fans:
        fan.publisher = None
    for peer in peers:
        peer.close()
    await asyncio.sleep(0)
    return measured


if __name__ == "__main__":
    sys.exit(run_plan(FanPlan, fan_out))
