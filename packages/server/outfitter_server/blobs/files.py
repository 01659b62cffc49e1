"""The Blobs port on plain files: ``FOLDER/ab/abcdef…``, one file a blob, named at random and never written over.

The order that makes a blob durable: write to ``FOLDER/incoming``, fsync the file, rename it to its name, fsync the folder
that now holds it. Only then does anybody name it in a row. What a crash leaves behind is either in ``incoming``, which is
emptied at start, or named by no row, which ``sweep`` finds.

A backup, in a process of its own, holds the folder while it copies: blobs that are deleted meanwhile stay for the sweep.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from outfitter_server.base.refusals import NotFound, Unavailable
from outfitter_server.services.ports import StoredBlob

BLOCK_BYTES: Final = 1024 * 1024
SWEEP_AGE_SECONDS: Final = 3_600
_SWEEP_BATCH: Final = 500
_NAME: Final = re.compile(r"[0-9a-f]{32}")
_INCOMING: Final = "incoming"
_HOLD_ATTEMPTS: Final = 50
_HOLD_PAUSE_SECONDS: Final = 0.1
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})


class FileBlobs:
    """Blobs as files under one folder, which no other process writes to."""

    def __init__(self, folder: Path) -> None:
        """Make the folder's skeleton and remove what an earlier process left unfinished.

        Raises:
            Unavailable: the folder cannot be written.
        """
        self._folder = folder
        with _telling_disk_trouble():
            (folder / _INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(256):
                (folder / f"{number:02x}").mkdir(exist_ok=True, mode=0o700)
            _fsync_folder(folder)
            for left in (folder / _INCOMING).iterdir():
                left.unlink()

    async def write(self, chunks: AsyncIterator[bytes]) -> StoredBlob:
        """Store a stream; see the port.

        While one block is written and digested in threads, the next is gathered: two blocks in memory.
        """
        name = secrets.token_hex(16)
        draft = _Draft(self._folder / _INCOMING / name)
        with _telling_disk_trouble():
            try:
                await asyncio.to_thread(draft.open)
                await _pump(chunks, draft)
                await asyncio.to_thread(draft.settle, self._path(name))
            except BaseException:
                # Shielded: a cancelled upload, too, must leave nothing behind.
                await asyncio.shield(asyncio.to_thread(draft.discard))
                raise
        return StoredBlob(
            name=name, size=draft.size, md5=draft.md5.hexdigest(), sha256=draft.sha256.hexdigest()
        )

    async def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes in blocks; see the port.

        Raises:
            NotFound: there is no such blob (any more).
        """
        try:
            file = await asyncio.to_thread(_open_at, self._path(name), start)
        except FileNotFoundError as error:
            raise NotFound(f"blob {name} does not exist") from error
        try:
            left = length
            while left is None or left > 0:
                block = await asyncio.to_thread(
                    file.read, BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)
                )
                if not block:
                    return
                if left is not None:
                    left -= len(block)
                yield block
        finally:
            file.close()

    def path(self, name: str) -> str | None:
        """The file with these bytes."""
        return str(self._path(name))

    async def delete(self, names: Iterable[str]) -> None:
        """Remove blobs; see the port."""
        paths = [self._path(name) for name in names]
        await asyncio.to_thread(_unlink, self._folder, paths)

    async def sweep(self, is_named: Callable[[list[str]], set[str]]) -> int:
        """Remove what no row names and is older than an hour; ``is_named`` is asked on the event loop's thread."""
        removed = 0
        for number in range(256):
            old = await asyncio.to_thread(_older_files, self._folder / f"{number:02x}")
            for begin in range(0, len(old), _SWEEP_BATCH):
                batch = old[begin : begin + _SWEEP_BATCH]
                named = is_named([path.name for path in batch])
                unnamed = [path for path in batch if path.name not in named]
                removed += await asyncio.to_thread(_unlink, self._folder, unnamed)
        left = await asyncio.to_thread(_older_files, self._folder / _INCOMING)
        await asyncio.to_thread(_unlink, self._folder, left)
        return removed

    def _path(self, name: str) -> Path:
        return self._folder / relative_path(name)


class _Draft:
    """A file being written. Its methods block: call them in threads, one at a time save the digest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    def open(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def append(self, block: bytearray) -> None:
        view = memoryview(block)
        while view and self._file is not None:
            view = view[self._file.write(view) :]
        self.size += len(block)
        self.sha256.update(block)

    def settle(self, path: Path) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
        self._path.rename(path)
        _fsync_folder(path.parent)

    def discard(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._path.unlink(missing_ok=True)


async def _pump(chunks: AsyncIterator[bytes], draft: _Draft) -> None:
    under_way: asyncio.Future[tuple[None, None]] | None = None
    block = bytearray()
    try:
        async for chunk in chunks:
            block += chunk
            if len(block) >= BLOCK_BYTES:
                if under_way is not None:
                    await asyncio.shield(under_way)
                under_way = _write_block(draft, block)
                block = bytearray()
    finally:
        # A thread may hold the draft's file: never leave before it is done.
        if under_way is not None:
            await asyncio.shield(under_way)
    if block:
        await asyncio.shield(_write_block(draft, block))


def _write_block(draft: _Draft, block: bytearray) -> asyncio.Future[tuple[None, None]]:
    """MD5 costs more than writing and SHA-256 together: it has a thread of its own."""
    return asyncio.gather(asyncio.to_thread(draft.append, block), asyncio.to_thread(draft.md5.update, block))


def _open_at(path: Path, start: int) -> BinaryIO:
    file = path.open("rb", buffering=0)
    file.seek(start)
    return file


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def relative_path(name: str) -> Path:
    """Where a blob lies below the folder of blobs.

    Raises:
        NotFound: it is no name of a blob.
    """
    if not _NAME.fullmatch(name):
        raise NotFound("a blob is named by 32 hexadecimal digits")
    return Path(name[:2], name)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every blob of the folder where it is, whatever a server deletes meanwhile.

    Raises:
        Unavailable: somebody else holds them.
        OSError: the folder cannot be read.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for attempt in range(_HOLD_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # The server deletes something just now, or another backup runs.
                if attempt == _HOLD_ATTEMPTS - 1:
                    raise Unavailable(
                        "another backup of this data folder is running; wait for its end"
                    ) from None
                time.sleep(_HOLD_PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _unlink(folder: Path, paths: Sequence[Path]) -> int:
    """Remove files unless the folder is held; how many."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        for path in paths:
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return 0
    finally:
        os.close(descriptor)
    return len(paths)


def _older_files(folder: Path) -> list[Path]:
    limit = time.time() - SWEEP_AGE_SECONDS
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.stat().st_mtime < limit]


@contextlib.contextmanager
def _telling_disk_trouble() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Unavailable(
                f"the file store cannot be written: {error.strerror}; free some space and retry"
            ) from error
        raise
