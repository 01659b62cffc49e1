r"""The ``aws-chunked`` content encoding, decoded without I/O.

A body is a run of chunks ``HEX-SIZE[;chunk-signature=HEX]\r\n DATA \r\n``, ended by one of size 0 and, when the
request says so, trailing headers. Pieces are given out as they come, before their chunk is verified: whoever stores
them must throw them away when ``feed`` or ``finish`` raises.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from outfitter_server.objects.refusals import ChunkSignatureMismatch, IncompleteBody, InvalidArgument

_LINE_BYTES_MAX: Final = 1_024
_TRAILER_BYTES_MAX: Final = 8_192
_CHUNK_HEAD: Final = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


class ChunkSigner(Protocol):
    """The caller's key at work; signatures are 64 hex digits."""

    def seed(self) -> str:
        """The signature of the request's headers, with which the chain begins."""

    def chunk(self, previous: str, sha256: str) -> str:
        """The signature of a chunk of this SHA-256 (hex)."""

    def trailer(self, previous: str, trailers: Iterable[tuple[str, str]]) -> str:
        """The signature of the trailing headers."""


class _State(Enum):
    HEAD = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    DONE = auto()


@dataclass(slots=True)
class _Chunk:
    left: int
    signature: str
    sha256: "hashlib._Hash | None"


class ChunkedDecoder:
    """Feed it the body as it arrives; take the trailing headers from ``trailers`` when ``finish`` has returned."""

    def __init__(self, *, length: int, signer: ChunkSigner | None, trailing: bool) -> None:
        """``length``: the decoded bytes that the request declared; ``signer`` None: chunks are not signed."""
        self._length = length
        self._signer = signer
        self._trailing = trailing
        self._previous = signer.seed() if signer else ""
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._chunk = _Chunk(0, "", None)
        self._received = 0
        self._trailer_bytes = 0
        self._trailer_signature = ""
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> list[bytes]:
        """The decoded pieces in these bytes.

        Raises:
            IncompleteBody: the framing is broken, or more bytes come than were declared.
            ChunkSignatureMismatch: a chunk or the trailer is signed wrongly.
        """
        pieces: list[bytes] = []
        if self._state is _State.DATA and not self._buffer:
            data = self._take_data(data, pieces)
        self._buffer += data
        while self._buffer and self._step(pieces):
            pass
        return pieces

    def finish(self) -> None:
        """The body has ended.

        Raises:
            IncompleteBody: too early, or with fewer bytes than were declared.
        """
        if self._state is not _State.DONE or self._received != self._length:
            raise IncompleteBody(
                f"the aws-chunked body ended after {self._received} of the {self._length} bytes that "
                "x-amz-decoded-content-length declares",
            )

    def _step(self, pieces: list[bytes]) -> bool:
        """Take one element from the buffer; whether to look for another."""
        if self._state is _State.DATA:
            # No more than the chunk's: of thousands of tiny chunks each would copy all that follow it.
            data = bytes(self._buffer[: self._chunk.left])
            del self._buffer[: len(data)]
            self._take_data(data, pieces)
            return True
        if self._state is _State.DONE:
            raise IncompleteBody("bytes follow the end of the aws-chunked body")
        line = self._take_line()
        if line is None:
            return False
        if self._state is _State.HEAD:
            self._begin_chunk(line)
        elif self._state is _State.DATA_END:
            if line:
                raise IncompleteBody("a chunk of the aws-chunked body is longer than its head says")
            self._state = _State.HEAD
        else:
            self._take_trailer(line)
        return True

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0 or end > _LINE_BYTES_MAX:
            if len(self._buffer) > _LINE_BYTES_MAX:
                raise IncompleteBody(f"a line of the aws-chunked body has more than {_LINE_BYTES_MAX} bytes")
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_HEAD.fullmatch(line)
        if match is None:
            raise IncompleteBody("the head of a chunk of the aws-chunked body cannot be read")
        size = int(match[1], 16)
        if self._received + size > self._length:
            raise IncompleteBody(
                f"the aws-chunked body has more than the {self._length} bytes that were declared"
            )
        signature = (match[2] or b"").decode()
        self._chunk = _Chunk(size, signature, hashlib.sha256() if self._signer else None)
        if size:
            self._state = _State.DATA
            return
        self._verify_chunk()
        self._state = _State.TRAILERS

    def _take_data(self, data: bytes, pieces: list[bytes]) -> bytes:
        piece = data[: self._chunk.left]
        if piece:
            pieces.append(piece)
            if self._chunk.sha256:
                self._chunk.sha256.update(piece)
            self._chunk.left -= len(piece)
            self._received += len(piece)
        if not self._chunk.left:
            self._verify_chunk()
            self._state = _State.DATA_END
        return data[len(piece) :]

    def _verify_chunk(self) -> None:
        if self._signer is None or self._chunk.sha256 is None:
            return
        expected = self._signer.chunk(self._previous, self._chunk.sha256.hexdigest())
        if not hmac.compare_digest(expected, self._chunk.signature):
            raise ChunkSignatureMismatch(
                "the signature of a chunk of the body does not match; nothing was stored"
            )
        self._previous = expected

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _TRAILER_BYTES_MAX:
            raise InvalidArgument(f"the trailing headers have more than {_TRAILER_BYTES_MAX} bytes")
        if line:
            self._keep_trailer(line)
        elif not (self._trailing and self._signer) or self._trailer_signature:
            # Some SDKs put an empty line before the trailer's signature: the end is the one after it.
            self._verify_trailer()
            self._state = _State.DONE

    def _keep_trailer(self, line: bytes) -> None:
        if not self._trailing:
            raise IncompleteBody("the body has trailing headers that x-amz-content-sha256 does not announce")
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            raise IncompleteBody("a trailing header of the aws-chunked body cannot be read")
        if name == _TRAILER_SIGNATURE:
            self._trailer_signature = value
        else:
            self.trailers[name] = value

    def _verify_trailer(self) -> None:
        if self._signer is None or not self._trailing:
            return
        expected = self._signer.trailer(self._previous, self.trailers.items())
        if not hmac.compare_digest(expected.encode(), self._trailer_signature.encode("latin-1")):
            raise ChunkSignatureMismatch(
                "the signature of the trailing headers does not match; nothing was stored"
            )
