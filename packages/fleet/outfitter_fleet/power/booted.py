"""Scenes of a machine with a boot loader: the new system is good, is sick, or does not boot."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from outfitter_contract.execution import Status

from outfitter_fleet.power import bootloader
from outfitter_fleet.power.bootloader import COMPATIBLE, DOES_NOT_BOOT, SLOTS, Machine, bundle_of
from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.documents import PAYLOAD_BYTES, URL
from outfitter_fleet.power.lives import SICK_VERSION, World
from outfitter_fleet.power.scenes import left_over, unless, wrong_end
from outfitter_fleet.power.service import JOB, SIGNATURE, Service

FACTORY: Final = "1.0.0"


def _bundle(version: str) -> bytes:
    return bundle_of(version, random.Random(version).randbytes(PAYLOAD_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A job for a version of the whole system."""

    title: str
    version: str
    ends: Status

    @property
    def right(self) -> str:
        """How it ends when all is well, for people."""
        kept = self.ends is Status.SUCCEEDED
        return (
            f"{self.ends}, reported once; version {self._runs} is booted, whole; the boot loader boots its slot again,"
            f" which is good, and {'keeps the other one' if kept else 'never the other one'}"
        )

    def begin(self, disk: Disk) -> World:
        """A machine from the factory, which runs."""
        world = World(
            service=Service(),
            settings={
                "slot": "rauc",
                "device_type": COMPATIBLE,
                "reboot": "systemd",
                "health_command": ("healthy",),
                "health_timeout_seconds": 0.0,
            },
        )
        Machine(disk.root / "machine").make(_bundle(FACTORY))
        self.live(disk, world, lambda _: None)
        world = world.copy()
        world.acts = []
        disk.settle()
        bundle = _bundle(self.version)
        world.service.objects["new.raucb"] = bundle
        document: dict[str, object] = {
            "operation": "install",
            "url": f"{URL}new.raucb?{SIGNATURE}",
            "version": self.version,
            "sha256": hashlib.sha256(bundle).hexdigest(),
        }
        world.service.queue(JOB, document)
        return world

    def live(self, disk: Disk, world: World, step: Callable[[str], None]) -> int:
        """Boot after boot until it rests."""
        return bootloader.live(disk, world, step)

    def wrong(self, disk: Disk, world: World) -> list[str]:
        """What is not as it must be: the job, the slot that was booted, what the boot loader would do next."""
        machine = Machine(disk.root / "machine")
        told, (other,) = machine.variables(), (slot for slot in SLOTS if slot != world.slot)
        bootable = other in told["good"] or told["left"][other] > 0
        details = world.service.executions[JOB].details or {}
        found = wrong_end(world, self.ends)
        if self.ends is Status.FAILED:
            found += unless("reason" in details, "a failure without a reason")
        else:
            digest = hashlib.sha256(_bundle(self.version)).hexdigest()
            found += unless(details.get("sha256") == digest, f"proves {details.get('sha256')}")
        found += unless(
            machine.content(world.slot) == _bundle(self._runs), f"{world.slot} is not {self._runs}"
        )
        found += unless(machine.chosen() == world.slot, f"the next boot is of {machine.chosen()}")
        found += unless(world.slot in told["good"], "the slot is not good")
        found += unless(bootable == (self.ends is Status.SUCCEEDED), f"the other slot: {told}")
        return found + left_over(disk.root)

    @property
    def _runs(self) -> str:
        return self.version if self.ends is Status.SUCCEEDED else FACTORY


BOOTED: Final = (
    Booted(title="boot loader: a new system", version="2.0.0", ends=Status.SUCCEEDED),
    Booted(title="boot loader: the new system is not healthy", version=SICK_VERSION, ends=Status.FAILED),
    Booted(title="boot loader: the new system does not boot", version=DOES_NOT_BOOT, ends=Status.FAILED),
)
