"""Bodies on their way out: the kernel sends them on plain connections, blocks pass through us on TLS."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from outfitter_server.base.refusals import NotFound

SILENCE_SECONDS_MAX: Final = 60
_STEP_BYTES: Final = 8 * 1024 * 1024
_WRITE_BYTES: Final = 256 * 1024


def takes_sendfile(request: web.BaseRequest) -> bool:
    """Whether the kernel can write files to this connection."""
    transport = request.transport
    return (
        transport is not None
        and transport.get_extra_info("sslcontext") is None
        and transport.get_extra_info("socket") is not None
    )


async def open_file(path: str) -> BinaryIO:
    """The file.

    Raises:
        NotFound: it is gone.
    """
    try:
        return await asyncio.to_thread(Path(path).open, "rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFound("the file is gone") from error


async def send_file(
    request: web.BaseRequest, response: web.StreamResponse, file: BinaryIO, start: int, length: int
) -> None:
    """Send a stretch of a file that ``takes_sendfile`` said yes to.

    Raises:
        ConnectionError: the client went away, or took nothing for a minute.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    # The header must have left our buffer before the kernel writes behind our back.
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    transport.set_write_buffer_limits(high=0)
    await response.prepare(request)
    await request.writer.drain()
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    try:
        if transport.get_write_buffer_size():
            raise ConnectionResetError("the header could not be sent")
        await _send(descriptor, file.fileno(), start, length)
    finally:
        os.close(descriptor)
        # Clients that have their last byte may close at once.
        if not transport.is_closing():
            transport.set_write_buffer_limits()


async def send_blocks(
    request: web.BaseRequest, response: web.StreamResponse, first: bytes, blocks: AsyncIterator[bytes]
) -> None:
    """Send a first block and those that follow it."""
    await response.prepare(request)
    await _write(response, first)
    async for block in blocks:
        await _write(response, block)


async def _write(response: web.StreamResponse, block: bytes) -> None:
    # TLS encrypts on the loop's thread: small writes let others have their turn.
    view = memoryview(block)
    for begin in range(0, len(view), _WRITE_BYTES):
        try:
            async with asyncio.timeout(SILENCE_SECONDS_MAX):
                await response.write(view[begin : begin + _WRITE_BYTES])
        except TimeoutError as error:
            raise ConnectionResetError("the client took nothing for a minute") from error


async def _send(descriptor: int, file: int, start: int, length: int) -> None:
    """The thread waits for the disk, never for the client: the socket does not block."""
    end = start + length
    while start < end:
        try:
            sent = await asyncio.to_thread(
                os.sendfile, descriptor, file, start, min(_STEP_BYTES, end - start)
            )
        except BlockingIOError:
            await _writable(descriptor)
            continue
        if not sent:
            raise OSError("the file is shorter than its row says")
        start += sent


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        async with asyncio.timeout(SILENCE_SECONDS_MAX):
            await ready
    except TimeoutError as error:
        raise ConnectionResetError("the client took nothing for a minute") from error
    finally:
        loop.remove_writer(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
