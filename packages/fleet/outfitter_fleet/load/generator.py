"""The load generator: ``python -m outfitter_fleet.load.generator PLAN.json``, one line ``result {...}`` at the end.

Each connection is a closed loop: publish, wait for PUBACK and for the answer, publish again. Requests are encoded before
the clock runs, so that the core that it runs on is busy with the protocol and little else.
"""

import asyncio
import os
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec
import uvloop

from outfitter_fleet.load import packets
from outfitter_fleet.load.plan import Client, Plan, Round

_CONNECTING_MAX: Final = 16
_CONNECT_SECONDS: Final = 20.0
_LAST_ANSWERS_SECONDS: Final = 0.5
_GOODBYE_SECONDS: Final = 0.1


class _Pinned(Protocol):
    """A plan that may name the one core it runs on."""

    @property
    def core(self) -> int | None: ...


_AnyPlan = TypeVar("_AnyPlan", bound=_Pinned)


class LoadFailed(Exception):  # noqa: N818 - what happened, not whose fault it is
    """The server refused, dropped or misunderstood something; figures would mean nothing."""


class Meter:
    """The times of whole round trips, in seconds, while a round is on."""

    def __init__(self) -> None:
        """Not recording yet."""
        self.recording = False
        self.stopping = False
        self.exhausted = asyncio.Event()
        self.answers = 0
        self.asides = 0
        self.times: list[float] = []
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str) -> None:
        """End the run; the first reason is told."""
        if not self.failure.done() and not self.stopping:
            self.failure.set_exception(LoadFailed(reason))

    async def round(self, seconds: float, server_pid: int | None) -> Round:
        """Measure one round."""
        began = time.perf_counter()
        server_began, clients_began = cpu_seconds(server_pid), time.process_time()
        self.recording = True
        await self.during(seconds)
        self.recording = False
        elapsed = time.perf_counter() - began
        server_busy = (cpu_seconds(server_pid) - server_began) / elapsed
        clients_busy = (time.process_time() - clients_began) / elapsed
        times = sorted(self.times)
        if not times:
            raise LoadFailed(f"no answer came in {seconds:g} s")
        return Round(
            answers=self.answers,
            rate=len(times) / elapsed,
            p50_ms=times[len(times) // 2] * 1000,
            p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)] * 1000,
            server_busy=server_busy,
            clients_busy=clients_busy,
        )

    async def during(self, seconds: float) -> None:
        """Let the load run so long, or until a client has nothing left to ask, or fail with it."""
        exhausted = asyncio.ensure_future(self.exhausted.wait())
        waited: set[asyncio.Future[Any]] = {self.failure, exhausted}
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        exhausted.cancel()
        if self.failure.done():
            self.failure.result()


class Connection(asyncio.Protocol):
    """One device: its packets, made beforehand, and where it is in its round trip."""

    def __init__(self, client: Client, meter: Meter) -> None:
        """Encode everything that will be sent, unless the things change all the time."""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = client
        self._meter = meter
        self._requests = (
            [] if client.spread else [_encoded(client, number) for number in range(len(client.exchanges))]
        )
        self._asides = frozenset(topic.encode() for topic in client.aside)
        self._left = b""
        self._turn = 0
        self._missing = 0
        self._sent_at = 0.0
        self._packet_id = b""
        self._answer = b""
        self._expected = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(packets.connect(self._client.client_id))

    def connection_lost(self, exc: Exception | None) -> None:
        """A dropped connection spoils the measurement."""
        self._fail(f"lost its connection: {exc}")

    def data_received(self, data: bytes) -> None:
        """Take packets apart and, when a round trip is whole, begin the next with the same write."""
        found, self._left = packets.split(self._left + data)
        out = b""
        for first, body in found:
            kind = first & 0xF0
            if kind == packets.PUBLISH:
                out += self._published(first, body)
            elif kind == packets.PUBACK:
                if body[:2] != self._packet_id:
                    self._fail(f"got a PUBACK that it did not wait for: {body.hex()}")
                self._missing &= ~1
            else:
                self._greeted(kind, body)
                continue
            if self._missing == 0:
                out += self._next()
        if out:
            self._transport.write(out)

    def begin(self) -> None:
        """Start the loop."""
        self._transport.write(self._next())

    def close(self) -> None:
        """Leave politely."""
        self._transport.write(packets.DISCONNECT)
        self._transport.close()

    def _next(self) -> bytes:
        now = time.perf_counter()
        if self._sent_at:
            self._meter.answers += 1
            if self._meter.recording:
                self._meter.times.append(now - self._sent_at)
        number, size = self._turn, len(self._client.exchanges)
        if self._meter.stopping or (self._client.once and number == size):
            self._meter.exhausted.set()
            self._missing = 4
            return b""
        self._turn = number + 1
        if self._client.spread:
            request = _encoded(self._client, number % size, self._client.spread.thing(number))
        else:
            request = self._requests[number % size]
        packet, self._packet_id, self._answer, self._expected = request
        self._missing = 3
        self._sent_at = now
        return packet

    def _published(self, first: int, body: bytes) -> bytes:
        topic, packet_id, payload = packets.published(first, body)
        if topic == self._answer and self._expected in payload:
            self._missing &= ~2
        elif topic in self._asides:
            self._meter.asides += 1
        else:
            self._fail(f"got on {topic.decode()}: {payload[:300].decode(errors='replace')}")
        return packets.puback(packet_id) if packet_id else b""

    def _greeted(self, kind: int, body: bytes) -> None:
        if kind == packets.CONNACK and body[1] == 0 and self._client.listens:
            self._transport.write(packets.subscribe(1, *self._client.listens))
        elif (kind == packets.CONNACK and body[1] == 0) or (kind == packets.SUBACK and max(body[2:]) <= 1):
            self.ready.set_result(None)
        else:
            self._fail(f"was refused: packet {kind:#x} {body.hex()}")

    def _fail(self, reason: str) -> None:
        reason = f"{self._client.client_id} {reason}"
        if not self.ready.done():
            self.ready.set_exception(LoadFailed(reason))
        self._meter.fail(reason)


