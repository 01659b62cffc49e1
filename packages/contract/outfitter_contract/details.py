"""Status details: the flat map of texts that a device reports with the status of its job.

A report replaces the whole map, so that each report carries everything. Limits are AWS's: at most 10 pairs, values of
1 to 1024 characters without control characters (``iot-jobs-data`` service model).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

PAIRS_MAX: Final = 10
VALUE_LENGTH_MAX: Final = 1024
LOG_KEYS: Final = ("log_1", "log_2", "log_3")
"""The pairs that hold the end of a log, oldest first."""
LINE_MARK: Final = " | "
"""Stands for a line break inside a value."""


class Step(StrEnum):
    """How far a device is with its job: the ``step`` of the status details."""

    ACCEPTED = "accepted"
    DOWNLOADING = "downloading"
    CHECKING = "checking"
    INSTALLING = "installing"
    APPLYING = "applying"
    UPLOADING = "uploading"
    RUNNING = "running"
    RESTARTING = "restarting"
    VERIFYING = "verifying"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"
    DONE = "done"


def clean_value(text: str, length_max: int = VALUE_LENGTH_MAX) -> str:
    """The text as a value may be: line breaks as `` | ``, other control characters removed, cut to length."""
    lines = (_printable(line).strip() for line in text.splitlines())
    return LINE_MARK.join(line for line in lines if line)[:length_max]


def clean_details(pairs: Mapping[str, str | int | None]) -> dict[str, str]:
    """The pairs with cleaned values, without the empty ones, at most PAIRS_MAX in the order given."""
    cleaned = {key: clean_value(str(value)) for key, value in pairs.items() if value is not None}
    kept = [(key, value) for key, value in cleaned.items() if value]
    return dict(kept[:PAIRS_MAX])


def _printable(line: str) -> str:
    return "".join(mark if mark.isprintable() else (" " if mark == "\t" else "") for mark in line)
