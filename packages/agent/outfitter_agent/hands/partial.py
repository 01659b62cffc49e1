"""A file that is being downloaded: its bytes, their digest as they come, and a note of what it is part of.

The note also says how much was synced, and in which boot it was written. After a power loss the file is what was synced,
because what follows may be anything; after the end of the agent alone, it is all that was written.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from outfitter_agent.hands.durable import make_folder, write_durably
from outfitter_agent.hands.reboot import kernel_boot_id
from outfitter_agent.plans.troubles import Trouble

BLOCK_BYTES: Final = 256 * 1024
ROOM_KEPT_BYTES: Final = 1024 * 1024
"""Left free on the disk for the journal and logs."""
SYNC_BYTES: Final = 16 * 1024 * 1024
"""At most so much has to be fetched again after a power loss."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Partial:
    """One partial file; ``length`` and ``digest`` are always those of the bytes written."""

    def __init__(
        self, folder: Path, *, what: str = "image", also_needs: Callable[[int], int] = lambda _total: 0
    ) -> None:
        """Use the folder, making it if it is new; ``what`` is the word for the file in reasons.

        ``also_needs`` tells what else a file of so many bytes will need of the same disk.
        """
        self._what = what
        self._also_needs = also_needs
        make_folder(folder)
        self.path = folder / "image.part"
        self._note = folder / "image.json"
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self.length = 0
        self.validator: str | None = None
        self._known_as = ""
        self._synced = 0

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
            whole = note["boot"] == kernel_boot_id()
            synced = int(note["synced"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            same, validator, whole, synced = False, None, False, 0
        if not same or not isinstance(validator, str):
            self.begin(known_as, None)
            return
        self._file = self.path.open("ab")
        if not whole and self._file.tell() > synced:
            self._file.truncate(synced)
        self._hash, self.length, self.validator = hashlib.sha256(), 0, validator
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                self._hash.update(block)
                self.length += len(block)
        self._known_as, self._synced = known_as, min(synced, self.length)

    def begin(self, known_as: str, validator: str | None) -> None:
        """Empty the file; with a validator it can be continued later."""
        self.discard()
        self._file = self.path.open("wb")
        self.validator, self._known_as = validator, known_as
        self._take_note()

    def append(self, block: bytes) -> None:
        """Add bytes; raises Trouble when the disk is full, in which case the file is removed to make room."""
        try:
            if self._file is not None:
                self._file.write(block)
        except OSError as error:
            raise self._write_trouble(error) from error
        self._hash.update(block)
        self.length += len(block)
        if self.length - self._synced >= SYNC_BYTES:
            self._sync()

    def make_room(self, total: int) -> None:
        """Refuse now what will not fit; raises Trouble."""
        try:
            missing = total - self.length
            refuse_without_room(self.path.parent, missing, self._also_needs(total), what=self._what)
        except Trouble:
            self.discard()
            raise

    def close(self) -> None:
        """Sync what was written, and close the file; raises Trouble when the disk is full."""
        if self._file is not None and self.length > self._synced:
            self._sync()
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
        self._hash, self.length, self.validator, self._synced = hashlib.sha256(), 0, None, 0
        if file is not None:
            _close_quietly(file)

    def _sync(self) -> None:
        """What is written stays; raises Trouble when the disk is full."""
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._synced = self.length
            self._take_note()
        except OSError as error:
            raise self._write_trouble(error) from error

    def _take_note(self) -> None:
        note = {
            "object": self._known_as,
            "validator": self.validator,
            "synced": self._synced,
            "boot": kernel_boot_id(),
        }
        write_durably(self._note, json.dumps(note).encode())

    def _write_trouble(self, error: OSError) -> Trouble:
        length = self.length
        self.discard()
        if error.errno in _FULL:
            return Trouble(f"the disk is full: no room after {length} bytes of the {self._what}")
        return Trouble(
            f"the {self._what} could not be written after {length} bytes: {error.strerror or error}"
        )


def refuse_without_room(folder: Path, missing: int, later: int, *, what: str) -> None:
    """Raise Trouble when the folder's disk has no room for ``missing`` bytes now, and ``later`` ones once it is unpacked."""
    free = shutil.disk_usage(folder).free
    if missing + later > free - ROOM_KEPT_BYTES:
        unpacked = f", and {later} or more once it is unpacked" if later else ""
        raise Trouble(
            f"the disk is full: the {what} needs {missing} bytes{unpacked}; {free} are free, of which"
            f" {ROOM_KEPT_BYTES} are kept"
        )


def _close_quietly(file: BinaryIO) -> None:
    try:
        file.close()
    except OSError:
        return  # the buffered rest of a file that is gone
