"""Scenes of a job that an operator cancels, with force, while it is under way: what was running goes on, nothing is reported."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from outfitter_contract.execution import Status

from outfitter_fleet.power.cuts import stage_of
from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.documents import NEW, configure, install
from outfitter_fleet.power.lives import World, live
from outfitter_fleet.power.scenes import WATCHED, Scene
from outfitter_fleet.power.service import JOB


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Lives in which the job is cancelled at a moment, while the journal says so."""

    moment: str
    stage: str

    def __call__(self, disk: Disk, world: World, step: Callable[[str], None]) -> int:
        """The cancellation comes after the moment: a cut there is one before it."""

        def step_and_cancel(moment: str) -> None:
            step(moment)
            job = world.service.executions.get(JOB)
            under_way = job is not None and job.status is Status.IN_PROGRESS
            if under_way and moment == self.moment and stage_of(disk.root) == self.stage:
                world.service.cancel(JOB)

        return live(disk, world, step_and_cancel)


def _scene(title: str, moment: str, stage: str, **uncancelled: Any) -> Scene:
    otherwise = Scene(title=title, **uncancelled)
    return replace(
        otherwise,
        ends=Status.CANCELED,
        runs=otherwise.software,
        holds=otherwise.configuration,
        live=Cancelling(moment, stage),
        otherwise=otherwise,
    )


_NEWER: Final[dict[str, Any]] = {
    "document": install("2.0.0"),
    "ends": Status.SUCCEEDED,
    "runs": "2.0.0",
}

CANCELLED: Final = (
    _scene(
        "canceled: while the image is fetched",
        "after GET 2.0.0.tar.gz, a block",
        "downloading",
        **_NEWER,
    ),
    _scene("canceled: while the image is unpacked", "after mkdir software/b", "unpacking", **_NEWER),
    _scene("canceled: while the new software is on trial", "after exec 2.0.0 on trial", "trial", **_NEWER),
    _scene(
        "canceled: while it is rolled back",
        "after exec 1.0.0",
        "rollback",
        document=install("3.0.0"),
        ends=Status.FAILED,
    ),
    _scene(
        "canceled: while a configuration is applied",
        "before exec reload",
        "applying",
        document=configure(NEW),
        ends=Status.SUCCEEDED,
        objects={"new.json": NEW},
        holds=NEW,
        settings=WATCHED,
    ),
)
