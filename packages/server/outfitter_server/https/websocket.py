"""A WebSocket as a transport: who is behind it writes and reads bytes, and knows nothing of frames.

No task and no queue stands between the socket and its reader: what comes in is handed on in the turn in which it came, and a
pause on either side reaches the socket. Only so many frames are taken off at once, for one read may bring tens of thousands, and
an empty one costs as much as any other: the rest waits for turns, as the packets behind it do.
"""

import asyncio
import logging
from typing import Any, Final, Protocol, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol as Frames
from websockets.protocol import Side, State

from outfitter_server.https import limits

_DATA: Final = frozenset({Opcode.BINARY, Opcode.CONT})
_MASKED, _LENGTH = 0x80, 0x7F  # in a frame's second byte
_LENGTH_BYTES: Final = {126: 2, 127: 8}  # where the length stands behind it

_log: Final = logging.getLogger(f"{__name__}.frames")
_log.setLevel(logging.WARNING)  # what clients send is not for logs, and each close is told elsewhere


class Reader(Protocol):
    """Who is behind a WebSocket: an asyncio protocol with a share of the server.

    Attributes:
        patient: what comes now waits for its turn, however little it is.
    """

    @property
    def patient(self) -> bool:
        """See above."""

    def frames_came(self, count: int) -> None:
        """Frames were taken off, whatever was in them."""

    def pinged(self, count: int) -> None:
        """So many pings are answered though the client does not read."""

    def wait_for_turn(self, frames: "WebSocketTransport") -> None:
        """Have ``frames.take_turn`` called in the round of all that wait, until it says that nothing is left."""

    def connection_made(self, transport: asyncio.BaseTransport, /) -> None:
        """The connection is there."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """It is over."""

    def data_received(self, data: bytes, /) -> None:
        """Bytes came."""

    def pause_writing(self) -> None:
        """The client does not read."""

    def resume_writing(self) -> None:
        """The client reads again."""


class WebSocketTransport(asyncio.Transport, asyncio.Protocol):
    """The protocol of a socket whose upgrade was answered, and the transport of ``reader``.

    Frames may hold a part of a packet or several; fragments are handed on as they come, so that a message of any length is
    no burden and only a frame is bounded. Pings are answered, texts refused. What is written in one call is one message,
    of as many frames as it takes.
    """

    __slots__ = (
        "_at",
        "_closing",
        "_frames",
        "_full",
        "_held",
        "_left",
        "_more",
        "_reader",
        "_socket",
        "_unread",
        "_waits",
    )

    def __init__(self, reader: Reader, socket: asyncio.Transport) -> None:
        """``reader`` is told of the connection by ``begin``."""
        self._reader = reader
        self._socket = socket
        self._unread, self._at = b"", 0  # what came and was not looked at, from a position
        self._left = 0  # bytes of the frame that was begun
        self._more = False  # frames may be there that were not taken off
        self._waits = False  # for a turn
        self._held = False  # by the reader
        self._full = False  # the socket's buffer: the client does not read
        self._frames = Frames(Side.SERVER, max_size=(None, limits.WEBSOCKET_FRAME_BYTES_MAX), logger=_log)
        self._closing = False

    def begin(self) -> None:
        """Take the socket over; what comes now are frames."""
        self._socket.set_protocol(self)
        self._reader.connection_made(self)

    # The socket's protocol

    def data_received(self, data: bytes) -> None:
        """Take frames off within the client's share, and let the rest wait."""
        idle = not (self._unread or self._left or self._waits or self._held)
        if idle and _frame_bytes(data, 0) == len(data) and not self._reader.patient:
            # What nearly every read brings, one whole frame, need not be looked at any closer.
            self._reader.frames_came(1)
            self._hand_on(data)
            return
        self._unread, self._at = self._unread[self._at :] + data, 0
        if self._waits or self._held:
            self._more = True
            self._pause()
        elif self._reader.patient:
            self._more = True
            self._line_up()
        elif self._take_off():
            self._line_up()

    def take_turn(self) -> bool:
        """Take a few frames off; whether there are more for another turn."""
        self._waits = self._more and not self._held and self._take_off()
        if not self._waits:
            self._resume()
        return self._waits

    def hold_back(self) -> None:
        """Do not read the socket before what waits is handled."""
        if self._waits:
            self._pause()

    def _line_up(self) -> None:
        if not self._waits and not self._held:
            self._waits = True
            self._reader.wait_for_turn(self)

    def _pause(self) -> None:
        if not self._socket.is_closing():
            self._socket.pause_reading()

    def _resume(self) -> None:
        """Read the socket again unless there is a reason not to; what was read already comes first."""
        if self._held or self._socket.is_closing():
            return
        if self._more:
            self._line_up()
        else:
            self._socket.resume_reading()

    def _take_off(self) -> bool:
        """Hand on what the next frames hold; whether more of them could be taken off now."""
        data, count = self._next_frames()
        self._reader.frames_came(count)
        self._hand_on(data)
        if self._socket.is_closing():
            self._unread, self._at, self._more = b"", 0, False
        return self._more and not self._held

    def _next_frames(self) -> tuple[bytes, int]:
        """The next bytes, with as many frames' beginnings in them as may be taken off at once; how many those are."""
        data, begin, count = self._unread, self._at, 0
        at, end = begin, len(self._unread)
        while True:
            step = min(self._left, end - at)
            at, self._left = at + step, self._left - step
            if at == end or count == limits.FRAMES_AT_ONCE:
                break
            self._left = _frame_bytes(data, at)
            if not self._left:
                break
            count += 1
        self._more = at < end and count == limits.FRAMES_AT_ONCE
        self._unread, self._at = (b"", 0) if at == end else (data, at)
        return data if not begin and at == end else data[begin:at], count

    def _hand_on(self, data: bytes) -> None:
        self._frames.receive_data(data)
        parts: list[bytes] = []
        pings = 0
        for event in self._frames.events_received():
            frame = cast("Frame", event)
            if frame.opcode in _DATA:
                parts.append(bytes(frame.data))
            elif frame.opcode is Opcode.PING:
                pings += 1
            elif frame.opcode is Opcode.TEXT:
                self._frames.fail(CloseCode.UNSUPPORTED_DATA, "MQTT is sent in binary frames")
                break
        if parts and not self._closing:
            self._reader.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if pings and self._full and not self._closing:
            self._reader.pinged(pings)
        self._send()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._full = True
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        """The socket's buffer has room."""
        self._full = False
        self._reader.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._closing = True
        self._unread, self._at, self._more = b"", 0, False
        self._reader.connection_lost(exc)

    def _send(self) -> None:
        parts = self._frames.data_to_send()
        if not parts:
            return
        ends = not parts[-1]  # the library's mark for the end of the stream
        data = b"".join(parts)
        if data and not self._socket.is_closing():
            self._socket.write(data)
        if ends:
            self._closing = True
            self._socket.close()

    # The reader's transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One message; nothing once either side has said that it closes."""
        if self._frames.state is not State.OPEN:
            return
        size = len(data)
        if size <= limits.WEBSOCKET_FRAME_BYTES_SENT:
            self._frames.send_binary(data)
        else:
            view, step = memoryview(data), limits.WEBSOCKET_FRAME_BYTES_SENT
            self._frames.send_binary(bytes(view[:step]), fin=False)
            for start in range(step, size, step):
                self._frames.send_continuation(bytes(view[start : start + step]), fin=start + step >= size)
        self._send()

    def close(self) -> None:
        """Say goodbye; the socket is closed when the client has answered. Who wants to wait no longer aborts."""
        if self._closing:
            return
        self._closing = True
        if self._frames.state is State.OPEN:
            self._frames.send_close(CloseCode.NORMAL_CLOSURE)
            self._send()
            self._held = False
            self._resume()  # a paused socket would never bring the answer

    def abort(self) -> None:
        """Close the socket without another byte."""
        self._closing = True
        self._socket.abort()

    def is_closing(self) -> bool:
        """Whether nothing that is written counts any more."""
        return self._closing

    def pause_reading(self) -> None:
        """Take no more frames off, and stop reading the socket."""
        self._held = True
        self._pause()

    def resume_reading(self) -> None:
        """Go on."""
        self._held = False
        self._resume()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the socket's."""
        self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """As the socket's."""
        return self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the socket's: who the peer is, and its TLS."""
        return self._socket.get_extra_info(name, default)


def _frame_bytes(data: bytes, at: int) -> int:
    """How long the frame is that begins there, head and all; 0 when its head is not whole."""
    if len(data) - at < 2:  # noqa: PLR2004 - the bytes that every head has
        return 0
    length = data[at + 1] & _LENGTH
    wide = _LENGTH_BYTES.get(length, 0)
    head = 2 + wide + (4 if data[at + 1] & _MASKED else 0)
    if len(data) - at < head:
        return 0
    return head + (int.from_bytes(data[at + 2 : at + 2 + wide]) if wide else length)
