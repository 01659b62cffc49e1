"""How often a second something may be asked: buckets, and the options that set them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import Throttled
from outfitter_server.base.throttle import AWS_RATES, DEVICE_READS, DEVICE_WRITES, Bucket, Throttle
from outfitter_server.main.settings import WrongUsage, parse_rates

NOW = 1_700_000_000_000


def granted(bucket, times):
    return sum(bucket.take(now) for now in times)


def test_a_bucket_gives_one_second_at_once_and_then_its_rate():
    bucket = Bucket(10)
    assert granted(bucket, [NOW] * 20) == 10
    assert granted(bucket, [NOW + 99]) == 0
    assert granted(bucket, [NOW + 100] * 5) == 1
    assert granted(bucket, [NOW + 60_000] * 50) == 10


def test_a_slow_bucket_gives_one():
    bucket = Bucket(0.5)
    assert granted(bucket, [NOW, NOW, NOW + 1_999]) == 1
    assert granted(bucket, [NOW + 2_000, NOW + 2_001]) == 1


def test_a_clock_set_back_fills_nothing_and_takes_nothing_away():
    bucket = Bucket(2)
    assert granted(bucket, [NOW, NOW, NOW - 5_000, NOW - 5_000]) == 2
    assert granted(bucket, [NOW - 4_500]) == 1


@given(
    rate=st.floats(0.5, 500),
    pauses=st.lists(st.integers(0, 3_000), min_size=1, max_size=300),
)
def test_no_window_sees_more_than_its_rate_and_one_burst(rate, pauses):
    bucket, now, taken = Bucket(rate), NOW, []
    for pause in pauses:
        now += pause
        if bucket.take(now):
            taken.append(now)
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken), 7):
            span = taken[last] - taken[first]
            assert last - first + 1 <= max(1.0, rate) + span * rate / 1000 + 1e-6


def test_names_have_buckets_of_their_own_and_the_rest_is_free():
    throttle = Throttle({"CreateJob": 1, DEVICE_READS: 1})
    assert throttle.refusal("CreateJob", NOW) is None
    refusal = throttle.refusal("CreateJob", NOW)
    assert isinstance(refusal, Throttled)
    assert refusal.message == "Rate exceeded: CreateJob is limited to 1 a second here; ask again later"
    assert throttle.refusal(DEVICE_READS, NOW) is None
    assert all(throttle.refusal("CancelJob", NOW) is None for _ in range(1_000))
    assert not throttle.limits("CancelJob")


@pytest.mark.parametrize(
    ("table", "options", "expected"),
    [
        ("off", [], {}),
        ("aws", [], AWS_RATES),
        ("off", ["CreateJob=2.5", f"{DEVICE_WRITES}=12000"], {"CreateJob": 2.5, DEVICE_WRITES: 12_000.0}),
        ("off", ["CreateJob=2", "CreateJob=off"], {}),
        ("aws", ["CreateThing=off", "CreateJob=1"], None),
    ],
)
def test_options_make_rates(table, options, expected):
    if expected is None:
        expected = {name: rate for name, rate in AWS_RATES.items() if name != "CreateThing"} | {
            "CreateJob": 1.0
        }
    assert parse_rates(table, options) == expected


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("CreateJob", "write NAME=PER_SECOND"),
        ("createjob=3", "did you mean CreateJob?"),
        ("Publish=3", "docs/reference/limits.md lists the names"),
        ("CreateJob=", "give a number a second above 0"),
        ("CreateJob=0", "give a number a second above 0"),
        ("CreateJob=-1", "give a number a second above 0"),
        ("CreateJob=nan", "give a number a second above 0"),
        ("CreateJob=1e9", "give a number a second above 0"),
        ("CreateJob=٣", "give a number a second above 0"),
        ("CreateJob=9999999", "at most 1000000"),
    ],
)
def test_options_that_are_no_rates_are_refused(option, part):
    with pytest.raises(WrongUsage, match=part.replace("?", r"\?")):
        parse_rates("off", [option])
