"""How many executions a rollout may queue in a minute: jobExecutionsRolloutConfig, as arithmetic."""

from typing import Final

from outfitter_server.jobs.configs import ExponentialRate, Rollout
from outfitter_server.jobs.limits import ROLLOUT_RATE_MAX_PER_MINUTE

INTERVAL_MS: Final = 60_000
_STEPS_MAX: Final = 100  # 1.1, the smallest factor, brings a rate of 1 beyond 1,000 in 73 steps
_TENTHS: Final = 10


def batch_size(rollout: Rollout | None, *, notified: int, succeeded: int) -> int | None:
    """How many executions the next batch may queue, at least 1; None when nothing limits it.

    ``notified`` and ``succeeded`` are executions that the rollout queued, and that succeeded, until now.
    """
    if rollout is None:
        return None
    if rollout.exponential is None:
        return None if rollout.maximum_per_minute is None else max(1, rollout.maximum_per_minute)
    ceiling = rollout.maximum_per_minute or ROLLOUT_RATE_MAX_PER_MINUTE
    return max(1, min(ceiling, _grown(rollout.exponential, notified, succeeded)))


def _grown(rate: ExponentialRate, notified: int, succeeded: int) -> int:
    """The rate after the full steps that the criterion has seen; whole numbers, so 50 x 1.1 is 55 and not 55.00…01."""
    if rate.notified_things is not None:
        steps = notified // rate.notified_things
    elif rate.succeeded_things is not None:
        steps = succeeded // rate.succeeded_things
    else:
        steps = 0
    steps = min(steps, _STEPS_MAX)
    factor_tenths = round(rate.increment_factor * _TENTHS)
    grown: int = rate.base_per_minute * factor_tenths**steps // _TENTHS**steps
    return grown
