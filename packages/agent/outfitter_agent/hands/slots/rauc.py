"""Slots that RAUC writes, boots and marks, through its command line; an image is one of its bundles.

``system.conf`` must say ``activate-installed=false``: a slot becomes the next to boot only when the journal says
so. What the agent put into a slot is kept in a record beside the agent's state, with RAUC's own count of
installations in that slot: a slot that somebody else has written since holds nothing that is known here.
"""

import dataclasses
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from outfitter_contract.image import WORD, Manifest
from outfitter_contract.version import InvalidVersion, sort_key

from outfitter_agent.hands.durable import make_folder, sync_folder, write_durably
from outfitter_agent.hands.journal import installed_from
from outfitter_agent.hands.slots.port import Check, SlotsError, SlotSettings
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble

COMMAND_SECONDS_MAX: Final = 60
POLL_SECONDS: Final = 0.1
LAST_ERROR: Final = "LastError: "
COMMAND: Final = ("rauc",)


def make(settings: SlotSettings) -> "RaucSlots":
    """The slots of this machine's RAUC; the only option is ``command``. Raises SlotsError."""
    options = dict(settings.options)
    command = options.pop("command", list(COMMAND))
    if options:
        raise SlotsError(
            f"slot_options: slot = \"rauc\" knows the option 'command', and not {min(options)!r}"
        )
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise SlotsError(f"slot_options: 'command' must be a list of texts, not {command!r}")
    return RaucSlots(settings.state / "rauc", command=command)


