"""The transport's side of a connection: one write a turn of the loop, and pauses in both directions, bounded."""

import asyncio
import logging
from typing import Final, Protocol, cast

from outfitter_server.gateway.limits import ALL_HELD_BYTES_MAX, HELD_BYTES_MAX, WRITE_BUFFER_BYTES
from outfitter_server.services.meters import Meters

# Its client does not read: no reason by itself not to hear that it is alive
WRITING: Final = 1
# Why a connection is not read
ANSWERING: Final = 2  # too many of its requests wait for their answers
COMMITTING: Final = 4  # the committer's queue is full
STOPPING: Final = 8  # the server is
ENTERING: Final = 16  # its CONNECT is granted when an old session is off the disk
TURN: Final = 32  # it sent more than its share; what was read waits to be handled
UNREAD: Final = 64  # its client does not read, and asks for more
PARTIAL: Final = 128  # many come at once, and this one sent a part of its CONNECT

_log = logging.getLogger(__name__)


class Writes(Protocol):
    """Who gathers the connections that have something to write."""

    meters: Meters
    held_bytes: int  # for all clients that do not read

    def flush_soon(self, link: "Link") -> None:
        """Call ``link.flush`` at the end of this turn of the loop."""


class Link(asyncio.Protocol):
    """Bytes out; bytes in are the subclass's.

    Attributes:
        closing: nothing that comes in counts any more.
    """

    __slots__ = ("_held_bytes", "_out", "_out_more", "_pauses", "_transport", "_writes", "closing")

    _transport: asyncio.Transport

    def __init__(self, writes: Writes) -> None:
        """Not connected yet."""
        self.closing = False
        self._writes = writes
        self._out = b""  # of the frames of this turn, which mostly is the only one
        self._out_more: list[bytes] | None = None
        self._held_bytes = 0
        self._pauses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    @property
    def transport(self) -> asyncio.Transport:
        """The transport, for what it knows of the peer."""
        return self._transport

    @property
    def meters(self) -> Meters:
        """Where this connection's traffic is counted."""
        return self._writes.meters

    @property
    def name(self) -> str:
        """Who the client is, for the log."""
        return str(self._transport.get_extra_info("peername"))

    def pause_writing(self) -> None:
        """The client does not read: what it is sent is held back."""
        self._pauses |= WRITING

    def resume_writing(self) -> None:
        """The client reads again."""
        self._let_go()
        self._pauses &= ~WRITING
        self.resume(UNREAD)
        self.flush()

    def _let_go(self) -> None:
        """Nothing is held back any more."""
        self._writes.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def pause(self, why: int) -> None:
        """Stop reading for one more reason."""
        if not self._pauses & ~WRITING and not self.closing:
            self._transport.pause_reading()
        self._pauses |= why

    def resume(self, why: int) -> None:
        """One reason less not to read."""
        was = self._pauses & ~WRITING
        self._pauses &= ~why
        if was and not self._pauses & ~WRITING and not self.closing:
            self._transport.resume_reading()

    def write(self, frame: bytes) -> None:
        """Send bytes with this turn's; a client that reads too slowly is cut off."""
        if self.closing:
            return
        if not self._out:
            self._out = frame
            self._writes.flush_soon(self)
        elif self._out_more is None:
            self._out_more = [frame]
        else:
            self._out_more.append(frame)
        if self._pauses & WRITING:
            self._held_bytes += len(frame)
            self._writes.held_bytes += len(frame)
            if self._held_bytes > HELD_BYTES_MAX or self._writes.held_bytes > ALL_HELD_BYTES_MAX:
                self.cut_off()

    def cut_off(self) -> None:
        """Its client reads too slowly to be kept."""
        self._writes.meters.slow_readers += 1
        _log.info("connection of %s closed: it does not read what it is sent", self.name)
        self.abort()

    def flush(self) -> None:
        """Hand this turn's bytes to the transport."""
        data = self._out
        if data and not self._pauses & WRITING:
            if self._out_more is not None:
                data = b"".join((data, *self._out_more))
            self._forget()
            self._writes.meters.bytes_out += len(data)
            self._transport.write(data)

    def _forget(self) -> None:
        """This turn's bytes are on their way, or nobody is there for them."""
        self._out, self._out_more = b"", None

    def shut(self) -> None:
        """Close once what was written is out; at once when the client does not read."""
        self.flush()
        self.closing = True
        if self._pauses & WRITING:
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close without another byte."""
        self.closing = True
        self._forget()
        self._let_go()
        self._transport.abort()
