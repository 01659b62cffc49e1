"""The update transaction: its states, what a power loss in each of them means, and the values of the journal.

| stage       | written before                          | after a power loss or a restart of the agent               |
| ----------- | --------------------------------------- | ---------------------------------------------------------- |
| ACCEPTED    | anything is downloaded                  | the job is asked for again and starts over                 |
| DOWNLOADING | the image is fetched                    | the same; the download resumes                             |
| UNPACKING   | the slot that does not run is written   | the same; that slot is cleared and written again           |
| TRIAL       | the link is switched, and each boot     | switched again (harmless), restarted, the boot is counted, |
|             | into the new software                   | and the new software proven or rolled back                 |
| ROLLBACK    | the link is switched back               | switched back again (harmless), then FAILED                |

A change of the configuration has states of its own:

| stage       | written before                          | after a power loss or a restart of the agent               |
| ----------- | --------------------------------------- | ---------------------------------------------------------- |
| ACCEPTED    | anything is fetched or sent             | the job is asked for again and starts over                 |
| APPLYING    | the file is replaced; the new one and   | replaced again (harmless), the services told again, and    |
|             | the one before lie beside it by then    | proven or taken back                                       |
| ROLLBACK    | the file before is put back             | put back again (harmless), the services told, then FAILED  |

A job that starts over is counted (``attempts``), boots into new software are counted (``boots``), requests to restart
are counted (``restarts``), and so are the times that a configuration is put in force (``tries``): every loop has an end. What ends a transaction is one write that replaces it by its final
report; the report stays until the service has answered it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
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


class PowerLoss(StrEnum):
    """What the agent does with a transaction that it finds at its start."""

    START_OVER = "start over"
    PROVE = "prove"
    FINISH_ROLLBACK = "finish rollback"


AFTER_POWER_LOSS: Final = MappingProxyType(
    {
        Stage.ACCEPTED: PowerLoss.START_OVER,
        Stage.DOWNLOADING: PowerLoss.START_OVER,
        Stage.UNPACKING: PowerLoss.START_OVER,
        Stage.TRIAL: PowerLoss.PROVE,
        Stage.ROLLBACK: PowerLoss.FINISH_ROLLBACK,
    }
)


class ChangeStage(StrEnum):
    """How far a change of the configuration is on this device; also that of an upload, which changes nothing."""

    ACCEPTED = "accepted"
    APPLYING = "applying"
    ROLLBACK = "rollback"


CHANGE_AFTER_POWER_LOSS: Final = MappingProxyType(
    {
        ChangeStage.ACCEPTED: PowerLoss.START_OVER,
        ChangeStage.APPLYING: PowerLoss.PROVE,
        ChangeStage.ROLLBACK: PowerLoss.FINISH_ROLLBACK,
    }
)


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
    """Boots into the new software."""
    target: Installed | None = None
    """What the new slot holds; set from TRIAL on."""
    previous: Installed | None = None
    """What ran before; None on a device without software."""
    reason: str = ""
    """Why it is rolled back."""
    log: str = ""
    """The end of the failed software's output, cleaned."""
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
    reason: str = ""
    """Why it is taken back."""
    log: str = ""
    """The end of what the reload command wrote."""
    abandoned: bool = False
    """Taken back because the job has ended elsewhere: nothing is reported."""


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
    final: FinalReport | None = None

    @property
    def job(self) -> JobRef | None:
        """The job under way."""
        under_way = self.update or self.change
        return under_way.job if under_way else None
