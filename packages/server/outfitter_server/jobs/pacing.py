"""What a job in progress should be doing now: wait for its start, roll out, hold back, end.

Pure and repeatable: looking twice at the same moment changes nothing. The background work follows what is decided here.

    before its start, between windows ── SCHEDULED, held        held: nothing may begin, what runs goes on
    in a window, or without any       ── IN_PROGRESS
    paused by its operator            ── as the schedule says, held
    past its end time or last window  ── stopped or canceled, as the end behaviour says

Source: AWS IoT developer guide, "Specify additional configurations"; pausing is this product's own.
"""

from typing import Final

import msgspec

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs import schedule
from outfitter_server.jobs.configs import EndBehavior
from outfitter_server.jobs.lifecycle import ACTIVE, cancel, completed
from outfitter_server.jobs.rates import INTERVAL_MS, batch_size
from outfitter_server.jobs.schedule import Phase
from outfitter_server.jobs.values import Job, JobStatus, Work

SCHEDULE_ENDED: Final = "SCHEDULE_ENDED"  # the reason code of a cancellation by a schedule's end


def look(job: Job, now: int) -> Job:
    """The job with the status, the work and the next due time that this moment asks for."""
    if job.status not in ACTIVE or job.ended:
        return msgspec.structs.replace(job, due_at=None)
    phase, changes_at = schedule.phase(job.configs.schedule, now)
    # After the last of its windows, without an end time, a job would hold back for ever what it holds back by then.
    spent = phase is Phase.CLOSED and changes_at is None and job.held and job.work is None
    if phase is Phase.ENDED or spent:
        return _end(job, now)
    held = job.paused or phase is not Phase.OPEN
    work = job.work
    if work is None and (held != job.held or (not held and job.rolling and _batch_due(job, now))):
        work = Work.ROLLOUT
    waits = job.next_batch_at if job.rolling and not held and work is None else None
    return msgspec.structs.replace(
        job,
        status=JobStatus.IN_PROGRESS if phase is Phase.OPEN else JobStatus.SCHEDULED,
        held=held,
        work=work,
        started_at=now if job.started_at is None and not held else job.started_at,
        due_at=min((at for at in (changes_at, waits) if at is not None), default=None),
    )


def begin_batch(job: Job, now: int) -> Job | None:
    """The job with what it may queue now (``batch_left``; None there: as much as there is); None when it must wait.

    A batch that was interrupted until its interval was over is forgotten, so that no two of them ever meet within one.
    """
    size = batch_size(job.configs.rollout, notified=job.rolled_out, succeeded=job.counts.succeeded)
    if size is None:
        return msgspec.structs.replace(job, batch_left=None, next_batch_at=None)
    if _batch_due(job, now):
        return msgspec.structs.replace(job, batch_left=size)
    return job if job.batch_left else None


def rolled_out(job: Job, number: int, now: int, *, everything: bool) -> Job:
    """The job after its rollout queued so many executions; ``everything``: no target is left.

    The interval runs from the last of a batch, which a busy server may queue in several steps: a rate holds for any minute,
    and one that found nobody costs none.
    """
    left = None if job.batch_left is None else max(0, job.batch_left - number)
    return msgspec.structs.replace(
        job,
        rolled_out=job.rolled_out + number,
        batch_left=left,
        next_batch_at=job.next_batch_at if left is None or not number else now + INTERVAL_MS,
        rolling=not everything,
        work=None if everything or left == 0 else job.work,
    )


def pause(job: Job, now: int) -> Job:
    """The job, paused: its rollout stops, and what is QUEUED is held back; what runs goes on.

    Raises:
        InvalidRequest: it has ended or is ending.
    """
    return look(msgspec.structs.replace(_in_progress(job, "paused"), paused=True, updated_at=now), now)


def resume(job: Job, now: int) -> Job:
    """The job after ``pause`` is taken back.

    Raises:
        InvalidRequest: it has ended or is ending.
    """
    return look(msgspec.structs.replace(_in_progress(job, "resumed"), paused=False, updated_at=now), now)


def _in_progress(job: Job, done: str) -> Job:
    if job.status not in ACTIVE or job.ended:
        raise InvalidRequest(
            f"Job {job.id} is {'past its end time' if job.ended else job.status.value}, it cannot be {done}"
        )
    return job


def _batch_due(job: Job, now: int) -> bool:
    # A batch further away than its interval was planned by a clock that has been set back since.
    return job.next_batch_at is None or not 0 < job.next_batch_at - now <= INTERVAL_MS


def _end(job: Job, now: int) -> Job:
    behavior = job.configs.schedule.end_behavior if job.configs.schedule else None
    if behavior in (EndBehavior.CANCEL, EndBehavior.FORCE_CANCEL):
        return cancel(
            job,
            force=behavior is EndBehavior.FORCE_CANCEL,
            comment="The end time of its schedule has come",
            reason_code=SCHEDULE_ENDED,
            now=now,
        )
    stopped = msgspec.structs.replace(
        job,
        status=JobStatus.IN_PROGRESS,
        ended=True,
        held=job.held or job.paused or _held_at_its_end(job),
        paused=False,
        rolling=False,
        work=Work.STOP,
        due_at=None,
        updated_at=now,
    )
    return completed(stopped, now)


def _held_at_its_end(job: Job) -> bool:
    """Whether its end time came between windows, though nobody may have looked since the last one closed."""
    plan = job.configs.schedule
    return (
        plan is not None
        and plan.end_at is not None
        and schedule.phase(plan, plan.end_at - 1)[0] is not Phase.OPEN
    )
