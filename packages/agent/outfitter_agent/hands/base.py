"""The content of an image once more, out of the slot that it was unpacked to: what delta images are made with.

When an image is unpacked, its *frame* is kept: all of its tar that is no file's content (a kilobyte for each file), with the
places where the files' content was. Frame and files together are the tar, without another copy of the image.

    frame: records of (length of the piece, of the path, of the file), the piece of the tar, the path; no path: no file
"""

import os
import stat
import struct
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import BinaryIO, Final, Self

from outfitter_agent.plans.troubles import Trouble

PIECE_BYTES_MAX: Final = 1024 * 1024
_RECORD: Final = struct.Struct(">IHQ")


class FrameWriter:
    """Takes down the frame of a tar while that is read."""

    def __init__(self, file: BinaryIO) -> None:
        """Write to this file."""
        self._file = file
        self._piece = bytearray()

    def keep(self, block: bytes) -> None:
        """The next bytes of the tar, which are no file's content."""
        self._piece += block
        if len(self._piece) > PIECE_BYTES_MAX:
            self.skip("", 0)

    def skip(self, path: str, length: int) -> None:
        """The next bytes of the tar are the content of this file."""
        name = path.encode()
        self._file.write(_RECORD.pack(len(self._piece), len(name), length) + self._piece + name)
        self._piece.clear()

    def end(self) -> None:
        """The tar has ended; what was taken down is durable."""
        self.skip("", 0)
        self._file.flush()
        os.fsync(self._file.fileno())


class Base:
    """The content of the image in a slot, readable at any place; to be used in a ``with`` statement."""

    def __init__(self, frame: Path, folder: Path) -> None:
        """Read the frame of what was unpacked to the folder; raises Trouble when there is none."""
        self._folder = folder
        self._starts, self._records = array("Q"), array("Q")
        self._path, self._descriptor = "", -1
        try:
            self._frame = frame.open("rb")
        except FileNotFoundError:
            raise Trouble("the software that runs was installed without what deltas need") from None
        try:
            self.length = self._index()
        except Trouble:
            self._frame.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._frame.close()
        self._close_file()

    def read(self, offset: int, length: int) -> bytes:
        """These bytes of the content; raises Trouble when they are not there any more."""
        if offset + length > self.length:
            raise Trouble(f"the delta wants more of the software that runs than its {self.length} bytes")
        content = bytearray()
        at = bisect_right(self._starts, offset) - 1
        while len(content) < length:
            self._frame.seek(self._records[at])
            piece, path, file_length = self._record()
            within = offset + len(content) - self._starts[at]
            content += piece[within : within + length - len(content)]
            within = max(0, within - len(piece))
            wanted = min(file_length - within, length - len(content))
            if wanted > 0:
                content += self._read_file(path, file_length, within, wanted)
            at += 1
        return bytes(content)

    def _index(self) -> int:
        """Where each record is, in the frame and in the content; the length of the content."""
        length, size = 0, os.fstat(self._frame.fileno()).st_size
        while (record := self._frame.tell()) < size:
            self._starts.append(length)
            self._records.append(record)
            piece, _, file_length = self._record()
            length += len(piece) + file_length
        return length

    def _record(self) -> tuple[bytes, str, int]:
        try:
            piece_length, path_length, file_length = _RECORD.unpack(self._frame.read(_RECORD.size))
            return self._frame.read(piece_length), self._frame.read(path_length).decode(), file_length
        except (struct.error, UnicodeDecodeError):
            raise Trouble("what deltas need of the software that runs is not readable") from None

    def _read_file(self, path: str, length: int, offset: int, wanted: int) -> bytes:
        if path != self._path:
            self._close_file()
            self._path, self._descriptor = path, self._opened(path, length)
        content = os.pread(self._descriptor, wanted, offset)
        if len(content) != wanted:
            raise _changed(path)
        return content

    def _opened(self, path: str, length: int) -> int:
        try:
            descriptor = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise _changed(path) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != length:
            os.close(descriptor)
            raise _changed(path)
        return descriptor

    def _close_file(self) -> None:
        if self._path:
            os.close(self._descriptor)
        self._path = ""


def _changed(path: str) -> Trouble:
    return Trouble(f"the file '{path[:200]}' of the software that runs is not as it was installed")
