"""The bare floor of a gateway: ``python -m outfitter_fleet.load.floor PLAN.json``, until SIGTERM.

It takes MQTT 3.1.1 as far as framing goes, acknowledges each PUBLISH and sends its payload back on the topic of the answer: no
sessions, no policies, no checks, no store. A line ``listening`` tells the ports of both wires.
"""

import asyncio
import os
import ssl
import sys
from itertools import cycle
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop

from outfitter_fleet.load import packets
from outfitter_fleet.load.echo import answers

_CONNECT: Final = 0x10
_WELCOME: Final = bytes((packets.CONNACK, 2, 0, 0))


class FloorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to run, and as whom; files in PEM, ``core`` None for any."""

    authority: str
    certificate: str
    key: str
    core: int | None


class Floor(asyncio.Protocol):
    """One client's connection."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Not connected yet."""
        self._left = b""
        self._packet_ids = cycle(range(1, 0x1_0000))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what came, in one write."""
        found, self._left = packets.split(self._left + data if self._left else data)
        out = answers(found, self._packet_ids)
        if found and found[0][0] == _CONNECT:
            out.insert(0, _WELCOME)
        if out:
            self._transport.write(b"".join(out))


async def serve(plan: FloorPlan) -> None:
    """Listen on both wires until cancelled."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plan.certificate, plan.key)
    context.load_verify_locations(plan.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(Floor, "127.0.0.1", 0, ssl=each, backlog=4096) for each in (None, context)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print("listening", *ports, flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> int:
    """Serve as the plan in the file that the only argument names has it."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=FloorPlan)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    uvloop.run(serve(plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
