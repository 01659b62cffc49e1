"""Cron expressions against their documentation, and against an oracle that reads the text anew for each day and minute."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.cron import TEXT_CHARS_MAX, parse

DAYS_SEARCHED = 400
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def starts(expression, now, count=3):
    cron, time, found = parse(expression), at(now), []
    while len(found) < count and (time := cron.next_after(time)) is not None:
        found.append(f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "now", "expected"),
    [
        ("cron(0 10 * * ? *)", "2026-11-23 09:59", ["2026-11-23 10:00", "2026-11-24 10:00", "2026-11-25 10:00"]),
        ("0 10 * * ? *", "2026-11-23 10:00", ["2026-11-24 10:00"]),
        ("0 18 ? * MON-FRI *", "2026-11-26 19:00", ["2026-11-27 18:00", "2026-11-30 18:00"]),
        ("0/15 * * * ? *", "2026-11-23 23:50", ["2026-11-24 00:00", "2026-11-24 00:15"]),
        ("0/5 8-17 ? * MON-FRI *", "2026-11-27 17:54", ["2026-11-27 17:55", "2026-11-30 08:00"]),
        ("0 8 1 * ? *", "2026-12-31 23:59", ["2027-01-01 08:00", "2027-02-01 08:00"]),
        ("0 0 L * ? *", "2027-12-31 00:00", ["2028-01-31 00:00", "2028-02-29 00:00"]),
        ("0 0 29 2 ? *", "2026-01-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 29 2 ? *", "2096-03-01 00:00", ["2104-02-29 00:00"]),
        ("0 0 1W * ? *", "2026-08-01 00:00", ["2026-08-03 00:00"]),  # the 1st is a Saturday: never another month
        ("0 0 31W * ? *", "2027-01-02 00:00", ["2027-01-29 00:00", "2027-03-31 00:00"]),  # 31 Jan is a Sunday
        ("0 0 15W * ? *", "2026-08-01 00:00", ["2026-08-14 00:00", "2026-09-15 00:00"]),
        ("0 0 LW * ? *", "2026-02-01 00:00", ["2026-02-27 00:00", "2026-03-31 00:00"]),
        ("0 0 ? * 6#3 *", "2026-11-01 00:00", ["2026-11-20 00:00", "2026-12-18 00:00"]),
        ("0 0 ? * TUE#5 *", "2026-11-01 00:00", ["2026-12-29 00:00", "2027-03-30 00:00"]),
        ("0 0 ? * 6L *", "2026-11-01 00:00", ["2026-11-27 00:00", "2026-12-25 00:00"]),
        ("0 0 ? * L *", "2026-11-23 00:00", ["2026-11-28 00:00", "2026-12-05 00:00"]),
        ("0 0 ? * 1 *", "2026-11-23 00:00", ["2026-11-29 00:00"]),
        ("0 0 1,L 6/3 ? *", "2026-01-01 00:00", ["2026-06-01 00:00", "2026-06-30 00:00", "2026-09-01 00:00"]),
        ("5 4 ? jan,Mar sun *", "2026-03-30 00:00", ["2027-01-03 04:05"]),
        ("59 23 31 12 ? 2199", "2026-01-01 00:00", ["2199-12-31 23:59"]),
        ("0 0 1 1 ? 2020-2024/2", "2021-01-01 00:00", ["2022-01-01 00:00", "2024-01-01 00:00"]),
        ("0 0 1 1 ? 2020", "2026-01-01 00:00", []),
        ("0 0 30 2 ? *", "1970-01-01 00:00", []),
        ("0 0 1 1 ? *", "2300-01-01 00:00", []),
        ("0 0 1 1 ? *", "1969-06-01 00:00", ["1970-01-01 00:00"]),
        ("  cron(  0   2 ? * SUN * ) ", "2026-11-23 00:00", ["2026-11-29 02:00"]),
    ],
)  # fmt: skip
def test_next_starts(expression, now, expected):
    assert starts(expression, now, max(1, len(expected))) == expected


def test_a_start_within_the_minute_is_later_than_it():
    cron = parse("* * * * ? *")
    assert cron.next_after(at("2026-11-23 10:00") - 1) == at("2026-11-23 10:00")
    assert cron.next_after(at("2026-11-23 10:00") + 59_999) == at("2026-11-23 10:01")


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "six"),
        ("0 2 * * ?", "6 fields|six"),
        ("0 0 2 * * ? *", "six"),
        ("rate(5 minutes)", "six"),
        ("@daily", "six"),
        ("0 2 * * * *", "exactly one"),
        ("0 2 1 * MON *", "exactly one"),
        ("0 2 ? * ? *", "exactly one"),
        ("? 2 * * ? *", "minutes"),
        ("60 2 * * ? *", "minutes.*0 to 59"),
        ("0 24 * * ? *", "hours.*0 to 23"),
        ("0 0 0 * ? *", "day-of-month.*1 to 31"),
        ("0 0 32W * ? *", "day-of-month.*1 to 31"),
        ("0 0 1 13 ? *", "month.*1 to 12 or JAN to DEC"),
        ("0 0 1 MON ? *", "month"),
        ("0 0 ? * 0 *", "day-of-week.*1 to 7 or SUN to SAT"),
        ("0 0 ? * 8L *", "day-of-week"),
        ("0 0 ? * 3#6 *", "day-of-week"),
        ("0 0 ? * 3#1,6#3 *", "day-of-week"),
        ("0 0 ? * 15W *", "day-of-week"),
        ("0 0 1#2 * ? *", "day-of-month"),
        ("0 0 1 1 ? 1969", "year.*1970 to 2199"),
        ("0 0 1 1 ? 2200", "year"),
        ("0 20-4 * * ? *", "ends before it begins"),
        ("0/0 * * * ? *", "step"),
        ("*/60 * * * ? *", "step"),
        ("1,,2 * * * ? *", "minutes"),
        ("-1 * * * ? *", "minutes"),
        ("1- * * * ? *", "minutes"),
        ("\u0661 2 * * ? *", "six"),
        ("0 2 * * ? *" + " " * TEXT_CHARS_MAX, "at most 256"),
        ("1,".join(["0"] * 120) + " 2 * * ? *", "at most 256|minutes"),
    ],
)
def test_what_is_no_expression_is_refused_and_told(expression, told):
    with pytest.raises(InvalidRequest, match=f"(?s){told}"):
        parse(expression)


# The oracle


def number(text, names=(), low=0):
    return names.index(text) + low if text in names else int(text)


def in_field(value, text, low, high, names=()):
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        begin = number(first, names, low)
        end = number(last, names, low) if last else (high if step else begin)
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def nearest_workday(day, date):
    same_month = [date.replace(day=1) + timedelta(days=n) for n in range(31)]
    wanted = [each for each in same_month if each.month == date.month]
    if day > len(wanted):
        return None
    workdays = [each.day for each in wanted if each.isoweekday() <= 5]
    return min(workdays, key=lambda each: (abs(each - day), each))


def last_workday(date):
    day = date.replace(day=28) + timedelta(days=4)
    day -= timedelta(days=day.day)
    while day.isoweekday() > 5:
        day -= timedelta(days=1)
    return day.day


def on_day(date, day_text, weekday_text):
    last = (date + timedelta(days=1)).month != date.month
    weekday = date.isoweekday() % 7 + 1
    if weekday_text == "?":
        for item in day_text.split(","):
            if item == "L":
                if last:
                    return True
            elif item == "LW":
                if last_workday(date) == date.day:
                    return True
            elif item.endswith("W"):
                if nearest_workday(int(item[:-1]), date) == date.day:
                    return True
            elif in_field(date.day, item, 1, 31):
                return True
        return False
    for item in weekday_text.split(","):
        name, _, nth = item.partition("#")
        if nth:
            if weekday == number(name, WEEKDAYS, 1) and (date.day - 1) // 7 + 1 == int(nth):
                return True
        elif item == "L":
            if weekday == 7:
                return True
        elif item.endswith("L"):
            if weekday == number(item[:-1], WEEKDAYS, 1) and (date + timedelta(days=7)).month != date.month:
                return True
        elif in_field(weekday, item, 1, 7, WEEKDAYS):
            return True
    return False


def oracle(expression, now):
    minutes, hours, days, months, weekdays, years = expression.split()
    first = datetime.fromtimestamp(now / 1000, UTC)
    for ahead in range(DAYS_SEARCHED):
        day = (first + timedelta(days=ahead)).replace(hour=0, minute=0, second=0, microsecond=0)
        if not (
            in_field(day.year, years, 1970, 2199)
            and in_field(day.month, months, 1, 12, MONTHS)
            and on_day(day, days, weekdays)
        ):
            continue
        for minute in range(1440):
            time = day + timedelta(minutes=minute)
            if (
                in_field(time.hour, hours, 0, 23)
                and in_field(time.minute, minutes, 0, 59)
                and time.timestamp() * 1000 > now
            ):
                return int(time.timestamp() * 1000)
    return None


def fields(low, high, names=()):
    value = st.integers(low, high)
    shown = value.map(lambda n: names[n - low] if names else str(n))
    ends = st.tuples(value, value).map(sorted)
    ranges = ends.map(lambda pair: f"{pair[0]}-{pair[1]}")
    steps = st.integers(1, high)
    item = st.one_of(
        shown,
        ranges,
        st.just("*"),
        st.tuples(st.one_of(shown, ranges, st.just("*")), steps).map("{0[0]}/{0[1]}".format),
    )
    return st.lists(item, min_size=1, max_size=3).map(",".join)


weekday_names = st.sampled_from([*WEEKDAYS, *"1234567"])
day_fields = st.one_of(
    st.tuples(
        st.one_of(
            fields(1, 31), st.integers(1, 31).map("{}W".format), st.sampled_from(["L", "LW", "1,15W,L"])
        ),
        st.just("?"),
    ),
    st.tuples(
        st.just("?"),
        st.one_of(
            fields(1, 7, WEEKDAYS),
            st.just("L"),
            weekday_names.map("{}L".format),
            st.tuples(weekday_names, st.integers(1, 5)).map("{0[0]}#{0[1]}".format),
        ),
    ),
)
expressions = st.tuples(
    fields(0, 59),
    fields(0, 23),
    day_fields,
    st.one_of(st.just("*"), fields(1, 12, MONTHS)),
    st.one_of(st.just("*"), st.integers(2023, 2033).map(str), st.just("2020/3")),
).map(lambda parts: f"{parts[0]} {parts[1]} {parts[2][0]} {parts[3]} {parts[2][1]} {parts[4]}")


@settings(max_examples=300, deadline=None)
@given(
    expression=expressions,
    now=st.integers(at("2024-01-01 00:00"), at("2032-12-31 00:00")),
)
def test_the_next_start_is_the_one_that_a_search_by_hand_finds(expression, now):
    found, expected = parse(expression).next_after(now), oracle(expression, now)
    if expected is None:
        assert found is None or found > now + (DAYS_SEARCHED - 1) * 86_400_000
    else:
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="0123456789*?,-/LW#()cronMONFEB ", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        cron = parse(text)
    except InvalidRequest:
        return
    cron.next_after(0)
