"""``outfitterd restore``: a backup becomes a data folder again, every byte of it checked, or nothing happens."""

import fcntl
import hashlib
import os
import re
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from outfitter_server.base.refusals import NotFound, Unavailable
from outfitter_server.blobs.files import relative_path
from outfitter_server.main.backup import ABOUT_NAME, BLOBS_NAME, Progress, Summary, show
from outfitter_server.main.backup_files import SUMS_NAME, make_folders, read_blocks, sync_folder
from outfitter_server.stores.sqlite.snapshot import blobs_of, check_copy
from outfitter_server.stores.sqlite.store import FILE_NAME as STATE_NAME

_NAME: Final = re.compile(
    rf"{STATE_NAME}|credentials|{ABOUT_NAME}|{SUMS_NAME}|ca/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,99}}|blobs/[0-9a-f]{{2}}/[0-9a-f]{{32}}"
)
_SUM: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_NOT_DATA: Final = (ABOUT_NAME, SUMS_NAME)


def restore(source: Path, data: Path, tell: Callable[[str], None]) -> Summary:
    """Make a data folder of a backup.

    Raises:
        Unavailable: the folder is in use or not empty, or the backup is damaged or not one.
        OSError: something cannot be read or written.
    """
    started = time.monotonic()
    _check_empty(data)
    if not source.exists():
        raise Unavailable(f"{source} does not exist")
    with _draft(data) as draft:
        found = _copy(source, draft, tell)
        _check_sums(draft, found)
        check_copy(draft / STATE_NAME)
        count, blob_bytes = _check_blobs(draft)
        state_bytes = (draft / STATE_NAME).stat().st_size
        for name in _NOT_DATA:
            (draft / name).unlink()
        _settle(draft, data)
    return Summary(
        target=str(data),
        state_bytes=state_bytes,
        blobs=count,
        blob_bytes=blob_bytes,
        seconds=round(time.monotonic() - started, 3),
    )


def _check_empty(data: Path) -> None:
    if not os.path.lexists(data):
        return
    if not data.is_dir():
        raise Unavailable(f"{data} is no folder")
    if _is_served(data):
        raise Unavailable(f"an outfitterd serves {data}: a restore never touches a live installation")
    if any(data.iterdir()):
        raise Unavailable(
            f"{data} is not empty: a restore replaces nothing, choose another --data or move it away"
        )


def _is_served(data: Path) -> bool:
    try:
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _draft(data: Path) -> Iterator[Path]:
    data.parent.mkdir(parents=True, exist_ok=True)
    draft = data.parent / f".{data.name}.{os.getpid()}.partial"
    draft.mkdir(mode=0o700)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy(source: Path, draft: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """Copy every file of the backup; the digest of each by its name."""
    digests: dict[str, str] = {}
    try:
        for name, file in _tar_files(source) if source.is_file() else _folder_files(source):
            if name in digests:
                raise Unavailable(f"{source} is damaged: {name} is in it twice")
            make_folders(draft, name)
            digests[name] = _write(draft / name, file)
            tell(f"{len(digests)} files")
    except tarfile.TarError as error:
        raise Unavailable(f"{source} is no backup, or damaged: {error}") from error
    return digests


def _folder_files(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for folder, _, names in os.walk(source):
        for name in names:
            path = Path(folder, name)
            relative = _known(source, path.relative_to(source).as_posix())
            with path.open("rb") as file:
                yield relative, file


def _tar_files(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(source, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is None:
                raise Unavailable(f"{source} is no backup: {member.name} in it is no ordinary file")
            yield _known(source, member.name), file


def _known(source: Path, name: str) -> str:
    """The name, which alone decides where a file goes: anything else than a backup's own is refused."""
    if not _NAME.fullmatch(name):
        raise Unavailable(f"{source} is no backup: {name!r} does not belong in one")
    return name


def _write(goal: Path, source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(goal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for block in read_blocks(source, digest):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check_sums(draft: Path, found: dict[str, str]) -> None:
    if SUMS_NAME not in found or STATE_NAME not in found:
        raise Unavailable(f"this is no whole backup: {SUMS_NAME} or {STATE_NAME} is missing")
    listed = dict[str, str]()
    for line in (draft / SUMS_NAME).read_text("ascii", "replace").splitlines():
        match = _SUM.fullmatch(line)
        if match is None:
            raise Unavailable(f"{SUMS_NAME} of the backup is damaged")
        listed[match[2]] = match[1]
    for name, digest in listed.items():
        if found.get(name) != digest:
            state = "is missing" if name not in found else "is not what was backed up"
            raise Unavailable(f"the backup is damaged: {name} {state}")
    surplus = sorted(found.keys() - listed.keys() - {SUMS_NAME})
    if surplus:
        raise Unavailable(f"the backup is damaged: nothing tells of {surplus[0]}")


def _check_blobs(draft: Path) -> tuple[int, int]:
    count = total = 0
    for blob, size in blobs_of(draft / STATE_NAME):
        path = draft / BLOBS_NAME / relative_path(blob)
        if not path.is_file() or path.stat().st_size != size:
            raise Unavailable(
                f"the backup is not whole: {path.name}, which its state names, is missing or cut short"
            )
        count, total = count + 1, total + size
    return count, total


def _settle(draft: Path, data: Path) -> None:
    for folder, _, _ in os.walk(draft):
        sync_folder(Path(folder))
    if data.exists():
        data.rmdir()
    draft.rename(data)
    sync_folder(data.parent)


def run_restore(source: Path, data: Path, *, as_json: bool) -> int:
    """The command; its exit code."""
    try:
        done = restore(source, data, Progress().tell)
    except (Unavailable, NotFound, OSError) as error:
        sys.stderr.write(f"outfitterd: nothing was restored: {error}\n")
        return 1
    show(done, "restored", as_json=as_json)
    return 0