class RaucSlots:
    """The software of one device whose slots are RAUC's; a slot is named by RAUC, such as ``rootfs.0``."""

    def __init__(self, folder: Path, *, command: Sequence[str] = COMMAND) -> None:
        """``folder``: of the records, made when it is needed; ``command``: RAUC with the options that it always gets."""
        self._folder = folder
        self._command = tuple(command)

    def names(self) -> tuple[str, ...]:
        """Those that can be booted."""
        return tuple(sorted(slot for slot, told in _slots(self._status()).items() if told.get("bootname")))

    def current(self) -> str:
        """The slot that was booted; raises Trouble."""
        status = self._status()
        slots = _slots(status)
        for slot, told in slots.items():
            if told.get("state") == "booted":
                return slot
        raise Trouble(f"RAUC does not say which of the slots {', '.join(slots)} was booted")

    def other(self) -> str:
        """The one slot that an installation writes; raises Trouble where there is not exactly one."""
        others = [
            slot
            for slot, told in _slots(self._status()).items()
            if told.get("bootname") and told.get("state") != "booted"
        ]
        if len(others) != 1:
            raise Trouble(f"RAUC has {len(others)} slots to install into; one is needed: {', '.join(others)}")
        return others[0]

    def installed(self, slot: str | None) -> Installed | None:
        """What was put into a slot; None when that is not known, or somebody else has written it since."""
        if slot is None:
            return None
        try:
            record = json.loads(self._record(slot).read_bytes())
            known = installed_from(record["installed"])
            count = record["count"]
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None
        return known if self._count(slot) == count else None

    def path(self, slot: str) -> None:
        """The machine runs what a slot holds, by booting it."""

    def unpacking_needs(self, download: Path, image_bytes: int) -> int:  # noqa: ARG002 - the port's
        """A slot is a place of its own."""
        return 0

    def manifest(self, image: Path, check: Check) -> Manifest:
        """What the bundle says, once RAUC has verified its signature: ``compatible`` is name and device type.

        Raises Trouble.
        """
        check()
        try:
            told = json.loads(self._run("info", "--output-format=json", str(image)))
            compatible, version = told["compatible"], told["version"]
        except (ValueError, KeyError, TypeError):
            raise Trouble("RAUC does not say what the bundle holds") from None
        if not isinstance(compatible, str) or not WORD.fullmatch(compatible):
            raise Trouble(
                f"the bundle's compatible is {compatible!r}, which is no device type:"
                " 1 to 128 of A-Z a-z 0-9 _ . : -"
            )
        try:
            sort_key(version if isinstance(version, str) else "")
        except InvalidVersion as error:
            raise Trouble(f"the version in the bundle's manifest: {error}") from None
        return Manifest(name=compatible, version=version, device_types=(compatible,), start=())

    def unpack(self, image: Path, installed: Installed, check: Check = lambda: None) -> None:
        """Have the bundle verified and written into the slot that was not booted; raises Trouble.

        RAUC's service goes on when its client is ended. So what ``check`` raises is raised when RAUC has come to its
        end: nobody else may write the slot before.
        """
        if installed.slot != self.other():
            raise Trouble(f"slot {installed.slot} is not the one that RAUC would write; it is not written")
        self._forget(installed.slot)
        raised = self._install(image, check)
        if self._primary() == installed.slot:
            self.switch(self.current())
            raise Trouble(
                "RAUC boots what it has installed at once: system.conf needs activate-installed=false"
            )
        if raised is not None:
            raise raised
        make_folder(self._folder)
        record = {"installed": dataclasses.asdict(installed), "count": self._count(installed.slot)}
        write_durably(self._record(installed.slot), json.dumps(record).encode())

    def switch(self, slot: str | None) -> None:
        """Make the slot the next one to boot; harmless when it is. Raises Trouble."""
        if slot is None:
            raise Trouble("RAUC cannot be told to boot no slot")
        self._run("status", "mark-active", slot)

    def mark_good(self, slot: str) -> None:
        """The slot is proven: the boot loader need not count its boots any more. Raises Trouble."""
        self._run("status", "mark-good", slot)

    def mark_bad(self, slot: str) -> None:
        """The slot has failed: the boot loader shall not choose it. Raises Trouble."""
        self._run("status", "mark-bad", slot)

    def fault(self) -> str | None:
        """Whether RAUC answers, and there are two slots."""
        try:
            self.current()
            self.other()
        except Trouble as trouble:
            return trouble.reason
        return None

    def _install(self, image: Path, check: Check) -> BaseException | None:
        """Run it to its end; what ``check`` raised meanwhile. Raises Trouble."""
        raised: BaseException | None = None
        with subprocess.Popen(  # noqa: S603 - the owner's own setting
            [*self._command, "install", str(image)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as child:
            while True:
                try:
                    output, _ = child.communicate(timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    raised = _raised_by(check) or raised  # the watchdog hears of it at each call
        if child.returncode and raised is None:
            raise Trouble(f"RAUC refuses the bundle: {_last_error(output)}")
        return raised

    def _primary(self) -> str | None:
        primary = self._status().get("boot_primary")
        return primary if isinstance(primary, str) else None

    def _count(self, slot: str) -> int | None:
        """How often RAUC has installed into the slot, by its own record."""
        told = _slots(self._status()).get(slot, {})
        count = told.get("slot_status", {}).get("installed", {}).get("count")
        return count if isinstance(count, int) else None

    def _status(self) -> Mapping[str, Any]:
        try:
            status = json.loads(self._run("status", "--detailed", "--output-format=json"))
        except ValueError:
            raise Trouble("RAUC's status is not JSON") from None
        if not isinstance(status, dict):
            raise Trouble("RAUC's status is not a JSON object")
        return status

    def _run(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - the owner's own setting
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_SECONDS_MAX,
                check=False,
            )
        except OSError as error:
            raise Trouble(f"RAUC cannot be run: {error.strerror}: {self._command[0]}") from error
        except subprocess.TimeoutExpired:
            raise Trouble(f"rauc {arguments[0]} took longer than {COMMAND_SECONDS_MAX} s") from None
        if done.returncode:
            raise Trouble(f"rauc {' '.join(arguments)} failed: {_last_error(done.stdout + done.stderr)}")
        return done.stdout

    def _forget(self, slot: str) -> None:
        if self._folder.exists():
            self._record(slot).unlink(missing_ok=True)
            sync_folder(self._folder)

    def _record(self, slot: str) -> Path:
        return self._folder / f"{slot.replace('/', '_')}.json"


def _slots(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: told for entry in status.get("slots", []) for name, told in entry.items()}


def _raised_by(check: Check) -> BaseException | None:
    try:
        check()
    except BaseException as error:  # noqa: BLE001 - raised again when RAUC has ended
        return error
    return None


def _last_error(output: bytes) -> str:
    """What RAUC gives as the reason, else its last words."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    told = [line.removeprefix(LAST_ERROR) for line in lines if line.startswith(LAST_ERROR)]
    return (told or lines or ["it says nothing"])[-1]
