"""Fields of device requests that every door checks alike: status details and step timeouts.

Source: the ``iot-jobs-data`` model (DetailsKey, DetailsValue) and the AWS IoT jobs limits.
"""

import re
import unicodedata
from typing import Final

DETAILS_PAIRS_MAX: Final = 10
DETAILS_KEY_CHARS_MAX: Final = 128
DETAILS_VALUE_CHARS_MAX: Final = 1_024
STEP_TIMEOUT_MINUTES_MAX: Final = 10_080

_KEY: Final = re.compile(rf"[a-zA-Z0-9:_-]{{1,{DETAILS_KEY_CHARS_MAX}}}")
_INVISIBLE: Final = frozenset(
    {"Cc", "Cf", "Co", "Cs"}
)  # the model's class C; code points yet unassigned pass


def details_problem(details: object) -> str | None:
    """What is wrong with status details, None when nothing is: a flat map of strings, of bounded size."""
    if not isinstance(details, dict):
        return "statusDetails: must be a map of strings"
    if len(details) > DETAILS_PAIRS_MAX:
        return f"statusDetails: {len(details)} pairs, at most {DETAILS_PAIRS_MAX} are allowed"
    for key, value in details.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            return f"statusDetails: key {str(key)[:40]!r} must be 1 to {DETAILS_KEY_CHARS_MAX} of a-z A-Z 0-9 : _ -"
        if not isinstance(value, str) or not 1 <= len(value) <= DETAILS_VALUE_CHARS_MAX:
            return f"statusDetails: value of {key!r} must be a string of 1 to {DETAILS_VALUE_CHARS_MAX} characters"
        if not value.isprintable() and not _INVISIBLE.isdisjoint(map(unicodedata.category, value)):
            return f"statusDetails: value of {key!r} has control characters; replace newlines"
    return None


def step_timeout_problem(minutes: object, *, clears: bool) -> str | None:
    """What is wrong with a step timeout, None when nothing is; ``clears``: -1, which takes the timer away, is allowed."""
    whole = isinstance(minutes, int) and not isinstance(minutes, bool)
    if whole and (minutes in range(1, STEP_TIMEOUT_MINUTES_MAX + 1) or (clears and minutes == -1)):
        return None
    also = ", or -1 to take the timer away" if clears else ""
    return f"stepTimeoutInMinutes: must be an integer from 1 to {STEP_TIMEOUT_MINUTES_MAX}{also}"
