"""Devices that only listen: ``python -m outfitter_fleet.load.sleepers PLAN.json``, until it is told to end by SIGTERM.

Each connects with a session that outlives its connection, subscribes, and comes back as soon as it is cut off. Lines tell
when (the machine's monotonic clock) all of them were there: ``joined ROUND TIME``, and when all knew that a job is the
next one that they have to do: ``informed JOB TIME``.
"""

import asyncio
import os
import resource
import signal
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop
from outfitter_contract import topics

from outfitter_fleet.load import packets

_KEEP_ALIVE_SECONDS: Final = 1_200
_CONNECT_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.1
_JOB: Final = b'"jobId":"'


class Sleeper(msgspec.Struct, frozen=True):
    """One device; without a certificate on a plain connection."""

    thing: str
    certificate: str | None = None
    key: str | None = None


class SleepersPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Who sleeps where.

    Attributes:
        sources: the addresses that they connect from, in turn.
        at_once: how many may be on their way in.
    """

    host: str
    port: int
    sleepers: tuple[Sleeper, ...]
    sources: tuple[str, ...]
    at_once: int = 100
    ca: str | None = None
    core: int | None = None


class Dormitory:
    """All of them: who is in, and what they were told."""

    def __init__(self, plan: SleepersPlan) -> None:
        """Nobody is in."""
        self.plan = plan
        self._gate = asyncio.Semaphore(plan.at_once)
        self._inside = 0
        self._round = 0
        self._informed: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def bring(self, bed: "Bed") -> None:
        """Connect a device, as often as it takes."""
        task = asyncio.get_running_loop().create_task(self._bring(bed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring(self, bed: "Bed") -> None:
        plan = self.plan
        while True:
            async with self._gate:
                bed.asleep = asyncio.get_running_loop().create_future()
                try:
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        await asyncio.get_running_loop().create_connection(
                            lambda: bed, plan.host, plan.port, ssl=bed.tls, local_addr=(bed.source, 0)
                        )
                        await bed.asleep
                except OSError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
            return

    def joined(self) -> None:
        """One more is in."""
        self._inside += 1
        if self._inside == len(self.plan.sleepers):
            self._round += 1
            print(f"joined {self._round} {time.monotonic()}", flush=True)

    def left(self, bed: "Bed") -> None:
        """One was cut off, and comes back."""
        self._inside -= 1
        self.bring(bed)

    def informed(self, job: bytes) -> None:
        """One was told what is next."""
        self._informed[job] += 1
        if self._informed[job] == len(self.plan.sleepers):
            print(f"informed {job.decode()} {time.monotonic()}", flush=True)


class Bed(asyncio.Protocol):
    """One device, in all its connections."""

    __slots__ = (
        "_connect",
        "_dormitory",
        "_inside",
        "_left",
        "_next",
        "_subscribe",
        "_transport",
        "asleep",
        "source",
        "tls",
    )

    _transport: asyncio.Transport
    asleep: asyncio.Future[None]

    def __init__(self, dormitory: Dormitory, sleeper: Sleeper, source: str) -> None:
        """Not connected yet."""
        thing = sleeper.thing
        self.source = source
        self.tls = _tls(dormitory.plan.ca, sleeper)
        self._dormitory = dormitory
        self._connect = packets.connect(thing, _KEEP_ALIVE_SECONDS, clean=False)
        wanted = (topics.notify(thing), topics.notify_next(thing), f"bench/{thing}")
        self._subscribe = packets.subscribe(1, *wanted)
        self._inside = False
        self._left = b""
        self._next = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        self._transport = cast("asyncio.Transport", transport)
        self._left = b""
        self._transport.write(self._connect)

    def data_received(self, data: bytes) -> None:
        """Subscribe, and listen."""
        found, self._left = packets.split(self._left + data if self._left else data)
        for first, body in found:
            kind = first & 0xF0
            if kind == packets.CONNACK and not body[1]:
                self._transport.write(self._subscribe)
            elif kind == packets.SUBACK and max(body[2:]) <= 1:
                self._inside = True
                self._dormitory.joined()
                if not self.asleep.done():
                    self.asleep.set_result(None)
            elif kind == packets.PUBLISH:
                self._told(first, body)
            else:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Come back; one that was not in yet is being brought anyway."""
        if self._inside:
            self._inside = False
            self._dormitory.left(self)
        elif not self.asleep.done():
            self.asleep.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError())

    def _told(self, first: int, body: bytes) -> None:
        topic, packet_id, payload = packets.published(first, body)
        if packet_id:
            self._transport.write(packets.puback(packet_id))
        if topic.endswith(b"notify-next"):
            job = payload.partition(_JOB)[2].partition(b'"')[0]
            if job and job != self._next:
                self._next = job
                self._dormitory.informed(job)


def _tls(ca: str | None, sleeper: Sleeper) -> ssl.SSLContext | None:
    if ca is None or sleeper.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=ca)
    context.load_cert_chain(sleeper.certificate, sleeper.key)
    return context


async def sleep(plan: SleepersPlan) -> None:
    """Bring all of them in, again and again, until the process is told to end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    dormitory = Dormitory(plan)
    beds = [
        Bed(dormitory, sleeper, plan.sources[number % len(plan.sources)])
        for number, sleeper in enumerate(plan.sleepers)
    ]
    print(f"begun {time.monotonic()}", flush=True)
    for bed in beds:
        dormitory.bring(bed)
    await stop.wait()
    os._exit(0)  # connections end with their process


def main() -> int:
    """Run the plan in the file that the only argument names."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=SleepersPlan)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    uvloop.run(sleep(plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
