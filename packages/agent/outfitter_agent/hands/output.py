"""The output of the software, kept in a file that cannot grow without bound."""

import os
from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 4096
READ_BYTES: Final = 16 * 1024


class OutputFile:
    """The newest output, with one older part beside it."""

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        """``bytes_max``: size at which the file becomes the older part."""
        self._path = path
        self._older = path.with_name(path.name + ".1")
        self._bytes_max = bytes_max

    def clear(self) -> None:
        """Forget what was written: the next program's output is not mixed with the last one's."""
        self._path.unlink(missing_ok=True)
        self._older.unlink(missing_ok=True)

    def copy_from(self, descriptor: int) -> None:
        """Copy until the other side closes; output that the disk has no room for is lost."""
        while block := os.read(descriptor, READ_BYTES):
            try:
                self._append(block)
            except OSError:
                continue

    def tail(self) -> str:
        """The newest few kilobytes."""
        content = b""
        for path in (self._older, self._path):
            try:
                with path.open("rb") as file:
                    file.seek(max(0, path.stat().st_size - TAIL_BYTES))
                    content += file.read(TAIL_BYTES)
            except FileNotFoundError:
                continue
        return content[-TAIL_BYTES:].decode(errors="replace")

    def _append(self, block: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(block)
            full = file.tell() >= self._bytes_max
        if full:
            self._path.replace(self._older)
