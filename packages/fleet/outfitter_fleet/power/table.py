"""The table of docs/reference/power-cuts.md: step by step, what a power cut there comes to."""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from outfitter_fleet.power.booted import BOOTED
from outfitter_fleet.power.cancelled import CANCELLED
from outfitter_fleet.power.cuts import Outcome, Played, outcomes
from outfitter_fleet.power.provisioned import Provisioning
from outfitter_fleet.power.scenes import SCENES
from outfitter_fleet.tables.blocks import table

ALL: Final[Sequence[Played]] = (*SCENES, *CANCELLED, *BOOTED, Provisioning())
_HEADINGS: Final = (
    "the journal says",
    "the power goes before, in or after",
    "moments",
    "ends right",
    "done again",
    "wrong",
)


def played(root: Path) -> dict[str, list[Outcome]]:
    """Every cut of every scene; ``root`` is emptied for each."""
    return {scene.title: list(outcomes(scene, root)) for scene in ALL}


def ground() -> Path:
    """Where to lay the disks out: they are written thousands of times, and need no disk under them."""
    return Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())


def blocks(found: Mapping[str, Sequence[Outcome]]) -> dict[str, str]:
    """The generated blocks of the document."""
    summary = table(
        ("scene", "moments", "disks that are left", "wrong"),
        [[title, str(_moments(each)), str(len(each)), str(_wrong(each))] for title, each in found.items()],
    )
    return {"summary": summary, "steps": "\n\n".join(_scene(scene, found[scene.title]) for scene in ALL)}


def _scene(scene: Played, found: Sequence[Outcome]) -> str:
    rows: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in found:
        rows.setdefault((outcome.cut.stage, outcome.cut.step), []).append(outcome)
    lines = [
        [
            stage,
            step,
            str(_moments(each)),
            f"{len(each) - _wrong(each)} of {len(each)}",
            _again(each),
            str(_wrong(each)),
        ]
        for (stage, step), each in rows.items()
    ]
    return f"### {scene.title.capitalize()}\n\nRight is: {scene.right}.\n\n{table(_HEADINGS, lines)}"


def _moments(found: Iterable[Outcome]) -> int:
    return len({id(outcome.cut) for outcome in found})


def _wrong(found: Iterable[Outcome]) -> int:
    return sum(bool(outcome.wrong) for outcome in found)


def _again(found: Iterable[Outcome]) -> str:
    """Software that has been proven starts whenever its device does: that is no repetition."""
    acts = {
        act for outcome in found for act in outcome.again if not act.startswith("exec") or "on trial" in act
    }
    return ", ".join(sorted(acts)) or "-"
