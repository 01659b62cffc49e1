"""The code of functions on disk: archives checked, unpacked once for each digest, removed when no worker needs them."""

import asyncio
import contextlib
import os
import shutil
import stat
import uuid
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.package import ArchiveMember, check_members

KEPT_MAX: Final = 64
_BLOCK_BYTES: Final = 1024 * 1024
_ENCRYPTED: Final = 0x1
_UNREADABLE: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error)

ReadCode = Callable[[str], AsyncIterator[bytes]]


class CodeFolders:
    """Unpacked archives under one folder, readable by every worker, writable by none."""

    def __init__(self, folder: Path, read: ReadCode) -> None:
        """``read`` gives the bytes of a blob."""
        self._folder = folder
        self._read = read
        self._locks: dict[str, asyncio.Lock] = {}
        self._used: dict[str, None] = {}

    async def folder(self, sha256: str, blob: str) -> Path:
        """Where the archive with this digest is unpacked.

        Raises:
            InvalidRequest: it is no zip, or breaks a rule.
            NotFound: the blob is gone.
            OSError: the disk is full.
        """
        place = self._folder / sha256
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            if not place.exists():
                await self._unpack(place, blob)
        self._used.pop(sha256, None)
        self._used[sha256] = None
        return place

    async def trim(self, in_use: set[Path]) -> None:
        """Remove what has not been used for longest, beyond KEPT_MAX."""
        dropped: list[Path] = []
        for sha256 in list(self._used)[: max(0, len(self._used) - KEPT_MAX)]:
            if self._folder / sha256 not in in_use and not self._locks[sha256].locked():
                # At once out of the way of who unpacks it again, then out of this thread.
                dropped.append((self._folder / sha256).rename(self._folder / f"{sha256}.{uuid.uuid4()}"))
                del self._used[sha256], self._locks[sha256]

        for place in dropped:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def _unpack(self, place: Path, blob: str) -> None:
        packed = place.with_suffix(".zip")
        draft = place.with_suffix(".new")
        try:
            with packed.open("wb") as file:
                async for block in self._read(blob):
                    file.write(block)
            await asyncio.to_thread(_extract, packed, draft)
            draft.rename(place)
        finally:
            packed.unlink(missing_ok=True)
            if draft.exists():
                shutil.rmtree(draft, ignore_errors=True)


def _extract(packed: Path, target: Path) -> None:
    """Unpack by our rules for the directory and the zip's own checksums for the bytes."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    try:
        with packed.open("rb") as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            check_members(_member(info) for info in infos)
            for info in infos:
                _extract_member(archive, info, target)
    except _UNREADABLE as error:
        raise InvalidRequest(
            f"Could not unzip uploaded file. Please check your file, then try to upload again. ({error})"
        ) from error


def _extract_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    place = target / info.filename
    for folder in reversed([place, *place.parents] if info.is_dir() else place.parents):
        if folder.is_relative_to(target) and folder != target:
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o755)
                folder.chmod(0o755)
    if info.is_dir():
        return
    if info.header_offset < 0:
        raise zipfile.BadZipFile(f"{info.filename!r} begins before the zip does")
    mode = 0o755 if info.external_attr >> 16 & stat.S_IXUSR else 0o644
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file, archive.open(info) as source:
        _copy(source.read, file.write, info)
    place.chmod(mode)


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], info: zipfile.ZipInfo) -> None:
    """Copy a member; zipfile stops at the size that the directory promises, and checks the CRC at the end."""
    left = info.file_size
    while block := read(_BLOCK_BYTES):
        left -= len(block)
        if left < 0:
            raise zipfile.BadZipFile(f"{info.filename!r} is longer than the zip's directory says")
        write(block)
    if left:
        raise zipfile.BadZipFile(f"{info.filename!r} is shorter than the zip's directory says")


def _member(info: zipfile.ZipInfo) -> ArchiveMember:
    return ArchiveMember(
        name=info.filename,
        size=info.file_size,
        packed_size=info.compress_size,
        mode=info.external_attr >> 16,
        encrypted=bool(info.flag_bits & _ENCRYPTED),
        method=info.compress_type,
    )
