"""When a job is to be cancelled because too many of its executions failed: abortConfig, as arithmetic."""

from collections.abc import Iterable
from typing import Final

from outfitter_server.jobs.configs import AbortCriterion, FailureType
from outfitter_server.jobs.values import Counts

_HUNDREDTHS: Final = 100  # thresholds have at most two decimals


def fired(criteria: Iterable[AbortCriterion], counts: Counts) -> AbortCriterion | None:
    """The first criterion that is met, None when none is.

    A criterion is looked at once ``minimum_ended`` executions have ended, and is met when the share of its failures
    among all ended ones reaches its threshold. Without a failure of its kind nothing is met, not even 0 percent.
    """
    return next((criterion for criterion in criteria if _met(criterion, counts)), None)


def _met(criterion: AbortCriterion, counts: Counts) -> bool:
    failures = _failures(criterion.failure, counts)
    if counts.ended < criterion.minimum_ended or failures == 0:
        return False
    # Whole numbers on both sides: 1 of 3 is not 33.34 percent, and 33.33 percent is met by 3,333 of 10,000.
    threshold = round(criterion.threshold_percent * _HUNDREDTHS)
    return failures * 100 * _HUNDREDTHS >= threshold * counts.ended


def _failures(failure: FailureType, counts: Counts) -> int:
    match failure:
        case FailureType.FAILED:
            return counts.failed
        case FailureType.REJECTED:
            return counts.rejected
        case FailureType.TIMED_OUT:
            return counts.timed_out
        case FailureType.ALL:
            return counts.failed + counts.rejected + counts.timed_out
