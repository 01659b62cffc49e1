"""Cron expressions of maintenance windows, in AWS's dialect and in UTC.

Six fields, ``cron(minutes hours day-of-month month day-of-week year)``, with or without the ``cron(…)`` around them.
Source: the reference of cron expressions of Amazon EventBridge. Its wildcards: ``,`` ``-`` ``*`` ``/`` everywhere, ``?`` in
exactly one of the two day fields, ``L`` and ``W`` in day-of-month, ``L`` and ``#`` in day-of-week (1 is Sunday).
"""

import re
from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from outfitter_server.base.refusals import InvalidRequest

TEXT_CHARS_MAX: Final = 256  # as the model allows
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199

_MINUTE_MS: Final = 60_000
_EPOCH_DAY: Final = date(FIRST_YEAR, 1, 1).toordinal()
_END_MS: Final = (date(LAST_YEAR + 1, 1, 1).toordinal() - _EPOCH_DAY) * 86_400_000
_WEEK: Final = 7
_SATURDAY: Final = 7
_SUNDAY: Final = 1
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTES_FIELD: Final = _Field("minutes", 0, 59)
_HOURS_FIELD: Final = _Field("hours", 0, 23)
_DAYS_FIELD: Final = _Field("day-of-month", 1, 31)
_MONTHS_FIELD: Final = _Field("month", 1, 12, _MONTHS)
_WEEKDAYS_FIELD: Final = _Field("day-of-week", 1, 7, _WEEKDAYS)
_YEARS_FIELD: Final = _Field("year", FIRST_YEAR, LAST_YEAR)
_FIELDS: Final = 6

