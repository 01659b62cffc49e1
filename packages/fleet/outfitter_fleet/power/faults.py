"""Every fault of a scene: a step of the agent fails, the agent goes on in the same process, later the fault is gone."""

import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from outfitter_agent.main.performer import Performer
from outfitter_contract.execution import Status

from outfitter_fleet.power.cuts import acted, empty, repeated, stage_of
from outfitter_fleet.power.disk import Disk, Loss, Tree, after, restore
from outfitter_fleet.power.lives import Fault, World
from outfitter_fleet.power.scenes import Scene

WAITS_UNTIL_MENDED: Final = 2
"""A fault that lasts is gone when the agent has waited so many times to try again."""
WAITS_MAX: Final = 8
_WRITES: Final = ("before fsync", "before mkdir", "before symlink", "before rename", "before link")


class Kind(Enum):
    """How a step fails."""

    REFUSED = "fails once, with an error of the system, before it is done"
    DONE_AND_REFUSED = "is done, and fails once then, with an error of the system"
    BROKEN = "fails once, with an error that nobody foresaw, before it is done"
    DONE_AND_BROKEN = "is done, and fails once then, with an error that nobody foresaw"
    ALL_BROKEN = "and all after it fail, with an error that nobody foresaw, until the agent has waited twice"
    FULL = "finds the disk full, and so do all that write after it, until the agent has waited twice"

    @property
    def once(self) -> bool:
        """Whether the next step is spared."""
        return self not in (Kind.ALL_BROKEN, Kind.FULL)

    def error(self) -> Exception:
        """What is raised."""
        if self in (Kind.REFUSED, Kind.DONE_AND_REFUSED, Kind.FULL):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return RuntimeError("nobody foresaw this")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulted:
    """What came of one fault."""

    kind: Kind
    stage: str
    """What the journal said."""
    step: str
    ends: str
    wrong: tuple[str, ...]


class Breakage:
    """Fails one step, by its number, and perhaps those after it."""

    def __init__(self, disk: Disk, world: World, kind: Kind, number: int) -> None:
        """In this world."""
        self.struck: tuple[str, str] | None = None
        """The stage and the step that have failed first."""
        self.before: Counter[str] = Counter()
        """What had been done by then."""
        self._disk, self._world, self._kind = disk, world, kind
        self._left = number
        self._waits = 0
        self._works = False
        self._mended = False

    def effect(self, performer: Performer, effect: Any, perform: Callable[..., Any]) -> Any:
        """Perform it, or fail."""
        self._works = True
        name = type(effect).__name__
        done = self._kind in (Kind.DONE_AND_REFUSED, Kind.DONE_AND_BROKEN)
        if not done and self._kind is not Kind.FULL:
            self._strike(name)
        result = perform(performer, effect)
        if done:
            self._strike(name)
        return result

    def moment(self, moment: str) -> None:
        """A step of the disk or the network."""
        acted(self._world, moment)
        if self._kind is Kind.FULL and self._works and moment.startswith(_WRITES):
            self._strike(moment.partition(" ")[2])

    def wait(self) -> None:
        """Time passes."""
        self._waits += 1
        if self._waits >= WAITS_MAX:
            raise Fault("the agent would try for ever")
        self._mended = self._mended or self._waits >= WAITS_UNTIL_MENDED

    def _strike(self, name: str) -> None:
        if self._mended:
            return
        self._left -= 1
        if self._left > 0:
            return
        if self.struck is None:
            self.struck = stage_of(self._disk.root), name
            self.before = Counter(self._world.acts)
        self._mended = self._kind.once
        raise self._kind.error()


def faults(scene: Scene, root: Path) -> Iterator[Faulted]:
    """Every kind of fault at every step of the scene."""
    empty(root)
    disk = Disk(root)
    world = scene.begin(disk)
    tree = after(disk.picture(), Loss.NOTHING, random.Random(0))
    disk.close()
    for kind in Kind:
        number = 1
        while (found := _lived(scene, root, tree, world.copy(), kind, number)) is not None:
            yield found
            number += 1


def _lived(scene: Scene, root: Path, tree: Tree, world: World, kind: Kind, number: int) -> Faulted | None:
    """The scene with one fault; None when it has no step of that number."""
    empty(root)
    restore(root, tree)
    disk = Disk(root)
    breakage = Breakage(disk, world, kind, number)
    world.wait = breakage.wait
    perform = Performer._perform  # noqa: SLF001 - each effect passes through here

    def faulty(performer: Performer, effect: Any) -> Any:
        return breakage.effect(performer, effect, perform)

    try:
        with patch.object(Performer, "_perform", faulty):
            wrong = _wrong(scene, disk, world, breakage)
    finally:
        disk.close()
    if breakage.struck is None:
        return None
    stage, step = breakage.struck
    ends = ", ".join(end.rpartition(" ")[2] for end in world.service.ends)
    return Faulted(kind=kind, stage=stage, step=step, ends=ends, wrong=tuple(wrong))


def _wrong(scene: Scene, disk: Disk, world: World, breakage: Breakage) -> list[str]:
    try:
        scene.live(disk, world, breakage.moment)
        wrong = _as_it_ended(scene, world).wrong(disk, world)
    except (Fault, Exception) as fault:  # noqa: BLE001 - whatever it is, it is what the proof looks for
        return [f"{type(fault).__name__}: {fault}"]
    stage = breakage.struck[0] if breakage.struck else ""
    return [*wrong, *_unproven(scene, world), *repeated(world, breakage.before, stage)]


def _as_it_ended(scene: Scene, world: World) -> Scene:
    """A fault may make a job fail that had succeeded otherwise: then everything is as it was before it."""
    if scene.ends is Status.FAILED or not world.service.ends[-1:][0].endswith(Status.FAILED):
        return scene
    return replace(
        scene, ends=Status.FAILED, runs=scene.software, holds=scene.configuration, may_have_learnt=True
    )


def _unproven(scene: Scene, world: World) -> list[str]:
    """What a success lacks of its proof: the restart, the trial."""
    if not world.service.ends[0].endswith(Status.SUCCEEDED) or scene.runs == scene.software:
        return []
    missing = [act for act in ("restart", f"exec {scene.runs} on trial") if act not in world.acts]
    return [f"SUCCEEDED without {act}" for act in missing]
