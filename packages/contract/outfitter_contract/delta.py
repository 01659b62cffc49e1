r"""Delta images: what makes the file of a new image out of the content of an old one.

    outfitter-delta-1\n
    {"base":"<digest>","content_size":…,"gzip":{"head":"<hex>","level":9},"sha256":"<digest>","size":…}\n
    window…

Digests and sizes are those of image files, ``content_size`` is the length of the new image's content: its tar, not packed.
A window is four numbers (big-endian: base offset 64 bits, base length, length, packed length 32 bits each) and a zstd frame
that gives the next ``length`` bytes of the content, with that stretch of the base's content as its prefix. What the
windows give is packed with zlib as the image was, so that the result is the image file, byte for byte.

A window bounds what has to be in memory, on the device and where the delta is made.
"""

import json
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from outfitter_contract.document import SIZE_MAX

FORM: Final = b"outfitter-delta-1\n"
HEAD_BYTES_MAX: Final = 4096
WINDOW_BYTES: Final = 1024 * 1024
"""Of the content, at most, that one window gives."""
BASE_BYTES: Final = 2 * 1024 * 1024
"""Of the base, at most, that one window is made with."""
PACKED_BYTES_MAX: Final = WINDOW_BYTES + 64 * 1024
"""What does not compress becomes a little longer."""
WINDOW_LOG_MAX: Final = 22
"""The zstd window, as a power of two: base and window together fit in it."""
LEVEL_MAX: Final = 9
MEMORY_LEVEL: Final = 8
"""Of zlib; what Python's gzip and most others use."""

_WINDOW: Final = struct.Struct(">QIII")
_GZIP_HEAD: Final = re.compile(r"1f8b0800[0-9a-f]{12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class DeltaError(ValueError):
    """A delta is malformed; the message says what of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a delta says of itself."""

    base: str
    """Digest of the image file whose content it needs."""
    sha256: str
    """Digest of the image file that it makes."""
    size: int
    """Length of that file in bytes."""
    content_size: int
    """Length of its content in bytes."""
    gzip_head: bytes
    """How the file begins: 10 bytes."""
    gzip_level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch of the content."""

    base_offset: int
    base_length: int
    length: int
    packed: bytes
    """A zstd frame."""


class Packer:
    """Makes the image file of its content, block after block; the blocks' lengths make no difference."""

    def __init__(self, head: bytes, level: int) -> None:
        """``head``: how the file begins."""
        self._head = head
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, MEMORY_LEVEL)
        self._checksum = self._length = 0

    def pack(self, block: bytes) -> bytes:
        """What is to be written for the next block."""
        self._checksum = zlib.crc32(block, self._checksum)
        self._length += len(block)
        head, self._head = self._head, b""
        return head + self._deflate.compress(block)

    def end(self) -> bytes:
        """What is to be written last."""
        return self._head + self._deflate.flush() + struct.pack("<LL", self._checksum, self._length % 2**32)


def build_head(head: Head) -> bytes:
    """How the delta begins."""
    told = {
        "base": head.base,
        "content_size": head.content_size,
        "gzip": {"head": head.gzip_head.hex(), "level": head.gzip_level},
        "sha256": head.sha256,
        "size": head.size,
    }
    return FORM + json.dumps(told, separators=(",", ":")).encode() + b"\n"


def read_head(delta: BinaryIO) -> Head:
    """The head of a delta, read from its beginning; raises DeltaError."""
    if delta.read(len(FORM)) != FORM:
        raise DeltaError("it does not begin as deltas do")
    line = delta.readline(HEAD_BYTES_MAX)
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not line.endswith(b"\n") or not isinstance(told, Mapping) or not isinstance(told.get("gzip"), Mapping):
        raise DeltaError("its second line is not what a delta says of itself")
    gzip_head = told["gzip"].get("head")
    if not isinstance(gzip_head, str) or not _GZIP_HEAD.fullmatch(gzip_head):
        raise DeltaError("'gzip' is not how a tar.gz begins")
    return Head(
        base=_digest(told, "base"),
        sha256=_digest(told, "sha256"),
        size=_number(told, "size", SIZE_MAX),
        content_size=_number(told, "content_size", SIZE_MAX),
        gzip_head=bytes.fromhex(gzip_head),
        gzip_level=_number(told["gzip"], "level", LEVEL_MAX),
    )


def build_window(window: Window) -> bytes:
    """The bytes of a window."""
    numbers = (window.base_offset, window.base_length, window.length, len(window.packed))
    return _WINDOW.pack(*numbers) + window.packed


def read_window(delta: BinaryIO) -> Window:
    """The next window; raises DeltaError when it is cut short or asks for too much."""
    numbers = delta.read(_WINDOW.size)
    if len(numbers) != _WINDOW.size:
        raise DeltaError("it ends too early")
    base_offset, base_length, length, packed_length = _WINDOW.unpack(numbers)
    if (
        not 0 < length <= WINDOW_BYTES
        or base_length > BASE_BYTES
        or packed_length > PACKED_BYTES_MAX
        or base_offset > SIZE_MAX
    ):
        raise DeltaError(f"a window of it is too large or empty: {length} bytes out of {packed_length}")
    packed = delta.read(packed_length)
    if len(packed) != packed_length:
        raise DeltaError("it ends too early")
    return Window(base_offset=base_offset, base_length=base_length, length=length, packed=packed)


def _digest(told: Mapping[str, Any], member: str) -> str:
    value = told.get(member)
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise DeltaError(f"'{member}' is not 64 hex digits")
    return value


def _number(told: Mapping[str, Any], member: str, most: int) -> int:
    value = told.get(member)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise DeltaError(f"'{member}' is not a whole number from 1 to {most}")
    return value
