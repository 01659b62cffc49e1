"""Jobs and their executions."""

from collections.abc import Callable
from itertools import islice
from typing import Any

from outfitter_contract.execution import Status

from outfitter_updates.catalogue.problems import CloudRefused, Conflict, NotFound, did_you_mean
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.operations.progress import Execution, Job, count

EXISTS = "ResourceAlreadyExistsException"
NAMES_MAX = 250


class Jobs:
    """Starts, watches and cancels jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, arguments: dict[str, Any]) -> str:
        """CreateJob; returns the job id. Raises Conflict when a job has it already."""
        try:
            return str(self._connection.iot.call("create_job", **arguments)["jobId"])
        except CloudRefused as refused:
            if refused.code != EXISTS:
                raise
            raise Conflict(
                f"There is a job {arguments['jobId']} already: leave out --job-id, or choose another."
            ) from refused

    def list(self, status: str | None, group: str | None, limit: int) -> tuple[Job, ...]:
        """Jobs as the service lists them, without their counts."""
        told = self._connection.iot.pages("list_jobs", "jobs", status=status, thingGroupName=group)
        return tuple(_job(each) for each in islice(told, limit))

    def need(self, job_id: str) -> Job:
        """The job with its counts; raises NotFound with the ids that come close."""
        found = self.find(job_id)
        if found is None:
            known = islice(self._connection.iot.pages("list_jobs", "jobs"), NAMES_MAX)
            hint = did_you_mean(job_id, (each["jobId"] for each in known), nothing="There are no jobs yet.")
            raise NotFound(f"There is no job {job_id!r}. {hint}")
        return found

    def find(self, job_id: str) -> Job | None:
        """The job with its counts, if there is one."""
        told = self._connection.iot.find("describe_job", jobId=job_id)
        return _job(told["job"]) if told else None

    def document(self, job_id: str) -> str:
        """The job's document as it was written."""
        return str(self._connection.iot.call("get_job_document", jobId=job_id)["document"])

    def continuous(self, group: str, limit: int) -> tuple[Job, ...]:
        """The continuous jobs in progress that aim at the group, with their counts."""
        told = self._connection.iot.pages(
            "list_jobs", "jobs", status="IN_PROGRESS", targetSelection="CONTINUOUS", thingGroupName=group
        )
        found = (self.find(each["jobId"]) for each in islice(told, limit))
        return tuple(each for each in found if each is not None)

    def execution(self, job_id: str, thing: str) -> Execution | None:
        """The newest execution of the job on the device, with what the device told."""
        told = self._connection.iot.find("describe_job_execution", jobId=job_id, thingName=thing)
        return _execution(job_id, thing, told["execution"]) if told else None

    def executions(
        self,
        job_id: str,
        limit: int,
        wants_details: Callable[[Execution], bool],
        status: Status | None = None,
    ) -> tuple[Execution, ...]:
        """A job's executions, of one status or all, the newest update first; details where they are wanted."""
        told = self._connection.iot.pages(
            "list_job_executions_for_job",
            "executionSummaries",
            jobId=job_id,
            status=status.value if status else None,
        )
        found = (
            _execution(job_id, _name(each["thingArn"]), each["jobExecutionSummary"])
            for each in islice(told, limit)
        )
        return tuple(self._detailed(each) if wants_details(each) else each for each in found)

    def executions_of(self, thing: str, limit: int) -> tuple[Execution, ...]:
        """What a device did and has yet to do, with its reasons."""
        told = self._connection.iot.pages(
            "list_job_executions_for_thing", "executionSummaries", thingName=thing
        )
        found = (
            _execution(each["jobId"], thing, each["jobExecutionSummary"]) for each in islice(told, limit)
        )
        return tuple(self._detailed(each) for each in found)

    def cancel(self, arguments: dict[str, Any]) -> None:
        """CancelJob."""
        self._connection.iot.call("cancel_job", **arguments)

    def _detailed(self, execution: Execution) -> Execution:
        """The execution as it is now, with what the device told; unchanged when it has gone meanwhile."""
        told = self._connection.iot.find(
            "describe_job_execution",
            jobId=execution.job_id,
            thingName=execution.thing,
            executionNumber=execution.number,
        )
        return _execution(execution.job_id, execution.thing, told["execution"]) if told else execution


def _name(arn: str) -> str:
    return arn.partition(":thing/")[2]


def _execution(job_id: str, thing: str, told: dict[str, Any]) -> Execution:
    return Execution(
        job_id=job_id,
        thing=thing,
        number=told.get("executionNumber", 1),
        status=Status(told["status"]),
        updated_at=told.get("lastUpdatedAt"),
        details=told.get("statusDetails", {}).get("detailsMap", {}),
    )


def _job(told: dict[str, Any]) -> Job:
    details = told.get("jobProcessDetails", {})
    return Job(
        job_id=told["jobId"],
        status=told["status"],
        continuous=told.get("targetSelection") == "CONTINUOUS",
        targets=tuple(told.get("targets", ())),
        description=told.get("description", ""),
        comment=told.get("comment", ""),
        created_at=told.get("createdAt"),
        updated_at=told.get("lastUpdatedAt"),
        completed_at=told.get("completedAt"),
        rolling_out=bool(details.get("processingTargets")),
        counts=count(details),
    )
