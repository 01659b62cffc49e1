"""Every cut of a scene: recorded once, then lived through from each disk that the cut may leave."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from outfitter_fleet.power.disk import Disk, Loss, Picture, Tree, after, restore
from outfitter_fleet.power.lives import Fault, World

SEEDS: Final = (1, 2)
"""How often the dice are thrown for what a cut leaves, where that is chance."""
FETCH, UNPACK = "fetched", "unpacked"
_NEVER_AGAIN: Final[Mapping[str, Sequence[str]]] = {
    "trial": (FETCH, UNPACK),
    "rollback": (FETCH, UNPACK, "on trial"),
    "applying": (FETCH,),
    "change rollback": (FETCH,),
    "final": (FETCH, UNPACK, "on trial", "hook", "reload", "restart"),
    "done": (FETCH, UNPACK, "on trial", "hook", "reload", "restart"),
}
"""What has come to its end when the journal says this, and is not done a second time."""


class Played(Protocol):
    """A scene: how it begins, what the device does when it starts, and what is wrong in the end."""

    @property
    def title(self) -> str:
        """What happens in it."""

    @property
    def right(self) -> str:
        """How it ends when all is well, for people."""

    def live(self, disk: Disk, world: World, step: Callable[[str], None], /) -> int:
        """The device from its start until it rests; how many lives it took."""

    def begin(self, disk: Disk) -> World:
        """Lay the disk out; the world of the first life."""

    def wrong(self, disk: Disk, world: World) -> list[str]:
        """What is not as it must be."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The moment before or after a step: the disk, and the world without the device's memory."""

    step: str
    when: str
    stage: str
    picture: Picture
    world: World


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one cut that left one disk."""

    cut: Cut
    loss: Loss
    again: tuple[str, ...]
    wrong: tuple[str, ...]


class Recorder:
    """Takes a picture at each step."""

    def __init__(self, disk: Disk, world: World) -> None:
        """Of this disk and this world."""
        self.cuts: list[Cut] = []
        self._disk, self._world = disk, world

    def step(self, moment: str) -> None:
        """The moment is kept, with all that there is in it."""
        acted(self._world, moment)
        when, _, step = moment.partition(" ")
        picture = self._disk.picture()
        self.cuts.append(Cut(step, when, stage_of(self._disk.root), picture, self._world.copy()))


def acted(world: World, moment: str) -> None:
    """Remember the acts that are steps of the disk or the network."""
    if moment.endswith("a block") or moment.startswith("after PUT"):
        world.acts.append(FETCH)
    elif moment in ("after mkdir software/a", "after mkdir software/b"):
        world.acts.append(UNPACK)


def stage_of(root: Path) -> str:
    """What the journal says."""
    try:
        journal = json.loads((root / "state/journal.json").read_bytes())
    except (OSError, ValueError):
        return "new"
    if journal["final"]:
        return "final"
    if journal["change"]:
        stage = str(journal["change"]["stage"])
        return "change rollback" if stage == "rollback" else stage
    if journal["steps"]:
        return f"steps {journal['steps']['stage']}"
    return str(journal["update"]["stage"]) if journal["update"] else "idle"


def record(scene: Played, root: Path) -> tuple[list[Cut], Counter[str], list[str]]:
    """The scene without a cut: every moment of it, what was done, and what was wrong."""
    empty(root)
    disk = Disk(root)
    try:
        world = scene.begin(disk)
        recorder = Recorder(disk, world)
        scene.live(disk, world, recorder.step)
        return recorder.cuts, Counter(world.acts), scene.wrong(disk, world)
    finally:
        disk.close()


def outcomes(scene: Played, root: Path) -> Iterator[Outcome]:
    """Every cut of the scene, with every disk that it may leave."""
    cuts, done, wrong = record(scene, root)
    if wrong:
        raise Fault(f"{scene.title}, uncut: {'; '.join(wrong)}")
    known: dict[object, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for cut in cuts:
        for loss, tree in disks(cut.picture):
            alone = loss is Loss.NOTHING
            key = (tree, alone, cut.world.told, tuple(cut.world.acts), repr(cut.world.service.executions))
            if key not in known:
                known[key] = lived(scene, root, cut, tree, done, alone=alone)
            yield Outcome(cut, loss, *known[key])


def twice(scene: Played, root: Path, pairs: int) -> Iterator[Outcome]:
    """So many pairs of cuts at moments of chance: the second one in what the device does after the first."""
    chance = random.Random(scene.title)
    cuts, done, _ = record(scene, root)
    for _ in range(pairs):
        first = chance.choice(cuts)
        _, tree = chance.choice(list(disks(first.picture)))
        empty(root)
        restore(root, tree)
        disk, world = Disk(root), first.world.copy()
        world.boot += 1
        disk.settle()
        recorder = Recorder(disk, world)
        try:
            scene.live(disk, world, recorder.step)
        finally:
            disk.close()
        second = chance.choice(recorder.cuts or [first])
        loss, tree = chance.choice(list(disks(second.picture)))
        yield Outcome(second, loss, *lived(scene, root, second, tree, done, alone=loss is Loss.NOTHING))


def disks(picture: Picture) -> Iterator[tuple[Loss, Tree]]:
    """What a cut may leave, each disk once."""
    seen: set[Tree] = set()
    for loss in Loss:
        for seed in SEEDS if loss is Loss.SOME else (0,):
            tree = after(picture, loss, random.Random(seed))
            if tree not in seen:
                seen.add(tree)
                yield loss, tree


def lived(
    scene: Played,
    root: Path,
    cut: Cut,
    tree: Tree,
    done: Counter[str],
    *,
    alone: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Start the device after the cut, until it rests: what it did again, and what is wrong. ``alone``: the agent only died."""
    empty(root)
    restore(root, tree)
    world, disk = cut.world.copy(), Disk(root)
    world.boot += not alone
    stage = stage_of(root)
    before = Counter(world.acts)
    try:
        scene.live(disk, world, partial(acted, world))
        wrong = scene.wrong(disk, world)
    except (Fault, Exception) as fault:  # noqa: BLE001 - whatever it is, it is what the proof looks for
        return (), (f"{type(fault).__name__}: {fault}",)
    finally:
        disk.close()
    again = Counter(world.acts) - done
    if stage == "idle" and world.service.ends and cut.world.service.ends:
        stage = "done"
    return tuple(sorted(again)), (*wrong, *repeated(world, before, stage))


def repeated(world: World, before: Counter[str], stage: str) -> list[str]:
    """What was done since ``before`` that had come to its end when the journal said ``stage``."""
    acts = Counter(world.acts) - before
    return [f"{act} after {stage}" for act in acts for word in _NEVER_AGAIN.get(stage, ()) if word in act]


def empty(root: Path) -> None:
    """Nothing is left of the disk."""
    if root.exists():
        shutil.rmtree(root)
    root.mkdir(parents=True)


def describe(outcome: Outcome) -> dict[str, Any]:
    """For people."""
    cut = outcome.cut
    return {
        "stage": cut.stage,
        "cut": f"{cut.when} {cut.step}",
        "disk": outcome.loss.value,
        "wrong": outcome.wrong,
    }
