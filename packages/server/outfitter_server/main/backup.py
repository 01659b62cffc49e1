"""``outfitterd backup``: the state, the blobs that it names, the keys; consistent while a server serves them."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from outfitter_server.base.refusals import NotFound, Unavailable
from outfitter_server.blobs.files import held, relative_path
from outfitter_server.keys.credentials import FILE_NAME as CREDENTIALS_NAME
from outfitter_server.main.backup_files import BackupWriter, writer_for
from outfitter_server.main.leaving import say
from outfitter_server.stores.sqlite.snapshot import blobs_of, take_snapshot
from outfitter_server.stores.sqlite.store import FILE_NAME as STATE_NAME

FORMAT: Final = 1
ABOUT_NAME: Final = "backup.json"
CA_NAME: Final = "ca"
BLOBS_NAME: Final = "blobs"
REPORT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was backed up or restored."""

    target: str
    state_bytes: int
    blobs: int
    blob_bytes: int
    seconds: float
    linked: int = 0


class Progress:
    """Lines on standard error, at most one a second."""

    def __init__(self) -> None:
        """Nothing is told at once."""
        self._told_at = time.monotonic()

    def tell(self, text: str) -> None:
        """Tell where the work stands, if the last time is long enough ago."""
        now = time.monotonic()
        if now - self._told_at >= REPORT_SECONDS:
            self._told_at = now
            sys.stderr.write(f"outfitterd: {text}\n")


def back_up(data: Path, target: Path, tell: Callable[[str], None]) -> Summary:
    """Write a backup of a data folder.

    Raises:
        Unavailable: the folder holds no installation, the target is there, or a blob is missing or cut short.
        OSError: something cannot be read or written.
    """
    started = time.monotonic()
    if target.exists() or target.is_symlink():
        raise Unavailable(f"{target} exists: choose a target that does not, a backup never replaces another")
    if not (data / STATE_NAME).is_file():
        raise Unavailable(f"{data} holds no installation: there is no {STATE_NAME} in it")
    # Held before the state is read: what it names stays until it is copied.
    with held(data / BLOBS_NAME), writer_for(target) as writer:
        state = writer.draft / STATE_NAME
        schema = take_snapshot(data, state, lambda done, pages: tell(f"state: {done} of {pages} pages"))
        state_bytes = writer.add(state, STATE_NAME)
        for name in (CREDENTIALS_NAME, *_keys(data)):
            writer.add(data / name, name)
        before = writer.bytes
        count = _add_blobs(data, state, writer, tell)
        writer.add_text(ABOUT_NAME, json.dumps(_about(schema)) + "\n")
        writer.finish()
        return Summary(
            target=str(target),
            state_bytes=state_bytes,
            blobs=count,
            blob_bytes=writer.bytes - before,
            seconds=round(time.monotonic() - started, 3),
            linked=writer.linked,
        )


def _about(schema: int) -> dict[str, str | int]:
    return {
        "format": FORMAT,
        "release": version("outfitter-server"),
        "schema": schema,
        "takenAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _keys(data: Path) -> list[str]:
    return sorted(f"{CA_NAME}/{path.name}" for path in (data / CA_NAME).iterdir() if path.is_file())


def _add_blobs(data: Path, state: Path, writer: BackupWriter, tell: Callable[[str], None]) -> int:
    count = 0
    for blob, size in blobs_of(state):
        name = Path(BLOBS_NAME, relative_path(blob))
        try:
            written = writer.add(data / name, name.as_posix(), link=True)
        except FileNotFoundError as error:
            raise Unavailable(
                f"{data / name} is missing: the state names it; restore an earlier backup"
            ) from error
        if written != size:
            raise Unavailable(
                f"{data / name} has {written} bytes and should have {size}: the disk may be damaged"
            )
        count += 1
        tell(f"blobs: {count}, {writer.bytes // 1_000_000} MB")
    return count


def run_backup(data: Path, target: Path, *, as_json: bool) -> int:
    """The command; its exit code."""
    try:
        done = back_up(data, target, Progress().tell)
    except (Unavailable, NotFound, OSError) as error:
        sys.stderr.write(f"outfitterd: no backup was made: {error}\n")
        return 1
    show(done, "backed up to", as_json=as_json)
    return 0


def show(done: Summary, what: str, *, as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        say(json.dumps(asdict(done)) + "\n")
    else:
        total = (done.state_bytes + done.blob_bytes) / 1_000_000
        say(f"{what} {done.target}: {done.blobs} blobs, {total:.1f} MB in {done.seconds:.1f} s\n")
