"""A WebSocket as a transport: who is behind it writes and reads bytes, and knows nothing of frames.

No task and no queue stands between the socket and its reader: what comes in is handed on in the turn in which it came, and a
pause on either side reaches the socket.
"""

import asyncio
import logging
from typing import Any, Final, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from outfitter_server.https import limits

_DATA: Final = frozenset({Opcode.BINARY, Opcode.CONT})

_log: Final = logging.getLogger(f"{__name__}.frames")
_log.setLevel(logging.WARNING)  # what clients send is not for logs, and each close is told elsewhere


class WebSocketTransport(asyncio.Transport, asyncio.Protocol):
    """The protocol of a socket whose upgrade was answered, and the transport of ``reader``.

    Frames may hold a part of a packet or several; fragments are handed on as they come, so that a message of any length is
    no burden and only a frame is bounded. Pings are answered, texts refused. What is written in one call is one message,
    of as many frames as it takes.
    """

    __slots__ = ("_closing", "_frames", "_reader", "_socket")

    def __init__(self, reader: asyncio.Protocol, socket: asyncio.Transport) -> None:
        """``reader`` is told of the connection by ``begin``."""
        self._reader = reader
        self._socket = socket
        self._frames = Protocol(Side.SERVER, max_size=(None, limits.WEBSOCKET_FRAME_BYTES_MAX), logger=_log)
        self._closing = False

    def begin(self) -> None:
        """Take the socket over; what comes now are frames."""
        self._socket.set_protocol(self)
        self._reader.connection_made(self)

    # The socket's protocol

    def data_received(self, data: bytes) -> None:
        """Hand on what is complete."""
        self._frames.receive_data(data)
        parts: list[bytes] = []
        for event in self._frames.events_received():
            frame = cast("Frame", event)
            if frame.opcode in _DATA:
                parts.append(bytes(frame.data))
            elif frame.opcode is Opcode.TEXT:
                self._frames.fail(CloseCode.UNSUPPORTED_DATA, "MQTT is sent in binary frames")
                break
        if parts and not self._closing:
            self._reader.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        self._send()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        """The socket's buffer has room."""
        self._reader.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._closing = True
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
            self._socket.resume_reading()  # a paused socket would never bring the answer

    def abort(self) -> None:
        """Close the socket without another byte."""
        self._closing = True
        self._socket.abort()

    def is_closing(self) -> bool:
        """Whether nothing that is written counts any more."""
        return self._closing

    def pause_reading(self) -> None:
        """Stop reading the socket."""
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Read the socket again."""
        self._socket.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the socket's."""
        self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """As the socket's."""
        return self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the socket's: who the peer is, and its TLS."""
        return self._socket.get_extra_info(name, default)
