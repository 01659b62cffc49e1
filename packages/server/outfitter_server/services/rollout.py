"""Steps of a job's background work: roll out, cancel, delete. Each is one bounded chunk of one transaction.

The pacer (services/pacer.py) calls them until nothing is left; CreateJob, CancelJob and DeleteJob take the first step
themselves, so that a small job is done when they answer.
"""

from typing import Final

import msgspec
from outfitter_contract.execution import Status

from outfitter_server.jobs.lifecycle import ended_by_service
from outfitter_server.jobs.targets import THING
from outfitter_server.jobs.values import Job, Target, Work
from outfitter_server.services.committer import Batch
from outfitter_server.services.effects import WorkQueued
from outfitter_server.services.heads import Heads
from outfitter_server.services.records import STATUS_CODES, execution_of, job_of, job_values, target_of
from outfitter_server.services.workspace import Watched, Workspace

FIRST_ROWS_MAX: Final = 1_000  # what CreateJob queues before it answers
CHUNK_ROWS_MAX: Final = 5_000  # one INSERT … SELECT; about 30 ms of the writer's time
HEARD_ROWS_MAX: Final = (
    1_000  # the same when so many listen: each is told on the loop's thread, document and all
)
CHANGED_ROWS_MAX: Final = 1_000  # executions canceled or deleted in one step
LATEST_TIME: Final = 2**62


class Steps:
    """One step of background work on a job, inside a batch."""

    def __init__(self, heads: Heads, watched: Watched) -> None:
        """Shared with everything else that changes executions."""
        self._heads = heads
        self._watched = watched

    def step(self, batch: Batch, job_id: str, *, rows_max: int | None = None) -> None:
        """Do one chunk of what the job has to do; emits WorkQueued while more is left."""
        if rows_max is None:
            rows_max = CHUNK_ROWS_MAX if len(self._watched) < HEARD_ROWS_MAX else HEARD_ROWS_MAX
        row = batch.tx.one("job_by_id", id=job_id)
        if row is None:
            return
        job = job_of(row)
        match job.work:
            case Work.ROLLOUT:
                self._roll_out(batch, job, rows_max)
            case Work.CANCEL:
                self._cancel(batch, job)
            case Work.DELETE:
                self._delete(batch, job)
            case None:
                pass

    def _workspace(self, batch: Batch) -> Workspace:
        return Workspace(batch, self._heads, self._watched)

    def _roll_out(self, batch: Batch, job: Job, rows_max: int) -> None:
        space = self._workspace(batch)
        room = rows_max
        targets = [target_of(row) for row in batch.tx.all("job_targets", job=job.id)]
        for target in targets:
            if target.done:
                continue
            if room <= 0:
                break
            advanced, used = self._advance(batch, space, job, target, room)
            room -= used
            batch.tx.run(
                "job_target_progress",
                job=job.id,
                position=target.position,
                cursor_group=advanced.cursor_group,
                cursor_thing=advanced.cursor_thing,
                done=int(advanced.done),
            )
            if not advanced.done:
                break
        else:
            batch.tx.run_many("job_write", [job_values(msgspec.structs.replace(job, work=None))])
            space.settle(job.id)
            space.flush()
            return
        space.flush()
        batch.emit(WorkQueued(job.id))

    def _advance(
        self, batch: Batch, space: Workspace, job: Job, target: Target, room: int
    ) -> tuple[Target, int]:
        if target.kind == THING:
            if (
                batch.tx.one("thing_exists", name=target.name) is not None
                and space.latest(target.name, job.id) is None
            ):
                space.add(target.name, job.id, number=1)
            return msgspec.structs.replace(target, done=True), 1
        used = 0
        # An empty group counts as one row, so that a step is bounded for thousands of them too.
        groups = batch.tx.all(
            "group_with_descendants", group=target.name, beginning=target.cursor_group, limit=room + 1
        )
        for group in (row["name"] for row in groups):
            after = target.cursor_thing if group == target.cursor_group else ""
            begun_at = used
            while used < room:
                end = batch.tx.one("group_members_chunk_end", group=group, after=after, limit=room - used)
                if end is None or end["number"] == 0:
                    break
                self._queue_members(batch, space, job, group, after, end["last"])
                used += end["number"]
                after = end["last"]
            used = max(used, begun_at + 1)
            target = msgspec.structs.replace(target, cursor_group=group, cursor_thing=after)
            if used >= room:
                return target, used
        return msgspec.structs.replace(target, done=True), max(used, 1)

    def _queue_members(
        self, batch: Batch, space: Workspace, job: Job, group: str, after: str, last: str
    ) -> None:
        newest = batch.tx.one("executions_last_id")
        assert newest is not None  # noqa: S101 - an aggregate gives a row
        batch.tx.run(
            "executions_queue_members", job=job.id, group=group, after=after, last=last, now=batch.now
        )
        batch.tx.run("revisions_raise_queued", after=newest["id"])
        space.rolled_out(
            job.id, [row["thing"] for row in batch.tx.all("executions_added", after=newest["id"])]
        )

    def _cancel(self, batch: Batch, job: Job) -> None:
        batch.tx.run("job_targets_stop", job=job.id)
        statuses = [Status.QUEUED, Status.IN_PROGRESS] if job.force_canceled else [Status.QUEUED]
        space = self._workspace(batch)
        room = CHANGED_ROWS_MAX
        for status in statuses:
            rows = batch.tx.all(
                "executions_of_job_in_status",
                job=job.id,
                status=STATUS_CODES[status],
                before_time=LATEST_TIME,
                before_id=LATEST_TIME,
                limit=room,
            )
            executions = [execution_of(row) for row in rows]
            space.load([], [execution.thing for execution in executions])
            for execution in executions:
                forced = execution.status is Status.IN_PROGRESS
                space.replace(
                    execution, ended_by_service(execution, Status.CANCELED, batch.now, force=forced)
                )
            room -= len(executions)
        if room > 0:
            batch.tx.run_many("job_write", [job_values(msgspec.structs.replace(job, work=None))])
        else:
            batch.emit(WorkQueued(job.id))
        space.flush()

    def _delete(self, batch: Batch, job: Job) -> None:
        rows = batch.tx.all("executions_of_job_any", job=job.id, limit=CHANGED_ROWS_MAX)
        if not rows:
            for statement in ("job_document_delete", "job_targets_delete"):
                batch.tx.run(statement, job=job.id)
            batch.tx.run("job_delete", id=job.id)
            self._heads.forget(job.id)
            return
        space = self._workspace(batch)
        executions = [execution_of(row) for row in rows]
        space.load([], [execution.thing for execution in executions])
        for execution in executions:
            space.delete(execution)
        space.flush()
        if len(rows) < CHANGED_ROWS_MAX:
            self._delete(batch, job)
        else:
            batch.emit(WorkQueued(job.id))
