"""The jobs device plane over MQTT: payloads to requests, answers and notifications to payloads.

Payloads are compact UTF-8 JSON with the clientToken first and times in whole seconds. A decoder of its own, typed and
compiled once, because this is the hot path; what it hands on meets the same rules as every other door's requests.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final
from weakref import ref

import msgspec
from msgspec import UNSET, UnsetType
from outfitter_contract.execution import Status
from outfitter_contract.topics import JobsRequest, Verb

from outfitter_server.base.refusals import (
    InvalidRequest,
    InvalidStateTransition,
    NotFound,
    Refusal,
    TerminalState,
    Throttled,
    Unavailable,
    VersionConflict,
)
from outfitter_server.jobs.details import details_problem, step_timeout_problem
from outfitter_server.jobs.device import Unproven, seconds_left
from outfitter_server.jobs.values import (
    Describe,
    DeviceAnswer,
    DeviceRequest,
    Execution,
    GetPending,
    JobHead,
    Notification,
    PendingList,
    StartNext,
    Update,
    Updated,
)
from outfitter_server.services.delivery import Delivery

CLIENT_TOKEN_CHARS_MAX: Final = 512
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
# Bound once, as in mqtt/sessions.py.
_GET_PENDING: Final = Verb.GET_PENDING
_UPDATE: Final = Verb.UPDATE
_NUMBERS_END: Final = 1 << 63  # AWS's long, and what the store can hold

_CODES: Final[dict[type[Refusal], str]] = {
    InvalidStateTransition: "InvalidStateTransition",
    NotFound: "ResourceNotFound",
    VersionConflict: "VersionMismatch",
    TerminalState: "TerminalStateReached",
    Throttled: "RequestThrottled",
    Unavailable: "InternalError",
    InvalidRequest: "InvalidRequest",
    Unproven: "InvalidRequest",
}


class InvalidJson(Refusal):
    """The payload is not a JSON object in UTF-8."""

    code = "InvalidJson"


class InvalidTopic(Refusal):
    """The topic lies in the jobs namespace and names no operation."""

    code = "InvalidTopic"


class _Body(msgspec.Struct, rename="camel"):
    # Any: a wrong type is told apart from a wrong value, field by field, in the service's order of checks.
    client_token: object = None
    status: object = None
    status_details: object = None
    expected_version: object = None
    execution_number: object = None
    include_job_document: object = None
    include_job_execution_state: object = None
    step_timeout_in_minutes: object = None


_decode_body: Final = msgspec.json.Decoder(_Body).decode
_encode: Final = msgspec.json.Encoder().encode


def decode(topic: JobsRequest, payload: bytes) -> tuple[DeviceRequest | Refusal, str | None]:
    """The request in a message published to a jobs request topic, or the refusal of its payload, and its clientToken.

    The token is echoed in either answer; an empty payload counts as ``{}``.
    """
    token: str | None = None
    try:
        body = _decode_body(payload) if payload else _Body()
        token = _client_token(body.client_token)
        return _request(topic, body), token
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return InvalidJson("The payload is not a JSON object in UTF-8"), None
    except Refusal as refusal:
        return refusal, token


class _Summary(msgspec.Struct, rename="camel"):
    job_id: str
    queued_at: int
    started_at: int | UnsetType
    last_updated_at: int
    execution_number: int
    version_number: int


class _State(msgspec.Struct, rename="camel"):
    status: Status
    status_details: dict[str, str] | UnsetType
    version_number: int


class _Data(msgspec.Struct, rename="camel"):
    job_id: str
    status: Status
    status_details: dict[str, str] | UnsetType
    queued_at: int
    started_at: int | UnsetType
    last_updated_at: int
    approximate_seconds_before_timed_out: int | UnsetType
    version_number: int
    execution_number: int
    job_document: msgspec.Raw | UnsetType = UNSET


class _Lists(msgspec.Struct, rename="camel"):
    client_token: str | UnsetType
    in_progress_jobs: msgspec.Raw
    queued_jobs: msgspec.Raw
    timestamp: int


class _Message(msgspec.Struct, rename="camel"):
    # Everything else that the service says, in AWS's order; what is not set is left out.
    client_token: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    execution_state: _State | UnsetType = UNSET
    job_document: msgspec.Raw | UnsetType = UNSET
    execution: _Data | UnsetType = UNSET
    timestamp: int | UnsetType = UNSET


class _Notify(msgspec.Struct):
    timestamp: int
    jobs: dict[Status, list[_Summary]]


class _NotifyNext(msgspec.Struct):
    timestamp: int
    execution: _Data | UnsetType


def answer(
    topic: JobsRequest, outcome: DeviceAnswer | Exception, token: str | None, now: int, fill: "Filler"
) -> tuple[str, bytes]:
    """The topic suffix (``/accepted`` or ``/rejected``) and the payload that answer a request."""
    echoed = UNSET if token is None else token
    if isinstance(outcome, PendingList):
        in_progress, queued = fill.lists(outcome)
        return "/accepted", _encode(_Lists(echoed, in_progress, queued, now // 1000))
    said, suffix = _Message(echoed), "/accepted"
    if isinstance(outcome, Exception):
        _reject(said, outcome)
        suffix = "/rejected"
    elif isinstance(outcome, Updated):
        if outcome.include_state:
            said.execution_state = _state(outcome.execution)
        if topic.verb is _UPDATE and outcome.head is not None:
            said.job_document = fill(outcome.head, outcome.execution)
    elif outcome.execution is not None:
        said.execution = _data(outcome.execution, now)
        if outcome.head is not None:
            said.execution.job_document = fill(outcome.head, outcome.execution)
    said.timestamp = now // 1000
    return suffix, _encode(said)


class Filler:
    """Documents for one connection: knows the host that the device called."""

    def __init__(self, delivery: Delivery, host: str | None, local: str | None) -> None:
        """``host`` by name, ``local`` the address that the connection reached."""
        self._delivery = delivery
        self._host = host
        self._local = local
        self._listed: Callable[[], PendingList | None] = _no_list  # weak: what it holds besides may be large
        self._lists = (_NO_LIST, _NO_LIST)

    def lists(self, pending: PendingList) -> tuple[msgspec.Raw, msgspec.Raw]:
        """What is in progress and what is queued, as JSON values; the last ones are remembered."""
        if pending is not self._listed():
            self._listed = ref(pending)
            self._lists = _list(pending.in_progress), _list(pending.queued)
        return self._lists

    def __call__(self, head: JobHead, execution: Execution) -> msgspec.Raw:
        """The document as a JSON value."""
        return msgspec.Raw(self._delivery.document(head, execution, self._host, self._local).encode())


def notify(notification: Notification) -> bytes:
    """The payload of ``notify``: the pending list by status; an empty status is left out."""
    jobs: dict[Status, list[_Summary]] = {}
    for execution in notification.pending:
        jobs.setdefault(execution.status, []).append(_summary(execution))
    return _encode(_Notify(notification.now // 1000, jobs))


def notify_next(notification: Notification, fill: Filler) -> bytes:
    """The payload of ``notify-next``: the front of the pending list with its document; bare when nothing is pending."""
    data: _Data | UnsetType = UNSET
    if notification.pending and notification.head is not None:
        data = _data(notification.pending[0], notification.now)
        data.job_document = fill(notification.head, notification.pending[0])
    return _encode(_NotifyNext(notification.now // 1000, data))


def _request(topic: JobsRequest, body: _Body) -> DeviceRequest:
    verb = topic.verb
    if verb is _GET_PENDING:
        return GetPending(topic.thing)
    if verb is _UPDATE:
        return _update(topic, body)
    if verb is Verb.DESCRIBE:
        return Describe(
            thing=topic.thing,
            job=topic.job,
            number=_integer("executionNumber", body.execution_number),
            include_document=_flag("includeJobDocument", body.include_job_document, default=True),
        )
    details, problem = _details(body)
    minutes, wrong = _step_timeout(body, clears=False)
    return StartNext(
        thing=topic.thing, details=details, step_timeout_minutes=minutes, problem=problem or wrong
    )


def _update(topic: JobsRequest, body: _Body) -> Update:
    if not isinstance(body.status, str):
        raise InvalidRequest("status: required, one of IN_PROGRESS, SUCCEEDED, FAILED, REJECTED")
    details, problem = _details(body)
    minutes, wrong = _step_timeout(body, clears=True)
    return Update(
        thing=topic.thing,
        job=topic.job,
        status=body.status,
        details=details,
        expected_version=_integer("expectedVersion", body.expected_version),
        number=_integer("executionNumber", body.execution_number),
        include_state=_flag("includeJobExecutionState", body.include_job_execution_state, default=False),
        include_document=_flag("includeJobDocument", body.include_job_document, default=False),
        step_timeout_minutes=minutes,
        problem=problem or wrong,
    )


def _details(body: _Body) -> tuple[dict[str, str] | None, str | None]:
    if body.status_details is None:
        return None, None
    problem = details_problem(body.status_details)
    return (None, problem) if problem else (body.status_details, None)  # type: ignore[return-value]


def _step_timeout(body: _Body, *, clears: bool) -> tuple[int | None, str | None]:
    given = body.step_timeout_in_minutes
    if given is None:
        return None, None
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        given = int(given)
    problem = step_timeout_problem(given, clears=clears)
    return (None, problem) if problem else (given, None)  # type: ignore[return-value]


def _client_token(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > CLIENT_TOKEN_CHARS_MAX:
        raise InvalidRequest(f"clientToken: must be a string of at most {CLIENT_TOKEN_CHARS_MAX} characters")
    return value


def _integer(name: str, value: object) -> int | None:
    # AWS's embedded C library sends numbers as strings, and AWS takes them.
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_NUMBERS_END <= value < _NUMBERS_END:
        return value
    raise InvalidRequest(f"{name}: must be an integer of 64 bits")


def _flag(name: str, value: object, *, default: bool) -> bool:
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise InvalidRequest(f"{name}: must be true or false")


def _reject(said: _Message, error: Exception) -> None:
    if not isinstance(error, Refusal):
        said.code, said.message = "InternalError", "The service failed; try again"
        return
    said.code = _CODES.get(type(error), type(error).__name__)
    said.message = error.message
    execution = error.members.get("execution")
    if isinstance(execution, Execution):
        said.execution_state = _state(execution)


def _state(execution: Execution) -> _State:
    return _State(execution.status, execution.details or UNSET, execution.version)


def _no_list() -> None:
    """Nothing was told yet."""


_NO_LIST: Final = msgspec.Raw(b"[]")


def _list(executions: Sequence[Execution]) -> msgspec.Raw:
    return msgspec.Raw(_encode([_summary(execution) for execution in executions])) if executions else _NO_LIST


def _summary(execution: Execution) -> _Summary:
    started = execution.started_at
    return _Summary(
        execution.job,
        execution.queued_at // 1000,
        UNSET if started is None else started // 1000,
        execution.updated_at // 1000,
        execution.number,
        execution.version,
    )


def _data(execution: Execution, now: int) -> _Data:
    started, left = execution.started_at, seconds_left(execution, now)
    return _Data(
        execution.job,
        execution.status,
        UNSET if execution.details is None else execution.details,
        execution.queued_at // 1000,
        UNSET if started is None else started // 1000,
        execution.updated_at // 1000,
        UNSET if left is None else left,
        execution.version,
        execution.number,
    )
