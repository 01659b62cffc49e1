"""The journal: one JSON file, written durably before each act, and an exclusive lock on its folder."""

import dataclasses
import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from outfitter_contract.execution import Status

from outfitter_agent.hands.durable import write_durably
from outfitter_agent.plans.transaction import (
    Change,
    ChangeStage,
    FinalReport,
    Installed,
    JobRef,
    Journal,
    Stage,
    StepsRun,
    StepsStage,
    Update,
)

FORMAT: Final = 1
FILE_NAME: Final = "journal.json"
LOCK_NAME: Final = "lock"

log = logging.getLogger(__name__)


class FolderInUseError(Exception):
    """Another agent works with the same state folder."""


def lock_folder(folder: Path) -> int:
    """Hold the folder for this process until it ends; returns the descriptor. Raises FolderInUseError."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderInUseError(f"another agent uses the state folder {folder}") from None
    return descriptor


def is_locked(folder: Path) -> bool:
    """Whether an agent holds the folder now."""
    try:
        os.close(lock_folder(folder))
    except FolderInUseError:
        return True
    except FileNotFoundError:
        return False
    return False


class JournalFile:
    """Loads and saves the journal of one device."""

    def __init__(self, folder: Path) -> None:
        """Keep the place; nothing is read yet."""
        self._path = folder / FILE_NAME

    def load(self) -> Journal:
        """What was saved last; empty on a new device.

        A file that cannot be read back (renames are atomic, so this is a broken disk) is set aside: the current slot
        runs on, and the service hands an unfinished job over again.
        """
        try:
            return decode(self._path.read_bytes())
        except FileNotFoundError:
            return Journal()
        except (ValueError, KeyError, TypeError):
            aside = self._path.with_suffix(".broken")
            self._path.replace(aside)
            log.exception("the journal is not readable; set aside as %s", aside)
            return Journal()

    def save(self, journal: Journal) -> None:
        """Make the journal durable."""
        write_durably(self._path, encode(journal))


def encode(journal: Journal) -> bytes:
    """The journal as the bytes of its file."""
    members = {"format": FORMAT, **dataclasses.asdict(journal)}
    return json.dumps(members, indent=1).encode()


def decode(content: bytes) -> Journal:
    """The journal in the bytes of its file; raises ValueError, KeyError or TypeError."""
    members = json.loads(content)
    if not isinstance(members, dict) or members.get("format") != FORMAT:
        raise ValueError(f"the journal is not of format {FORMAT}")
    update, final = members["update"], members["final"]
    change, steps = members.get("change"), members.get("steps")  # journals of earlier releases have none
    return Journal(
        update=None if update is None else _update(update),
        change=None if change is None else _change(change),
        steps=None if steps is None else _steps(steps),
        final=None if final is None else _final(final),
    )


def _update(members: Mapping[str, Any]) -> Update:
    previous = installed_from(members["previous"])
    return Update(
        **{
            "previous_slot": previous.slot if previous else None,  # a journal of the first releases has none
            **_known(Update, members),
            "job": JobRef(**members["job"]),
            "stage": Stage(members["stage"]),
            "target": installed_from(members["target"]),
            "previous": previous,
        }
    )


def _change(members: Mapping[str, Any]) -> Change:
    return Change(
        **{**_known(Change, members), "job": JobRef(**members["job"]), "stage": ChangeStage(members["stage"])}
    )


def _steps(members: Mapping[str, Any]) -> StepsRun:
    return StepsRun(
        **{
            **_known(StepsRun, members),
            "job": JobRef(**members["job"]),
            "stage": StepsStage(members["stage"]),
        }
    )


def _final(members: Mapping[str, Any]) -> FinalReport:
    return FinalReport(
        **{
            **_known(FinalReport, members),
            "job": JobRef(**members["job"]),
            "status": Status(members["status"]),
        }
    )


def installed_from(members: Mapping[str, Any] | None) -> Installed | None:
    """A slot's record out of decoded JSON; raises KeyError or TypeError."""
    if members is None:
        return None
    health = members["health"]
    return Installed(
        **{
            **_known(Installed, members),
            "start": tuple(members["start"]),
            "health": None if health is None else tuple(health),
        }
    )


def _known(
    kind: type[Update | Change | StepsRun | FinalReport | Installed], members: Mapping[str, Any]
) -> dict[str, Any]:
    """Without what a newer agent has added, which the older one in the slot before must be able to do without."""
    return {item.name: members[item.name] for item in dataclasses.fields(kind) if item.name in members}
