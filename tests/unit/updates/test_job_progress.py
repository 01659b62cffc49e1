"""Counting, and telling when a job is over."""

import pytest
from outfitter_contract.execution import Status
from outfitter_updates.operations.progress import COUNTERS, Execution, Job, count, latest, summary


def job(status="IN_PROGRESS", continuous=False, rolling_out=False, **counts):
    return Job(
        job_id="j",
        status=status,
        continuous=continuous,
        targets=(),
        description="",
        comment="",
        created_at=None,
        updated_at=None,
        completed_at=None,
        rolling_out=rolling_out,
        counts={each: counts.get(each.lower(), 0) for each in Status},
    )


def execution(thing, status, number=1, **details):
    return Execution(
        job_id="j", thing=thing, number=number, status=Status(status), updated_at=None, details=details
    )


def test_every_status_has_a_counter():
    assert set(COUNTERS) == set(Status)


@pytest.mark.parametrize(
    ("described", "settled"),
    [
        (job(), False),
        (job(queued=1), False),
        (job(succeeded=1), False),
        (job("COMPLETED", succeeded=1), True),
        (job("COMPLETED"), True),
        (job("CANCELED", in_progress=1), False),
        (job("CANCELED", canceled=2), True),
        (job("DELETION_IN_PROGRESS"), True),
        (job("SCHEDULED"), False),
        (job(continuous=True), True),
        (job(continuous=True, succeeded=1), True),
        (job(continuous=True, queued=1), False),
        (job(continuous=True, rolling_out=True), False),
    ],
)
def test_when_a_job_is_settled(described, settled):
    assert described.is_settled is settled


def test_counts_are_summed():
    described = job(
        queued=1, in_progress=2, succeeded=3, failed=4, rejected=5, timed_out=6, removed=7, canceled=8
    )
    assert (described.total, described.pending, described.ended, described.went_wrong) == (36, 3, 33, 30)


@pytest.mark.parametrize(
    ("described", "text"),
    [
        (job(), "no devices yet"),
        (job("COMPLETED"), "no devices"),
        (job(queued=2, succeeded=1, failed=1), "2 of 4 done: 2 QUEUED, 1 SUCCEEDED, 1 FAILED"),
    ],
)
def test_the_summary(described, text):
    assert summary(described) == text


def test_absent_counters_are_zero():
    assert count({"numberOfFailedThings": 2, "processingTargets": ["x"]})[Status.FAILED] == 2
    assert sum(count({}).values()) == 0


def test_the_newest_execution_of_each_device_with_trouble_first():
    told = latest(
        [
            execution("a", "SUCCEEDED"),
            execution("b", "FAILED", 1, reason="digest", step="checking"),
            execution("c", "QUEUED"),
            execution("d", "IN_PROGRESS"),
            execution("a", "FAILED", 0),
        ]
    )
    assert [(each.thing, each.status) for each in told] == [
        ("b", "FAILED"),
        ("d", "IN_PROGRESS"),
        ("c", "QUEUED"),
        ("a", "SUCCEEDED"),
    ]
    assert (told[0].reason, told[0].step) == ("digest", "checking")
