"""What a device may do to an execution: pure decisions of the device plane.

The order of checks is the live service's: a status that no device may set is refused before anything is looked at; then
existence, expected version, transition, and the other fields last.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from outfitter_contract.execution import DEVICE_MAY_SET, TERMINAL, Actor, Status, may_move

from outfitter_server.base.refusals import (
    InvalidRequest,
    InvalidStateTransition,
    NotFound,
    TerminalState,
    VersionConflict,
)
from outfitter_server.jobs.values import Describe, Execution, StartNext, Update

_STATUSES: Final = frozenset(status.value for status in Status)
_STARTS: Final = frozenset({Status.IN_PROGRESS, Status.SUCCEEDED, Status.FAILED})


def requested_status(text: str) -> Status:
    """The status that an update asks for, if any device may set it.

    Raises:
        InvalidRequest: it is no status at all.
        InvalidStateTransition: only the service sets it; refused even for unknown jobs.
    """
    if text not in _STATUSES:
        raise InvalidRequest(f"status: {text[:64]!r} is none of {', '.join(sorted(_STATUSES))}")
    status = Status(text)
    if status not in DEVICE_MAY_SET:
        raise InvalidStateTransition(f"The status of job execution cannot be changed to be {status.value}")
    return status


def update(execution: Execution | None, request: Update, now: int) -> Execution:
    """The execution after UpdateJobExecution.

    Raises:
        NotFound, VersionConflict, InvalidStateTransition, InvalidRequest: in this order; the second and third carry the
            execution as it is (``members["execution"]``).
    """
    status = requested_status(request.status)
    if execution is None:
        raise not_found(request.thing, request.job, request.number)
    if request.expected_version is not None and request.expected_version != execution.version:
        raise VersionConflict(
            f"Expected version {request.expected_version} but found version {execution.version}",
            execution=execution,
        )
    if not may_move(execution.status, status, Actor.DEVICE):
        raise InvalidStateTransition(
            f"Job execution of job {execution.job} on thing {execution.thing} is in terminal status "
            f"{execution.status.value} and cannot be changed to be {status.value}",
            execution=execution,
        )
    if request.problem:
        raise InvalidRequest(request.problem)
    started = execution.started_at
    return msgspec.structs.replace(
        execution,
        status=status,
        started_at=now if started is None and status in _STARTS else started,
        updated_at=now,
        version=execution.version + 1,
        details=execution.details if request.details is None else request.details,
    )


def start(front: Execution, request: StartNext, now: int) -> Execution:
    """The front of the pending list after StartNextPendingJobExecution: started, or unchanged when it already was.

    Raises:
        InvalidRequest: a field of the request is wrong.
    """
    if request.problem:
        raise InvalidRequest(request.problem)
    if front.status is Status.IN_PROGRESS:
        return front
    return msgspec.structs.replace(
        front,
        status=Status.IN_PROGRESS,
        started_at=now,
        updated_at=now,
        version=front.version + 1,
        details=front.details if request.details is None else request.details,
    )


def describe(execution: Execution | None, request: Describe) -> Execution:
    """The execution, if a device may still look at it.

    Raises:
        NotFound: there is none.
        TerminalState: it has ended; devices see only what is pending.
    """
    if execution is None:
        raise not_found(request.thing, request.job, request.number)
    if execution.status in TERMINAL:
        raise TerminalState(
            f"Job execution of job {execution.job} on thing {execution.thing} has reached terminal status "
            f"{execution.status.value}"
        )
    return execution


def not_found(thing: str, job: str, number: int | None = None) -> NotFound:
    """The refusal for an execution that does not exist."""
    which = "" if number is None else f" with execution number {number}"
    return NotFound(f"Job execution of job {job}{which} was not found for thing {thing}")


def pending_order(execution: Execution) -> tuple[bool, int]:
    """Sort key of a pending list: in progress before queued, then as created."""
    return execution.status is not Status.IN_PROGRESS, execution.id


def front(pending: Sequence[Execution]) -> int | None:
    """What tells one front of a pending list from another; a ``notify-next`` is due when it changes."""
    return pending[0].id if pending else None
