"""Phases of schedules at their boundaries, and against a calendar that is walked minute by minute."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_server.jobs.configs import Schedule, Window
from outfitter_server.jobs.cron import parse
from outfitter_server.jobs.schedule import Phase, phase, upcoming

MINUTE = 60_000
DAY = 1440 * MINUTE


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(time):
    return None if time is None else f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M}"


def nightly(duration=120, cron="cron(0 2 * * ? *)"):
    return Window(cron=cron, duration_minutes=duration)


def schedule(start=None, end=None, windows=()):
    return Schedule(start_at=start and at(start), end_at=end and at(end), windows=windows)


def test_without_a_schedule_the_rollout_is_open_for_ever():
    assert phase(None, 0) == (Phase.OPEN, None)
    assert phase(Schedule(), at("2026-11-23 10:00")) == (Phase.OPEN, None)
    assert upcoming(None, 0) == []
    assert upcoming(schedule(start="2026-12-01 00:00"), 0) == []


START_AND_END = schedule("2026-12-01 00:00", "2026-12-05 00:00")
IN_WINDOWS = schedule("2026-12-01 03:00", "2026-12-05 03:00", (nightly(),))
ENDLESS = schedule(windows=(nightly(),))
OVERLAPPING = schedule(
    windows=(nightly(), nightly(60, "0 3 * * ? *"), nightly(30, "0 4 ? * SUN *"), nightly(5, "0 9 * * ? *"))
)
SPENT = schedule(windows=(nightly(cron="0 2 1 12 ? 2026"),))


@pytest.mark.parametrize(
    ("given_schedule", "now", "expected", "changes"),
    [
        (START_AND_END, "2026-11-30 23:59", Phase.BEFORE, "2026-12-01 00:00"),
        (START_AND_END, "2026-12-01 00:00", Phase.OPEN, "2026-12-05 00:00"),
        (START_AND_END, "2026-12-04 23:59", Phase.OPEN, "2026-12-05 00:00"),
        (START_AND_END, "2026-12-05 00:00", Phase.ENDED, None),
        (START_AND_END, "2036-12-05 00:00", Phase.ENDED, None),
        (schedule(end="2026-12-05 00:00"), "2026-11-30 00:00", Phase.OPEN, "2026-12-05 00:00"),
        (schedule(start="2026-12-05 00:00"), "2026-12-06 00:00", Phase.OPEN, None),
        # a window that began before the start still lasts at the start, and is cut by the end
        (IN_WINDOWS, "2026-12-01 02:30", Phase.BEFORE, "2026-12-01 03:00"),
        (IN_WINDOWS, "2026-12-01 03:00", Phase.OPEN, "2026-12-01 04:00"),
        (IN_WINDOWS, "2026-12-01 04:00", Phase.CLOSED, "2026-12-02 02:00"),
        (IN_WINDOWS, "2026-12-05 02:00", Phase.OPEN, "2026-12-05 03:00"),
        (IN_WINDOWS, "2026-12-05 03:00", Phase.ENDED, None),
        (ENDLESS, "2026-12-01 01:59", Phase.CLOSED, "2026-12-01 02:00"),
        (ENDLESS, "2026-12-01 02:00", Phase.OPEN, "2026-12-01 04:00"),
        (ENDLESS, "2026-12-01 03:59", Phase.OPEN, "2026-12-01 04:00"),
        (ENDLESS, "2026-12-01 04:00", Phase.CLOSED, "2026-12-02 02:00"),
        # 6 December 2026 is a Sunday: from 02:00, 03:00 and 04:00 on is one stretch until 04:30
        (OVERLAPPING, "2026-12-06 02:10", Phase.OPEN, "2026-12-06 04:30"),
        (OVERLAPPING, "2026-12-06 04:00", Phase.OPEN, "2026-12-06 04:30"),
        (OVERLAPPING, "2026-12-06 04:30", Phase.CLOSED, "2026-12-06 09:00"),
        (OVERLAPPING, "2026-12-07 02:10", Phase.OPEN, "2026-12-07 04:00"),
        (SPENT, "2026-12-01 03:00", Phase.OPEN, "2026-12-01 04:00"),
        (SPENT, "2026-12-01 04:00", Phase.CLOSED, None),
        # a window over midnight
        (schedule(windows=(nightly(1430, "50 23 * * ? *"),)), "2026-12-02 23:40", Phase.CLOSED, "2026-12-02 23:50"),
        (schedule(windows=(nightly(1430, "50 23 * * ? *"),)), "2026-12-02 23:39", Phase.OPEN, "2026-12-02 23:40"),
    ],
)  # fmt: skip
def test_phase_and_its_next_change(given_schedule, now, expected, changes):
    found, next_change = phase(given_schedule, at(now))
    assert (found, shown(next_change)) == (expected, changes)


def test_windows_that_never_let_go_are_looked_at_again_in_bounded_time():
    found, again = phase(schedule(windows=(nightly(1, "* * * * ? *"),)), at("2026-12-01 00:00"))
    assert (found, shown(again)) == (Phase.OPEN, "2026-12-01 00:16")


@pytest.mark.parametrize(
    ("given_schedule", "now", "count", "expected"),
    [
        (ENDLESS, "2026-12-01 02:00", 2, ["2026-12-02 02:00", "2026-12-03 02:00"]),
        (IN_WINDOWS, "2026-11-01 00:00", 3, ["2026-12-01 03:00", "2026-12-02 02:00", "2026-12-03 02:00"]),
        (IN_WINDOWS, "2026-12-03 12:00", 7, ["2026-12-04 02:00", "2026-12-05 02:00"]),
        (IN_WINDOWS, "2026-12-06 12:00", 7, []),
        (OVERLAPPING, "2026-12-06 02:00", 3, ["2026-12-06 03:00", "2026-12-06 04:00", "2026-12-06 09:00"]),
        (SPENT, "2026-12-02 00:00", 7, []),
        (schedule(windows=(nightly(), nightly(5))), "2026-12-01 00:00", 2, ["2026-12-01 02:00", "2026-12-02 02:00"]),
        (
            schedule(start="2026-12-01 02:00", windows=(nightly(),)),
            "2026-11-01 00:00",
            2,
            ["2026-12-01 02:00", "2026-12-02 02:00"],
        ),
    ],
)  # fmt: skip
def test_upcoming_windows(given_schedule, now, count, expected):
    assert [shown(start) for start in upcoming(given_schedule, at(now), count)] == expected


def test_seven_windows_are_told():
    assert len(upcoming(ENDLESS, at("2026-12-01 00:00"))) == 7


BASE = at("2026-12-01 00:00")
minutes = st.integers(0, 4 * 1440).map(lambda minute: BASE + minute * MINUTE)
windows = st.builds(
    Window,
    cron=st.builds(
        "{} {} {} * ? *".format,
        st.sampled_from(["0", "30", "0/45", "59"]),
        st.sampled_from(["2", "0/6", "23", "1,3"]),
        st.sampled_from(["*", "2", "1/2"]),
    ),
    duration_minutes=st.sampled_from([1, 29, 45, 60, 120, 360, 1430]),
)
schedules = st.builds(
    Schedule,
    start_at=st.none() | minutes,
    end_at=st.none() | minutes,
    windows=st.lists(windows, max_size=3).map(tuple),
)


def open_minutes(windows):
    opened = set()
    for window in windows:
        start = parse(window.cron).next_after(BASE - 2 * DAY)
        while start < BASE + 8 * DAY:
            opened.update(range(start, start + window.duration_minutes * MINUTE, MINUTE))
            start = parse(window.cron).next_after(start)
    return opened


def walked(given_schedule, time, opened):
    if given_schedule.end_at is not None and given_schedule.end_at <= time:
        return Phase.ENDED
    if given_schedule.start_at is not None and time < given_schedule.start_at:
        return Phase.BEFORE
    return Phase.OPEN if not given_schedule.windows or time in opened else Phase.CLOSED


@settings(max_examples=150, deadline=None)
@given(given_schedule=schedules, now=minutes)
def test_phases_are_those_of_a_calendar_walked_by_the_minute(given_schedule, now):
    opened = open_minutes(given_schedule.windows)
    found, changes = phase(given_schedule, now)
    assert found is walked(given_schedule, now, opened)
    limit = BASE + 7 * DAY
    times = range(now + MINUTE, limit, MINUTE)
    walked_change = next((time for time in times if walked(given_schedule, time, opened) is not found), None)
    while changes is not None and changes < limit and phase(given_schedule, changes)[0] is found:
        changes = phase(given_schedule, changes)[1]  # a long stretch is looked at again before its end
    if walked_change is not None:
        assert changes == walked_change
    else:
        assert changes is None or changes >= limit or found is Phase.OPEN


@settings(max_examples=80, deadline=None)
@given(given_schedule=schedules, now=minutes)
def test_upcoming_starts_open_a_window_each(given_schedule, now):
    opened = open_minutes(given_schedule.windows)
    found = upcoming(given_schedule, now)
    assert found == sorted(set(found))
    for start in found:
        assert start > now
        if start < BASE + 8 * DAY:
            assert walked(given_schedule, start, opened) is Phase.OPEN
