"""Who answers at a broker that has no job service: ``python -m outfitter_fleet.load.echo PLAN.json``, until SIGTERM.

It hears the requests of all devices and sends each payload back on the topic of the answer, at QoS 1. A line ``echoing``
tells that it is there.
"""

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop

from outfitter_fleet.load import packets
from outfitter_fleet.load.generator import tls_context
from outfitter_fleet.load.plan import Plan

REQUESTS: Final = "bench/{}/get"
_ANSWER: Final = b"/accepted"


class Echo(asyncio.Protocol):
    """One connection, everything that comes in one turn answered in one write."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Not connected yet."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = b""
        self._packet_ids = cycle(range(1, 0x1_0000))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(packets.connect("bench-echo") + packets.subscribe(1, REQUESTS.format("+")))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """That was it."""
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Acknowledge and answer."""
        found, self._left = packets.split(self._left + data if self._left else data)
        for first, _ in found:
            if first == packets.SUBACK:
                print("echoing", flush=True)
        out = answers(found, self._packet_ids)
        if out:
            self._transport.write(b"".join(out))


def answers(found: Iterable[tuple[int, bytes]], packet_ids: Iterator[int]) -> list[bytes]:
    """An acknowledgement and an answer for each PUBLISH at QoS 1 among the packets."""
    out = []
    for first, body in found:
        if first & 0xF0 == packets.PUBLISH:
            topic, packet_id, payload = packets.published(first, body)
            out.append(packets.puback(packet_id))
            out.append(packets.publish_raw(next(packet_ids), topic + _ANSWER, payload))
    return out


async def echo(plan: Plan) -> None:
    """Answer until the connection ends."""
    loop = asyncio.get_running_loop()
    context = tls_context(plan, plan.clients[0])
    _, protocol = await loop.create_connection(Echo, plan.host, plan.port, ssl=context)
    await protocol.ended


def main() -> int:
    """Answer the clients of the plan in the file that the only argument names, as the first of them."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    uvloop.run(echo(plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
