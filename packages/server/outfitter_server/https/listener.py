"""The HTTP protocol under the door: aiohttp's low-level server, with limits of our own around it."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from outfitter_server.https import limits

SERVER_NAME: Final = "Outfitter"


class DoorRequest(web.BaseRequest):
    """A request whose answer carries its id, whoever prepares it and whenever.

    Attributes:
        service: who serves it; what is not recognised is for S3 to answer.
    """

    def __init__(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any, loop: Any) -> None:
        super().__init__(message, payload, protocol, writer, task, loop)
        self.request_id = str(uuid.uuid4())
        self.service = "s3"

    @property
    def raw_path(self) -> str:
        """The target as a path with its query: what is verified must be what is served, whoever reads it.

        Proxies are asked in absolute form, and servers must understand it.
        """
        target = super().raw_path
        if target.startswith(("http://", "https://")):
            return "/" + target.split("://", 1)[1].partition("/")[2]
        return target

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers.setdefault("x-amzn-RequestId", self.request_id)
        response.headers["Server"] = SERVER_NAME


class _Refuser(asyncio.Protocol):
    """What a connection gets when there are too many: its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _WithoutClientFaults(logging.Filter):
    """Requests that are no HTTP are answered 400; they are no errors of the server, and their bytes are not for logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


RequestHandler = Callable[[DoorRequest], Awaitable[web.StreamResponse]]


class HttpServer(web.Server):
    """A protocol factory for listeners: one for all the ports of a door."""

    def __init__(self, handler: RequestHandler) -> None:
        """Must be made inside a running loop."""
        logger = logging.getLogger(f"{__name__}.protocol")
        logger.addFilter(_WithoutClientFaults())
        super().__init__(
            cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", handler),
            request_factory=self._make,
            access_log=None,
            logger=logger,
            # S3 stores encoded bodies as they are, and signatures are over them.
            auto_decompress=False,
            keepalive_timeout=limits.KEEPALIVE_SECONDS,
            max_line_size=limits.LINE_BYTES_MAX,
            max_field_size=limits.FIELD_BYTES_MAX,
            max_headers=limits.FIELDS_MAX,
        )
        self._open = 0

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return self._open

    def protocol(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Refuser() if self._open >= limits.CONNECTIONS_MAX else cast("asyncio.Protocol", self())

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Count it."""
        self._open += 1
        super().connection_made(handler, transport)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Count it off."""
        self._open -= 1
        super().connection_lost(handler, exc)

    def _make(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return DoorRequest(message, payload, protocol, writer, task, self._loop)