_ITEM: Final = re.compile(r"(?:(\*)|([A-Z]{3}|[0-9]{1,4})(?:-([A-Z]{3}|[0-9]{1,4}))?)(?:/([0-9]{1,4}))?")
_NEAREST: Final = re.compile(r"([0-9]{1,2})W")
_LAST: Final = re.compile(r"([A-Z]{3}|[0-9])L")
_NTH: Final = re.compile(r"([A-Z]{3}|[0-9])#([1-5])")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthDays:
    """Days by their number in the month: plain ones, ``near`` (``15W``) the nearest workdays, ``L`` and ``LW``."""

    plain: frozenset[int]
    near: frozenset[int]
    last: bool
    last_workday: bool

    def chosen(self, first_weekday: int, length: int) -> set[int]:
        """The days of a month of this length; one that the month lacks is no day."""
        days = {day for day in self.plain if day <= length}
        days.update(_workday_near(day, first_weekday, length) for day in self.near if day <= length)
        if self.last:
            days.add(length)
        if self.last_workday:
            days.add(_workday_near(length, first_weekday, length))
        return days


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekdays:
    """Days by weekday, 1 is Sunday: ``every`` one, the ``last`` of the month (``6L``), or the ``nth`` (``6#3``)."""

    every: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    nth: tuple[int, int] | None = None

    def chosen(self, first_weekday: int, length: int) -> set[int]:
        """The days of a month that begins with this weekday; one without a fifth Friday has none for ``6#5``."""
        days: set[int] = set()
        for weekday in self.every:
            days.update(_all_of(weekday, first_weekday, length))
        for weekday in self.last:
            days.add(_all_of(weekday, first_weekday, length)[-1])
        if self.nth is not None:
            weekday, number = self.nth
            days.update(_all_of(weekday, first_weekday, length)[number - 1 : number])
        return days


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression, read: the sorted values of each field."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: MonthDays | Weekdays
    months: tuple[int, ...]
    years: tuple[int, ...]

    def next_after(self, now_ms: int) -> int | None:
        """The first start later than ``now_ms``, None when there is none until the end of 2199.

        It looks at each month once at the most, so at some 2,000 when an expression never comes true.
        """
        if now_ms >= _END_MS:
            return None
        earliest = datetime.fromtimestamp(max(now_ms // _MINUTE_MS + 1, 0) * 60, UTC)
        year, month, day, hour, minute = earliest.timetuple()[:5]
        for some_year in self.years[bisect_left(self.years, year) :]:
            for some_month in self.months:
                reached = (some_year, some_month)
                if reached < (year, month):
                    continue
                for some_day in self._days(some_year, some_month):
                    if (*reached, some_day) < (year, month, day):
                        continue
                    today = (*reached, some_day) == (year, month, day)
                    time = self._time(hour, minute) if today else (self.hours[0], self.minutes[0])
                    if time is not None:
                        days = date(some_year, some_month, some_day).toordinal() - _EPOCH_DAY
                        return ((days * 24 + time[0]) * 60 + time[1]) * _MINUTE_MS
        return None

    def _days(self, year: int, month: int) -> list[int]:
        monday_is_0, length = monthrange(year, month)
        return sorted(self.days.chosen((monday_is_0 + 1) % _WEEK + 1, length))

    def _time(self, hour: int, minute: int) -> tuple[int, int] | None:
        """The first time of a day that is not before this one."""
        for some_hour in self.hours[bisect_left(self.hours, hour) :]:
            if some_hour > hour:
                return some_hour, self.minutes[0]
            position = bisect_left(self.minutes, minute)
            if position < len(self.minutes):
                return some_hour, self.minutes[position]
        return None


def _all_of(weekday: int, first_weekday: int, length: int) -> range:
    """The days of the month that are this weekday."""
    return range((weekday - first_weekday) % _WEEK + 1, length + 1, _WEEK)


def _workday_near(day: int, first_weekday: int, length: int) -> int:
    """Monday to Friday nearest to a day, never in another month."""
    weekday = (first_weekday - 1 + day - 1) % _WEEK + 1
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


@lru_cache(maxsize=512)
def parse(text: str) -> Cron:
    """Read an expression; remembered, because a job's windows are looked at again and again.

    Raises:
        InvalidRequest: it is none; the message says which field is wrong and what may stand there.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise InvalidRequest(
            f"a cron expression has at most {TEXT_CHARS_MAX} characters, this has {len(text)}"
        )
    inner = text.strip().upper() if text.isascii() else ""
    if inner.startswith("CRON(") and inner.endswith(")"):
        inner = inner[5:-1]
    fields = inner.split()
    if len(fields) != _FIELDS:
        raise InvalidRequest(
            f"cron expression {text!r} has {len(fields)} fields: write six, cron(minutes hours day-of-month month "
            "day-of-week year), such as cron(0 2 ? * SUN *)"
        )
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise InvalidRequest(
            f"cron expression {text!r}: put ? in exactly one of day-of-month and day-of-week, such as cron(0 2 * * ? *)"
        )
    return Cron(
        minutes=_sorted(minutes, _MINUTES_FIELD),
        hours=_sorted(hours, _HOURS_FIELD),
        days=_weekdays(weekdays) if days == "?" else _month_days(days),
        months=_sorted(months, _MONTHS_FIELD),
        years=_sorted(years, _YEARS_FIELD),
    )


def _month_days(text: str) -> MonthDays:
    plain: set[int] = set()
    near: set[int] = set()
    items = text.split(",")
    for item in items:
        nearest = _NEAREST.fullmatch(item)
        if nearest:
            near.add(_value(nearest[1], _DAYS_FIELD))
        elif item not in {"L", "LW"}:
            plain |= _values(item, _DAYS_FIELD)
    return MonthDays(
        plain=frozenset(plain), near=frozenset(near), last="L" in items, last_workday="LW" in items
    )


def _weekdays(text: str) -> Weekdays:
    nth = _NTH.fullmatch(text)
    if nth:
        return Weekdays(nth=(_value(nth[1], _WEEKDAYS_FIELD), int(nth[2])))
    plain: set[int] = set()
    last: set[int] = set()
    for item in text.split(","):
        last_one = _LAST.fullmatch(item)
        if last_one:
            last.add(_value(last_one[1], _WEEKDAYS_FIELD))
        elif item == "L":
            plain.add(_SATURDAY)
        else:
            plain |= _values(item, _WEEKDAYS_FIELD)
    return Weekdays(every=frozenset(plain), last=frozenset(last))


def _sorted(text: str, field: _Field) -> tuple[int, ...]:
    return tuple(sorted(set[int]().union(*(_values(item, field) for item in text.split(",")))))


def _values(item: str, field: _Field) -> set[int]:
    """What one element of a list stands for: a value, ``*``, a range, each with a step or without."""
    match = _ITEM.fullmatch(item)
    if not match:
        raise InvalidRequest(
            f"cron expression: {item!r} cannot stand in the field {field.name}; {_hint(field)}"
        )
    every, low_text, high_text, step_text = match.groups()
    low = field.low if every else _value(low_text, field)
    high = field.high if every or (step_text and not high_text) else _value(high_text or low_text, field)
    if high < low:
        raise InvalidRequest(
            f"cron expression: the range {item!r} of the field {field.name} ends before it begins; write two ranges, "
            "with a comma between them"
        )
    step = int(step_text) if step_text else 1
    if not 1 <= step <= field.high:
        raise InvalidRequest(
            f"cron expression: the step of {item!r} in the field {field.name} must be 1 to {field.high}"
        )
    return set(range(low, high + 1, step))


def _value(text: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + field.low
    if not text.isdigit() or not field.low <= int(text) <= field.high:
        raise InvalidRequest(
            f"cron expression: {text!r} is no value of the field {field.name}; {_hint(field)}"
        )
    return int(text)


def _hint(field: _Field) -> str:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return f"it takes {field.low} to {field.high}{names}, lists 1,2, ranges 1-2, steps 1/2 and *"
