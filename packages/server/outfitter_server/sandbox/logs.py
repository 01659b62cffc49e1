"""What functions log: one bounded file a function, ``FOLDER/NAME.log``, and the one before it, ``NAME.log.1``."""

import logging
import os
import re
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
INVOCATION_BYTES_MAX: Final = 256 * 1024
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_log = logging.getLogger(__name__)


class FunctionLog:
    """Appends to one file; a disk that is full costs lines, never an invocation."""

    def __init__(self, folder: Path, name: str) -> None:
        """``name`` is a function's."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a function")
        self._path = folder / f"{name}.log"

    def write(self, data: bytes) -> None:
        """Append, and begin a new file when this one is full."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, data)
                full = os.fstat(descriptor).st_size >= FILE_BYTES_MAX
            finally:
                os.close(descriptor)
            if full:
                self._path.replace(f"{self._path}.1")
        except OSError as error:
            _log.warning("the log of a function cannot be written: %s", error)


class InvocationLog:
    """The part of a function's log that one invocation may fill; what is more is counted."""

    def __init__(self, file: FunctionLog) -> None:
        self._file = file
        self._left = INVOCATION_BYTES_MAX
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Append as much as there is room for."""
        kept = data[: self._left]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        if kept:
            self._file.write(kept)

    def close(self, last: bytes) -> None:
        """Write the last lines, which always fit."""
        if self._dropped:
            last = f"\n... {self._dropped} bytes left out\n".encode() + last
        self._file.write(last)
