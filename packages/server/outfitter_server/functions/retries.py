"""Event invocations: what happens after a try (AWS Lambda developer guide, "Handling errors for an asynchronous invocation").

A function that fails is tried twice more, after one minute and after two. A call that did not reach the function (no room,
server stopping) does not count as a try, and is repeated with growing pauses until it is six hours old.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

FAILURE_PAUSES_MS: Final = (60_000, 120_000)
BUSY_PAUSE_MS: Final = 1_000
BUSY_PAUSE_MS_MAX: Final = 300_000
AGE_MS_MAX: Final = 6 * 3_600_000
_DOUBLINGS_MAX: Final = 16


class Ended(Enum):
    """How a try ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEvent:
    """An event in the queue; times in milliseconds since the epoch.

    Attributes:
        failures: tries that the function failed.
        refusals: times that it could not be run since the last try.
    """

    queued_at: int
    failures: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """Whether and when to try again; ``due_at`` None: the event leaves the queue."""

    due_at: int | None
    failures: int = 0
    refusals: int = 0


def after_try(
    event: QueuedEvent, ended: Ended, now: int, failure_pauses_ms: tuple[int, ...] = FAILURE_PAUSES_MS
) -> RetryDecision:
    """What becomes of an event after a try."""
    if ended is Ended.SUCCEEDED:
        return RetryDecision(due_at=None)
    if ended is Ended.FAILED:
        if event.failures >= len(failure_pauses_ms):
            return RetryDecision(due_at=None)
        due_at = now + failure_pauses_ms[event.failures]
        decision = RetryDecision(due_at=due_at, failures=event.failures + 1)
    else:
        pause = min(BUSY_PAUSE_MS << min(event.refusals, _DOUBLINGS_MAX), BUSY_PAUSE_MS_MAX)
        decision = RetryDecision(due_at=now + pause, failures=event.failures, refusals=event.refusals + 1)
    too_old = decision.due_at is not None and decision.due_at - event.queued_at > AGE_MS_MAX
    return RetryDecision(due_at=None) if too_old else decision
