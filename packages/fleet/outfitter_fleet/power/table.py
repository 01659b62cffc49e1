"""The table of docs/reference/power-cuts.md: step by step, what a power cut there comes to."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from outfitter_fleet.power.booted import BOOTED
from outfitter_fleet.power.cancelled import CANCELLED
from outfitter_fleet.power.cuts import Outcome, Played, outcomes
from outfitter_fleet.power.faults import Faulted, Kind, faults
from outfitter_fleet.power.provisioned import Provisioning
from outfitter_fleet.power.scenes import SCENES
from outfitter_fleet.tables.blocks import table

ALL: Final[Sequence[Played]] = (*SCENES, *CANCELLED, *BOOTED, Provisioning())
FAULTED: Final = tuple(scene for scene in SCENES if scene.faulted)
_FAULT_HEADINGS: Final = ("faults", "ends SUCCEEDED", "ends FAILED", "wrong")
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


def failed(root: Path) -> dict[str, list[Faulted]]:
    """Every fault of the scenes that have their part of the document; ``root`` is emptied for each."""
    return {scene.title: list(faults(scene, root)) for scene in FAULTED}


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


def fault_blocks(found: Mapping[str, Sequence[Faulted]]) -> dict[str, str]:
    """The generated blocks of the document that are about faults."""
    kinds = [
        [
            f"the step {kind.value}",
            *_fault_row([each for some in found.values() for each in some if each.kind is kind]),
        ]
        for kind in Kind
    ]
    scenes = [[title, *_fault_row(each)] for title, each in found.items()]
    return {
        "fault-kinds": table(("fault", *_FAULT_HEADINGS), kinds),
        "fault-scenes": table(("scene", *_FAULT_HEADINGS), scenes),
        "faults": "\n\n".join(
            f"### {title.capitalize()}, with faults\n\n{_faults(each)}" for title, each in found.items()
        ),
    }


def _faults(found: Sequence[Faulted]) -> str:
    rows: dict[tuple[str, str], list[Faulted]] = {}
    for each in found:
        rows.setdefault((each.stage, each.step), []).append(each)
    lines = [[stage, step, *_fault_row(each)] for (stage, step), each in rows.items()]
    return table(("the journal says", "step that fails", *_FAULT_HEADINGS), lines)


def _fault_row(found: Sequence[Faulted]) -> list[str]:
    ends = Counter(each.ends for each in found)
    wrong = sum(bool(each.wrong) for each in found)
    return [str(len(found)), str(ends["SUCCEEDED"]), str(ends["FAILED"]), str(wrong)]


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
