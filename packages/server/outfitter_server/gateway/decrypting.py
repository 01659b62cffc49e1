"""What TLS connections read into: one buffer for all of them.

To a protocol that is given bytes, uvloop hands them out of 256 kB that it allocates for each read, and it learns that there is
no more by an exception; to one that has a buffer, by a count. That is a third of what a small message over TLS costs.
"""

import asyncio
from typing import Final

BUFFER_BYTES: Final = 64 * 1024
_GONE: Final = asyncio.Protocol()


def shared_buffer() -> memoryview:
    """A buffer for all connections of one loop: what is in it is copied out before the next is read."""
    return memoryview(bytearray(BUFFER_BYTES))


class Decrypting(asyncio.BufferedProtocol):
    """Stands before the protocol of a connection, and gives it what came as bytes."""

    __slots__ = ("_buffer", "_protocol")

    def __init__(self, protocol: asyncio.Protocol, buffer: memoryview) -> None:
        """``buffer`` is the loop's."""
        self._protocol = protocol
        self._buffer = buffer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over. uvloop keeps this object with the transport, which the protocol keeps: it has to let go of that one."""
        protocol, self._protocol = self._protocol, _GONE
        protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._protocol.resume_writing()

    def eof_received(self) -> bool | None:
        """The client writes no more."""
        return self._protocol.eof_received()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """They are there."""
        self._protocol.data_received(self._buffer[:nbytes].tobytes())
