"""Whether a device runs the configuration that was sent to it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outfitter_contract.running import RunningConfiguration


class DriftState(StrEnum):
    """What comparing the two says."""

    SAME = "same"
    DRIFTED = "drifted"
    NOT_SENT = "not sent"
    """No ``config-download`` has succeeded on the device, of those that are still known."""
    NOT_REPORTED = "not reported"
    """The device has not told what is in force: its agent is old, was never connected, or is not allowed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentConfiguration:
    """The last configuration that the device has taken."""

    sha256: str
    job_id: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What runs, and what was sent last."""

    running: RunningConfiguration | None
    sent: SentConfiguration | None

    @property
    def state(self) -> DriftState:
        """What comparing the two says."""
        if self.running is None:
            return DriftState.NOT_REPORTED
        if self.sent is None:
            return DriftState.NOT_SENT
        return DriftState.SAME if self.running.sha256 == self.sent.sha256 else DriftState.DRIFTED
