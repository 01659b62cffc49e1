"""Which changes of a job are events, and what the messages say."""

import json

import msgspec
import pytest
from outfitter_contract.execution import Status
from outfitter_server.jobs.events import JobEvent, deleted_event, due, ended_event, job_event
from outfitter_server.jobs.values import Counts, Execution, Job, JobStatus, TargetSelection, Work

NOW = 1_700_000_123_456
THING = "arn:aws:iot:us-east-1:000000000000:thing/pump"


def job(status=JobStatus.IN_PROGRESS, work=None, **members):
    return Job(
        seq=1,
        id="j",
        status=status,
        selection=TargetSelection.SNAPSHOT,
        created_at=1_700_000_000_001,
        updated_at=1_700_000_000_002,
        work=work,
        **members,
    )


CANCELING = job(JobStatus.CANCELED, Work.CANCEL)
CANCELED = job(JobStatus.CANCELED)
COMPLETED = job(JobStatus.COMPLETED)
DELETING = job(JobStatus.DELETION_IN_PROGRESS, Work.DELETE)
SCHEDULED = job(JobStatus.SCHEDULED)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, job(), []),
        (None, SCHEDULED, []),
        (SCHEDULED, job(), []),
        (job(), job(work=Work.ROLLOUT), []),
        (None, COMPLETED, ["completed"]),
        (job(), COMPLETED, ["completed"]),
        (COMPLETED, COMPLETED, []),
        (job(), CANCELING, ["cancellation_in_progress"]),
        (SCHEDULED, CANCELING, ["cancellation_in_progress"]),
        (CANCELING, CANCELING, []),
        (CANCELING, CANCELED, ["canceled"]),
        (CANCELED, CANCELED, []),
        (job(), CANCELED, ["cancellation_in_progress", "canceled"]),
        (CANCELED, CANCELING, ["cancellation_in_progress"]),
        (job(), DELETING, ["deletion_in_progress"]),
        (CANCELING, DELETING, ["deletion_in_progress"]),
        (DELETING, DELETING, []),
        (DELETING, None, ["deleted"]),
        (COMPLETED, None, ["deletion_in_progress", "deleted"]),
    ],
)
def test_a_change_is_these_events(before, after, expected):
    assert [kind.value for kind in due(before, after)] == expected


def test_a_completed_job_tells_its_end_and_its_counts():
    done = msgspec.structs.replace(
        COMPLETED,
        description="spring",
        completed_at=1_700_000_000_003,
        counts=Counts(succeeded=3, failed=2, canceled=1),
    )
    event = job_event(JobEvent.COMPLETED, done, [THING], event_id="e-1", now=NOW)
    assert event.topic == "$aws/events/job/j/completed"
    assert json.loads(event.payload) == {
        "eventType": "JOB",
        "eventId": "e-1",
        "timestamp": 1_700_000_123,
        "operation": "completed",
        "jobId": "j",
        "status": "COMPLETED",
        "targetSelection": "SNAPSHOT",
        "targets": [THING],
        "description": "spring",
        "completedAt": 1_700_000_000_003,
        "createdAt": 1_700_000_000_001,
        "lastUpdatedAt": 1_700_000_000_002,
        "jobProcessDetails": {
            "numberOfCanceledThings": 1,
            "numberOfRejectedThings": 0,
            "numberOfFailedThings": 2,
            "numberOfRemovedThings": 0,
            "numberOfSucceededThings": 3,
        },
    }


@pytest.mark.parametrize("kind", [kind for kind in JobEvent if kind is not JobEvent.COMPLETED])
def test_the_other_events_of_a_job_tell_the_comment_and_no_counts(kind):
    told = msgspec.structs.replace(CANCELED, comment="not today")
    event = job_event(kind, told, [THING], event_id="e-1", now=NOW)
    assert event.topic == f"$aws/events/job/j/{kind.value}"
    body = json.loads(event.payload)
    assert (body["operation"], body["status"]) == (kind.value, kind.value.upper())
    assert body["comment"] == "not today"
    assert not {"completedAt", "jobProcessDetails", "description"} & set(body)


def execution(status, details=None):
    return Execution(
        id=1, thing="pump", job="j", number=1, status=status, queued_at=1, updated_at=2, details=details
    )


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "REJECTED", "CANCELED", "TIMED_OUT", "REMOVED"])
def test_an_end_of_an_execution_is_named_by_its_status(status):
    event = ended_event(execution(Status(status), {"why": "x"}), THING, event_id="e-2", now=NOW)
    assert event.topic == f"$aws/events/jobExecution/j/{status.lower()}"
    assert json.loads(event.payload) == {
        "eventType": "JOB_EXECUTION",
        "eventId": "e-2",
        "timestamp": 1_700_000_123,
        "operation": status.lower(),
        "jobId": "j",
        "thingArn": THING,
        "status": status,
        "statusDetails": {"why": "x"},
    }


def test_a_deleted_execution_is_told_whatever_its_status_was():
    event = deleted_event(execution(Status.SUCCEEDED), THING, event_id="e-3", now=NOW)
    assert event.topic == "$aws/events/jobExecution/j/deleted"
    body = json.loads(event.payload)
    assert (body["operation"], body["status"]) == ("deleted", "DELETED")
    assert "statusDetails" not in body
