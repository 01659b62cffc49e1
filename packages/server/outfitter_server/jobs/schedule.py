"""Whether a job may roll out now, by its schedule: start, end, and maintenance windows that recur (schedulingConfig)."""

from collections.abc import Iterator
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import Final

from outfitter_server.jobs.configs import Schedule, Window
from outfitter_server.jobs.cron import parse
from outfitter_server.jobs.limits import WINDOWS_SHOWN

_MINUTE_MS: Final = 60_000
_WINDOWS_FOLLOWED: Final = 16  # that adjoin or overlap, until the schedule is looked at again


class Phase(StrEnum):
    """Where a job stands in its schedule."""

    BEFORE = "BEFORE"
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    ENDED = "ENDED"


def phase(schedule: Schedule | None, now: int) -> tuple[Phase, int | None]:
    """The phase, and when (milliseconds) to look again because it changes then; None: never.

    Each instant belongs to what begins with it: a window lasts from its start until just before its end. Where windows
    adjoin or overlap for very long, the time told may come before the change.
    """
    if schedule is None:
        return Phase.OPEN, None
    end = schedule.end_at
    if end is not None and end <= now:
        return Phase.ENDED, None
    if schedule.start_at is not None and now < schedule.start_at:
        return Phase.BEFORE, schedule.start_at if end is None else min(schedule.start_at, end)
    if not schedule.windows:
        return Phase.OPEN, end
    until = _open_until(schedule.windows, now)
    if until is not None:
        return Phase.OPEN, until if end is None else min(until, end)
    starts = [
        start for window in schedule.windows if (start := parse(window.cron).next_after(now)) is not None
    ]
    return Phase.CLOSED, min(starts + ([] if end is None else [end]), default=None)


def upcoming(schedule: Schedule | None, now: int, count: int = WINDOWS_SHOWN) -> list[int]:
    """Starts of the next windows after ``now``, rising, none twice, none at or after the end; [] without windows.

    A window that already lasts when the job starts is told with the job's start: nothing rolls out before.
    """
    if schedule is None or not schedule.windows:
        return []
    first = now if schedule.start_at is None else max(now, schedule.start_at)
    found = [first] if first > now and _open_until(schedule.windows, first) is not None else []
    for start in merge(*(islice(_starts(window, first), count) for window in schedule.windows)):
        if not found or start > found[-1]:
            found.append(start)
    end = schedule.end_at
    return [start for start in found[:count] if end is None or start < end]


def _open_until(windows: tuple[Window, ...], now: int) -> int | None:
    """When the windows around ``now`` are over, those included that begin before the last one has ended."""
    until = now
    for _ in range(_WINDOWS_FOLLOWED):
        ends = [end for window in windows if (end := _end_of_window_at(window, until)) is not None]
        if not ends:
            break
        until = max(ends)
    return until if until > now else None


def _end_of_window_at(window: Window, time: int) -> int | None:
    """When the first window that lasts at ``time`` is over, None when none does."""
    duration = window.duration_minutes * _MINUTE_MS
    start = parse(window.cron).next_after(time - duration)
    return None if start is None or start > time else start + duration


def _starts(window: Window, after: int) -> Iterator[int]:
    cron = parse(window.cron)
    start = cron.next_after(after)
    while start is not None:
        yield start
        start = cron.next_after(start)