def _encoded(client: Client, number: int, thing: str = "") -> tuple[bytes, bytes, bytes, bytes]:
    """Packet, packet id, topic of the answer and what it must contain, of one exchange."""
    exchange, packet_id = client.exchanges[number], number + 1
    topic, answer = exchange.topic or client.topic, exchange.answer or client.answer
    if thing:
        topic, answer = topic.replace("{thing}", thing), answer.replace("{thing}", thing)
    packet = packets.publish(packet_id, topic, exchange.payload.encode())
    return packet, packet_id.to_bytes(2), answer.encode(), exchange.expected.encode()


def cpu_seconds(pid: int | None) -> float:
    """The processor time that a process has used so far; 0 for None."""
    if pid is None:
        return 0.0
    words = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def tls_context(plan: Plan, client: Client) -> ssl.SSLContext | None:
    """The client's identity; None for plain connections."""
    if plan.ca is None or client.certificate is None:
        return None
    context = ssl.create_default_context(cafile=plan.ca)
    context.load_cert_chain(client.certificate, client.key)
    return context


async def join(plan: Plan, client: Client, meter: Meter, gate: asyncio.Semaphore) -> Connection:
    """Connect one device and subscribe it."""
    async with gate, asyncio.timeout(_CONNECT_SECONDS):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(client, meter), plan.host, plan.port, ssl=tls_context(plan, client)
        )
        await connection.ready
        return connection


async def generate(plan: Plan) -> Round:
    """Connect all, warm up, measure, disconnect all.

    Raises:
        LoadFailed: see there.
    """
    meter, gate = Meter(), asyncio.Semaphore(_CONNECTING_MAX)
    connections = await asyncio.gather(*(join(plan, client, meter, gate) for client in plan.clients))
    for connection in connections:
        connection.begin()
    await meter.during(plan.warm_up_seconds)
    measured = await meter.round(plan.round_seconds, plan.server_pid)
    meter.stopping = True
    await asyncio.sleep(_LAST_ANSWERS_SECONDS)
    for connection in connections:
        connection.close()
    await asyncio.sleep(_GOODBYE_SECONDS)
    meter.failure.cancel()
    return msgspec.structs.replace(measured, answers=meter.answers, asides=meter.asides)


def run_plan(kind: type[_AnyPlan], load: Callable[[_AnyPlan], Coroutine[Any, Any, msgspec.Struct]]) -> int:
    """Run the plan in the file that the only argument names; print ``result {...}`` or ``failed ...``."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=kind)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    try:
        measured = uvloop.run(load(plan))
    except (LoadFailed, OSError, TimeoutError) as error:
        print(f"failed {type(error).__name__}: {error}", flush=True)
        return 1
    print("result", msgspec.json.encode(measured).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_plan(Plan, generate))
