"""Steps of a job's background work: roll out, hold back, stop, cancel, delete. Each is one bounded chunk of a transaction.

The pacer (services/pacer.py) calls them until nothing is left to do now; CreateJob, CancelJob and DeleteJob take the first
step themselves, so that a small job is done when they answer.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from outfitter_contract.execution import Status

from outfitter_server.jobs import pacing
from outfitter_server.jobs.lifecycle import ended_by_service
from outfitter_server.jobs.targets import THING
from outfitter_server.jobs.values import EndedBy, Execution, Job, Target, TargetSelection, Work
from outfitter_server.services.committer import Batch
from outfitter_server.services.engine import Engine
from outfitter_server.services.records import HELD_CODE, STATUS_CODES, execution_of, target_of
from outfitter_server.services.workspace import Workspace

FIRST_ROWS_MAX: Final = 1_000  # what CreateJob queues before it answers
CHUNK_ROWS_MAX: Final = 1_000  # one INSERT … SELECT; about 6 ms for which the requests of others wait
CHANGED_ROWS_MAX: Final = 1_000  # executions held back, canceled or deleted in one step
STEPS_KEPT: Final = 1_000  # records of rollout steps, a job
LATEST_TIME: Final = 2**62
_QUEUED_CODES: Final = (STATUS_CODES[Status.QUEUED], HELD_CODE)
_IN_PROGRESS_CODE: Final = STATUS_CODES[Status.IN_PROGRESS]


class Steps:
    """One step of background work on a job, inside a batch."""

    def __init__(self, engine: Engine) -> None:
        """Shared with everything else that changes executions."""
        self._engine = engine

    def step(self, batch: Batch, job_id: str, *, rows_max: int | None = None) -> None:
        """Do one chunk of what the job has to do; its row says whether more is left."""
        rows_max = rows_max or CHUNK_ROWS_MAX
        space = Workspace(batch, self._engine)
        self.step_in(space, job_id, rows_max=rows_max)
        space.flush()

    def step_in(self, space: Workspace, job_id: str, *, rows_max: int = CHANGED_ROWS_MAX) -> None:
        """The same inside a workspace that its caller flushes."""
        job = space.jobs.get(job_id)
        if job is None:
            return
        match job.work:
            case Work.ROLLOUT:
                self._roll_out(space, job, rows_max)
            case Work.STOP:
                self._stop(space, job)
            case Work.CANCEL:
                self._cancel(space, job)
            case Work.DELETE:
                self._delete(space, job)
            case None:
                pass

    def _roll_out(self, space: Workspace, job: Job, rows_max: int) -> None:
        # Whoever looks when something is due may be late: nothing is queued outside of a window, nor past the end.
        job = pacing.look(job, space.now)
        space.jobs.put(job)
        if job.work is not Work.ROLLOUT:
            return
        if self._hold_or_release(space, job):
            space.jobs.keep_working(job.id)
            return
        if job.selection is TargetSelection.SNAPSHOT and job.snapshot is None and job.started_at is not None:
            taken = space.batch.tx.one("snapshot_take")
            assert taken is not None  # noqa: S101 - there is one row, and RETURNING gives it
            job = msgspec.structs.replace(job, snapshot=taken["number"])
            space.jobs.put(job)
        begun = None if job.held or not job.rolling else pacing.begin_batch(job, space.now)
        if begun is None:
            self._rest(space, job)
            return
        queued, everything = _Queueing(space, begun).advance(rows_max)
        after = pacing.rolled_out(begun, queued, space.now, everything=everything)
        space.jobs.put(after)
        if after.work is None:
            self._rest(space, after)
        else:
            space.jobs.keep_working(job.id)

    def _rest(self, space: Workspace, job: Job) -> None:
        space.jobs.put(pacing.look(msgspec.structs.replace(job, work=None), space.now))
        space.jobs.count(job.id, {})

    def _hold_or_release(self, space: Workspace, job: Job) -> bool:
        """Bring what is QUEUED where the job wants it; True when a whole chunk was moved and more may be left."""
        code = STATUS_CODES[Status.QUEUED] if job.held else HELD_CODE
        executions = _of_job(space, job.id, code, CHANGED_ROWS_MAX)
        for execution in executions:
            space.replace(execution, msgspec.structs.replace(execution, held=job.held))
        return len(executions) == CHANGED_ROWS_MAX

    def _stop(self, space: Workspace, job: Job) -> None:
        # What was held back, or should have been by then, would wait for a window that never comes.
        space.batch.tx.run("job_targets_done", job=job.id)
        codes = _QUEUED_CODES if job.held else (HELD_CODE,)
        if not self._end(space, job, codes, EndedBy.SCHEDULE_ENDED):
            self._rest(space, msgspec.structs.replace(job, held=False))

    def _cancel(self, space: Workspace, job: Job) -> None:
        space.batch.tx.run("job_targets_stop", job=job.id)
        codes = (*_QUEUED_CODES, _IN_PROGRESS_CODE) if job.force_canceled else _QUEUED_CODES
        if not self._end(space, job, codes, EndedBy.JOB_CANCELED):
            space.jobs.put(msgspec.structs.replace(job, work=None))

    def _end(self, space: Workspace, job: Job, codes: Sequence[int], by: EndedBy) -> bool:
        room = CHANGED_ROWS_MAX
        for code in codes:
            executions = _of_job(space, job.id, code, room)
            for execution in executions:
                forced = execution.status is Status.IN_PROGRESS
                space.replace(
                    execution, ended_by_service(execution, Status.CANCELED, space.now, by, force=forced)
                )
            room -= len(executions)
            if room <= 0:
                return True
        return False

    def _delete(self, space: Workspace, job: Job) -> None:
        rows = space.batch.tx.all("executions_of_job_any", job=job.id, limit=CHANGED_ROWS_MAX)
        executions = [execution_of(row) for row in rows]
        space.load([], [execution.thing for execution in executions])
        for execution in executions:
            space.delete(execution)
        if len(rows) < CHANGED_ROWS_MAX:
            space.jobs.remove(job.id)


class _Queueing:
    """One chunk of a rollout over the targets of a job: bounded in rows looked at, and in executions queued."""

    def __init__(self, space: Workspace, job: Job) -> None:
        self._space = space
        self._tx = space.batch.tx
        self._job = job
        self._room = 0
        self._queued = 0
        self._snapshot = LATEST_TIME if job.snapshot is None else job.snapshot

    def advance(self, rows_max: int) -> tuple[int, bool]:
        """How many executions were queued, and whether no target is left."""
        self._room = rows_max
        targets = [target_of(row) for row in self._tx.all("job_targets", job=self._job.id)]
        for target in targets:
            if target.done:
                continue
            if self._limit() <= 0:
                return self._queued, False
            advanced = self._target(target)
            self._tx.run(
                "job_target_progress",
                job=self._job.id,
                position=target.position,
                cursor_group=advanced.cursor_group,
                cursor_thing=advanced.cursor_thing,
                done=int(advanced.done),
            )
            if not advanced.done:
                return self._queued, False
        return self._queued, True

    def _limit(self) -> int:
        left = self._job.batch_left
        return self._room if left is None else min(self._room, left - self._queued)

    def _target(self, target: Target) -> Target:
        if target.kind == THING:
            self._thing(target.name)
            return msgspec.structs.replace(target, done=True)
        # An empty group counts as one row, so that a step is bounded for thousands of them too.
        groups = self._tx.all(
            "group_with_descendants", group=target.name, beginning=target.cursor_group, limit=self._room + 1
        )
        names = [row["name"] for row in groups]
        whole = len(names) <= self._room
        for place, group in enumerate(names):
            after = target.cursor_thing if group == target.cursor_group else ""
            begun_with = self._room
            while (limit := self._limit()) > 0:
                end = self._tx.one("group_members_chunk_end", group=group, after=after, limit=limit)
                if end is None or end["number"] == 0:
                    break
                self._members(group, after, end["last"])
                self._room -= end["number"]
                after = end["last"]
            self._room = min(self._room, begun_with - 1)
            target = msgspec.structs.replace(target, cursor_group=group, cursor_thing=after)
            # A batch that is full with the last member leaves nothing for another one, a minute or a window later.
            if self._limit() <= 0 and not (whole and self._empty(names[place:], after)):
                return target
        return msgspec.structs.replace(target, done=True)

    def _empty(self, groups: Sequence[str], after: str) -> bool:
        """Whether nobody comes after this thing of the first group, nor in the others."""
        return not any(
            self._tx.all("group_members_after", group=group, after="" if place else after, limit=1)
            for place, group in enumerate(groups)
        )

    def _thing(self, name: str) -> None:
        self._room -= 1
        exists = self._tx.one("thing_exists", name=name) is not None
        if exists and self._space.latest(name, self._job.id) is None:
            added = self._space.add(name, self._job.id, number=1)
            self._queued += 1
            self._record(added.id, added.id, 1)

    def _members(self, group: str, after: str, last: str) -> None:
        newest = self._tx.one("executions_last_id")
        assert newest is not None  # noqa: S101 - an aggregate gives a row
        number = self._tx.run(
            "executions_queue_members",
            job=self._job.id,
            group=group,
            after=after,
            last=last,
            snapshot=self._snapshot,
            now=self._space.now,
        )
        if not number:
            return
        self._tx.run("revisions_raise_queued", after=newest["id"])
        things = [row["thing"] for row in self._tx.all("executions_added", after=newest["id"])]
        self._space.rolled_out(self._job.id, things)
        self._queued += number
        self._record(newest["id"] + 1, newest["id"] + number, number)

    def _record(self, first: int, last: int, number: int) -> None:
        self._tx.run(
            "job_step_insert", job=self._job.id, at=self._space.now, number=number, first=first, last=last
        )
        self._tx.run("job_steps_trim", job=self._job.id, kept=STEPS_KEPT)


def _of_job(space: Workspace, job: str, code: int, limit: int) -> list[Execution]:
    rows = space.batch.tx.all(
        "executions_of_job_in_status",
        job=job,
        status=code,
        before_time=LATEST_TIME,
        before_id=LATEST_TIME,
        limit=limit,
    )
    executions = [execution_of(row) for row in rows]
    space.load([], [execution.thing for execution in executions])
    return executions
