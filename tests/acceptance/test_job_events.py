"""Lifecycle events of jobs as clients of the broker hear them, through the whole life of jobs."""

import json
import sqlite3
import time

import pytest
from botocore.exceptions import ClientError

ACCOUNT_ARN = "arn:aws:iot:us-east-1:000000000000"
ROLE = "arn:aws:iam::000000000000:role/rules"
FILTERS = ("$aws/events/job/#", "$aws/events/jobExecution/#")
TYPES = {
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
MANY = 500


def switch(iot, **enabled):
    iot.update_event_configurations(
        eventConfigurations={name: {"Enabled": value} for name, value in enabled.items()}
    )


def switched_on(iot):
    found = iot.describe_event_configurations()["eventConfigurations"]
    assert set(found) == TYPES
    return {name for name, value in found.items() if value["Enabled"]}


@pytest.fixture
def listening_policy(fleet):
    """A policy of a client that hears every event, and no more of them than its statements say."""

    def make(receive="topic/$aws/events/*"):
        return fleet.policy(
            {"Effect": "Allow", "Action": ["iot:Connect"], "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{ACCOUNT_ARN}:topicfilter/$aws/events/*", f"{ACCOUNT_ARN}:topicfilter/free/*"],
            },
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ACCOUNT_ARN}:topic/free/*"},
            {
                "Effect": "Allow",
                "Action": "iot:Receive",
                "Resource": [f"{ACCOUNT_ARN}:{receive}", f"{ACCOUNT_ARN}:topic/free/*"],
            },
        )

    return make


@pytest.fixture
def listen(fleet, listening_policy):
    """Connects a client that hears of events."""

    def make(link, *filters, **options):
        watcher = fleet.thing(fleet.name("watcher"))
        if link.tls:
            fleet.identity(watcher, listening_policy(**options))
        device = fleet.device(watcher, link)
        wanted = filters or FILTERS
        granted = device.subscribe(*wanted)
        assert [int(getattr(one, "value", one)) for one in granted] == [1] * len(wanted)
        return device

    return make


@pytest.fixture(scope="module")
def loud_server(make_server):
    """A server that publishes events; tests keep apart by the names of their jobs."""
    made = make_server("loud")
    switch(made.client("iot"), JOB=True, JOB_EXECUTION=True)
    return made


@pytest.fixture(scope="module")
def make_server(server, tmp_path_factory):
    made = []

    def make(name):
        one = type(server)(tmp_path_factory.mktemp(name) / "data")
        one.start()
        made.append(one)
        return one

    yield make
    for one in made:
        one.close_clients()
        assert one.stop() == 0, one.log()


@pytest.fixture
def fleet(loud_server, make_fleet, tmp_path):
    made = make_fleet(loud_server, tmp_path)
    yield made
    made.close()


def take(device, jobs, number):
    """The next events of these jobs: {(job, operation): [body, …]}, and the order of their topics."""
    wanted = {jobs} if isinstance(jobs, str) else set(jobs)
    found, order = {}, []
    while number:
        message = device.take()
        assert not message.retain
        assert message.qos == 1
        prefix, events, kind, job, operation = message.topic.split("/")
        assert (prefix, events) == ("$aws", "events")
        if job not in wanted:
            continue
        assert message.body["eventType"] == {"job": "JOB", "jobExecution": "JOB_EXECUTION"}[kind]
        assert (message.body["jobId"], message.body["operation"]) == (job, operation)
        assert abs(message.body["timestamp"] - time.time()) < 60
        found.setdefault((kind, operation), []).append(message.body)
        order.append((kind, operation))
        number -= 1
    assert len({body["eventId"] for bodies in found.values() for body in bodies}) == len(order)
    return found, order


def run(fleet, thing, job, *statuses, **details):
    for status in statuses:
        fleet.data.update_job_execution(thingName=thing, jobId=job, status=status, statusDetails=details)


def test_nothing_is_published_until_it_is_switched_on(own_server, make_fleet, make_link, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    assert switched_on(fleet.iot) == set()
    assert "creationDate" not in fleet.iot.describe_event_configurations()
    thing = fleet.thing()
    watcher = fleet.device(fleet.thing(), make_link(4, False))
    watcher.subscribe(*FILTERS)
    silent = fleet.job(thing)
    run(fleet, thing, silent, "SUCCEEDED")
    switch(fleet.iot, JOB=True)
    assert switched_on(fleet.iot) == {"JOB"}
    half = fleet.job(thing)
    run(fleet, thing, half, "SUCCEEDED")
    assert watcher.take().topic == f"$aws/events/job/{half}/completed"
    switch(fleet.iot, JOB=False, JOB_EXECUTION=True)
    other = fleet.job(thing)
    run(fleet, thing, other, "SUCCEEDED")
    assert watcher.take().topic == f"$aws/events/jobExecution/{other}/succeeded"
    watcher.quiet()
    told = fleet.iot.describe_event_configurations()
    assert told["creationDate"] <= told["lastModifiedDate"]


def test_types_that_are_not_published_are_refused_by_name_and_can_be_disabled(fleet):
    with pytest.raises(fleet.iot.exceptions.InvalidRequestException, match="THING_GROUP: this server"):
        switch(fleet.iot, THING_GROUP=True)
    switch(fleet.iot, THING_GROUP=False, CA_CERTIFICATE=False)
    assert switched_on(fleet.iot) == {"JOB", "JOB_EXECUTION"}
    with pytest.raises(ClientError, match="InvalidRequestException"):
        switch(fleet.iot, NOTHING=False)


def test_a_job_that_completes_tells_each_end_and_its_own(fleet, listen, link):
    listener = listen(link)
    good, bad, refused = fleet.thing(), fleet.thing(), fleet.thing()
    job = fleet.job(good, bad, refused, description="spring")
    run(fleet, good, job, "IN_PROGRESS", "SUCCEEDED", step="done")
    run(fleet, bad, job, "FAILED")
    run(fleet, refused, job, "REJECTED")
    found, order = take(listener, job, 4)
    assert order[-1] == ("job", "completed")
    (succeeded,) = found["jobExecution", "succeeded"]
    assert succeeded["thingArn"] == f"{ACCOUNT_ARN}:thing/{good}"
    assert succeeded["status"] == "SUCCEEDED"
    assert succeeded["statusDetails"] == {"step": "done"}
    assert found["jobExecution", "failed"][0]["status"] == "FAILED"
    assert found["jobExecution", "rejected"][0]["thingArn"].endswith(refused)
    (completed,) = found["job", "completed"]
    described = fleet.iot.describe_job(jobId=job)["job"]
    assert completed["status"] == "COMPLETED"
    assert completed["targetSelection"] == "SNAPSHOT"
    assert completed["description"] == "spring"
    assert sorted(completed["targets"]) == sorted(described["targets"])
    for member in ("createdAt", "lastUpdatedAt", "completedAt"):
        assert completed[member] == round(described[member].timestamp() * 1000), member
    assert completed["jobProcessDetails"] == {
        "numberOfCanceledThings": 0,
        "numberOfRejectedThings": 1,
        "numberOfFailedThings": 1,
        "numberOfRemovedThings": 0,
        "numberOfSucceededThings": 1,
    }


def test_cancel_and_delete_tell_their_beginning_and_their_end(fleet, listen, make_link):
    listener = listen(make_link(5, True))
    waits, runs = fleet.thing(), fleet.thing()
    job = fleet.job(waits, runs)
    run(fleet, runs, job, "IN_PROGRESS")
    fleet.iot.cancel_job(jobId=job, comment="not today", reasonCode="WEATHER")
    found, order = take(listener, job, 3)
    assert order.index(("job", "cancellation_in_progress")) < order.index(("job", "canceled"))
    assert found["jobExecution", "canceled"][0]["thingArn"].endswith(waits)
    assert found["job", "cancellation_in_progress"][0]["status"] == "CANCELLATION_IN_PROGRESS"
    assert found["job", "canceled"][0]["status"] == "CANCELED"
    assert found["job", "canceled"][0]["comment"] == "not today"
    run(fleet, runs, job, "SUCCEEDED")
    take(listener, job, 1)
    fleet.iot.delete_job(jobId=job)
    found, order = take(listener, job, 4)
    assert [name for name in order if name[0] == "job"] == [
        ("job", "deletion_in_progress"),
        ("job", "deleted"),
    ]
    assert len(found["jobExecution", "deleted"]) == 2
    (deleted,) = found["job", "deleted"]
    assert (deleted["status"], deleted["comment"]) == ("DELETED", "not today")
    assert sorted(deleted["targets"]) == sorted(f"{ACCOUNT_ARN}:thing/{name}" for name in (waits, runs))


def test_a_canceled_job_canceled_again_with_force_tells_both_again(fleet, listen, make_link):
    listener = listen(make_link(4, True))
    runs = fleet.thing()
    job = fleet.job(runs)
    run(fleet, runs, job, "IN_PROGRESS")
    fleet.iot.cancel_job(jobId=job)
    fleet.iot.cancel_job(jobId=job, force=True)
    _, order = take(listener, job, 5)
    assert [name for kind, name in order if kind == "job"] == ["cancellation_in_progress", "canceled"] * 2
    assert ("jobExecution", "canceled") in order


def test_single_executions_canceled_deleted_and_removed_are_told(fleet, listen, make_link):
    listener = listen(make_link(4, True))
    first, second, third, fourth = (fleet.thing() for _ in range(4))
    group = fleet.group(third, fourth)
    job = fleet.job(first, second, group, targetSelection="CONTINUOUS")
    fleet.iot.cancel_job_execution(thingName=first, jobId=job, statusDetails={"why": "x"})
    fleet.iot.delete_job_execution(thingName=second, jobId=job, executionNumber=1)
    fleet.iot.remove_thing_from_thing_group(thingName=third, thingGroupName=group)
    found, _ = take(listener, job, 3)
    assert found["jobExecution", "canceled"][0]["statusDetails"] == {"why": "x"}
    assert found["jobExecution", "deleted"][0]["thingArn"].endswith(second)
    assert found["jobExecution", "removed"][0]["thingArn"].endswith(third)
    run(fleet, fourth, job, "SUCCEEDED")
    _, order = take(listener, job, 1)
    assert order == [("jobExecution", "succeeded")]  # a continuous job does not complete


def test_a_policy_decides_which_events_are_received(fleet, listen, make_link):
    listener = listen(make_link(5, True), receive="topic/$aws/events/job/*")
    thing = fleet.thing()
    job = fleet.job(thing)
    run(fleet, thing, job, "SUCCEEDED")
    _, order = take(listener, job, 1)
    assert order == [("job", "completed")]


def test_a_policy_decides_who_may_subscribe(fleet, make_link):
    device = fleet.device(fleet.thing(), make_link(5, True))
    assert [one.getName() for one in device.subscribe(FILTERS[0])] == ["Not authorized"]


def test_wildcards_at_the_front_match_no_event(fleet, make_link):
    everything = fleet.device(fleet.thing(), make_link(4, False))
    everything.subscribe("#", "+/events/#")
    named = fleet.device(fleet.thing(), make_link(4, False))
    named.subscribe("$aws/events/+/+/succeeded")
    thing = fleet.thing()
    job = fleet.job(thing)
    run(fleet, thing, job, "SUCCEEDED")
    assert named.take().topic == f"$aws/events/jobExecution/{job}/succeeded"
    everything.quiet()


def test_nobody_can_publish_an_event(fleet, make_link):
    policy = fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"})
    thing = fleet.thing()
    fleet.identity(thing, policy)
    device = fleet.device(thing, make_link(5, True))
    device.publish("$aws/events/job/forged/completed", {})
    assert device.acknowledged().getName() == "Topic name invalid"
    with pytest.raises(ClientError) as refused:
        fleet.server.client("iot-data").publish(topic="$aws/events/job/forged/completed", payload=b"{}")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_topic_rule_hears_events(fleet, make_link):
    receiver = fleet.device(fleet.thing(), make_link(4, False))
    receiver.subscribe(f"free/{receiver.thing}/#")
    job = fleet.name("job")
    rule = fleet.name("rule").replace("-", "_")
    fleet.iot.create_topic_rule(
        ruleName=rule,
        topicRulePayload={
            "sql": "SELECT jobId AS job, status, topic(3) AS kind, clientid() AS who FROM '$aws/events/+/+/#' "
            f"WHERE jobId = '{job}'",
            "actions": [
                {"republish": {"roleArn": ROLE, "topic": f"free/{receiver.thing}/${{topic(5)}}", "qos": 1}}
            ],
        },
    )
    thing = fleet.thing()
    fleet.job(thing, job=job)
    run(fleet, thing, job, "SUCCEEDED")
    told = [receiver.take() for _ in range(2)]
    assert {message.topic.rpartition("/")[2]: message.body for message in told} == {
        "succeeded": {"job": job, "status": "SUCCEEDED", "kind": "jobExecution", "who": "n/a"},
        "completed": {"job": job, "status": "COMPLETED", "kind": "job", "who": "n/a"},
    }
    fleet.iot.delete_topic_rule(ruleName=rule)


def things(fleet, number):
    """A group of so many things."""
    names = [fleet.thing() for _ in range(number)]
    return fleet.group(*names), names


def test_what_kill_9_left_unpublished_is_published_after_the_next_start(
    own_server, make_fleet, make_link, tmp_path
):
    fleet = make_fleet(own_server, tmp_path)
    group, names = things(fleet, MANY)
    job = fleet.job(group)
    switch(fleet.iot, JOB=True, JOB_EXECUTION=True)
    fleet.iot.cancel_job(jobId=job)
    own_server.kill()
    with sqlite3.connect(own_server.data / "state.sqlite3") as store:
        left = [json.loads(payload) for (payload,) in store.execute("SELECT payload FROM event_outbox")]
    store.close()
    assert left, "everything was published before the kill"
    own_server.start()
    listener = make_fleet(own_server, tmp_path).device("listener", make_link(4, False))
    listener.subscribe(*FILTERS)
    expected = {body["eventId"] for body in left}
    heard, canceled = set(), False
    while not (expected <= heard and canceled):
        message = listener.take()
        heard.add(message.body["eventId"])
        canceled |= message.topic == f"$aws/events/job/{job}/canceled"
    assert {body["thingArn"].rpartition("/")[2] for body in left if "thingArn" in body} <= set(names)


def test_what_timers_and_criteria_end_is_told(timed_server, make_fleet, make_link, tmp_path):
    fleet = make_fleet(timed_server, tmp_path)
    switch(fleet.iot, JOB=True, JOB_EXECUTION=True)
    listener = fleet.device(fleet.thing(), make_link(5, False))
    listener.subscribe(*FILTERS)
    slow, waits = fleet.thing(), fleet.thing()
    job = fleet.job(
        slow,
        waits,
        timeoutConfig={"inProgressTimeoutInMinutes": 5},
        jobExecutionsRetryConfig={"criteriaList": [{"failureType": "TIMED_OUT", "numberOfRetries": 1}]},
        abortConfig={
            "criteriaList": [
                {
                    "failureType": "TIMED_OUT",
                    "action": "CANCEL",
                    "thresholdPercentage": 100,
                    "minNumberOfExecutedThings": 2,
                }
            ]
        },
    )
    told = []
    for _ in range(2):
        run(fleet, slow, job, "IN_PROGRESS")
        timed_server.advance(301)
        told.append(listener.take())
    assert [message.topic for message in told] == [f"$aws/events/jobExecution/{job}/timed_out"] * 2
    assert {message.body["thingArn"] for message in told} == {f"{ACCOUNT_ARN}:thing/{slow}"}
    ends = [listener.take() for _ in range(3)]
    assert sorted(message.topic.rpartition("/")[2] for message in ends) == [
        "canceled",
        "canceled",
        "cancellation_in_progress",
    ]
    assert ends[-1].topic == f"$aws/events/job/{job}/canceled"
    assert ends[-1].body["comment"] == fleet.iot.describe_job(jobId=job)["job"]["comment"]


def test_a_job_that_is_deleted_with_force_tells_no_cancellation(fleet, listen, make_link):
    listener = listen(make_link(4, False))
    runs, waits = fleet.thing(), fleet.thing()
    job = fleet.job(runs, waits)
    run(fleet, runs, job, "IN_PROGRESS")
    fleet.iot.delete_job(jobId=job, force=True)
    _, order = take(listener, job, 4)
    assert order == [
        ("job", "deletion_in_progress"),
        ("jobExecution", "deleted"),
        ("jobExecution", "deleted"),
        ("job", "deleted"),
    ]


def test_a_deleted_thing_takes_its_executions_along_and_completes_the_job(fleet, listen, make_link):
    listener = listen(make_link(4, False))
    stays, goes = fleet.thing(), fleet.thing()
    job = fleet.job(stays, goes)
    run(fleet, stays, job, "SUCCEEDED")
    take(listener, job, 1)
    fleet.iot.delete_thing(thingName=goes)
    found, order = take(listener, job, 2)
    assert order == [("jobExecution", "deleted"), ("job", "completed")]
    assert found["jobExecution", "deleted"][0]["thingArn"].endswith(goes)
