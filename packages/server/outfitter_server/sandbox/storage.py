"""What a worker keeps in the folder that it may write to: as much as AWS gives, so that no function fills the disk."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

BYTES_MAX: Final = 512 * 1024 * 1024
ENTRIES_MAX: Final = 50_000
WATCH_SECONDS: Final = 1.0
_BLOCK_BYTES: Final = 512  # of st_blocks, whatever the file system has


class StorageWatch:
    """Looks at a worker's folder now and then while it has an event."""

    def __init__(self, folder: Path, exceeded: Callable[[], None]) -> None:
        """``exceeded`` is told, once, when there is too much in it."""
        self._folder = folder
        self._exceeded = exceeded
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look in WATCH_SECONDS, and again."""
        self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _look(self) -> None:
        timer = self._timer
        looked = asyncio.get_running_loop().run_in_executor(None, holds_too_much, self._folder)

        def seen(found: asyncio.Future[bool]) -> None:
            if self._timer is not timer or found.cancelled():
                return  # the event has ended meanwhile
            if found.result():
                self._exceeded()
            else:
                self.start()

        looked.add_done_callback(seen)


def holds_too_much(folder: Path) -> bool:
    """Whether more bytes or entries lie below a folder than a worker may keep there. Not for the event loop."""
    size = entries = 0
    folders = [str(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as found:
            for entry in found:
                entries += 1
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if size > BYTES_MAX or entries > ENTRIES_MAX:
                    return True
    return False


def remove(folder: Path) -> None:
    """Remove a worker's folder, also what the worker has closed to its own user."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for place, names, _ in os.walk(folder):
            for name in names:
                path = Path(place, name)
                if not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
