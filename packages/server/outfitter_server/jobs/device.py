"""What a device may do to an execution: pure decisions of the device plane.

The order of checks is the live service's: a status that no device may set is refused before anything is looked at; then
existence, expected version, transition, and the other fields last.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from outfitter_contract.execution import DEVICE_MAY_SET, PENDING, TERMINAL, Actor, Status, may_move

from outfitter_server.base.refusals import (
    InvalidRequest,
    InvalidStateTransition,
    NotFound,
    TerminalState,
    VersionConflict,
)
from outfitter_server.jobs.proofs import refusal
from outfitter_server.jobs.values import Describe, Execution, StartNext, Update

MINUTE_MS: Final = 60_000
NO_STEP_TIMER: Final = -1  # stepTimeoutInMinutes that takes the running one away
_STATUSES: Final = frozenset(status.value for status in Status)
_STARTS: Final = frozenset({Status.IN_PROGRESS, Status.SUCCEEDED, Status.FAILED})


class Unproven(InvalidRequest):
    """A SUCCEEDED without the proof that its job asks for."""


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


def update(
    execution: Execution | None,
    request: Update,
    now: int,
    timeout_minutes: int | None = None,
    confirm: Mapping[str, str] | None = None,
) -> Execution:
    """The execution after UpdateJobExecution; ``timeout_minutes`` is its job's, for one that starts now.

    ``confirm``: the proof that its job asks for.

    Raises:
        NotFound, VersionConflict, InvalidStateTransition, InvalidRequest, Unproven: in this order; the second, the third
            and the last carry the execution as it is (``members["execution"]``).
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
    if execution.held and status is Status.IN_PROGRESS:
        raise InvalidStateTransition(
            f"Job {execution.job} is paused, outside its maintenance window, or over: its execution on thing "
            f"{execution.thing} may not begin now",
            execution=execution,
        )
    if request.problem:
        raise InvalidRequest(request.problem)
    lacking = refusal(confirm, request.details) if confirm and status is Status.SUCCEEDED else None
    if lacking is not None:
        raise Unproven(lacking, execution=execution)
    started = execution.started_at
    deadline, expires = None, None
    if status is Status.IN_PROGRESS:
        deadline, expires = _timers(execution, request.step_timeout_minutes, now, timeout_minutes)
    return msgspec.structs.replace(
        execution,
        deadline_at=deadline,
        expires_at=expires,
        held=execution.held and status is Status.QUEUED,
        status=status,
        started_at=now if started is None and status in _STARTS else started,
        updated_at=now,
        version=execution.version + 1,
        details=execution.details if request.details is None else request.details,
    )


def start(front: Execution, request: StartNext, now: int, timeout_minutes: int | None = None) -> Execution:
    """The front of the pending list after StartNextPendingJobExecution: started, or unchanged when it already was.

    A step timer is set in either case; it changes neither version nor time of update.

    Raises:
        InvalidRequest: a field of the request is wrong.
    """
    if request.problem:
        raise InvalidRequest(request.problem)
    deadline, expires = _timers(front, request.step_timeout_minutes, now, timeout_minutes)
    if front.status is Status.IN_PROGRESS:
        return front if expires == front.expires_at else msgspec.structs.replace(front, expires_at=expires)
    return msgspec.structs.replace(
        front,
        deadline_at=deadline,
        expires_at=expires,
        status=Status.IN_PROGRESS,
        started_at=now,
        updated_at=now,
        version=front.version + 1,
        details=front.details if request.details is None else request.details,
    )


def _timers(
    execution: Execution, step_minutes: int | None, now: int, timeout_minutes: int | None
) -> tuple[int | None, int | None]:
    # The in-progress timer runs from the start and is never moved; the step timer never reaches past it.
    if execution.status is Status.IN_PROGRESS:
        deadline, expires = execution.deadline_at, execution.expires_at
    else:
        deadline = expires = None if timeout_minutes is None else now + timeout_minutes * MINUTE_MS
    if step_minutes is None:
        return deadline, expires
    if step_minutes == NO_STEP_TIMER:
        return deadline, deadline
    step_end = now + step_minutes * MINUTE_MS
    return deadline, step_end if deadline is None else min(deadline, step_end)


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


def listed(execution: Execution) -> bool:
    """Whether it is in its thing's pending list."""
    return execution.status in PENDING and not execution.held


def seconds_left(execution: Execution, now: int) -> int | None:
    """approximateSecondsBeforeTimedOut: None when no timer runs; 0 when it is over and has not been noticed yet."""
    return None if execution.expires_at is None else max(0, (execution.expires_at - now) // 1000)


def pending_order(execution: Execution) -> tuple[bool, int]:
    """Sort key of a pending list: in progress before queued, then as created."""
    return execution.status is not Status.IN_PROGRESS, execution.id


def front(pending: Sequence[Execution]) -> int | None:
    """What tells one front of a pending list from another; a ``notify-next`` is due when it changes."""
    return pending[0].id if pending else None
