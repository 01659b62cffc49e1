"""TLS handshakes beside the loop: what a client's certificate and signatures cost, nobody else waits for.

OpenSSL takes a millisecond or two of processor time for a client's certificate, in one piece, and gives up the interpreter's lock
meanwhile. So that piece runs in a thread: on another core where there is one, and on the same one with less claim to it. The first
step, until the server has spoken, stays on the loop, because it looks at the trust (tls.py) and takes a fraction of that.

While a thread is at it, nobody else touches the connection's two memory buffers: the socket is not read, and the end of the
connection waits. uvloop's own protocol does everything else, after the handshake without another line in between.
"""

import asyncio
import contextlib
import os
import ssl
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, cast

import uvloop.loop

from outfitter_server.gateway.limits import ORDERS_FEW

_NICE: Final = 5  # of what the loop's thread has not: a third of its claim to the processor

_Outcome = Exception | None  # of a step; None when the handshake is done
_Step = Callable[[], None]
_Told = Callable[[_Outcome], None]
# Of the same signature as asyncio.sslproto.SSLProtocol; uvloop's type stubs leave it out.
_Protocol: Any = uvloop.loop.SSLProtocol  # type: ignore[attr-defined]


class Workshop:
    """The thread, begun with the first step. Use it on the event loop's thread."""

    def __init__(self) -> None:
        """Nothing is to be done yet."""
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[tuple[_Step, _Told] | None] = SimpleQueue()
        self._ordered = 0
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether enough is ordered: handshakes that begin now would wait for it, and their clients for them."""
        return self._ordered >= ORDERS_FEW

    def order(self, step: _Step, told: _Told) -> None:
        """Take a step of a handshake, then tell on the loop what came of it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="handshakes", daemon=True)
            self._thread.start()
        self._ordered += 1
        self._orders.put((step, told))

    def _one_less(self) -> None:
        self._ordered -= 1

    def close(self) -> None:
        """Finish what was ordered, and end."""
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()  # and stays: what is ordered in this turn of the loop begins no other

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + _NICE)
        while (order := self._orders.get()) is not None:
            step, told = order
            outcome: _Outcome = None
            try:
                step()
            except Exception as error:  # noqa: BLE001 - raised where the loop asks for the outcome
                outcome = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                # One call for both would keep an error that leads to its frame.
                self._loop.call_soon_threadsafe(self._one_less)
                self._loop.call_soon_threadsafe(told, outcome)
            del order, step, told, outcome


class Tls(ssl.SSLObject):
    """TLS of one connection; set it as a context's ``sslobject_class``."""

    shake: "_Shake | None" = None

    def do_handshake(self) -> None:
        """Take a step, there or here."""
        if self.shake is None:
            super().do_handshake()
        else:
            self.shake.step(super().do_handshake)


class _Shake:
    """A handshake under way: whose turn it is, and what is put off until the thread has let go of the buffers."""

    def __init__(self, workshop: Workshop, protocol: "Shaking") -> None:
        self._workshop = workshop
        self._protocol = protocol
        self._spoke = False  # the server has
        self._outcome: tuple[_Outcome] | None = None
        self.socket: asyncio.Transport | None = None
        self.tls: Tls | None = None
        self.outgoing: ssl.MemoryBIO | None = None
        self.stepping = False  # the thread is at it
        self.lost: tuple[Exception | None] | None = None

    def step(self, compute: _Step) -> None:
        """The next step, or what came of the last one.

        Raises:
            ssl.SSLWantReadError: it is the client's turn, or the thread's.
            ssl.SSLError: the handshake has failed.
        """
        outcome, self._outcome = self._outcome, None
        if outcome is None and self._spoke:
            self._put_off(compute)
            raise ssl.SSLWantReadError
        try:
            if outcome is None:
                compute()
            elif outcome[0] is not None:
                raise outcome[0]
        finally:
            del outcome  # an error leads to this frame, which would lead back to it
            self._spoke = self._spoke or (self.outgoing is not None and self.outgoing.pending > 0)
        self._protocol.shaken()

    def _put_off(self, compute: _Step) -> None:
        self.stepping = True
        if self.socket is not None:
            self.socket.pause_reading()
        # When uvloop has taken out of the buffer what is in it, and not at the same time.
        asyncio.get_running_loop().call_soon(self._workshop.order, compute, self._stepped)

    def _stepped(self, outcome: _Outcome) -> None:
        self.stepping = False
        if self.lost is not None:
            self._protocol.connection_lost(*self.lost)
            return
        self._outcome = (outcome,)
        del outcome
        if self.socket is not None:
            self.socket.resume_reading()
        self._protocol.buffer_updated(0)


class _Begin:
    """Stands in for the context where the handshake begins: the TLS object is to know of it."""

    __slots__ = ("_context", "shake")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.shake: _Shake | None = None

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, server_side: bool, server_hostname: None
    ) -> Tls:
        """As the context does it."""
        assert server_hostname is None  # noqa: S101 - of clients only
        tls = cast(Tls, self._context.wrap_bio(incoming, outgoing, server_side=server_side))
        shake, self.shake = self.shake, None
        if shake is not None:
            tls.shake, shake.tls, shake.outgoing = shake, tls, outgoing
        return tls


class Shaking(_Protocol):  # type: ignore[misc]
    """uvloop's TLS protocol of a server, for ``connect_accepted_socket``."""

    __slots__ = ("_shake",)

    _shake: _Shake | None

    def __init__(
        self,
        workshop: Workshop,
        protocol: asyncio.BaseProtocol,
        context: ssl.SSLContext,
        waiter: asyncio.Future[None],
        *,
        handshake_seconds: float,
        shutdown_seconds: float,
    ) -> None:
        """``waiter`` is done, or fails, with the handshake; ``protocol`` is then connected."""
        begin = _Begin(context)
        super().__init__(
            asyncio.get_running_loop(),
            protocol,
            begin,
            waiter,
            server_side=True,
            ssl_handshake_timeout=handshake_seconds,
            ssl_shutdown_timeout=shutdown_seconds,
        )
        begin.shake = self._shake = _Shake(workshop, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if self._shake is not None:
            self._shake.socket = cast(asyncio.Transport, transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Not before the thread has let go of the buffers."""
        if self._shake is not None and self._shake.stepping:
            self._shake.lost = (exc,)
            return
        self.shaken()
        super().connection_lost(exc)

    def shaken(self) -> None:
        """The handshake is over: nothing of it stays, and nothing for the garbage collector."""
        shake, self._shake = self._shake, None
        if shake is not None and shake.tls is not None:
            del shake.tls.shake
            shake.tls = None
