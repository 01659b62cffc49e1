"""Factory lines: their groups and their continuous jobs."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from outfitter_updates.catalogue.devices import Group
from outfitter_updates.catalogue.problems import NotFound, did_you_mean
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.devices import Devices
from outfitter_updates.cloud.jobs import Jobs
from outfitter_updates.operations.line import (
    GROUP_PREFIX,
    LineJob,
    LinePlan,
    line_group,
    line_job,
    supersede,
    type_of,
)

JOBS_MAX: Final = 100
"""Continuous jobs of a group that are looked at; a line has two."""
LINES_MAX: Final = 1_000


class Lines:
    """Makes lines and tells what they bring."""

    def __init__(self, connection: Connection, devices: Devices, jobs: Jobs) -> None:
        self._connection, self._devices, self._jobs = connection, devices, jobs

    def types(self) -> tuple[str, ...]:
        """The device types that have a line."""
        return tuple(islice(self._types(), LINES_MAX))

    def need(self, device_type: str) -> Group:
        """The group of the line; raises NotFound with the lines that come close."""
        found = self._devices.find_group(line_group(device_type))
        if found is None:
            nothing = f"Make it: `outfitter line create {device_type} --software NAME VERSION`."
            raise NotFound(
                f"There is no line for {device_type!r}. {did_you_mean(device_type, self.types(), nothing=nothing)}"
            )
        return found

    def create_group(self, device_type: str) -> Group:
        """The group of the line, made when it is missing."""
        name = line_group(device_type)
        found = self._devices.find_group(name)
        return found or self._devices.create_group(name, None, f"Factory line of {device_type}")

    def jobs(self, group: Group) -> tuple[LineJob, ...]:
        """What the line brings now."""
        found = (
            line_job(each, self._jobs.document(each.job_id), group.arn)
            for each in self._jobs.continuous(group.name, JOBS_MAX)
        )
        return tuple(each for each in found if each is not None)

    def carry_out(self, plan: LinePlan) -> None:
        """Creates, then cancels; interrupted, the same order again completes it."""
        for arguments in plan.create:
            self._jobs.start(arguments)
        for job_id in plan.cancel:
            self._jobs.cancel(supersede(job_id))

    def _types(self) -> Iterator[str]:
        groups = self._connection.iot.pages("list_thing_groups", "thingGroups", namePrefixFilter=GROUP_PREFIX)
        return (found for each in groups if (found := type_of(each["groupName"])))
