"""Lifecycle events: their switches over boto3, their messages over MQTT."""

import datetime as dt
import time
import uuid

import pytest

conforms = pytest.mark.conforms
JOB_TYPES = ("JOB", "JOB_EXECUTION")


@pytest.fixture
def switch(iot):
    """Turns the two types of job events on or off; off at the end."""

    def to(enabled):
        iot.update_event_configurations(
            eventConfigurations={name: {"Enabled": enabled} for name in JOB_TYPES}
        )

    yield to
    to(False)


@pytest.fixture
def listener(fleet, make_link):
    """Hears the events of a job, and nothing of other tests' jobs."""
    thing = fleet.thing()
    fleet.identity(thing, fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"}))

    def connected(job):
        device = fleet.device(thing, make_link(5, True))
        device.subscribe(f"$aws/events/job/{job}/#", f"$aws/events/jobExecution/{job}/#", "free/#")
        return device

    return connected


def heard(device, number):
    """The next messages by the end of their topic, since they come in any order."""
    return {message.topic.removeprefix("$aws/events/"): message.body for message in taken(device, number)}


def taken(device, number):
    return [device.take() for _ in range(number)]


@conforms(
    "iot DescribeEventConfigurations", "out eventConfigurations", "out lastModifiedDate", "out creationDate"
)
@conforms("iot UpdateEventConfigurations", "in eventConfigurations")
def test_switches_are_told_and_changed_one_by_one(iot, switch):
    switch(False)
    iot.update_event_configurations(eventConfigurations={"JOB": {"Enabled": True}})
    found = iot.describe_event_configurations()
    types = found["eventConfigurations"]
    assert (types["JOB"], types["JOB_EXECUTION"]) == ({"Enabled": True}, {"Enabled": False})
    assert set(types) == {
        "THING",
        "THING_GROUP",
        "THING_TYPE",
        "THING_GROUP_MEMBERSHIP",
        "THING_GROUP_HIERARCHY",
        "THING_TYPE_ASSOCIATION",
        "JOB",
        "JOB_EXECUTION",
        "POLICY",
        "CERTIFICATE",
        "CA_CERTIFICATE",
    }
    assert abs(found["lastModifiedDate"] - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert found["creationDate"] <= found["lastModifiedDate"]


@conforms("iot UpdateEventConfigurations", "in eventConfigurations")
@conforms("mqtt events", "topic $aws/events/job/{jobId}/canceled")
@conforms("mqtt events", "topic $aws/events/job/{jobId}/cancellation_in_progress")
@conforms("mqtt events", "topic $aws/events/jobExecution/{jobId}/canceled")
def test_j37_events_are_off_until_enabled_of_ends_only_and_canceled_follows_its_beginning(
    fleet, iot, data, switch, listener, thing
):
    other, silent, job = fleet.thing(), fleet.name("job"), fleet.name("job")
    device = listener(job)
    device.subscribe(f"$aws/events/job/{silent}/#", f"$aws/events/jobExecution/{silent}/#")
    switch(False)
    fleet.job(thing, job=silent)
    iot.cancel_job(jobId=silent)
    switch(True)
    fleet.job(thing, other, job=job)
    data.start_next_pending_job_execution(thingName=other)
    iot.cancel_job(jobId=job, force=True)
    topics = [message.topic.removeprefix("$aws/events/") for message in taken(device, 4)]
    assert sorted(topics) == sorted(
        [f"job/{job}/cancellation_in_progress", f"job/{job}/canceled", *[f"jobExecution/{job}/canceled"] * 2]
    )
    assert topics.index(f"job/{job}/cancellation_in_progress") < topics.index(f"job/{job}/canceled")


@conforms("mqtt events", "topic $aws/events/job/{jobId}/completed")
@conforms("mqtt events", "topic $aws/events/jobExecution/{jobId}/succeeded")
def test_the_end_of_a_job_is_told_with_its_counts(fleet, data, switch, listener, thing):
    switch(True)
    job = fleet.name("job")
    device = listener(job)
    fleet.job(thing, job=job, description="why")
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED", statusDetails={"a": "b"})
    found = heard(device, 2)
    execution, completed = found[f"jobExecution/{job}/succeeded"], found[f"job/{job}/completed"]
    for body in (execution, completed):
        assert uuid.UUID(body.pop("eventId"))
        assert abs(body.pop("timestamp") - time.time()) < 60
    expected = {
        "eventType": "JOB_EXECUTION",
        "operation": "succeeded",
        "jobId": job,
        "thingArn": fleet.arn(thing),
        "status": "SUCCEEDED",
        "statusDetails": {"a": "b"},
    }
    assert {name: execution.get(name) for name in expected} == expected
    for name in ("createdAt", "lastUpdatedAt", "completedAt"):
        assert abs(completed.pop(name) / 1000 - time.time()) < 60
    counts = dict.fromkeys(("Canceled", "Rejected", "Failed", "Removed", "Succeeded"), 0) | {"Succeeded": 1}
    told = completed.pop("jobProcessDetails")
    assert {name: told.get(f"numberOf{name}Things") for name in counts} == counts
    assert completed == {
        "eventType": "JOB",
        "operation": "completed",
        "jobId": job,
        "status": "COMPLETED",
        "targetSelection": "SNAPSHOT",
        "targets": [fleet.arn(thing)],
        "description": "why",
    }


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            status,
            marks=conforms("mqtt events", f"topic $aws/events/jobExecution/{{jobId}}/{status.lower()}"),
        )
        for status in ("FAILED", "REJECTED")
    ],
)
def test_each_end_of_an_execution_has_its_topic(fleet, data, switch, listener, thing, status):
    switch(True)
    job = fleet.name("job")
    device = listener(job)
    fleet.job(thing, job=job)
    data.update_job_execution(jobId=job, thingName=thing, status=status)
    assert heard(device, 2)[f"jobExecution/{job}/{status.lower()}"]["status"] == status


