"""Which configuration is in force on devices, and which was sent to them last."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from outfitter_contract.execution import Status
from outfitter_contract.operations import Operation
from outfitter_contract.running import RunningConfiguration, RunningError, parse_running, running_topic

from outfitter_updates.catalogue.problems import NotFound
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.jobs import Jobs
from outfitter_updates.operations.drift import Drift, SentConfiguration

ASKED_AT_ONCE: Final = 8
"""Devices asked about at the same time; within the ten connections that botocore keeps open."""


class RunningConfigurations:
    """Asks of each device three things: its retained message, its successful executions, and the last of them."""

    def __init__(self, connection: Connection, jobs: Jobs) -> None:
        self._connection, self._jobs = connection, jobs
        self._operations: dict[str, str | None] = {}

    def of(self, names: Sequence[str]) -> Mapping[str, Drift]:
        """By device. The requests grow with the devices, and with the successful jobs since the last configuration."""
        _ = (
            self._connection.iot,
            self._connection.iot_data,
        )  # clients may be shared by threads, but not made by them
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self._drift, names), strict=True))

    def _drift(self, name: str) -> Drift:
        return Drift(running=self._running(name), sent=self._sent(name))

    def _running(self, name: str) -> RunningConfiguration | None:
        told = self._connection.iot_data.find("get_retained_message", topic=running_topic(name))
        try:
            return parse_running(told["payload"]) if told else None
        except RunningError:
            return None

    def _sent(self, name: str) -> SentConfiguration | None:
        told = self._connection.iot.pages(
            "list_job_executions_for_thing",
            "executionSummaries",
            thingName=name,
            status=Status.SUCCEEDED.value,
        )
        newest_first = sorted(told, key=_updated, reverse=True)
        for each in newest_first:
            if self._operation(each["jobId"]) != Operation.CONFIG_DOWNLOAD:
                continue
            execution = self._jobs.execution(each["jobId"], name)
            if (
                execution is not None
                and execution.status is Status.SUCCEEDED
                and "sha256" in execution.details
            ):
                return SentConfiguration(
                    sha256=execution.details["sha256"], job_id=each["jobId"], at=execution.updated_at
                )
        return None

    def _operation(self, job_id: str) -> str | None:
        """What the job does, asked once for all of its devices; None when the job has gone, or is no job of ours."""
        if job_id not in self._operations:
            self._operations[job_id] = self._asked_operation(job_id)
        return self._operations[job_id]

    def _asked_operation(self, job_id: str) -> str | None:
        try:
            document: Any = json.loads(self._jobs.document(job_id))
        except (NotFound, ValueError):
            return None
        operation = document.get("operation") if isinstance(document, dict) else None
        return operation if isinstance(operation, str) else None


def _updated(summary: Mapping[str, Any]) -> float:
    at = summary["jobExecutionSummary"].get("lastUpdatedAt")
    return at.timestamp() if at else 0.0
