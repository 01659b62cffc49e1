"""Job executions of the ``iot`` model, and of ``iot-jobs-data``, the device plane over HTTPS."""

from typing import Any

from outfitter_contract.execution import Status

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, refuse_left_out, seconds
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.details import details_problem, step_timeout_problem
from outfitter_server.jobs.device import seconds_left
from outfitter_server.jobs.values import (
    Describe,
    Described,
    Execution,
    GetPending,
    PendingList,
    StartNext,
    Update,
    Updated,
)
from outfitter_server.services.delivery import Delivery
from outfitter_server.services.device_plane import DevicePlane
from outfitter_server.services.executions import Executions


class ExecutionOperations:
    """Handlers of the execution operations of the control plane."""

    def __init__(self, executions: Executions, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._executions = executions
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "ListJobExecutionsForJob": self._list_for_job,
            "ListJobExecutionsForThing": self._list_for_thing,
            "DescribeJobExecution": self._describe,
            "CancelJobExecution": self._cancel,
            "DeleteJobExecution": self._delete,
        }

    async def _list_for_job(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._executions.page_of_job(
            given["jobId"],
            status=_status(given),
            limit=page_size(given),
            token=given.get("nextToken"),
        )
        summaries = [
            {
                "thingArn": self._installation.iot_arn("thing", entry.thing),
                "jobExecutionSummary": _summary(entry),
            }
            for entry in page.items
        ]
        return {"executionSummaries": summaries, "nextToken": page.next_token}

    async def _list_for_thing(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "namespaceId")
        page = self._executions.page_of_thing(
            given["thingName"],
            job=given.get("jobId"),
            status=_status(given),
            limit=page_size(given),
            token=given.get("nextToken"),
        )
        summaries = [{"jobId": entry.job, "jobExecutionSummary": _summary(entry)} for entry in page.items]
        return {"executionSummaries": summaries, "nextToken": page.next_token}

    async def _describe(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        entry = self._executions.get(given["thingName"], given["jobId"], given.get("executionNumber"))
        return {
            "execution": {
                "jobId": entry.job,
                "status": entry.status.value,
                "forceCanceled": entry.force_canceled or None,
                "statusDetails": None if entry.details is None else {"detailsMap": entry.details},
                "thingArn": self._installation.iot_arn("thing", entry.thing),
                "queuedAt": seconds(entry.queued_at),
                "startedAt": seconds(entry.started_at),
                "lastUpdatedAt": seconds(entry.updated_at),
                "executionNumber": entry.number,
                "versionNumber": entry.version,
                "approximateSecondsBeforeTimedOut": seconds_left(entry, self._executions.now()),
            }
        }

    async def _cancel(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        details = given.get("statusDetails")
        if details is not None and (problem := details_problem(details)):
            raise InvalidRequest(problem)
        await self._executions.cancel(
            given["thingName"],
            given["jobId"],
            force=given.get("force", False),
            expected_version=given.get("expectedVersion"),
            details=details,
        )
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "namespaceId")
        await self._executions.delete(
            given["thingName"], given["jobId"], given["executionNumber"], force=given.get("force", False)
        )
        return {}


class JobsDataOperations:
    """Handlers of ``iot-jobs-data``; documents are strings here, objects over MQTT."""

    def __init__(self, plane: DevicePlane, delivery: Delivery) -> None:
        """The same plane that the device gateway asks."""
        self._plane = plane
        self._delivery = delivery

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "GetPendingJobExecutions": self._pending,
            "StartNextPendingJobExecution": self._start_next,
            "DescribeJobExecution": self._describe,
            "UpdateJobExecution": self._update,
        }

    async def _pending(self, call: Call) -> dict[str, Any]:
        answer = await self._plane.ask(GetPending(call.parameters["thingName"]))
        assert isinstance(answer, PendingList)  # noqa: S101 - the plane answers in kind
        return {
            "inProgressJobs": [_data_summary(entry) for entry in answer.in_progress],
            "queuedJobs": [_data_summary(entry) for entry in answer.queued],
        }

    async def _start_next(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        details, minutes, problem = _fields(given, clears=False)
        request = StartNext(
            thing=given["thingName"], details=details, step_timeout_minutes=minutes, problem=problem
        )
        return self._described(call, await self._plane.ask(request))

    async def _describe(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        request = Describe(
            thing=given["thingName"],
            job=given["jobId"],
            number=given.get("executionNumber"),
            include_document=given.get("includeJobDocument", True),
        )
        return self._described(call, await self._plane.ask(request))

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        details, minutes, problem = _fields(given, clears=True)
        answer = await self._plane.ask(
            Update(
                thing=given["thingName"],
                job=given["jobId"],
                status=given["status"],
                details=details,
                expected_version=given.get("expectedVersion"),
                number=given.get("executionNumber"),
                include_state=given.get("includeJobExecutionState", False),
                include_document=given.get("includeJobDocument", False),
                step_timeout_minutes=minutes,
                problem=problem,
            )
        )
        assert isinstance(answer, Updated)  # noqa: S101 - the plane answers in kind
        result: dict[str, Any] = {}
        if answer.include_state:
            entry = answer.execution
            result["executionState"] = {
                "status": entry.status.value,
                "statusDetails": entry.details or None,
                "versionNumber": entry.version,
            }
        if answer.head is not None:
            result["jobDocument"] = self._delivery.document(answer.head, answer.execution, call.host)
        return result

    def _described(self, call: Call, answer: object) -> dict[str, Any]:
        assert isinstance(answer, Described)  # noqa: S101 - the plane answers in kind
        entry = answer.execution
        if entry is None:
            return {}
        document = None if answer.head is None else self._delivery.document(answer.head, entry, call.host)
        return {
            "execution": {
                "jobId": entry.job,
                "thingName": entry.thing,
                "status": entry.status.value,
                "statusDetails": entry.details,
                "queuedAt": entry.queued_at // 1000,
                "startedAt": None if entry.started_at is None else entry.started_at // 1000,
                "lastUpdatedAt": entry.updated_at // 1000,
                "approximateSecondsBeforeTimedOut": seconds_left(entry, self._plane.now()),
                "versionNumber": entry.version,
                "executionNumber": entry.number,
                "jobDocument": document,
            }
        }


def _status(given: dict[str, Any]) -> Status | None:
    status = given.get("status")
    return None if status is None else Status(status)


def _fields(given: dict[str, Any], *, clears: bool) -> tuple[dict[str, str] | None, int | None, str | None]:
    """Status details and step timeout of a device's request, or what is wrong with one of them."""
    details, minutes = given.get("statusDetails"), given.get("stepTimeoutInMinutes")
    problem = None if details is None else details_problem(details)
    if problem is None and minutes is not None:
        problem = step_timeout_problem(minutes, clears=clears)
    return (None, None, problem) if problem else (details, minutes, None)


def _summary(entry: Execution) -> dict[str, Any]:
    return {
        "status": entry.status.value,
        "queuedAt": seconds(entry.queued_at),
        "startedAt": seconds(entry.started_at),
        "lastUpdatedAt": seconds(entry.updated_at),
        "executionNumber": entry.number,
        "retryAttempt": entry.attempt or None,
    }


def _data_summary(entry: Execution) -> dict[str, Any]:
    return {
        "jobId": entry.job,
        "queuedAt": entry.queued_at // 1000,
        "startedAt": None if entry.started_at is None else entry.started_at // 1000,
        "lastUpdatedAt": entry.updated_at // 1000,
        "versionNumber": entry.version,
        "executionNumber": entry.number,
    }
