"""What becomes due by itself: timers of executions, and jobs' next batches, windows, starts and ends.

Due times are indexes of the store, so that nothing is walked through to find them and a restart loses none.
"""

from typing import Final

from outfitter_server.jobs import pacing
from outfitter_server.jobs.lifecycle import timed_out
from outfitter_server.services.committer import Batch
from outfitter_server.services.engine import Engine
from outfitter_server.services.ports import Transaction
from outfitter_server.services.records import execution_of
from outfitter_server.services.workspace import Workspace

DUE_ROWS_MAX: Final = 500  # executions and jobs that are looked at in one batch


class Timers:
    """Fires what is due. What is late by a stop of the server is fired at the next start."""

    def __init__(self, engine: Engine) -> None:
        """Shared with everything else that changes executions."""
        self._engine = engine

    def fire(self, batch: Batch) -> bool:
        """Time out executions and look at jobs that are due; True when more may be."""
        rows = batch.tx.all("executions_due", now=batch.now, limit=DUE_ROWS_MAX)
        due = [row["id"] for row in batch.tx.all("jobs_due", now=batch.now, limit=DUE_ROWS_MAX)]
        if not rows and not due:
            return False
        space = Workspace(batch, self._engine)
        # First, so that nothing is queued again for a job whose end time came with the timer, or before it.
        for job_id in due:
            job = space.jobs.get(job_id)
            if job is not None:
                space.jobs.put(pacing.look(job, batch.now))
        executions = [execution_of(row) for row in rows]
        space.load([], [execution.thing for execution in executions])
        for execution in executions:
            space.replace(execution, timed_out(execution, batch.now))
        space.flush()
        return DUE_ROWS_MAX in (len(rows), len(due))


def next_due(tx: Transaction) -> int | None:
    """The earliest due time, milliseconds since the epoch; None when nothing waits for one."""
    found = [tx.one(statement) for statement in ("executions_next_due", "jobs_next_due")]
    return min((row["at"] for row in found if row is not None and row["at"] is not None), default=None)
