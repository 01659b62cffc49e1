"""Where devices come in: a few at a time, however many knock, and none that does not begin to speak.

After a power cut all devices come at once, and an attacker's come all the time. Connections are taken from the kernel's backlog
one a turn of the loop, so that those who are in are served between; the others wait there, where they cost nothing. TLS begins when the
client's first bytes are there: a connection that is silent costs a descriptor. Handshakes under way are bounded in number and
time; when there are too many, the oldest gives way.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from outfitter_server.gateway.decrypting import Decrypting, shared_buffer
from outfitter_server.gateway.handshakes import Shaking, Workshop
from outfitter_server.gateway.limits import (
    BACKLOG,
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    HANDSHAKE_SECONDS,
    HANDSHAKE_YOUNG_SECONDS,
    HANDSHAKES_MAX,
    HANDSHAKES_YOUNG_MAX,
    SILENT_MAX,
)
from outfitter_server.services.meters import Counts

_NEXT_SECONDS: Final = 0.001  # from one handshake's begin to the next one's
_RETRY_SECONDS: Final = 0.5  # after the system had no descriptor left

_log = logging.getLogger(__name__)


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of a name.

    Raises:
        OSError: one of them cannot be bound.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    made: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            made.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
    except OSError:
        for listening in made:
            listening.close()
        raise
    return made


class Doorway:
    """The listeners of one address."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        is_full: Callable[[], bool],
        refused: Counts,
    ) -> None:
        """``make`` gives the protocol of a connection; ``is_full`` says that there is no room for one.

        ``refused`` counts connections that ended before they were the gateway's: SILENT, HANDSHAKE (it failed), CROWDED (it
        had to give way) or FULL.
        """
        self._refused = refused
        self._make = make
        self._context = context
        self._is_full = is_full
        self._loop = asyncio.get_running_loop()
        self._buffer = shared_buffer()
        self._listening: list[socket.socket] = []
        self._silent: dict[socket.socket, float] = {}  # until when it may be; the oldest first
        self._speaking: deque[socket.socket] = deque()  # its handshake can begin
        self._shaking: dict[socket.socket, float] = {}  # when it began; the oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning = False
        self._workshop = Workshop()

    async def open(self, host: str, port: int) -> int:
        """Listen; the bound port.

        Raises:
            OSError: an address cannot be listened on.
        """
        self._listening = await listening_sockets(host, port)
        for listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)
        bound: int = self._listening[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Listen no more; who did not come in yet is turned away."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()
        for silent in list(self._silent):
            self._forget(silent)
            silent.close()
        while self._speaking:
            self._speaking.popleft().close()
        for task in list(self._tasks):
            task.cancel()
        self._workshop.close()

    @property
    def waiting(self) -> int:
        """How many connections did not come in yet."""
        return len(self._silent) + len(self._speaking) + len(self._shaking)

    def check(self) -> None:
        """Turn away who was silent for too long; for now and then."""
        now = self._loop.time()
        while self._silent:
            oldest = next(iter(self._silent))
            if self._silent[oldest] > now:
                return
            self._turn_away(oldest)

    def _accept(self, listening: socket.socket) -> None:
        """Take one; the loop comes back here for the next when others had their turn."""
        try:
            taken, _address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.warning("no connection can be taken: %s; trying again", error.strerror)
            self._rest(listening)
            return
        taken.setblocking(False)
        if self._is_full():
            self._refused["FULL"] += 1
            taken.close()
        elif self._context is None:
            self._bring_in(taken)
        else:
            self._await_hello(taken)

    def _rest(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)
        self._loop.call_later(_RETRY_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    # With TLS

    def _await_hello(self, taken: socket.socket) -> None:
        self._silent[taken] = self._loop.time() + CONNECT_SECONDS
        self._loop.add_reader(taken, self._on_hello, taken)
        if len(self._silent) > SILENT_MAX:
            self._turn_away(next(iter(self._silent)))

    def _forget(self, silent: socket.socket) -> None:
        del self._silent[silent]
        self._loop.remove_reader(silent)

    def _turn_away(self, silent: socket.socket) -> None:
        _log.info("connection from %s closed: it said nothing", _peer(silent))
        self._forget(silent)
        self._refused["SILENT"] += 1
        silent.close()

    def _on_hello(self, taken: socket.socket) -> None:
        self._forget(taken)
        self._speaking.append(taken)
        if not self._beginning:
            self._beginning = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        speaking = self._speaking
        if speaking and not self._workshop.busy and self._young() < HANDSHAKES_YOUNG_MAX:
            if len(self._shaking) >= HANDSHAKES_MAX:
                self._end_oldest()
            self._bring_in(speaking.popleft())
        self._beginning = bool(speaking)
        if self._beginning:
            self._loop.call_later(_NEXT_SECONDS, self._begin)

    def _young(self) -> int:
        """How many handshakes began a moment ago: their clients may be quick, and then all end at once."""
        since, young = self._loop.time() - HANDSHAKE_YOUNG_SECONDS, 0
        for began in reversed(self._shaking.values()):
            if began < since:
                break
            young += 1
        return young

    def _end_oldest(self) -> None:
        oldest = next(iter(self._shaking))
        del self._shaking[oldest]
        self._refused["CROWDED"] += 1
        _log.info("handshake with %s ended: too many are under way", _peer(oldest))
        with contextlib.suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)

    def _bring_in(self, taken: socket.socket) -> None:
        task = self._loop.create_task(self._hand_over(taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, taken: socket.socket) -> None:
        if self._context is None:
            await self._loop.connect_accepted_socket(self._make, taken)
            return
        self._shaking[taken] = self._loop.time()
        try:
            await self._shake(taken, self._context)
        except OSError as error:  # of TLS and of time as well
            self._refused["HANDSHAKE"] += taken in self._shaking
            _log.info("connection closed in its handshake: %s", error)
        finally:
            self._shaking.pop(taken, None)

    async def _shake(self, taken: socket.socket, context: ssl.SSLContext) -> None:
        done = self._loop.create_future()
        make = partial(
            Shaking,
            self._workshop,
            Decrypting(self._make(), self._buffer),
            context,
            done,
            handshake_seconds=HANDSHAKE_SECONDS,
            shutdown_seconds=CLOSE_SECONDS,
        )
        transport = (await self._loop.connect_accepted_socket(make, taken))[0]
        try:
            await done
        except BaseException:
            transport.abort()
            raise
        finally:
            del done, make, transport  # a failure leads to this frame, which would lead back to it


def _peer(taken: socket.socket) -> str:
    try:
        return str(taken.getpeername())
    except OSError:
        return "a client that is gone"
