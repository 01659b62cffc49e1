"""Lifecycle events of jobs and executions: which there are, when they are due, their topics and payloads.

    $aws/events/job/{jobId}/{completed|cancellation_in_progress|canceled|deletion_in_progress|deleted}
    $aws/events/jobExecution/{jobId}/{succeeded|failed|rejected|canceled|timed_out|removed|deleted}

Source: AWS IoT developer guide, "Jobs events". ``timestamp`` is in seconds, as in every payload of the service;
``createdAt``, ``lastUpdatedAt`` and ``completedAt`` are in milliseconds, since that is how the guide's samples print them
and what consumers are written by. CANCELLATION_IN_PROGRESS and DELETED are statuses that only events know.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from outfitter_server.jobs.values import Execution, Job, JobStatus, Work

PREFIX: Final = "$aws/events/"
_DELETED: Final = "deleted"
_encode: Final = msgspec.json.Encoder().encode


class JobEvent(StrEnum):
    """What happens to a job; the value is the last level of the topic."""

    COMPLETED = "completed"
    CANCELLATION_IN_PROGRESS = "cancellation_in_progress"
    CANCELED = "canceled"
    DELETION_IN_PROGRESS = "deletion_in_progress"
    DELETED = "deleted"


class Event(msgspec.Struct, frozen=True):
    """A message to be published."""

    topic: str
    payload: bytes


def due(before: Job | None, after: Job | None) -> tuple[JobEvent, ...]:
    """The events that a change of a job is, in order; None: the job was not there before, or is gone.

    A cancellation, or a deletion, that is over at once is both its beginning and its end.
    """
    if after is None:
        begun = before is not None and before.status is JobStatus.DELETION_IN_PROGRESS
        return (JobEvent.DELETED,) if begun else (JobEvent.DELETION_IN_PROGRESS, JobEvent.DELETED)
    entered = before is None or before.status is not after.status
    if after.status is JobStatus.CANCELED:
        return _of_cancellation(before, after, entered=entered)
    if not entered:
        return ()
    if after.status is JobStatus.COMPLETED:
        return (JobEvent.COMPLETED,)
    return (JobEvent.DELETION_IN_PROGRESS,) if after.status is JobStatus.DELETION_IN_PROGRESS else ()


def _of_cancellation(before: Job | None, after: Job, *, entered: bool) -> tuple[JobEvent, ...]:
    was_canceling = before is not None and before.status is JobStatus.CANCELED and before.work is Work.CANCEL
    canceling = after.work is Work.CANCEL
    # Canceled again, with force: the executions in progress follow, and that is a cancellation of its own.
    begins = entered or (canceling and not was_canceling)
    ends = not canceling and (begins or was_canceling)
    return (JobEvent.CANCELLATION_IN_PROGRESS,) * begins + (JobEvent.CANCELED,) * ends


def job_event(kind: JobEvent, job: Job, targets: Sequence[str], *, event_id: str, now: int) -> Event:
    """The message about a job; ``targets`` are the ARNs of its targets, ``now`` milliseconds."""
    members: dict[str, object] = {
        "eventType": "JOB",
        "eventId": event_id,
        "timestamp": now // 1000,
        "operation": kind.value,
        "jobId": job.id,
        "status": kind.value.upper(),
        "targetSelection": job.selection.value,
        "targets": targets,
    }
    if job.description is not None:
        members["description"] = job.description
    if kind is JobEvent.COMPLETED:
        members["completedAt"] = job.completed_at
    elif job.comment is not None:
        members["comment"] = job.comment
    members["createdAt"] = job.created_at
    members["lastUpdatedAt"] = job.updated_at
    if kind is JobEvent.COMPLETED:
        members["jobProcessDetails"] = {
            "numberOfCanceledThings": job.counts.canceled,
            "numberOfRejectedThings": job.counts.rejected,
            "numberOfFailedThings": job.counts.failed,
            "numberOfRemovedThings": job.counts.removed,
            "numberOfSucceededThings": job.counts.succeeded,
        }
    return Event(f"{PREFIX}job/{job.id}/{kind.value}", _encode(members))


def ended_event(execution: Execution, thing_arn: str, *, event_id: str, now: int) -> Event:
    """The message that an execution has ended, with the status that it ended with."""
    return _execution_event(execution, execution.status.value.lower(), thing_arn, event_id, now)


def deleted_event(execution: Execution, thing_arn: str, *, event_id: str, now: int) -> Event:
    """The message that an execution is gone, whatever its status was."""
    return _execution_event(execution, _DELETED, thing_arn, event_id, now)


def _execution_event(execution: Execution, operation: str, thing_arn: str, event_id: str, now: int) -> Event:
    members: dict[str, object] = {
        "eventType": "JOB_EXECUTION",
        "eventId": event_id,
        "timestamp": now // 1000,
        "operation": operation,
        "jobId": execution.job,
        "thingArn": thing_arn,
        "status": operation.upper(),
    }
    if execution.details is not None:
        members["statusDetails"] = execution.details
    return Event(f"{PREFIX}jobExecution/{execution.job}/{operation}", _encode(members))
