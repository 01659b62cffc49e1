"""Rows of jobs and executions to values and back: the one place that knows the store's codes."""

from typing import Any, Final

import msgspec
from outfitter_contract.execution import Status

from outfitter_server.jobs.configs import configs_of, configs_text
from outfitter_server.jobs.values import (
    Counts,
    EndedBy,
    Execution,
    Job,
    JobStatus,
    QueuedBy,
    Target,
    TargetSelection,
    Work,
)
from outfitter_server.services.ports import Row

# IN_PROGRESS before QUEUED before everything terminal: a pending list is one range of an index, in its order.
STATUS_CODES: Final = {
    Status.IN_PROGRESS: 0,
    Status.QUEUED: 1,
    Status.SUCCEEDED: 2,
    Status.FAILED: 3,
    Status.REJECTED: 4,
    Status.TIMED_OUT: 5,
    Status.REMOVED: 6,
    Status.CANCELED: 7,
}
HELD_CODE: Final = 8  # QUEUED, and out of the pending list until its job goes on
_STATUSES: Final = (*STATUS_CODES, Status.QUEUED)
_QUEUED_BY: Final = tuple(QueuedBy)
_decode_details: Final = msgspec.json.Decoder(dict[str, str]).decode
_encode: Final = msgspec.json.Encoder().encode


def codes_of(status: Status | None) -> tuple[int, ...]:
    """The stored codes of a status; of every status for None."""
    if status is None:
        return (*STATUS_CODES.values(), HELD_CODE)
    code = STATUS_CODES[status]
    return (code, HELD_CODE) if status is Status.QUEUED else (code,)


def execution_of(row: Row) -> Execution:
    """The execution in a row of table executions (columns in the table's order)."""
    (
        key,
        thing,
        job,
        number,
        status,
        queued,
        updated,
        started,
        version,
        details,
        attempt,
        forced,
        deadline,
        expires,
        failed_retries,
        queued_by,
        ended_by,
    ) = row
    return Execution(
        key,
        thing,
        job,
        number,
        _STATUSES[status],
        queued,
        updated,
        started,
        version,
        None if details is None else _decode_details(details),
        attempt,
        forced == 1,
        status == HELD_CODE,
        deadline,
        expires,
        failed_retries,
        _QUEUED_BY[queued_by],
        None if ended_by is None else EndedBy(ended_by),
    )


def execution_values(execution: Execution) -> dict[str, Any]:
    """What statement ``execution_write`` takes."""
    return {
        "id": execution.id,
        "status": HELD_CODE if execution.held else STATUS_CODES[execution.status],
        "started_at": execution.started_at,
        "updated_at": execution.updated_at,
        "version": execution.version,
        "details": None if execution.details is None else _encode(execution.details).decode(),
        "force_canceled": int(execution.force_canceled),
        "deadline_at": execution.deadline_at,
        "expires_at": execution.expires_at,
        "ended_by": execution.ended_by,
    }


def job_of(row: Row) -> Job:
    """The job in a row of table jobs."""
    return Job(
        seq=row["seq"],
        id=row["id"],
        status=JobStatus(row["status"]),
        selection=TargetSelection(row["selection"]),
        description=row["description"],
        document_source=row["document_source"],
        role_arn=row["role_arn"],
        url_expires_seconds=row["url_expires_seconds"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
        comment=row["comment"],
        reason_code=row["reason_code"],
        force_canceled=row["force_canceled"] == 1,
        work=Work(row["work"]) if row["work"] else None,
        counts=Counts(**{name: row[name] for name in Counts.__struct_fields__}),
        configs=configs_of(row["configs"]),
        tags=row["tags"],
        rolling=row["rolling"] == 1,
        started_at=row["started_at"],
        snapshot=row["snapshot"],
        paused=row["paused"] == 1,
        held=row["held"] == 1,
        ended=row["ended"] == 1,
        rolled_out=row["rolled_out"],
        batch_left=row["batch_left"],
        next_batch_at=row["next_batch_at"],
        due_at=row["due_at"],
    )


def job_values(job: Job) -> dict[str, Any]:
    """What statement ``job_write`` takes."""
    return {
        "id": job.id,
        "status": job.status.value,
        "updated_at": job.updated_at,
        "completed_at": job.completed_at,
        "comment": job.comment,
        "reason_code": job.reason_code,
        "force_canceled": int(job.force_canceled),
        "work": job.work.value if job.work else None,
        "rolling": int(job.rolling),
        "started_at": job.started_at,
        "snapshot": job.snapshot,
        "role_arn": job.role_arn,
        "url_expires_seconds": job.url_expires_seconds,
        "description": job.description,
        "configs": configs_text(job.configs),
        "paused": int(job.paused),
        "held": int(job.held),
        "ended": int(job.ended),
        "rolled_out": job.rolled_out,
        "batch_left": job.batch_left,
        "next_batch_at": job.next_batch_at,
        "due_at": job.due_at,
        **msgspec.structs.asdict(job.counts),
    }


def target_of(row: Row) -> Target:
    """The target in a row of statement ``job_targets``."""
    position, kind, name, cursor_group, cursor_thing, done = row
    return Target(
        position=position,
        kind=kind,
        name=name,
        cursor_group=cursor_group,
        cursor_thing=cursor_thing,
        done=done == 1,
    )
