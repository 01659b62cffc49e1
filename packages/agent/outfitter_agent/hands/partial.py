"""A file that is being downloaded: its bytes, their digest as they come, and a note of what it is part of."""

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import BinaryIO, Final

from outfitter_agent.hands.durable import write_durably
from outfitter_agent.plans.troubles import Trouble

BLOCK_BYTES: Final = 256 * 1024
ROOM_KEPT_BYTES: Final = 1024 * 1024
"""Left free on the disk for the journal and logs."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Partial:
    """One partial file; ``length`` and ``digest`` are always those of the bytes written."""

    def __init__(self, folder: Path, *, what: str = "image") -> None:
        """Use the folder, making it if it is new; ``what`` is the word for the file in reasons."""
        self._what = what
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / "image.part"
        self._note = folder / "image.json"
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self.length = 0
        self.validator: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes so far, in hex."""
        return self._hash.hexdigest()

    def open(self, known_as: str) -> None:
        """Continue the file if it is part of the same object, else begin it."""
        try:
            note = json.loads(self._note.read_bytes())
            same = note["object"] == known_as
            validator = note["validator"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            same, validator = False, None
        if not same or not isinstance(validator, str):
            self.begin(known_as, None)
            return
        self._file = self.path.open("ab")
        self._hash, self.length, self.validator = hashlib.sha256(), 0, validator
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                self._hash.update(block)
                self.length += len(block)

    def begin(self, known_as: str, validator: str | None) -> None:
        """Empty the file; with a validator it can be continued later."""
        self.discard()
        self._file = self.path.open("wb")
        self.validator = validator
        write_durably(self._note, json.dumps({"object": known_as, "validator": validator}).encode())

    def append(self, block: bytes) -> None:
        """Add bytes; raises Trouble when the disk is full, in which case the file is removed to make room."""
        try:
            if self._file is not None:
                self._file.write(block)
        except OSError as error:
            raise self._write_trouble(error) from error
        self._hash.update(block)
        self.length += len(block)

    def make_room(self, total: int) -> None:
        """Refuse now what will not fit; raises Trouble."""
        free = shutil.disk_usage(self.path.parent).free
        if total - self.length > free - ROOM_KEPT_BYTES:
            self.discard()
            raise Trouble(f"the disk is full: the {self._what} needs {total} bytes, {free} are free")

    def close(self) -> None:
        """Hand what was written to the system, and close the file; raises Trouble when the disk is full."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            raise self._write_trouble(error) from error

    def discard(self) -> None:
        """Remove the file and its note."""
        file, self._file = self._file, None
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._hash, self.length, self.validator = hashlib.sha256(), 0, None
        if file is not None:
            _close_quietly(file)

    def _write_trouble(self, error: OSError) -> Trouble:
        length = self.length
        self.discard()
        if error.errno in _FULL:
            return Trouble(f"the disk is full: no room after {length} bytes of the {self._what}")
        return Trouble(
            f"the {self._what} could not be written after {length} bytes: {error.strerror or error}"
        )


def _close_quietly(file: BinaryIO) -> None:
    try:
        file.close()
    except OSError:
        return  # the buffered rest of a file that is gone
