"""How far a job has come, and whether it came to a good end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from outfitter_contract.details import LINE_MARK, LOG_KEYS
from outfitter_contract.execution import PENDING, Status

ENDED_JOB: Final = frozenset({"COMPLETED", "CANCELED", "DELETION_IN_PROGRESS"})
TERMINAL_BADLY: Final = tuple(each for each in Status if each not in {*PENDING, Status.SUCCEEDED})
_PROOF: Final = {
    "version ": "version",
    "slot ": "slot",
    "sha256 ": "sha256",
    "boot ": "boot_id",
    "health: ": "health",
}
_SHOWN: Final = 40
COUNTERS: Final = MappingProxyType(
    {
        Status.QUEUED: "numberOfQueuedThings",
        Status.IN_PROGRESS: "numberOfInProgressThings",
        Status.SUCCEEDED: "numberOfSucceededThings",
        Status.FAILED: "numberOfFailedThings",
        Status.REJECTED: "numberOfRejectedThings",
        Status.TIMED_OUT: "numberOfTimedOutThings",
        Status.REMOVED: "numberOfRemovedThings",
        Status.CANCELED: "numberOfCanceledThings",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A job on one device."""

    job_id: str
    thing: str
    number: int
    status: Status
    updated_at: datetime | None
    details: Mapping[str, str] = field(default_factory=dict)
    """What the device told last; empty when it was not asked for."""

    @property
    def step(self) -> str:
        """What the device was doing, in its own word."""
        return self.details.get("step", "")

    @property
    def reason(self) -> str:
        """Why it ended so, in the device's own words."""
        return self.details.get("reason", "")

    @property
    def proof(self) -> str:
        """What the device says that it runs, and how it knows; "" unless it is done well."""
        if self.status is not Status.SUCCEEDED:
            return ""
        told = {name: self.details.get(key, "") for name, key in _PROOF.items()}
        return ", ".join(f"{name}{value[:_SHOWN]}" for name, value in told.items() if value)

    @property
    def log(self) -> tuple[str, ...]:
        """The end of what was written by the software, or the command, that failed; line by line."""
        parts = [self.details[key] for key in LOG_KEYS if key in self.details]
        return tuple(line.strip() for line in "".join(parts).split(LINE_MARK) if line.strip())

    @property
    def is_pending(self) -> bool:
        """Whether the device has yet to finish."""
        return self.status in PENDING

    @property
    def went_wrong(self) -> bool:
        """Whether it ended in any way but success."""
        return not self.is_pending and self.status is not Status.SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job with the counts of its executions."""

    job_id: str
    status: str
    continuous: bool
    targets: tuple[str, ...]
    description: str
    comment: str
    created_at: datetime | None
    updated_at: datetime | None
    completed_at: datetime | None
    rolling_out: bool
    """Whether devices are still being given their executions."""
    counts: Mapping[Status, int]

    @property
    def total(self) -> int:
        """How many executions there are."""
        return sum(self.counts.values())

    @property
    def pending(self) -> int:
        """How many executions have yet to finish."""
        return sum(count for status, count in self.counts.items() if status in PENDING)

    @property
    def ended(self) -> int:
        """How many executions have finished, well or not."""
        return self.total - self.pending

    @property
    def went_wrong(self) -> int:
        """How many executions ended in any way but success."""
        return self.ended - self.counts.get(Status.SUCCEEDED, 0)

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen by itself.

        A continuous job never completes: it is settled when every device that it has now is done. A canceled one
        may still have devices at work.
        """
        if self.status == "COMPLETED":
            return True
        if self.status in ENDED_JOB or (self.continuous and not self.rolling_out):
            return self.pending == 0
        return False


def wrong_statuses(job: Job) -> tuple[Status, ...]:
    """The statuses other than success that executions of the job ended with."""
    return tuple(each for each in TERMINAL_BADLY if job.counts.get(each))


def count(details: Mapping[str, object]) -> dict[Status, int]:
    """The counts in ``jobProcessDetails``, every status present."""
    return {
        status: value if isinstance(value := details.get(name), int) else 0
        for status, name in COUNTERS.items()
    }


def summary(job: Job) -> str:
    """The counts in one line: ``3 of 5 done: 2 SUCCEEDED, 1 FAILED, 2 QUEUED``."""
    told = ", ".join(f"{job.counts[status]} {status}" for status in Status if job.counts.get(status))
    if not job.total:
        return "no devices yet" if not job.is_settled else "no devices"
    return f"{job.ended} of {job.total} done: {told}"


def attention(execution: Execution) -> tuple[int, str]:
    """A sort key: what went wrong first, then what is under way, what waits, what is done."""
    if execution.went_wrong:
        return 0, execution.thing
    order = {Status.IN_PROGRESS: 1, Status.QUEUED: 2}
    return order.get(execution.status, 3), execution.thing


def latest(executions: Iterable[Execution]) -> list[Execution]:
    """The newest execution of each device, what needs attention first."""
    newest: dict[str, Execution] = {}
    for each in executions:
        seen = newest.get(each.thing)
        if seen is None or each.number > seen.number:
            newest[each.thing] = each
    return sorted(newest.values(), key=attention)
