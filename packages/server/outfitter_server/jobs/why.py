"""Why an execution is where it is: its causes in order, and what it waits for now. This product's own; AWS has none of it.

Nothing here is a log. The causes are read off what the executions, their job and the record of its rollout say; only who
was told when comes from memory (``notes``), bounded, and gone with a restart.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec
from outfitter_contract.execution import PENDING, Status

from outfitter_server.jobs import schedule
from outfitter_server.jobs.device import seconds_left
from outfitter_server.jobs.lifecycle import ACTIVE
from outfitter_server.jobs.rates import batch_size
from outfitter_server.jobs.schedule import Phase
from outfitter_server.jobs.values import EndedBy, Execution, Job, JobStatus, QueuedBy

_ENDS: Final = {
    EndedBy.JOB_CANCELED: "its job was canceled",
    EndedBy.EXECUTION_CANCELED: "this execution was canceled by itself",
    EndedBy.LEFT_GROUP: "the thing left the last group through which the job reached it",
    EndedBy.IN_PROGRESS_TIMER: "the job's in-progress timeout was over",
    EndedBy.STEP_TIMER: "the step timer that its device had set was over",
    EndedBy.SCHEDULE_ENDED: "the job's end time came while it was held back",
}


class Kind(StrEnum):
    """What happened at a moment."""

    QUEUED = "QUEUED"
    NOTIFIED = "NOTIFIED"
    DOCUMENT_SENT = "DOCUMENT_SENT"
    STARTED = "STARTED"
    REPORTED = "REPORTED"
    REFUSED = "REFUSED"
    ENDED = "ENDED"


class Moment(msgspec.Struct, frozen=True):
    """One cause: ``at`` in milliseconds, ``text`` a sentence for people."""

    at: int
    kind: Kind
    text: str


class Note(msgspec.Struct, frozen=True):
    """What nobody stores: a notification sent, a document with so many fresh URLs, a report that was refused (``text``)."""

    at: int
    kind: Kind
    job: str
    number: int
    urls: int = 0
    text: str = ""


class RolloutStep(msgspec.Struct, frozen=True):
    """The step of a rollout that queued an execution, together with others."""

    step: int
    at: int
    number: int


def timeline(
    execution: Execution, job: Job | None, step: RolloutStep | None, notes: Sequence[Note]
) -> list[Moment]:
    """What happened to an execution, in order of time."""
    found = [Moment(execution.queued_at, Kind.QUEUED, _queued(execution, step))]
    found += [
        Moment(note.at, note.kind, _noted(note))
        for note in notes
        # A job deleted since may have had the same id, and an execution deleted since the same number.
        if (note.job, note.number) == (execution.job, execution.number) and note.at >= execution.queued_at
    ]
    if execution.started_at is not None:
        found.append(Moment(execution.started_at, Kind.STARTED, "its device began"))
    if execution.status not in PENDING:
        found.append(Moment(execution.updated_at, Kind.ENDED, _ended(execution, job)))
    elif execution.started_at is not None and execution.updated_at > execution.started_at:
        step_name = (execution.details or {}).get("step")
        said = f" ({step_name})" if step_name else ""
        found.append(Moment(execution.updated_at, Kind.REPORTED, f"its device reported progress{said}"))
    order = list(Kind)
    return sorted(found, key=lambda moment: (moment.at, order.index(moment.kind)))


def waits_for(
    execution: Execution, job: Job, front: Execution | None, now: int, *, connected: bool
) -> str | None:
    """What a pending execution waits for; None for one that has ended."""
    if execution.status not in PENDING:
        return None
    if execution.held:
        return held_because(job, now)
    if execution.status is Status.IN_PROGRESS:
        left = seconds_left(execution, now)
        timer = "no timer runs" if left is None else f"it times out in {left} s unless its device reports"
        device = f"its device, which is {'connected' if connected else 'not connected'}, to report"
        return f"{device}{_proof(job.configs.confirm)}; {timer}"
    if front is not None and front.id != execution.id:
        return f"job {front.job}, which is {front.status.value} and before it in the device's list"
    return (
        "its device to ask for it; the device is connected"
        if connected
        else "its device, which is not connected"
    )


def held_because(job: Job, now: int) -> str:
    """Why a job holds back what is queued."""
    if job.status not in ACTIVE or job.ended:
        return "its end, which is under way: nothing of the job begins any more"
    if job.paused:
        return "its operator: the job is paused"
    phase, changes_at = schedule.phase(job.configs.schedule, now)
    if phase is Phase.OPEN:
        return "nothing more: what was held back is coming back"
    opens = schedule.upcoming(job.configs.schedule, now, 1)
    if opens:
        return f"the job's next maintenance window, which opens at {utc(opens[0])}"
    when = "" if changes_at is None else f" at {utc(changes_at)}"
    return f"the job's end{when}: no maintenance window opens before"


def not_yet(job: Job, now: int) -> str:
    """Why a job that targets a thing has queued nothing for it so far."""
    phase, changes_at = schedule.phase(job.configs.schedule, now)
    if phase is Phase.BEFORE and changes_at is not None:
        return f"the job's start at {utc(changes_at)}"
    if job.held:
        return held_because(job, now)
    size = batch_size(job.configs.rollout, notified=job.rolled_out, succeeded=job.counts.succeeded)
    so_far = f"{job.rolled_out} queued so far"
    if size is None:
        return f"the rollout, which is under way: {so_far}"
    when = "" if job.next_batch_at is None else f", next at {utc(job.next_batch_at)}"
    return f"the rollout's rate of {size} a minute: {so_far}{when}"


def utc(time: int) -> str:
    """A time for people, in UTC, to the second."""
    return datetime.fromtimestamp(time // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _proof(confirm: Mapping[str, str] | None) -> str:
    wanted = ", ".join(f"{key} {value!r}" for key, value in (confirm or {}).items())
    return f", with {wanted} if it is SUCCEEDED" if wanted else ""


def _queued(execution: Execution, step: RolloutStep | None) -> str:
    match execution.queued_by:
        case QueuedBy.JOIN:
            return "queued because the thing joined a group that the job targets"
        case QueuedBy.RETRY:
            return f"queued again as retry {execution.attempt}, because execution {execution.number - 1} failed or timed out"
        case QueuedBy.ROLLOUT:
            if step is None:
                return "queued by the job's rollout"
            others = step.number - 1
            return f"queued by step {step.step} of the job's rollout" + (
                f", with {others} others" if others else ""
            )


def _noted(note: Note) -> str:
    if note.kind is Kind.NOTIFIED:
        return "its device was notified"
    if note.kind is Kind.REFUSED:
        return f"its device's report was refused: {note.text}"
    urls = f" with {note.urls} freshly signed URL{'s' * (note.urls != 1)}" if note.urls else ""
    return f"the document went to its device{urls}"


def _ended(execution: Execution, job: Job | None) -> str:
    word = execution.status.value
    if execution.ended_by is None:
        reason = (execution.details or {}).get("reason")
        return f"{word}: its device reported so" + (f", because: {reason}" if reason else "")
    told = _ENDS[execution.ended_by]
    canceled = execution.ended_by is EndedBy.JOB_CANCELED and job is not None
    if canceled and job is not None and job.status is JobStatus.CANCELED and (job.comment or job.reason_code):
        told += f" ({' · '.join(text for text in (job.reason_code, job.comment) if text)})"
    return f"{word}: {told}"
