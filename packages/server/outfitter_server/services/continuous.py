"""What joining and leaving groups does to continuous jobs. Called by the registry inside its own batch.

Source: AWS IoT developer guide, "Snapshot and continuous jobs", and captures of the live service: joining queues a job
whose newest execution has ended (or never was), past the rollout's rate; leaving removes what is QUEUED and nothing else.
"""

from collections.abc import Iterable
from typing import Final

from outfitter_contract.execution import TERMINAL, Status

from outfitter_server.jobs.lifecycle import ended_by_service
from outfitter_server.jobs.targets import GROUP, THING
from outfitter_server.jobs.values import EndedBy, QueuedBy
from outfitter_server.services.committer import Batch
from outfitter_server.services.engine import Engine
from outfitter_server.services.records import execution_of
from outfitter_server.services.workspace import Workspace

_PAGE: Final = 1_000


class ContinuousJobs:
    """The jobs' side of the registry's changes."""

    def __init__(self, engine: Engine) -> None:
        """Shared with everything else that changes executions."""
        self._engine = engine

    def joined(self, batch: Batch, thing: str, group: str) -> None:
        """The thing is a member of the group from now on."""
        jobs = self._continuous_jobs(batch, group, joined=True)
        if not jobs:
            return
        space = Workspace(batch, self._engine)
        for job, held in jobs.items():
            newest = space.latest(thing, job)
            if newest is None or newest.status in TERMINAL:
                number = 1 if newest is None else newest.number + 1
                space.add(thing, job, number=number, by=QueuedBy.JOIN, held=held)
        space.flush()

    def left(self, batch: Batch, thing: str, group: str) -> None:
        """The thing is no longer a direct member of the group."""
        jobs = self._continuous_jobs(batch, group)
        if jobs:
            space = Workspace(batch, self._engine)
            self._remove(batch, space, thing, group, jobs)
            space.flush()

    def group_deleted(self, batch: Batch, group: str) -> None:
        """The group is about to go, with its memberships; costs what its members and their continuous jobs cost."""
        jobs = self._continuous_jobs(batch, group)
        after = ""
        while jobs:
            rows = batch.tx.all("group_members_after", group=group, after=after, limit=_PAGE)
            if not rows:
                return
            space = Workspace(batch, self._engine)
            for row in rows:
                self._remove(batch, space, row["thing"], group, jobs)
            space.flush()
            after = rows[-1]["thing"]

    def thing_deleted(self, batch: Batch, thing: str) -> None:
        """The thing is gone and takes its executions along; jobs that waited for it complete."""
        while True:
            rows = batch.tx.all("executions_of_thing_any", thing=thing, limit=_PAGE)
            if not rows:
                return
            space = Workspace(batch, self._engine)
            for row in rows:
                space.delete(execution_of(row))
            space.flush()

    def _continuous_jobs(self, batch: Batch, group: str, *, joined: bool = False) -> dict[str, bool]:
        """The jobs that reach the group (that can be joined), and whether they hold back what is queued now."""
        groups = [row["name"] for row in batch.tx.all("group_with_ancestors", group=group)]
        jobs = {
            (row["seq"], row["job"]): row["held"] == 1
            for name in groups
            for row in batch.tx.all("job_targets_named", kind=GROUP, name=name)
            if not (joined and row["ended"])
        }
        # The oldest comes first in the thing's list, as if it had been there.
        return {job: held for (_, job), held in sorted(jobs.items())}

    def _remove(self, batch: Batch, space: Workspace, thing: str, group: str, jobs: Iterable[str]) -> None:
        reaching = {
            row["name"] for row in batch.tx.all("groups_reaching_thing_without", thing=thing, group=group)
        }
        for job in jobs:
            newest = space.latest(thing, job)
            if newest is None or newest.status is not Status.QUEUED:
                continue
            targets = batch.tx.all("job_targets", job=job)
            if any(
                (row["kind"] == GROUP and row["name"] in reaching)
                or (row["kind"] == THING and row["name"] == thing)
                for row in targets
            ):
                continue
            space.replace(newest, ended_by_service(newest, Status.REMOVED, batch.now, EndedBy.LEFT_GROUP))