@conforms("mqtt events", "topic $aws/events/jobExecution/{jobId}/removed")
def test_leaving_the_group_of_a_continuous_job_is_told(fleet, iot, switch, listener, thing):
    switch(True)
    group, job = fleet.group(thing), fleet.name("job")
    device = listener(job)
    fleet.job(group, job=job, targetSelection="CONTINUOUS")
    iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
    assert heard(device, 1)[f"jobExecution/{job}/removed"]["status"] == "REMOVED"


@conforms(
    "mqtt events",
    "topic $aws/events/job/{jobId}/deletion_in_progress",
    "topic $aws/events/job/{jobId}/deleted",
)
@conforms("mqtt events", "topic $aws/events/jobExecution/{jobId}/deleted")
def test_a_deletion_is_told_at_its_beginning_and_its_end(fleet, iot, switch, listener, thing):
    switch(True)
    job = fleet.name("job")
    device = listener(job)
    fleet.job(thing, job=job)
    iot.delete_job(jobId=job, force=True)
    messages = taken(device, 3)
    topics = [message.topic.removeprefix("$aws/events/") for message in messages]
    assert topics.index(f"job/{job}/deletion_in_progress") < topics.index(f"job/{job}/deleted")
    found = {message.topic.removeprefix("$aws/events/"): message.body for message in messages}
    assert found[f"jobExecution/{job}/deleted"]["status"] == "DELETED"
    assert found[f"job/{job}/deleted"]["status"] == "DELETED"


@conforms("mqtt events", "topic $aws/events/jobExecution/{jobId}/timed_out")
def test_a_time_out_is_told(clocked, clocked_fleet, make_link, eventually):
    iot, data = clocked.client("iot"), clocked.client("iot-jobs-data")
    on = {name: {"Enabled": True} for name in JOB_TYPES}
    iot.update_event_configurations(eventConfigurations=on)
    fleet = clocked_fleet
    thing, watcher = fleet.thing(), fleet.thing()
    fleet.identity(watcher, fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"}))
    job = fleet.job(thing, timeoutConfig={"inProgressTimeoutInMinutes": 1})
    data.start_next_pending_job_execution(thingName=thing)
    device = fleet.device(watcher, make_link(5, True))
    device.subscribe(f"$aws/events/jobExecution/{job}/#")
    for _ in range(2):
        clocked.advance(61)
        device.publish("free/alive")
    eventually(lambda: fleet.execution(thing, job)["status"] == "TIMED_OUT")
    message = device.take()
    assert message.topic == f"$aws/events/jobExecution/{job}/timed_out"
    assert message.body["status"] == "TIMED_OUT"
