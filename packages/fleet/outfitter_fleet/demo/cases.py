"""The scenarios, as a table of named cases.

Cases of one wave run at the same time, on different devices; a wave begins when the one before has ended.
"""

from dataclasses import dataclass
from typing import Final

from outfitter_contract.execution import Status

GROUP: Final = "lamps"
STREET: Final = "high-street"
GROUPS: Final = (GROUP, STREET)
ON_THE_STREET: Final = ("lamp-1", "lamp-2", "lamp-3")
DEVICES: Final = (*ON_THE_STREET, "lamp-4", "lamp-5", "lamp-6", "lamp-7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One job and what must come of it on each device.

    Attributes:
        target: a device, or one of GROUPS.
        away: the devices are switched off when the job is made, and come back when the rest of the wave has ended.
        while_away: the status that the execution must have before they come back.
        cancelled: the job is cancelled before they come back.
        spoilt: the image is changed in the store after its upload.
        status: how the execution must end.
        runs: the version that the device's software must answer at the end.
        reason: words that the reason in the status details must contain; "" for no reason.
        log: words that the log in the status details must contain; "" for no log.
    """

    name: str
    wave: int
    target: str
    devices: tuple[str, ...]
    version: str
    forced: bool = False
    away: bool = False
    while_away: Status | None = None
    cancelled: bool = False
    spoilt: bool = False
    status: Status
    runs: str
    reason: str = ""
    log: str = ""

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return "demo-" + "-".join(self.name.replace(",", "").split())


CASES: Final = (
    Case(
        name="first installation",
        wave=1,
        target=GROUP,
        devices=DEVICES,
        version="1.0.0",
        status=Status.SUCCEEDED,
        runs="1.0.0",
    ),
    Case(
        name="group update",
        wave=2,
        target=STREET,
        devices=ON_THE_STREET,
        version="2.0.0",
        status=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    Case(
        name="offline, comes later",
        wave=2,
        target="lamp-4",
        devices=("lamp-4",),
        version="2.0.0",
        away=True,
        while_away=Status.QUEUED,
        status=Status.SUCCEEDED,
        runs="2.0.0",
    ),
    Case(
        name="crashing image",
        wave=2,
        target="lamp-5",
        devices=("lamp-5",),
        version="3.0.0",
        status=Status.FAILED,
        runs="1.0.0",
        reason="exit code 1",
        log="light.json",
    ),
    Case(
        name="corrupt image",
        wave=2,
        target="lamp-6",
        devices=("lamp-6",),
        version="2.1.0",
        spoilt=True,
        status=Status.FAILED,
        runs="1.0.0",
        reason="corrupt",
    ),
    Case(
        name="cancelled job",
        wave=2,
        target="lamp-7",
        devices=("lamp-7",),
        version="2.0.0",
        away=True,
        while_away=Status.CANCELED,
        cancelled=True,
        status=Status.CANCELED,
        runs="1.0.0",
    ),
    Case(
        name="downgrade refused",
        wave=3,
        target="lamp-2",
        devices=("lamp-2",),
        version="1.0.0",
        status=Status.FAILED,
        runs="2.0.0",
        reason="not newer",
    ),
    Case(
        name="forced downgrade",
        wave=3,
        target="lamp-3",
        devices=("lamp-3",),
        version="1.0.0",
        forced=True,
        status=Status.SUCCEEDED,
        runs="1.0.0",
    ),
)
