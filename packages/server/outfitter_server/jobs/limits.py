"""Limits of a job's configuration that the service model does not state. Source: AWS IoT's limits of jobs."""

from typing import Final

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS

ROLLOUT_RATE_MAX_PER_MINUTE: Final = 1_000
RETRIES_MAX: Final = 10  # of all types together
THRESHOLD_MAX_PERCENT: Final = 100
TIMEOUT_MINUTES_MAX: Final = 10_080
START_AHEAD_MIN_MS: Final = 30 * _MINUTE_MS
START_AHEAD_MAX_MS: Final = 366 * _DAY_MS  # "up to a year": the same date a year on, a leap year included
END_AHEAD_MAX_MS: Final = 731 * _DAY_MS
SCHEDULE_LENGTH_MIN_MS: Final = 30 * _MINUTE_MS
SCHEDULE_LENGTH_MAX_MS: Final = 731 * _DAY_MS
WINDOWS_MAX: Final = 10  # of one schedule; AWS states no number, each costs a look into the calendar
WINDOWS_SHOWN: Final = 7  # of scheduledJobRollouts
