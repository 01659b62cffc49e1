"""The life of a job: when it completes, when it is aborted, what a cancellation and a deletion do.

    SCHEDULED <── its schedule (jobs/pacing.py) ──> IN_PROGRESS
    either ── every execution ended, nothing left to roll out (snapshot, or past its end time) ──> COMPLETED
    either ── CancelJob, abort criterion, end of its schedule ──> CANCELED          (executions follow, eventually)
    COMPLETED, CANCELED, or any with force ── DeleteJob ──> DELETION_IN_PROGRESS ── all executions gone ──> (no job)

Source: AWS IoT developer guide, "Jobs and job execution states"; the refusals are the service model's.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from outfitter_contract.execution import PENDING, Status

from outfitter_server.base.refusals import InvalidRequest, InvalidStateTransition, LimitExceeded
from outfitter_server.jobs.abort import fired
from outfitter_server.jobs.configs import FailureType
from outfitter_server.jobs.values import EndedBy, Execution, Job, JobStatus, TargetSelection, Work

DELETIONS_MAX: Final = 10  # jobs in DELETION_IN_PROGRESS at once (AWS job limits)
ACTIVE: Final = frozenset({JobStatus.SCHEDULED, JobStatus.IN_PROGRESS})
ABORTED: Final = "ABORT_CRITERIA_MET"  # the reason code of a cancellation by an abort criterion


def settled(job: Job, deltas: Mapping[Status, int], now: int) -> Job:
    """The job after executions moved between statuses: completed, or else aborted, when that is due.

    The report that ends the last open execution completes the job, whatever the criteria say.
    """
    job = completed(msgspec.structs.replace(job, counts=job.counts.moved(deltas)), now)
    if job.status not in ACTIVE:
        return job
    criterion = fired(job.configs.abort, job.counts)
    if criterion is None:
        return job
    kinds = (
        "FAILED, REJECTED or TIMED_OUT" if criterion.failure is FailureType.ALL else criterion.failure.value
    )
    return cancel(
        job,
        force=False,
        comment=f"Aborted: at least {criterion.threshold_percent:g} % of {job.counts.ended} ended executions are {kinds}",
        reason_code=ABORTED,
        now=now,
    )


def completed(job: Job, now: int) -> Job:
    """The job, COMPLETED if its rollout and its executions have all ended and nobody can join any more."""
    if (
        job.status not in ACTIVE
        or not (job.selection is TargetSelection.SNAPSHOT or job.ended)
        or job.rolling
        or job.work is not None
        or job.counts.pending
    ):
        return job
    return msgspec.structs.replace(
        job, status=JobStatus.COMPLETED, completed_at=now, updated_at=now, due_at=None
    )


def concurrent(job: Job) -> bool:
    """AWS's isConcurrent: rolling out, or canceling executions."""
    return job.work is not None or (job.rolling and job.status is JobStatus.IN_PROGRESS)


def cancel(job: Job, *, force: bool, comment: str | None, reason_code: str | None, now: int) -> Job:
    """The job after CancelJob; the pacer cancels its executions.

    A canceled job may be canceled again with force, which then reaches the executions in progress.

    Raises:
        InvalidRequest: it has completed or is being deleted.
    """
    if job.status in (JobStatus.COMPLETED, JobStatus.DELETION_IN_PROGRESS):
        raise InvalidRequest(f"Job {job.id} is {job.status.value} and cannot be canceled")
    again = job.status is JobStatus.CANCELED
    return msgspec.structs.replace(
        job,
        status=JobStatus.CANCELED,
        force_canceled=job.force_canceled or force,
        comment=comment if comment is not None else job.comment,
        reason_code=reason_code if reason_code is not None else job.reason_code,
        work=job.work if again and not force else Work.CANCEL,
        rolling=False,
        due_at=None,
        updated_at=now,
    )


def delete(job: Job, *, force: bool, being_deleted: int, now: int) -> Job:
    """The job after DeleteJob; the pacer deletes its executions and then the job.

    Raises:
        InvalidStateTransition: it is being deleted already, or neither completed nor canceled and not forced.
        LimitExceeded: too many jobs are being deleted.
    """
    if job.status is JobStatus.DELETION_IN_PROGRESS:
        raise InvalidStateTransition(f"Job {job.id} is being deleted already")
    if job.status in ACTIVE and not force:
        raise InvalidStateTransition(
            f"Job {job.id} is {job.status.value}; cancel it first, or delete it with force"
        )
    if being_deleted >= DELETIONS_MAX:
        raise LimitExceeded(f"{being_deleted} jobs are being deleted; at most {DELETIONS_MAX} may be at once")
    return msgspec.structs.replace(
        job,
        status=JobStatus.DELETION_IN_PROGRESS,
        work=Work.DELETE,
        rolling=False,
        due_at=None,
        updated_at=now,
    )


def ended_by_service(
    execution: Execution,
    status: Status,
    now: int,
    by: EndedBy,
    *,
    force: bool = False,
    details: dict[str, str] | None = None,
) -> Execution:
    """An execution that the service ends (CANCELED, REMOVED, TIMED_OUT); a late report is told apart by the version."""
    return msgspec.structs.replace(
        execution,
        status=status,
        updated_at=now,
        version=execution.version + 1,
        force_canceled=force,
        details=execution.details if details is None else details,
        held=False,
        deadline_at=None,
        expires_at=None,
        ended_by=by,
    )


def timed_out(execution: Execution, now: int) -> Execution:
    """An execution in progress whose timer is over: the step timer's, or the in-progress timeout when that came first."""
    overall = execution.deadline_at is not None and execution.deadline_at <= (execution.expires_at or 0)
    by = EndedBy.IN_PROGRESS_TIMER if overall else EndedBy.STEP_TIMER
    return ended_by_service(execution, Status.TIMED_OUT, now, by)


def set_back(execution: Execution, now: int) -> Execution:
    """An execution in progress that changed last at a time which is still to come, as if that had been now.

    The clock was set back since, and by that one its timers would be over only when it is that time again.
    """
    ahead = execution.updated_at - now
    if ahead <= 0 or execution.expires_at is None:
        return execution
    return msgspec.structs.replace(
        execution,
        started_at=None if execution.started_at is None else min(execution.started_at, now),
        updated_at=now,
        deadline_at=None if execution.deadline_at is None else execution.deadline_at - ahead,
        expires_at=execution.expires_at - ahead,
    )


def may_cancel(execution: Execution, *, force: bool) -> None:
    """Whether CancelJobExecution applies.

    Raises:
        InvalidStateTransition: it has ended, or runs and force was not asked for.
    """
    if execution.status not in PENDING:
        raise InvalidStateTransition(
            f"Job execution of job {execution.job} on thing {execution.thing} is in terminal status "
            f"{execution.status.value} and cannot be canceled"
        )
    if execution.status is Status.IN_PROGRESS and not force:
        raise InvalidStateTransition(
            f"Job execution of job {execution.job} on thing {execution.thing} is IN_PROGRESS; cancel it with force"
        )


def may_delete(execution: Execution, *, force: bool) -> None:
    """Whether DeleteJobExecution applies.

    Raises:
        InvalidStateTransition: it runs and force was not asked for.
    """
    if execution.status is Status.IN_PROGRESS and not force:
        raise InvalidStateTransition(
            f"Job execution of job {execution.job} on thing {execution.thing} is IN_PROGRESS; delete it with force"
        )
