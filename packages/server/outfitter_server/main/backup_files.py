"""Where a backup is written to: a folder or a tar file, whole or not at all.

Both are made under another name beside the target, made durable, and renamed. ``SHA256SUMS`` lists every file in the
form that ``sha256sum --check`` reads.
"""

import hashlib
import io
import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Protocol, Self

SUMS_NAME: Final = "SHA256SUMS"
BLOCK_BYTES: Final = 1024 * 1024


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """More bytes."""

    def hexdigest(self) -> str:
        """In hex."""


def read_blocks(file: IO[bytes], digest: Digest) -> Iterator[bytes]:
    """A file in blocks, digested on the way."""
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
        yield block


class BackupWriter(ABC):
    """A backup being written. ``with`` it: an exception inside removes what was made.

    Attributes:
        draft: the folder for what is being made; nothing in it stays but what was added.
    """

    def __init__(self, target: Path) -> None:
        """Nothing is written before the ``with``."""
        self._target = target
        self.draft = target.parent / f".{target.name}.{os.getpid()}.partial"
        self._sums: list[str] = []
        self.linked = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        """Make the draft."""
        self.draft.mkdir(mode=0o700)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what is left of the draft."""
        shutil.rmtree(self.draft, ignore_errors=True)

    def add(self, path: Path, name: str, *, link: bool = False) -> int:
        """Take a file in under a name, by a hard link if it may be one and can; its size.

        Raises:
            OSError: it cannot be read, or there is no room.
        """
        digest = hashlib.sha256()
        size = self._take(path, name, digest, link=link)
        self._sums.append(f"{digest.hexdigest()}  {name}\n")
        self.bytes += size
        return size

    def finish(self) -> None:
        """Write the list of digests, make everything durable, and give the backup its name.

        Raises:
            FileExistsError: somebody else made the target meanwhile.
        """
        self._take_text(SUMS_NAME, "".join(self._sums))
        self._settle()

    def add_text(self, name: str, text: str) -> None:
        """Take in a small file with this text."""
        self._take_text(name, text)
        self._sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n")

    @abstractmethod
    def _take(self, path: Path, name: str, digest: Digest, *, link: bool) -> int: ...

    @abstractmethod
    def _take_text(self, name: str, text: str) -> None: ...

    @abstractmethod
    def _settle(self) -> None: ...


class FolderBackup(BackupWriter):
    """A folder. What is never written again is linked, and costs no space while the installation still has it."""

    def __init__(self, target: Path) -> None:
        """The contents are gathered below the draft."""
        super().__init__(target)
        self._contents = self.draft / "contents"

    def _take(self, path: Path, name: str, digest: Digest, *, link: bool) -> int:
        goal = self._goal(name)
        if link and _linked(path, goal):
            self.linked += 1
            with goal.open("rb") as file:
                return sum(map(len, read_blocks(file, digest)))
        with path.open("rb") as source, _new_file(goal) as file:
            return sum(file.write(block) for block in read_blocks(source, digest))

    def _take_text(self, name: str, text: str) -> None:
        with _new_file(self._goal(name)) as file:
            file.write(text.encode())

    def _goal(self, name: str) -> Path:
        make_folders(self._contents.parent, f"{self._contents.name}/{name}")
        return self._contents / name

    def _settle(self) -> None:
        for folder, _, _ in os.walk(self._contents):
            sync_folder(Path(folder))
        if os.path.lexists(self._target):
            raise FileExistsError(f"{self._target} exists")
        self._contents.rename(self._target)
        sync_folder(self._target.parent)


class TarBackup(BackupWriter):
    """A tar file, uncompressed: images are compressed already."""

    def __enter__(self) -> Self:
        """Open the file."""
        super().__enter__()
        self._file = _open_new(self.draft / "contents.tar")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, whatever happened."""
        self._file.close()
        super().__exit__(kind, error, trace)

    def _take(self, path: Path, name: str, digest: Digest, *, link: bool) -> int:  # noqa: ARG002 - nothing to link to
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            self._tar.addfile(_member(name, size), _Digesting(source, digest))
        return size

    def _take_text(self, name: str, text: str) -> None:
        data = text.encode()
        self._tar.addfile(_member(name, len(data)), io.BytesIO(data))

    def _settle(self) -> None:
        self._tar.close()
        os.fsync(self._file.fileno())
        # A link, not a rename: it refuses a target that is there.
        os.link(self.draft / "contents.tar", self._target)
        sync_folder(self._target.parent)


class _Digesting(io.RawIOBase):
    """A file that is digested as it is read."""

    def __init__(self, file: IO[bytes], digest: Digest) -> None:
        self._source = file
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self._digest.update(block)
        return block


def writer_for(target: Path) -> BackupWriter:
    """A tar file for names that end so, else a folder."""
    return TarBackup(target) if target.suffix == ".tar" else FolderBackup(target)


def make_folders(root: Path, name: str) -> None:
    """Make the folders between a root and the file of this name below it; nobody else may look into them."""
    for part in reversed(Path(name).parents[:-1]):
        (root / part).mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    with _open_new(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _open_new(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")


def _linked(path: Path, goal: Path) -> bool:
    try:
        os.link(path, goal)
    except FileNotFoundError:
        raise
    except OSError:
        return False  # another file system, or one without links
    return True


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member
