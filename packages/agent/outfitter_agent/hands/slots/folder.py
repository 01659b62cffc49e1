"""Two slots as folders: ``a`` and ``b`` below a root, and the link ``current`` to the one that runs.

    root/a/…            the image's files        root/a.json   what was unpacked there, written last
    root/b/…                                     root/b.json
    root/a.frame, root/b.frame   what makes a base for delta images of the files
    root/current -> a   switched by one rename

A slot whose record is missing is rubbish: the record goes first when a slot is cleared, and comes last when it is
filled. The slot that runs is never written.
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Final

from outfitter_contract.image import Manifest

from outfitter_agent.hands import archive
from outfitter_agent.hands.base import Base
from outfitter_agent.hands.durable import link_durably, make_folder, sync_folder, write_durably
from outfitter_agent.hands.journal import installed_from
from outfitter_agent.hands.slots.port import Check, SlotsError, SlotSettings
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Abandoned, Trouble

SLOTS: Final = ("a", "b")
LINK: Final = "current"
ROOM_KEPT_BYTES: Final = 1024 * 1024
"""Left free on the disk for the journal and logs."""


def make(settings: SlotSettings) -> "FolderSlots":
    """The slots below the setting ``slots``; raises SlotsError."""
    if settings.options:
        raise SlotsError(
            f'slot_options: slot = "folder" knows no option, and so not {min(settings.options)!r}'
        )
    return FolderSlots(settings.folder, unpacked_bytes_max=settings.image_bytes_max)


class FolderSlots:
    """The software of one device."""

    def __init__(self, root: Path, *, unpacked_bytes_max: int) -> None:
        """Use the root; it is made when the first image is unpacked."""
        self._root = root
        self._unpacked_bytes_max = unpacked_bytes_max

    def names(self) -> tuple[str, ...]:
        """Both."""
        return SLOTS

    def other(self) -> str:
        """The one that the link does not name; the first one before anything was installed."""
        return next(slot for slot in SLOTS if slot != self.current())

    def current(self) -> str | None:
        """The slot that the link names, or None."""
        try:
            slot = str((self._root / LINK).readlink())
        except OSError:
            return None
        return slot if slot in SLOTS else None

    def path(self, slot: str) -> Path:
        """The folder of a slot."""
        return self._root / _checked(slot)

    def installed(self, slot: str | None) -> Installed | None:
        """What a slot holds; None when it is empty or was not filled to the end."""
        if slot is None:
            return None
        try:
            return installed_from(json.loads(self._record(slot).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def unpacking_needs(self, download: Path, image_bytes: int) -> int:
        """An image is hardly ever smaller unpacked than packed; what the slot that is to be cleared holds comes free.

        Both are none of this disk's when the slots lie on another one.
        """
        place = self._root
        while not place.exists():
            place = place.parent
        if place.stat().st_dev != download.stat().st_dev:
            return 0
        return max(0, image_bytes - _bytes_below(self.path(self.other())))

    def manifest(self, image: Path, check: Check) -> Manifest:
        """The manifest at the image's top; raises Trouble."""
        return archive.read_manifest(image, self._unpacked_bytes_max, check)

    def unpack(self, image: Path, installed: Installed, check: Check = lambda: None) -> None:
        """Fill the slot that does not run, durably; raises Trouble. ``check`` may raise Abandoned or Stopping to end it."""
        slot = installed.slot
        if slot == self.current():
            raise Trouble(f"slot {slot} is the one that runs; it is not written")
        make_folder(self._root, 0o755)
        self._clear(slot)
        folder = self.path(slot)
        folder.mkdir(mode=0o755)
        free = shutil.disk_usage(self._root).free - ROOM_KEPT_BYTES
        try:
            archive.unpack(
                image, folder, self._frame(slot), min(self._unpacked_bytes_max, max(free, 0)), check
            )
        except Abandoned:
            self._clear(slot)
            raise
        except Trouble as trouble:
            self._clear(slot)
            if free < self._unpacked_bytes_max and "larger than" in trouble.reason:
                raise Trouble(
                    f"the disk is full: {max(free, 0)} bytes are free for the unpacked image, which needs more"
                ) from None
            raise
        except OSError as error:
            self._clear(slot)
            raise Trouble(f"unpacking failed: {error.strerror or error}") from error
        sync_folder(self._root)
        write_durably(self._record(slot), json.dumps(dataclasses.asdict(installed)).encode())

    def base(self, slot: str) -> Base:
        """The content of the image that the slot was filled from; raises Trouble when it cannot be had."""
        return Base(self._frame(slot), self.path(slot))

    def switch(self, slot: str | None) -> None:
        """Make the slot current in one step; harmless when it is."""
        if slot == self.current():
            return
        if slot is None:
            (self._root / LINK).unlink(missing_ok=True)
            sync_folder(self._root)
        else:
            link_durably(self._root / LINK, _checked(slot))

    def mark_good(self, slot: str) -> None:
        """No boot loader counts here."""

    def mark_bad(self, slot: str) -> None:
        """No boot loader chooses here."""

    def fault(self) -> str | None:
        """A link that leads nowhere, or to a slot that is not whole."""
        current, place = self.current(), self._root / LINK
        if current is None:
            return f"{place} names no slot" if place.exists() or place.is_symlink() else None
        if self.installed(current) is None or not self.path(current).is_dir():
            return f"slot {current} is current and not whole"
        return None

    def _record(self, slot: str) -> Path:
        return self._root / f"{_checked(slot)}.json"

    def _frame(self, slot: str) -> Path:
        return self._root / f"{_checked(slot)}.frame"

    def _clear(self, slot: str) -> None:
        self._record(slot).unlink(missing_ok=True)
        self._frame(slot).unlink(missing_ok=True)
        sync_folder(self._root)
        folder = self.path(slot)
        if folder.exists():
            shutil.rmtree(folder)


def _checked(slot: str) -> str:
    if slot not in SLOTS:
        raise Trouble(f"'{slot}' is no slot")
    return slot


def _bytes_below(folder: Path) -> int:
    return sum(
        (Path(where) / name).lstat().st_blocks * 512 for where, _, names in os.walk(folder) for name in names
    )
