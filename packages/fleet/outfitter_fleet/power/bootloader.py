"""A machine of the proof whose boot loader chooses between two slots that RAUC writes.

All of it lies on the disk that the cuts are made in: the two slots, RAUC's own record of what it has installed, and the
variables of the boot loader, which are replaced as a whole, as boot loaders keep two copies of them with a checksum. A slot that
nobody has called good may be booted ``BOOTS_MAX`` times; then the other one is.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, CompletedProcess, TimeoutExpired
from types import SimpleNamespace
from typing import Any, Final, Self

from outfitter_agent.hands import checks
from outfitter_agent.hands.durable import write_durably
from outfitter_agent.hands.slots import rauc

from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.lives import LIVES_MAX, SICK_VERSION, Fault, Replaced, World, life

SLOTS: Final = ("rootfs.0", "rootfs.1")
BOOTS_MAX: Final = 3
DOES_NOT_BOOT: Final = "4.0.0"
COMPATIBLE: Final = "p1"


def bundle_of(version: str, payload: bytes) -> bytes:
    """What stands for a bundle of RAUC's."""
    return json.dumps({"compatible": COMPATIBLE, "version": version}).encode() + b"\n" + payload


@dataclass(frozen=True, slots=True)
class Machine:
    """Its folder."""

    folder: Path

    def make(self, bundle: bytes) -> None:
        """As the factory delivers it: something in the first slot that has been called good."""
        self.folder.mkdir()
        (self.folder / SLOTS[0]).write_bytes(bundle)
        (self.folder / SLOTS[1]).write_bytes(b"")
        self._write("rauc.status", dict.fromkeys(SLOTS, 0))
        self._write("variables", {"order": list(SLOTS), "good": [SLOTS[0]], "left": dict.fromkeys(SLOTS, 0)})

    def variables(self) -> dict[str, Any]:
        """Of the boot loader."""
        return self._read("variables")

    def chosen(self) -> str | None:
        """The slot that the boot loader would boot now."""
        told = self.variables()
        return next((slot for slot in told["order"] if slot in told["good"] or told["left"][slot]), None)

    def content(self, slot: str) -> bytes:
        """The bytes of a slot."""
        return (self.folder / slot).read_bytes()

    def version(self, slot: str) -> str:
        """The version of what is in a slot."""
        return str(json.loads(self.content(slot).partition(b"\n")[0])["version"])

    def power_on(self, world: World, step: Callable[[str], None]) -> None:
        """Try to boot until a slot does."""
        while world.slot_boot != world.boot:
            slot = self.chosen()
            if slot is None:
                raise Fault("the boot loader has no slot to boot")
            told = self.variables()
            if slot not in told["good"]:
                told["left"][slot] -= 1
                self._write("variables", told)
            step(f"before boot {slot}")
            if self.version(slot) != DOES_NOT_BOOT:
                world.slot, world.slot_boot = slot, world.boot
            world.acts.append(f"boot {slot}")
            step(f"after boot {slot}")

    def status(self, world: World) -> dict[str, Any]:
        """As RAUC tells it."""
        counts = self._read("rauc.status")
        slots = [
            {
                slot: {
                    "bootname": slot[-1],
                    "state": "booted" if slot == world.slot else "inactive",
                    "slot_status": {"installed": {"count": counts[slot]}},
                }
            }
            for slot in SLOTS
        ]
        return {"boot_primary": self.variables()["order"][0], "slots": slots}

    def mark(self, how: str, slot: str) -> None:
        """RAUC's ``mark-active``, ``mark-good`` and ``mark-bad``."""
        told = self.variables()
        good = [each for each in told["good"] if each != slot]
        match how:
            case "mark-active":
                told["order"] = [slot, *(each for each in told["order"] if each != slot)]
                told["left"][slot] = BOOTS_MAX
            case "mark-good":
                told["good"] = [*good, slot]
            case _:
                told["good"], told["left"][slot] = good, 0
        self._write("variables", told)

    def install(self, bundle: bytes, world: World) -> None:
        """Write the slot that was not booted, which is bad until it is whole."""
        (slot,) = (each for each in SLOTS if each != world.slot)
        self.mark("mark-bad", slot)
        world.acts.append("unpacked")
        write_durably(self.folder / slot, bundle)
        counts = self._read("rauc.status")
        self._write("rauc.status", {**counts, slot: counts[slot] + 1})

    def _read(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_durably(self.folder / name, json.dumps(content).encode())


def parts_of(machine: Machine, world: World) -> Sequence[Replaced]:
    """What of the agent the machine takes the place of: RAUC's command line, and the look at its health."""

    def run(command: Sequence[str], **_options: object) -> CompletedProcess[bytes]:
        told: object = None
        match list(command)[1:]:
            case ["status", "--detailed", *_]:
                told = machine.status(world)
            case ["status", how, slot]:
                machine.mark(how, slot)
            case ["info", _, image]:
                told = json.loads(Path(image).read_bytes().partition(b"\n")[0])
            case _:
                raise Fault(f"RAUC does not know {command}")
        return CompletedProcess(command, 0, json.dumps(told).encode(), b"")

    class Installing:
        returncode = 0

        def __init__(self, command: Sequence[str], **_options: object) -> None:
            self._image = Path(command[-1])

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_raised: object) -> None:
            pass

        def communicate(self, timeout: float) -> tuple[bytes, None]:  # noqa: ARG002 - as a child has it
            machine.install(self._image.read_bytes(), world)
            return b"", None

    def look(*_arguments: object, **_settings: object) -> str | None:
        return "ended with 1" if machine.version(world.slot) == SICK_VERSION else None

    command_line = SimpleNamespace(
        run=run, Popen=Installing, DEVNULL=DEVNULL, PIPE=PIPE, STDOUT=STDOUT, TimeoutExpired=TimeoutExpired
    )
    return ((rauc, "subprocess", command_line), (checks, "run", look))


def live(disk: Disk, world: World, step: Callable[[str], None]) -> int:
    """Boot after boot until the device rests; how many lives of the agent there were."""
    machine = Machine(disk.root / "machine")
    for number in range(1, LIVES_MAX + 1):
        with disk.watched(step):
            machine.power_on(world, step)
        if life(disk, world, step, parts_of(machine, world)):
            return number
    raise Fault(f"no rest after {LIVES_MAX} starts")
