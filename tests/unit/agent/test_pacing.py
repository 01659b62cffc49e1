"""How long the agent waits before it connects again, and how often it reports a download."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_agent.hands.mqtt import backoff
from outfitter_agent.plans.details import downloading
from outfitter_agent.plans.progress import Throttle


@pytest.mark.parametrize(
    ("failures", "longest"), [(0, 1.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (1000, 60.0)]
)
def test_bound_doubles_up_to_the_most(failures, longest):
    assert backoff(failures, 60.0, 1.0) == longest
    assert backoff(failures, 60.0, 0.5) == longest / 2


@given(st.integers(0, 10_000), st.floats(0.1, 3600), st.floats(0, 1))
def test_jitter_is_full(failures, most, chance):
    assert 0 <= backoff(failures, most, chance) <= most


def reports(arrivals, total):
    throttle = Throttle(reported_at=0.0)
    return [(now, received) for now, received in arrivals if throttle.due(now, received, total)]


def test_slow_download_is_reported_every_two_seconds():
    arrivals = [(tenth / 10, tenth) for tenth in range(100)]
    assert reports(arrivals, 1_000_000) == [(2.0, 20), (4.0, 40), (6.0, 60), (8.0, 80)]


def test_fast_download_is_reported_every_ten_percent():
    arrivals = [(percent / 1000, percent) for percent in range(101)]
    assert [received for _, received in reports(arrivals, 100)] == list(range(10, 101, 10))


@pytest.mark.parametrize("total", [None, 0])
def test_unknown_length_is_reported_by_time(total):
    assert reports([(0.5, 10), (1.9, 1 << 30), (2.1, 1 << 31)], total) == [(2.1, 1 << 31)]
    assert downloading({"step": "downloading"}, 5, total) == {"step": "downloading", "bytes": "5"} | (
        {} if total is None else {"size": "0"}
    )


def test_never_more_than_all():
    assert downloading({}, 300, 100)["percent"] == "100"
