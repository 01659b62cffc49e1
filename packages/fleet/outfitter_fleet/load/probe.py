"""The second client: ``python -m outfitter_fleet.load.probe PLAN.json`` sends a few requests of every kind, evenly in time.

Each request has its moment, whether the one before was answered or not, and its time counts from that moment: a server
that stands still for a while is seen by every request that should have been answered meanwhile. SIGTERM ends it; one line
``result [...]`` tells every request.
"""

import asyncio
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

import aiohttp
import msgspec
import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from outfitter_fleet.load import packets
from outfitter_fleet.stage.server import REGION


class ProbePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, as whom, about what.

    Attributes:
        url: the HTTP endpoint.
        things: they connect over plain MQTT, one connection each; DescribeThing asks about them in turn.
        job: one that all of them have.
        pause_seconds: between two requests of one connection.
    """

    host: str
    port: int
    url: str
    access_key_id: str
    secret_access_key: str
    things: tuple[str, ...]
    job: str
    pause_seconds: float = 0.04
    core: int | None = None


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One request: when it was due (the machine's monotonic clock) and how long its answer took, in seconds."""

    kind: str
    due: float
    took: float


class Asker(asyncio.Protocol):
    """One device: asks for its jobs and reports progress, by turns."""

    def __init__(self, plan: ProbePlan, thing: str, samples: list[Sample]) -> None:
        """Not connected yet."""
        jobs = f"$aws/things/{thing}/jobs"
        update = b'{"status":"IN_PROGRESS","statusDetails":{"step":"download"}}'
        self._thing = thing
        self._kinds = (
            ("get", packets.publish(1, f"{jobs}/get", b"{}")),
            ("update", packets.publish(2, f"{jobs}/{plan.job}/update", update)),
        )
        self._samples = samples
        self._waiting: deque[tuple[str, float]] = deque()
        self._left = b""
        self._turn = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(packets.connect(self._thing))

    def data_received(self, data: bytes) -> None:
        """Answers come in the order of the requests."""
        found, self._left = packets.split(self._left + data)
        for first, body in found:
            if first & 0xF0 == packets.PUBLISH:
                topic, packet_id, payload = packets.published(first, body)
                if not topic.endswith(b"/accepted"):
                    self._fail(f"got on {topic.decode()}: {payload[:200]!r}")
                kind, due = self._waiting.popleft()
                self._samples.append(Sample(kind, due, time.monotonic() - due))
                if packet_id:
                    self._transport.write(packets.puback(packet_id))
            elif first == packets.CONNACK:
                self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will be answered."""
        self._fail(f"lost its connection: {exc}")

    def ask(self, due: float) -> None:
        """Send the next request, which was due then."""
        kind, packet = self._kinds[self._turn % len(self._kinds)]
        self._turn += 1
        self._waiting.append((kind, due))
        self._transport.write(packet)

    def _fail(self, reason: str) -> None:
        print(f"failed {self._thing} {reason}", flush=True)
        os._exit(1)


async def probe(plan: ProbePlan) -> list[Sample]:
    """Ask until the process is told to end."""
    samples: list[Sample] = []
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_describe(plan, session, samples))]
        for number, thing in enumerate(plan.things):
            _, asker = await asyncio.get_running_loop().create_connection(
                lambda thing=thing: Asker(plan, thing, samples),  # type: ignore[misc]
                plan.host,
                plan.port,
            )
            await asker.ready
            offset = plan.pause_seconds * number / len(plan.things)
            running.append(tasks.create_task(_ask(asker, plan.pause_seconds, offset)))
        print("asking", flush=True)
        await stop.wait()
        for task in running:
            task.cancel()
    return samples


async def _ask(asker: Asker, pause_seconds: float, offset: float) -> None:
    due = time.monotonic() + offset
    while True:
        await asyncio.sleep(due - time.monotonic())
        asker.ask(due)
        due += pause_seconds


async def _describe(plan: ProbePlan, session: aiohttp.ClientSession, samples: list[Sample]) -> None:
    signer = SigV4Auth(Credentials(plan.access_key_id, plan.secret_access_key), "iot", REGION)
    due = time.monotonic()
    turn = 0
    while True:
        url = f"{plan.url}/things/{plan.things[turn % len(plan.things)]}"
        request = AWSRequest(method="GET", url=url)
        signer.add_auth(request)
        await asyncio.sleep(due - time.monotonic())
        async with session.get(url, headers=dict(request.headers)) as response:
            body = await response.read()
        if response.status != 200:
            raise RuntimeError(f"{url}: {response.status} {body[:200]!r}")
        samples.append(Sample("describe", due, time.monotonic() - due))
        turn += 1
        due += plan.pause_seconds / 4


def main() -> int:
    """Run the plan in the file that the only argument names."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ProbePlan)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    samples = uvloop.run(probe(plan))
    print("result", msgspec.json.encode(samples).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
