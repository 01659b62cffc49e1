"""Slots that are two partitions, as another package could bring them: the image is copied as it is, the machine boots it.

An image is a line of JSON, the manifest without ``start``, and the bytes of the partition. The boot loader reads the name
of the partition from a file, which is all that a switch replaces.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

from outfitter_agent.hands.durable import make_folder, sync_folder, write_durably
from outfitter_agent.hands.journal import installed_from
from outfitter_agent.hands.slots.port import Check, SlotsError
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble
from outfitter_contract.image import ManifestError, parse_manifest

BLOCK_BYTES = 64 * 1024
NAMES = ("left", "right")


def make(settings):
    """The entry point."""
    options = dict(settings.options)
    devices = options.pop("devices", None)
    if not isinstance(devices, str) or options:
        raise SlotsError(
            "slot_options: slot = \"partitions\" needs the option 'devices', a path, and no other"
        )
    return PartitionSlots(Path(devices), settings.state / "partitions")


class PartitionSlots:
    def __init__(self, devices: Path, records: Path):
        self.devices, self.records = devices, records

    def names(self):
        return NAMES

    def current(self):
        return (self.devices / "booted").read_text()

    def other(self):
        return next(name for name in NAMES if name != self.current())

    def installed(self, slot):
        if slot is None:
            return None
        try:
            return installed_from(json.loads(self._record(slot).read_bytes()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def path(self, slot):
        return None

    def unpacking_needs(self, download, image_bytes):
        return 0

    def manifest(self, image: Path, check: Check):
        check()
        with image.open("rb") as file:
            line = file.readline(BLOCK_BYTES)
        try:
            return parse_manifest(line, starts=False)
        except ManifestError as error:
            raise Trouble(f"the image is not acceptable: {error}") from None

    def unpack(self, image: Path, installed: Installed, check: Check):
        if installed.slot != self.other():
            raise Trouble(f"slot {installed.slot} is not the one to write")
        make_folder(self.records)
        self._record(installed.slot).unlink(missing_ok=True)
        sync_folder(self.records)
        with image.open("rb") as source, (self.devices / installed.slot).open("r+b") as device:
            source.readline(BLOCK_BYTES)
            while block := source.read(BLOCK_BYTES):
                check()
                device.write(block)
            device.flush()
            os.fsync(device.fileno())
        write_durably(self._record(installed.slot), json.dumps(asdict(installed)).encode())

    def switch(self, slot):
        if slot not in NAMES:
            raise Trouble(f"{slot} is no partition")
        write_durably(self.devices / "next", slot.encode())

    def mark_good(self, slot):
        """This boot loader does not count."""

    def mark_bad(self, slot):
        """This boot loader does not count."""

    def fault(self):
        lacking = [name for name in NAMES if not (self.devices / name).exists()]
        return f"there is no partition {lacking[0]}" if lacking else None

    def _record(self, slot):
        return self.records / f"{slot}.json"
