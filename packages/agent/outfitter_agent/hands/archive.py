"""Reading images: tar.gz files of unknown origin.

Python 3.11.2 has no extraction filters, so every member is judged here: only folders and regular files, only below the
slot, no name twice, no mode beyond 0755, bounded in number, depth and bytes. Links, devices, sparse files and the rest are
refused. Reads are bounded too, because tar headers may claim gigabytes of names, and what is written is, whatever was read.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from outfitter_contract.image import (
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    Manifest,
    ManifestError,
    parse_manifest,
)

from outfitter_agent.hands.base import FrameWriter
from outfitter_agent.hands.durable import sync_folder
from outfitter_agent.plans.troubles import Trouble

MEMBERS_MAX: Final = 50_000
DEPTH_MAX: Final = 32
PART_BYTES_MAX: Final = 255
BLOCK_BYTES: Final = 256 * 1024
READ_BYTES_MAX: Final = 1024 * 1024
HEADERS_BYTES_MAX: Final = 2 * READ_BYTES_MAX
"""Of one member: its header may have headers of its own, which the library keeps in memory."""
SPARSE: Final = "GNU.sparse."

_BROKEN = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    UnicodeError,
    ValueError,
    OverflowError,
    RecursionError,  # a header whose header has a header
)


class _BoundedReader:
    """A gzip stream that gives up when it is asked for too much at once, or holds too much in all."""

    def __init__(
        self, stream: gzip.GzipFile, bytes_max: int, check: Callable[[], None], frame: FrameWriter | None
    ) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._go_on = check
        self._frame = frame
        self._headers_left: int | None = HEADERS_BYTES_MAX  # those of the first are read when it is opened
        self._written = 0

    @contextmanager
    def headers(self) -> Iterator[None]:
        """In it, what is read (and not skipped) are the headers of one member."""
        self._headers_left = HEADERS_BYTES_MAX
        yield
        self._headers_left = None

    def wrote(self, length: int) -> None:
        """So many more bytes are in the slot."""
        self._go_on()
        self._written += length
        self._check(self._written)

    @contextmanager
    def content_of(self, name: str, length: int) -> Iterator[None]:
        """In it, what is read is the content of a file, and nothing of the frame."""
        frame, self._frame = self._frame, None
        yield
        if frame is not None:
            frame.skip(name, length)
        self._frame = frame

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= READ_BYTES_MAX:
            raise Trouble(f"the image is not acceptable: a header claims {size} bytes")
        if self._headers_left is not None:
            self._headers_left -= size
            if self._headers_left < 0:
                raise Trouble(
                    f"the image is not acceptable: a member's headers take more than {HEADERS_BYTES_MAX} bytes"
                )
        return self._take(size)

    def _take(self, size: int) -> bytes:
        self._go_on()
        content = self._stream.read(size)
        self._check(self._stream.tell())
        if self._frame is not None:
            self._frame.keep(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._stream.tell():
            raise Trouble("the image is not acceptable: its members are out of order")
        self._check(offset)
        while (missing := offset - self._stream.tell()) and self._take(min(missing, BLOCK_BYTES)):
            pass
        return self._stream.tell()

    def tell(self) -> int:
        return self._stream.tell()

    def drain(self) -> None:
        """Read to the end, which checks the stream's own checksum and completes the frame."""
        while self._take(BLOCK_BYTES):
            pass
        if self._frame is not None:
            self._frame.end()

    def _check(self, offset: int) -> None:
        if offset > self._bytes_max:
            raise Trouble(f"the image is not acceptable: unpacked it is larger than {self._bytes_max} bytes")


def _no_check() -> None:
    """Nothing stops the reading."""


def read_manifest(image: Path, bytes_max: int, check: Callable[[], None] = _no_check) -> Manifest:
    """The manifest in an image file; raises Trouble. ``check`` is called all the while, and may raise to end it."""
    with _members(image, bytes_max, check) as (archive, members, _):
        for name, member in members:
            if name == MANIFEST_NAME and member.isreg():
                if member.size > MANIFEST_BYTES_MAX:
                    raise Trouble(f"{MANIFEST_NAME} is larger than {MANIFEST_BYTES_MAX} bytes")
                content = archive.extractfile(member)
                try:
                    return parse_manifest(content.read() if content else b"")
                except ManifestError as error:
                    raise Trouble(f"the image is not acceptable: {error}") from None
    raise Trouble(f"the image is not acceptable: it has no {MANIFEST_NAME} at its top")


