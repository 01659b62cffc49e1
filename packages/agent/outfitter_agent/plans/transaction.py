"""The transaction: the values of the journal. What its states mean is in ``states``.

A job that starts over is counted (``attempts``), boots into new software and back are counted (``boots``), requests to
restart are counted (``restarts``), and so are the times that a configuration is put in force (``tries``): every loop has
an end. What ends a transaction is one write that replaces it by its final report; the report stays until the service has
answered it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from outfitter_contract.execution import Status

RESTARTS_MAX: Final = 3


class Stage(StrEnum):
    """How far an update is on this device."""

    ACCEPTED = "accepted"
    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    TRIAL = "trial"
    ROLLBACK = "rollback"


class ChangeStage(StrEnum):
    """How far a change of the configuration is on this device; also that of an upload, which changes nothing."""

    ACCEPTED = "accepted"
    APPLYING = "applying"
    ROLLBACK = "rollback"


class StepsStage(StrEnum):
    """How far a document of AWS's device client is on this device."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    REBOOTING = "rebooting"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRef:
    """Which execution of which job."""

    job_id: str
    execution_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The software in a slot, as recorded when it was unpacked."""

    slot: str
    name: str
    version: str
    sha256: str
    """Digest of the image file that it came from."""
    start: tuple[str, ...]
    health: tuple[str, ...] | None = None
    minimum: str | None = None
    """Once this software is proven, versions of it below are refused; signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A transaction under way."""

    job: JobRef
    stage: Stage
    version_number: int | None = None
    """The execution's version number when it was handed over; the expectedVersion of its end, if none newer is known."""
    attempts: int = 1
    """Times that the job was begun on this device."""
    boot_before: str = ""
    """The boot identity under which TRIAL or ROLLBACK was entered; another one proves the restart."""
    restarts: int = 0
    """Restarts asked for in this stage."""
    boots: int = 0
    """Boots into the new software; in ROLLBACK, starts of the one before."""
    target: Installed | None = None
    """What the new slot holds; set from TRIAL on."""
    previous: Installed | None = None
    """What ran before; None on a device without software, or whose software is not known to the agent."""
    previous_slot: str | None = None
    """The slot that ran before; None on a device without software."""
    switched: bool = False
    """Whether the machine was told to come up in the new slot: if it then comes up in another, the new one is bad."""
    reason: str = ""
    """Why it is rolled back."""
    log: str = ""
    """The end of the failed software's output, cleaned."""
    delta: str = ""
    """What became of the job's deltas, for people; empty: it had none."""
    abandoned: bool = False
    """Rolled back because the job has ended elsewhere: nothing is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the configuration, or its upload, under way."""

    job: JobRef
    stage: ChangeStage
    version_number: int | None = None
    """The execution's version number when it was handed over."""
    attempts: int = 1
    """Times that the job was begun on this device."""
    tries: int = 0
    """Times that the file of this stage was put in its place and the services told."""
    sha256: str = ""
    """Digest of the configuration that shall be in force; set from APPLYING on."""
    previous: str | None = None
    """Digest of the one before; None: there was none."""
    ignored: str = ""
    """Names of parameters that were sent and are the device's own."""
    reason: str = ""
    """Why it is taken back."""
    log: str = ""
    """The end of what the reload command wrote."""
    abandoned: bool = False
    """Taken back because the job has ended elsewhere: nothing is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsRun:
    """A document of AWS's device client under way."""

    job: JobRef
    stage: StepsStage
    version_number: int | None = None
    """The execution's version number when it was handed over."""
    attempts: int = 1
    """Times that the job was begun on this device."""
    step: int = 0
    """Which step is under way, from 0 on; it counts from RUNNING on."""
    boot_before: str = ""
    """The boot identity under which REBOOTING was entered; another one proves the reboot."""
    restarts: int = 0
    """Reboots asked for in this step."""
    ignored: str = ""
    """Steps that failed and were allowed to, for people."""
    reason: str = ""
    """Why a step has failed that was not allowed to."""
    stdout: str = ""
    """The end of what the steps wrote, cleaned."""
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalReport:
    """A final report that the service has not answered yet."""

    job: JobRef
    version_number: int | None
    """The expectedVersion of the report; None when it was never learnt."""
    status: Status
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """All that the agent must remember."""

    update: Update | None = None
    change: Change | None = None
    steps: StepsRun | None = None
    final: FinalReport | None = None

    @property
    def under_way(self) -> Update | Change | StepsRun | None:
        """The transaction, of whatever kind."""
        return self.update or self.change or self.steps

    @property
    def job(self) -> JobRef | None:
        """The job under way."""
        return self.under_way.job if self.under_way else None
