"""The Lambda Runtime API of one worker, on a loopback port of its own (the client takes no path prefix).

The worker asks for its next event and waits; what it posts back ends the invocation. Only the worker itself is answered:
other programs of this machine can find the port, but not pass the question whose socket it is.
Source: AWS Lambda developer guide, "Using the Lambda runtime API".
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web

from outfitter_server.functions.settings import PAYLOAD_BYTES_MAX

Address = tuple[str, int]

ROOT: Final = "/2018-06-01/runtime"
ERROR_BYTES_MAX: Final = 1024 * 1024
CONNECTIONS_MAX: Final = 32  # the client needs one; a function must not use up the server's descriptors
_KEEPALIVE_SECONDS: Final = 24 * 3_600.0  # a warm worker waits long, and its connection with it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a worker is given; ``deadline_ms`` since the epoch is told when it fetches the event."""

    request_id: str
    payload: bytes
    function_arn: str
    client_context: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the worker posted: its result, an error of the function (``failed``), or that it could not start (``init``)."""

    payload: bytes
    failed: bool = False
    init: bool = False
    oversize: int | None = None


class _Gate(asyncio.Protocol):
    """A connection that nobody has looked at yet: it becomes the server's, or ends before it is read from."""

    def __init__(self, server: web.Server, is_worker: Callable[[Address, Address], bool]) -> None:
        self._server = server
        self._is_worker = is_worker

    def connection_made(self, given: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", given)  # uvloop's is no subclass
        own, other = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        full = len(self._server.connections) >= CONNECTIONS_MAX
        if full or not other or not self._is_worker(own[:2], other[:2]):
            _log.debug("a connection to the runtime API of a worker was turned away: %s", other)
            transport.abort()
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


def _unknown_request() -> web.Response:
    return web.json_response({"errorMessage": "no such request", "errorType": "InvalidRequestID"}, status=400)


class RuntimeApi:
    """The listener of one worker.

    Args:
        is_worker: whether a connection (own address, other address) is the worker's.
        fetched: told when the worker has taken an event; gives its deadline, milliseconds since the epoch.
        waiting: told when the worker asks for an event and there is none.
        replied: told what it posted.
    """

    def __init__(
        self,
        *,
        is_worker: Callable[[Address, Address], bool],
        fetched: Callable[[], int],
        waiting: Callable[[], None],
        replied: Callable[[Reply], None],
    ) -> None:
        self._is_worker = is_worker
        self._fetched = fetched
        self._waiting = waiting
        self._replied = replied
        self._event: asyncio.Future[Event | None] | None = None
        self._current: Event | None = None
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def open(self) -> str:
        """Listen; the address for AWS_LAMBDA_RUNTIME_API."""
        server = self._server = web.Server(self._serve, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Gate(server, self._is_worker), "127.0.0.1", 0, backlog=CONNECTIONS_MAX
        )
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        """Stop listening and drop the connections; the worker is gone by now."""
        if self._listener is not None:
            self._listener.close()
        if self._event is not None and not self._event.done():
            self._event.set_result(None)
        if self._server is not None:
            await self._server.shutdown(timeout=1)

    def give(self, event: Event) -> None:
        """Hand over an event, now if the worker waits, else when it asks."""
        self._next().set_result(event)

    def _next(self) -> "asyncio.Future[Event | None]":
        if self._event is None:
            self._event = asyncio.get_running_loop().create_future()
        return self._event

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if request.method == "GET" and path == f"{ROOT}/invocation/next":
            return await self._answer_next()
        if request.method == "POST" and path == f"{ROOT}/init/error":
            return await self._take(request, init=True)
        if request.method == "POST" and self._current is not None:
            own = f"{ROOT}/invocation/{self._current.request_id}"
            if path == f"{own}/response":
                return await self._take(request)
            if path == f"{own}/error":
                return await self._take(request, failed=True)
        return _unknown_request()

    async def _answer_next(self) -> web.StreamResponse:
        future = self._next()
        if not future.done():
            self._waiting()
        event = await asyncio.shield(future)
        self._event = None
        if event is None:
            return web.Response(status=410)
        self._current = event
        headers = {
            # The client crashes without a word when there is no content type.
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": event.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self._fetched()),
            "Lambda-Runtime-Invoked-Function-Arn": event.function_arn,
        }
        if event.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = event.client_context
        return web.Response(body=event.payload, headers=headers)

    async def _take(
        self, request: web.BaseRequest, *, failed: bool = False, init: bool = False
    ) -> web.Response:
        limit = ERROR_BYTES_MAX if failed or init else PAYLOAD_BYTES_MAX
        chunks: list[bytes] = []
        size, event = 0, self._current
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
        if self._current is not event:
            return _unknown_request()
        self._current = None
        if size > limit:
            self._replied(Reply(b"", failed=True, oversize=size))
            return web.json_response({"errorType": "RequestEntityTooLarge"}, status=413)
        self._replied(Reply(b"".join(chunks), failed=failed or init, init=init))
        return web.json_response({"status": "OK"}, status=202)
