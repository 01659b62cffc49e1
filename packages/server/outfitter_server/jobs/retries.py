"""Whether an execution that failed or timed out is queued again: jobExecutionsRetryConfig, as arithmetic."""

from collections.abc import Iterable

from outfitter_contract.execution import Status

from outfitter_server.jobs.configs import FailureType, RetryCriterion
from outfitter_server.jobs.limits import RETRIES_MAX


def retry(
    criteria: Iterable[RetryCriterion], status: Status, *, attempt: int, failed_retries: int
) -> tuple[int, int] | None:
    """The next attempt, and how many retries then followed a FAILED; None when no retry is left.

    ``attempt`` retries have been made so far, ``failed_retries`` of them after a FAILED, the others after a TIMED_OUT.
    A criterion for one type counts the retries that followed that type, one for ALL counts all of them.
    """
    if attempt >= RETRIES_MAX:
        return None
    match status:
        case Status.FAILED:
            used = {FailureType.FAILED: failed_retries, FailureType.ALL: attempt}
        case Status.TIMED_OUT:
            used = {FailureType.TIMED_OUT: attempt - failed_retries, FailureType.ALL: attempt}
        case _:
            return None
    left = any(
        criterion.failure in used and used[criterion.failure] < criterion.retries for criterion in criteria
    )
    return (attempt + 1, failed_retries + (status is Status.FAILED)) if left else None
