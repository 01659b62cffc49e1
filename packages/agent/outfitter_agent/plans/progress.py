"""How often a download is reported: every two seconds or every ten percent, whichever comes first."""

from dataclasses import dataclass
from typing import Final

INTERVAL_SECONDS: Final = 2.0
PERCENT_STEP: Final = 10


@dataclass(slots=True)
class Throttle:
    """Remembers the last report; ``due`` says whether another one is."""

    reported_at: float
    reported_percent: int = 0

    def due(self, now: float, received: int, total: int | None) -> bool:
        """Whether to report, in which case this counts as the report; ``now`` in seconds of any steady clock."""
        percent = received * 100 // total if total else 0
        if now - self.reported_at < INTERVAL_SECONDS and percent - self.reported_percent < PERCENT_STEP:
            return False
        self.reported_at, self.reported_percent = now, percent
        return True
