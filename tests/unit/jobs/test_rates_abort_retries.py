"""Rollout rates, abort criteria and retries: the documented examples, the boundaries, and exact arithmetic throughout."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_contract.execution import Status
from outfitter_server.jobs.abort import fired
from outfitter_server.jobs.configs import (
    AbortCriterion,
    ExponentialRate,
    FailureType,
    RetryCriterion,
    Rollout,
)
from outfitter_server.jobs.limits import RETRIES_MAX, ROLLOUT_RATE_MAX_PER_MINUTE
from outfitter_server.jobs.rates import batch_size
from outfitter_server.jobs.retries import retry
from outfitter_server.jobs.values import Counts


def exponential(base, factor, *, notified=None, succeeded=None, maximum=None):
    rate = ExponentialRate(
        base_per_minute=base, increment_factor=factor, notified_things=notified, succeeded_things=succeeded
    )
    return Rollout(maximum_per_minute=maximum, exponential=rate)


@pytest.mark.parametrize(
    ("rollout", "notified", "succeeded", "expected"),
    [
        (None, 10**9, 0, None),
        (Rollout(), 0, 0, None),
        (Rollout(maximum_per_minute=1), 0, 0, 1),
        (Rollout(maximum_per_minute=1_000), 5, 5, 1_000),
        # the developer guide's example: 50 a minute, doubled for each 1,000 notified
        (exponential(50, 2, notified=1_000), 0, 0, 50),
        (exponential(50, 2, notified=1_000), 999, 0, 50),
        (exponential(50, 2, notified=1_000), 1_000, 0, 100),
        (exponential(50, 2, notified=1_000), 2_000, 0, 200),
        (exponential(50, 2, notified=1_000), 3_999, 0, 400),
        (exponential(50, 2, notified=1_000), 5_000, 0, 1_000),
        (exponential(50, 2, notified=1_000, maximum=300), 5_000, 0, 300),
        (exponential(50, 2, succeeded=10), 10_000, 9, 50),
        (exponential(50, 2, succeeded=10), 10_000, 10, 100),
        # rounded down in each batch, and not from batch to batch: 1, 1.1, 1.21, … 1.94, 2.14
        (exponential(1, 1.1, notified=1), 1, 0, 1),
        (exponential(1, 1.1, notified=1), 7, 0, 1),
        (exponential(1, 1.1, notified=1), 8, 0, 2),
        (exponential(50, 1.1, notified=1), 1, 0, 55),
        (exponential(10, 1.5, notified=100), 200, 0, 22),
        (exponential(100, 5, notified=1, maximum=20), 0, 0, 20),
        (exponential(1, 5, notified=1), 10**12, 10**12, 1_000),
        (exponential(1_000, 5, notified=10**9), 10**12, 0, 1_000),
    ],
)
def test_batches(rollout, notified, succeeded, expected):
    assert batch_size(rollout, notified=notified, succeeded=succeeded) == expected


@settings(max_examples=150, deadline=None)
@given(
    base=st.integers(1, 1_000),
    tenths=st.integers(11, 50),
    things=st.integers(1, 10_000),
    seen=st.integers(0, 10**7),
    maximum=st.none() | st.integers(1, 1_000),
)
def test_exponential_rates_are_exact(base, tenths, things, seen, maximum):
    size = batch_size(
        exponential(base, tenths / 10, notified=things, maximum=maximum), notified=seen, succeeded=0
    )
    ceiling = maximum or ROLLOUT_RATE_MAX_PER_MINUTE
    exact = Fraction(base)
    for _ in range(seen // things):
        exact *= Fraction(tenths, 10)
        if exact > ceiling:
            break
    assert size == min(ceiling, exact.numerator // exact.denominator)
    assert size >= 1


def criterion(failure, threshold, minimum=1):
    return AbortCriterion(failure=FailureType(failure), threshold_percent=threshold, minimum_ended=minimum)


@pytest.mark.parametrize(
    ("failure", "threshold", "minimum", "counts", "expected"),
    [
        ("FAILED", 20.0, 10, Counts(failed=9), False),
        ("FAILED", 20.0, 10, Counts(failed=2, succeeded=8), True),
        ("FAILED", 20.0, 10, Counts(failed=1, succeeded=9), False),
        ("FAILED", 20.0, 10, Counts(failed=2, succeeded=7, queued=100, in_progress=100), False),
        ("FAILED", 100.0, 1, Counts(failed=1), True),
        ("FAILED", 100.0, 1, Counts(failed=999, succeeded=1), False),
        ("REJECTED", 50.0, 2, Counts(rejected=1, failed=1), True),
        ("TIMED_OUT", 50.0, 2, Counts(rejected=1, failed=1), False),
        ("TIMED_OUT", 50.0, 2, Counts(timed_out=1, removed=1), True),  # removed ones ended, too
        ("TIMED_OUT", 50.0, 2, Counts(timed_out=1, canceled=1), False),  # canceled ones did not
        ("ALL", 30.0, 10, Counts(failed=1, rejected=1, timed_out=1, succeeded=7), True),
        ("ALL", 30.01, 10, Counts(failed=1, rejected=1, timed_out=1, succeeded=7), False),
        ("ALL", 1.0, 1, Counts(removed=10), False),
        ("FAILED", 33.33, 1, Counts(failed=1, succeeded=2), True),
        ("FAILED", 33.34, 1, Counts(failed=1, succeeded=2), False),
        ("FAILED", 33.33, 1, Counts(failed=3_333, succeeded=6_667), True),
        ("FAILED", 33.33, 1, Counts(failed=33_329, succeeded=66_671), False),
        ("FAILED", 0.07, 1, Counts(failed=7, succeeded=9_993), True),
        ("FAILED", 0.0, 1, Counts(succeeded=10), False),
        ("FAILED", 0.0, 1, Counts(failed=1, succeeded=10**9), True),
        ("ALL", 0.0, 1, Counts(), False),
    ],
)
def test_one_criterion(failure, threshold, minimum, counts, expected):
    wanted = criterion(failure, threshold, minimum)
    assert fired([wanted], counts) == (wanted if expected else None)


def test_the_first_criterion_that_is_met_is_told():
    early, strict, late = criterion("ALL", 10.0, 100), criterion("FAILED", 90.0), criterion("ALL", 50.0, 2)
    assert fired([early, strict, late], Counts(failed=1, succeeded=1)) is late
    assert fired([early, strict, late], Counts(failed=10)) is strict
    assert fired([early, strict, late], Counts(failed=100)) is early
    assert fired([], Counts(failed=100)) is None


@settings(max_examples=150, deadline=None)
@given(
    hundredths=st.integers(1, 10_000),
    minimum=st.integers(1, 50),
    ends=st.tuples(*[st.integers(0, 40)] * 6),
    failure=st.sampled_from(FailureType),
)
def test_abort_never_fires_early_and_never_late(hundredths, minimum, ends, failure):
    succeeded, failed, rejected, timed_out, removed, canceled = ends
    counts = Counts(
        succeeded=succeeded,
        failed=failed,
        rejected=rejected,
        timed_out=timed_out,
        removed=removed,
        canceled=canceled,
    )
    failures = {
        FailureType.FAILED: failed,
        FailureType.REJECTED: rejected,
        FailureType.TIMED_OUT: timed_out,
        FailureType.ALL: failed + rejected + timed_out,
    }[failure]
    ended = succeeded + failed + rejected + timed_out + removed
    due = ended >= minimum and Fraction(failures * 100, ended) >= Fraction(hundredths, 100)
    assert (fired([criterion(failure, hundredths / 100, minimum)], counts) is not None) == due


def retrying(**numbers):
    return [RetryCriterion(failure=FailureType(name), retries=number) for name, number in numbers.items()]


@pytest.mark.parametrize(
    ("criteria", "status", "attempt", "failed_retries", "expected"),
    [
        (retrying(), "FAILED", 0, 0, None),
        (retrying(FAILED=0), "FAILED", 0, 0, None),
        (retrying(FAILED=2), "FAILED", 0, 0, (1, 1)),
        (retrying(FAILED=2), "FAILED", 1, 1, (2, 2)),
        (retrying(FAILED=2), "FAILED", 2, 2, None),
        (retrying(FAILED=2), "TIMED_OUT", 0, 0, None),
        (retrying(FAILED=2), "REJECTED", 0, 0, None),
        (retrying(ALL=2), "REJECTED", 0, 0, None),
        (retrying(ALL=2), "SUCCEEDED", 0, 0, None),
        (retrying(ALL=2), "CANCELED", 0, 0, None),
        (retrying(ALL=2), "REMOVED", 0, 0, None),
        (retrying(FAILED=1, TIMED_OUT=2), "TIMED_OUT", 1, 1, (2, 1)),
        (retrying(FAILED=1, TIMED_OUT=2), "TIMED_OUT", 2, 1, (3, 1)),
        (retrying(FAILED=1, TIMED_OUT=2), "TIMED_OUT", 3, 1, None),
        (retrying(FAILED=1, TIMED_OUT=2), "FAILED", 2, 0, (3, 1)),
        (retrying(ALL=3), "FAILED", 2, 0, (3, 1)),
        (retrying(ALL=3), "TIMED_OUT", 3, 1, None),
        (retrying(FAILED=1, ALL=3), "FAILED", 2, 1, (3, 2)),
        (retrying(FAILED=1, ALL=3), "FAILED", 3, 1, None),
        (retrying(ALL=10), "FAILED", 9, 9, (10, 10)),
        (retrying(ALL=99), "FAILED", 10, 10, None),
    ],
)
def test_retries(criteria, status, attempt, failed_retries, expected):
    assert retry(criteria, Status(status), attempt=attempt, failed_retries=failed_retries) == expected


@settings(max_examples=150, deadline=None)
@given(
    numbers=st.dictionaries(st.sampled_from(["FAILED", "TIMED_OUT", "ALL"]), st.integers(0, 10), max_size=2),
    ends=st.lists(st.sampled_from([Status.FAILED, Status.TIMED_OUT]), min_size=30, max_size=30),
)
def test_a_thing_that_always_fails_is_retried_as_often_as_was_promised(numbers, ends):
    made = {Status.FAILED: 0, Status.TIMED_OUT: 0}
    attempt = failed_retries = 0
    for end in ends:
        following = retry(retrying(**numbers), end, attempt=attempt, failed_retries=failed_retries)
        if following is None:
            break
        attempt, failed_retries = following
        made[end] += 1
    assert following is None
    assert attempt == sum(made.values()) <= RETRIES_MAX
    assert failed_retries == made[Status.FAILED]
    together = numbers.get("ALL", 0)
    for end, count in made.items():
        assert count <= max(numbers.get(end.value, 0), together)