def unpack(
    image: Path,
    folder: Path,
    frame_file: Path,
    bytes_max: int,
    check: Callable[[], None] = _no_check,
) -> None:
    """Write an image's members below the folder (which must be empty), every one synced; raises Trouble, OSError.

    The frame beside them makes a base of them. ``check`` is called all the while, and may raise to end it.
    """
    folders = [folder]
    seen: set[str] = set()
    with (
        frame_file.open("wb") as opened,
        _members(image, bytes_max, check, FrameWriter(opened)) as (archive, members, reader),
    ):
        for name, member in members:
            if name in seen and not member.isdir():
                raise Trouble(f"the image is not acceptable: '{name}' is in it twice")
            seen.add(name)
            path = folder / name
            if member.isdir():
                folders += _made(path)
                continue
            folders += _made(path.parent)
            with reader.content_of(name, member.size):
                _write(archive, member, path, reader)
        reader.drain()
    for path in reversed(folders):
        sync_folder(path)


def _made(path: Path) -> list[Path]:
    """Make the folder with those above it; the new ones, whose names are to be synced, the highest first."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    missing.reverse()
    for each in missing:
        each.mkdir(mode=0o755)
    return missing


@contextmanager
def _members(
    image: Path, bytes_max: int, check: Callable[[], None], frame: FrameWriter | None = None
) -> Iterator[tuple[tarfile.TarFile, Iterator[tuple[str, tarfile.TarInfo]], _BoundedReader]]:
    try:
        with gzip.open(image, "rb") as stream:
            reader = _BoundedReader(stream, bytes_max, check, frame)
            with tarfile.open(fileobj=reader, mode="r:") as archive:  # type: ignore[call-overload] # reads, seeks, tells
                yield archive, _judged(archive, reader), reader
    except _BROKEN as error:
        raise Trouble(f"the image is corrupt: it is not a readable tar.gz ({error})") from None


def _judged(archive: tarfile.TarFile, reader: _BoundedReader) -> Iterator[tuple[str, tarfile.TarInfo]]:
    count = 0
    while (member := _next(archive, reader)) is not None:
        count += 1
        if count > MEMBERS_MAX:
            raise Trouble(f"the image is not acceptable: it has more than {MEMBERS_MAX} members")
        name = _safe_name(member)
        if name:
            yield name, member
        archive.members.clear()  # type: ignore[attr-defined] # else it keeps every member in memory


def _next(archive: tarfile.TarFile, reader: _BoundedReader) -> tarfile.TarInfo | None:
    with reader.headers():
        return archive.next()


def _safe_name(member: tarfile.TarInfo) -> str:
    """The member's path without ``./``; "" for the top folder itself. Raises Trouble."""
    shown = member.name[:200]
    if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
        raise Trouble(f"the image is not acceptable: '{shown}' is neither a file nor a folder")
    if member.sparse is not None or any(key.startswith(SPARSE) for key in member.pax_headers):
        raise Trouble(f"the image is not acceptable: '{shown}' is a sparse file")
    if member.name.startswith("/"):
        raise Trouble(f"the image is not acceptable: '{shown}' is an absolute path")
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Trouble(f"the image is not acceptable: '{shown}' leads out of its folder")
    if len(parts) > DEPTH_MAX or any(len(part.encode()) > PART_BYTES_MAX or "\0" in part for part in parts):
        raise Trouble(f"the image is not acceptable: the path '{shown}' is too long or too deep")
    return "/".join(parts)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, reader: _BoundedReader) -> None:
    source = archive.extractfile(member)
    mode = 0o755 if member.mode & 0o111 else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        while source and (block := source.read(BLOCK_BYTES)):
            reader.wrote(len(block))
            file.write(block)
        if file.tell() != member.size:
            raise Trouble(f"the image is corrupt: '{member.name[:200]}' is shorter than its header says")
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
