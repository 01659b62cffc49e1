"""What becomes due by itself: timers of executions, and jobs' next batches, windows, starts and ends.

Due times are indexes of the store, so that nothing is walked through to find them and a restart loses none.
"""

from collections.abc import Sequence
from typing import Final

from outfitter_server.base.refusals import Refusal
from outfitter_server.jobs import pacing
from outfitter_server.jobs.lifecycle import set_back, timed_out
from outfitter_server.jobs.values import Execution, Job
from outfitter_server.services.committer import Batch
from outfitter_server.services.engine import Engine
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.records import execution_of, job_of
from outfitter_server.services.workspace import Workspace

DUE_ROWS_MAX: Final = 200  # executions that are looked at in one batch
REST_MS: Final = 60_000
_PAGE_MAX: Final = 100
DUE_JOBS_MAX: Final = 50  # jobs; finding the next window of a strange schedule takes milliseconds

Place = tuple[int, int]  # where a page of what waits for a time ends


class Timers:
    """Fires what is due. What is late by a stop of the server is fired at the next start."""

    def __init__(self, engine: Engine) -> None:
        """Shared with everything else that changes executions."""
        self._engine = engine
        self._resting: dict[str, int] = {}

    def fire(self, batch: Batch) -> bool:
        """Time out executions and look at jobs that are due; True when more may be."""
        due = self.due_jobs(batch.tx, batch.now)
        rows = batch.tx.all("executions_due", now=batch.now, limit=DUE_ROWS_MAX)
        if not rows and not due:
            return False
        space = Workspace(batch, self._engine)
        # First, so that nothing is queued again for a job whose end time came with the timer, or before it.
        for job_id in due:
            self._look(space, job_id)
        self._time_out(space, rows)
        space.flush()
        return len(rows) == DUE_ROWS_MAX or len(due) == DUE_JOBS_MAX

    def due_jobs(self, tx: Transaction, now: int) -> list[str]:
        """The next jobs to look at, without those that rest."""
        self._resting = {job: until for job, until in self._resting.items() if 0 < until - now <= REST_MS}
        rows = tx.all("jobs_due", now=now, limit=DUE_JOBS_MAX + len(self._resting))
        return [row["id"] for row in rows if row["id"] not in self._resting][:DUE_JOBS_MAX]

    def look_at(self, batch: Batch, job_id: str) -> None:
        """Look at one job, due or not."""
        space = Workspace(batch, self._engine)
        self._look(space, job_id)
        space.flush()

    def time_out(self, batch: Batch) -> None:
        """Time out executions that are due, and look at no job."""
        space = Workspace(batch, self._engine)
        self._time_out(space, batch.tx.all("executions_due", now=batch.now, limit=DUE_ROWS_MAX))
        space.flush()

    def set_back(self, batch: Batch, after: Place) -> None:
        """Set the timers of a page of executions anew that were set by a clock which ran ahead."""
        space = Workspace(batch, self._engine)
        for execution in _with_timers(batch.tx, after):
            space.replace(execution, set_back(execution, batch.now))
        space.flush()

    def rest(self, job_id: str, now: int) -> None:
        """Leave a job that cannot be looked at alone for a while, so that it holds up no other."""
        self._resting[job_id] = now + REST_MS

    @property
    def resting(self) -> bool:
        """Whether some job rests."""
        return bool(self._resting)

    def _look(self, space: Workspace, job_id: str) -> None:
        job = space.jobs.get(job_id)
        if job is not None:
            space.jobs.put(pacing.look(job, space.now))

    def _time_out(self, space: Workspace, rows: Sequence[Row]) -> None:
        executions = [execution_of(row) for row in rows]
        space.load([], [execution.thing for execution in executions])
        for execution in executions:
            space.replace(execution, timed_out(execution, space.now))


def next_due(tx: Transaction) -> int | None:
    """The earliest due time, milliseconds since the epoch; None when nothing waits for one."""
    found = [tx.one(statement) for statement in ("executions_next_due", "jobs_next_due")]
    return min((row["at"] for row in found if row is not None and row["at"] is not None), default=None)


def jobs_planned_otherwise(tx: Transaction, now: int, after: Place) -> tuple[list[str], Place | None]:
    """Of a page of the jobs that wait for some time, those that would not by this clock; and where the next page begins."""
    jobs = [
        job_of(row) for row in tx.all("jobs_waiting", after_at=after[0], after_seq=after[1], limit=_PAGE_MAX)
    ]
    ends = [(job.due_at, job.seq) for job in jobs if job.due_at is not None]
    return [job.id for job in jobs if _planned_otherwise(job, now)], ends[-1] if ends else None


def timers_ahead(tx: Transaction, now: int, after: Place) -> tuple[bool, Place | None]:
    """Whether a clock that ran ahead set some timer of a page of executions; and where the next page begins."""
    executions = _with_timers(tx, after)
    ends = [(each.expires_at, each.id) for each in executions if each.expires_at is not None]
    return any(set_back(each, now) is not each for each in executions), ends[-1] if ends else None


def _with_timers(tx: Transaction, after: Place) -> list[Execution]:
    rows = tx.all("executions_with_timers", after_at=after[0], after_id=after[1], limit=_PAGE_MAX)
    return [execution_of(row) for row in rows]


def _planned_otherwise(job: Job, now: int) -> bool:
    try:
        return pacing.look(job, now) != job
    except Refusal:
        return True  # it cannot be looked at, which whoever looks at it tells
