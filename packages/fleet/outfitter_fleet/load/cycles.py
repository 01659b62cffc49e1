"""Devices over HTTP as quick as a server allows: requests signed and encoded before the clock runs, connections kept open.

The same bytes, but for the host, go to every server that is compared.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.stage.server import REGION

_CONNECTIONS: Final = 16


class Cycles(msgspec.Struct, frozen=True, kw_only=True):
    """Whole cycles a second, and the time of one."""

    count: int
    rate: float
    p50_ms: float


def signed(url: str, credentials: Credentials, service: str, method: str, path: str, body: bytes) -> bytes:
    """One HTTP/1.1 request as it goes over the wire."""
    request = AWSRequest(
        method=method, url=url + path, data=body, headers={"content-type": "application/json"}
    )
    SigV4Auth(credentials, service, REGION).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"host: {url.partition('//')[2]}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() != "host"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send a request and read its answer.

    Raises:
        ProvisioningFailed: its status is not 200.
    """
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = b""
    if b"content-length:" in head:
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(None, 1)[0]))
    elif b"chunked" in head:
        body = await _chunks(reader)
    if head.split(None, 2)[1] != b"200":
        raise ProvisioningFailed(f"{request[:80]!r}: {head[:60]!r} {body[:200]!r}")
    return body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def measure_cycles(
    url: str, credentials: Credentials, things: Iterable[str], job: str, seconds_max: float
) -> Cycles:
    """StartNextPendingJobExecution, then UpdateJobExecution to SUCCEEDED, for each thing, or as many as the time allows.

    Raises:
        ProvisioningFailed: a request was refused.
    """
    service = "iot-jobs-data"
    pairs = iter(
        [
            (
                signed(url, credentials, service, "PUT", f"/things/{thing}/jobs/$next", b"{}"),
                signed(
                    url,
                    credentials,
                    service,
                    "POST",
                    f"/things/{thing}/jobs/{job}",
                    b'{"status":"SUCCEEDED"}',
                ),
            )
            for thing in things
        ]
    )
    host, _, port = url.partition("//")[2].partition(":")
    times: list[float] = []
    began = time.perf_counter()

    async def device() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for start, update in pairs:
            sent = time.perf_counter()
            if sent - began > seconds_max:
                break
            started = await exchange(reader, writer, start)
            if job.encode() not in started:
                raise ProvisioningFailed(f"a thing has no execution of {job}: {started[:200]!r}")
            await exchange(reader, writer, update)
            times.append(time.perf_counter() - sent)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(device())
    elapsed = time.perf_counter() - began
    times.sort()
    return Cycles(count=len(times), rate=len(times) / elapsed, p50_ms=times[len(times) // 2] * 1000)
