"""The jobs device plane over MQTT, as paho sees it: 3.1.1 and 5, plain and over TLS."""

import json
import time

import pytest

ROLE = "arn:aws:iam::000000000000:role/signer"
NOTICES = ("notify", "notify-next")


@pytest.fixture
def thing(fleet):
    return fleet.thing()


@pytest.fixture
def device(fleet, link, thing):
    """A device that listens to its notifications."""
    connected = fleet.device(thing, link)
    connected.subscribe(*NOTICES)
    return connected


def queued(device):
    return [entry["jobId"] for entry in device.ask("get")["queuedJobs"]]


def test_get_keeps_both_lists_even_when_nothing_is_pending(device):
    body = device.ask("get")
    assert abs(body.pop("timestamp") - time.time()) < 60
    assert body == {"inProgressJobs": [], "queuedJobs": []}


def test_get_tells_what_runs_and_what_waits_in_order(fleet, link, thing):
    first, second, third = (fleet.job(thing) for _ in range(3))
    device = fleet.device(thing, link)
    device.ask(f"{second}/update", {"status": "IN_PROGRESS"})
    body = device.ask("get", {"clientToken": "t"})
    assert [entry["jobId"] for entry in body["inProgressJobs"]] == [second]
    assert [entry["jobId"] for entry in body["queuedJobs"]] == [first, third]
    running, waiting = body["inProgressJobs"][0], body["queuedJobs"][0]
    assert set(running) == {
        "jobId",
        "queuedAt",
        "startedAt",
        "lastUpdatedAt",
        "executionNumber",
        "versionNumber",
    }
    assert set(waiting) == set(running) - {"startedAt"}
    assert (running["versionNumber"], waiting["versionNumber"]) == (2, 1)
    assert body["clientToken"] == "t"


def test_start_next_runs_the_front_and_repeating_it_changes_nothing(fleet, link, thing):
    job = fleet.job(thing, document={"operation": "test", "none": None, "n": 1})
    device = fleet.device(thing, link)
    device.subscribe(*NOTICES)
    body = device.ask("start-next", {"statusDetails": {"step": "1"}, "clientToken": "one"})
    assert next(iter(body)) == "clientToken"
    execution = body["execution"]
    assert execution.pop("jobDocument") == {"operation": "test", "n": 1}
    for name in ("queuedAt", "startedAt", "lastUpdatedAt"):
        value = execution.pop(name)
        assert isinstance(value, int)
        assert abs(value - time.time()) < 60
    assert execution == {
        "jobId": job,
        "status": "IN_PROGRESS",
        "statusDetails": {"step": "1"},
        "versionNumber": 2,
        "executionNumber": 1,
    }
    again = device.ask("start-next", {"statusDetails": {"step": "other"}})
    assert again["execution"]["statusDetails"] == {"step": "1"}
    assert again["execution"]["versionNumber"] == 2
    assert "clientToken" not in again
    device.quiet()


def test_an_idle_thing_gets_the_bare_timestamp(device):
    for name in ("start-next", "$next/get"):
        assert set(device.ask(name)) == {"timestamp"}
        assert set(device.ask(name, {"clientToken": "t"})) == {"timestamp", "clientToken"}


def test_an_empty_payload_stands_for_an_empty_object(fleet, link, thing):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    assert device.ask("get", b"")["queuedJobs"][0]["jobId"] == job
    assert device.ask("start-next", b"")["execution"]["jobId"] == job


def test_looking_at_the_next_one_neither_starts_it_nor_raises_its_version(fleet, link, thing):
    job = fleet.job(thing, document={"deep": {"list": [1, 2]}})
    device = fleet.device(thing, link)
    for _ in range(2):
        execution = device.ask("$next/get")["execution"]
        assert (execution["jobId"], execution["status"], execution["versionNumber"]) == (job, "QUEUED", 1)
        assert execution["jobDocument"] == {"deep": {"list": [1, 2]}}
        assert "startedAt" not in execution
        assert "statusDetails" not in execution
        assert "approximateSecondsBeforeTimedOut" not in execution
    assert "jobDocument" not in device.ask(f"{job}/get", {"includeJobDocument": False})["execution"]
    assert device.ask(f"{job}/get", {"executionNumber": 1})["execution"]["jobId"] == job


def test_an_update_answers_with_what_was_asked_for(fleet, link, thing):
    job = fleet.job(thing, document={"n": 1})
    device = fleet.device(thing, link)
    update = f"{job}/update"
    assert set(device.ask(update, {"status": "IN_PROGRESS"})) == {"timestamp"}
    both = device.ask(
        update,
        {
            "status": "IN_PROGRESS",
            "statusDetails": {"a": "b"},
            "includeJobExecutionState": True,
            "includeJobDocument": True,
            "clientToken": "x",
        },
    )
    assert both["executionState"] == {
        "status": "IN_PROGRESS",
        "statusDetails": {"a": "b"},
        "versionNumber": 3,
    }
    assert both["jobDocument"] == {"n": 1}
    assert both["clientToken"] == "x"


def test_status_details_are_replaced_when_given_and_kept_when_not(fleet, link, thing):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    states = [
        device.ask(f"{job}/update", {"status": "IN_PROGRESS", "includeJobExecutionState": True, **more})
        for more in ({"statusDetails": {"a": "1"}}, {}, {"statusDetails": {"b": "2"}}, {"statusDetails": {}})
    ]
    details = [body["executionState"].get("statusDetails") for body in states]
    assert details == [{"a": "1"}, {"a": "1"}, {"b": "2"}, None]


def test_progress_raises_the_version_keeps_the_start_and_tells_nobody(fleet, link, thing):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    device.subscribe(*NOTICES)
    started = device.ask("start-next")["execution"]["startedAt"]
    for version in (3, 4):
        body = device.ask(f"{job}/update", {"status": "IN_PROGRESS", "includeJobExecutionState": True})
        assert body["executionState"]["versionNumber"] == version
    assert device.ask(f"{job}/get")["execution"]["startedAt"] == started
    device.quiet()


@pytest.mark.parametrize("version", [1, "1"])
def test_the_expected_version_may_be_a_number_or_its_text(fleet, link, thing, version):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    device.ask(f"{job}/update", {"status": "IN_PROGRESS", "expectedVersion": version})
    assert fleet.execution(thing, job)["versionNumber"] == 2


@pytest.mark.parametrize(("status", "starts"), [("SUCCEEDED", True), ("FAILED", True), ("REJECTED", False)])
def test_a_first_report_that_ends_the_execution(fleet, link, thing, status, starts):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    device.ask(f"{job}/update", {"status": status})
    execution = fleet.execution(thing, job)
    assert (execution["status"], "startedAt" in execution) == (status, starts)
    assert fleet.status(job) == "COMPLETED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "InvalidJson"),
        (b"\xff\xfe", "InvalidJson"),
        (b"[]", "InvalidJson"),
        (b'"text"', "InvalidJson"),
        ({"clientToken": "t"}, "InvalidRequest"),
        ({"status": "DONE", "clientToken": "t"}, "InvalidRequest"),
        ({"status": 7, "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "expectedVersion": "two", "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "expectedVersion": 1.5, "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "includeJobDocument": "yes", "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0, "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": 1}, "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": ""}, "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": "v" * 1025}, "clientToken": "t"}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "statusDetails": {"k": "a\nb"}, "clientToken": "t"}, "InvalidRequest"),
        (
            {"status": "IN_PROGRESS", "statusDetails": {str(n): "v" for n in range(11)}, "clientToken": "t"},
            "InvalidRequest",
        ),
        ({"status": "IN_PROGRESS", "executionNumber": 2, "clientToken": "t"}, "ResourceNotFound"),
        ({"status": "IN_PROGRESS", "expectedVersion": 99, "clientToken": "t"}, "VersionMismatch"),
        ({"status": "CANCELED", "clientToken": "t"}, "InvalidStateTransition"),
        ({"status": "REMOVED", "clientToken": "t"}, "InvalidStateTransition"),
        ({"status": "TIMED_OUT", "clientToken": "t"}, "InvalidStateTransition"),
        ({"status": "QUEUED", "expectedVersion": 99, "clientToken": "t"}, "InvalidStateTransition"),
    ],
    ids=str,
)
def test_a_refused_update_says_why_and_changes_nothing(server, fleet, make_link, body, code):
    thing = fleet.thing()
    job = fleet.job(thing)
    before = fleet.execution(thing, job)
    device = fleet.device(thing, make_link(5, False))
    device.subscribe(*NOTICES)
    answer = device.refused(f"{job}/update", body)
    assert answer["code"] == code
    assert answer["message"]
    assert abs(answer["timestamp"] - time.time()) < 60
    assert answer.get("clientToken") == (None if isinstance(body, bytes) else "t")
    mismatch = code == "VersionMismatch"
    assert answer.get("executionState") == ({"status": "QUEUED", "versionNumber": 1} if mismatch else None)
    if mismatch:
        assert answer["message"] == "Expected version 99 but found version 1"
    assert fleet.execution(thing, job) == before
    device.quiet()


def test_refusals_have_the_same_shape_on_every_link(fleet, link, thing):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    body = device.refused(f"{job}/update", {"status": "FAILED", "expectedVersion": 4, "clientToken": "t"})
    assert list(body) == ["clientToken", "code", "message", "executionState", "timestamp"]
    assert device.refused("no-such-job/update", {"status": "FAILED"})["code"] == "ResourceNotFound"
    assert device.refused("no-such-job/get")["code"] == "ResourceNotFound"
    assert device.refused("get", b"{")["code"] == "InvalidJson"
    assert device.refused("start-next", {"statusDetails": 1})["code"] == "InvalidRequest"


def test_states_of_the_service_are_refused_even_for_an_unknown_job(device):
    for status in ("CANCELED", "REMOVED", "TIMED_OUT", "QUEUED"):
        body = device.refused("no-such-job/update", {"status": status})
        assert body["code"] == "InvalidStateTransition"
        assert body["message"] == f"The status of job execution cannot be changed to be {status}"
        assert "executionState" not in body


@pytest.mark.parametrize("status", ["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"])
def test_what_has_ended_stays_as_it_is(fleet, link, thing, status):
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    device.ask(f"{job}/update", {"status": "SUCCEEDED", "statusDetails": {"done": "yes"}})
    before = fleet.execution(thing, job)
    body = device.refused(f"{job}/update", {"status": status})
    assert body["code"] == "InvalidStateTransition"
    assert body["executionState"] == {
        "status": "SUCCEEDED",
        "statusDetails": {"done": "yes"},
        "versionNumber": 2,
    }
    assert all(word in body["message"] for word in (job, thing, "SUCCEEDED"))
    stale = device.refused(f"{job}/update", {"status": status, "expectedVersion": 1})
    assert stale["code"] == "VersionMismatch"
    described = device.refused(f"{job}/get")
    assert described["code"] == "TerminalStateReached"
    assert "executionState" not in described
    assert fleet.execution(thing, job) == before


def test_after_a_forced_cancel_or_delete_a_late_report_is_refused(fleet, link, thing):
    canceled, deleted = fleet.job(thing), fleet.job(thing)
    device = fleet.device(thing, link)
    for job in (canceled, deleted):
        device.ask(f"{job}/update", {"status": "IN_PROGRESS"})
    fleet.iot.cancel_job(jobId=canceled, force=True)
    fleet.iot.delete_job_execution(jobId=deleted, thingName=thing, executionNumber=1, force=True)
    late = device.refused(f"{canceled}/update", {"status": "SUCCEEDED"})
    assert (late["code"], late["executionState"]["status"]) == ("InvalidStateTransition", "CANCELED")
    assert late["executionState"]["versionNumber"] == 3
    assert device.refused(f"{deleted}/update", {"status": "SUCCEEDED"})["code"] == "ResourceNotFound"


def test_jobs_called_like_requests_do_not_hijack_them(fleet, link, thing):
    names = [fleet.job(thing, job=name) for name in ("get", "start-next", "update", "notify", "accepted")]
    try:
        device = fleet.device(thing, link)
        assert queued(device) == names
        for name in names:
            assert device.ask(f"{name}/get")["execution"]["jobId"] == name
        assert device.ask("start-next")["execution"]["jobId"] == "get"
        for name in names:
            device.ask(f"{name}/update", {"status": "SUCCEEDED"})
        assert queued(device) == []
    finally:
        for name in names:
            fleet.iot.delete_job(jobId=name, force=True)


def test_a_topic_that_names_no_request_is_refused_where_it_was_published(device):
    for name in ("start", "job/cancel", "job/get/more"):
        assert device.refused(name)["code"] == "InvalidTopic"


def test_answers_have_the_quality_of_the_request_and_come_once(fleet, link, thing):
    device = fleet.device(thing, link)
    device.subscribe("get/accepted", "get/+")
    for qos in (0, 1):
        device.publish("get", qos=qos)
        message = device.take()
        assert (message.topic, message.qos, message.retain) == (device.topic("get/accepted"), qos, False)
    device.quiet()


@pytest.mark.parametrize("version", [4, 5])
def test_answers_go_to_nobody_else(fleet, make_link, thing, version):
    spy_thing = fleet.thing()
    everything = fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"})
    fleet.identity(spy_thing, everything)
    spy = fleet.device(spy_thing, make_link(version, True))
    job = fleet.job(thing)
    prefix = f"$aws/things/{thing}/jobs"
    spy.subscribe(f"{prefix}/+/update/accepted", f"{prefix}/get/accepted", f"{prefix}/start-next/+", "free/#")
    device = fleet.device(thing, make_link(version, True))
    device.ask("get")
    device.ask("start-next")
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    device.publish("free/end", {"over": True})
    assert spy.take().topic == "free/end"


@pytest.mark.parametrize("version", [4, 5])
def test_a_wildcard_hears_notifications_and_no_answers(fleet, make_link, thing, version):
    spy_thing = fleet.thing()
    fleet.identity(spy_thing, fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"}))
    spy = fleet.device(spy_thing, make_link(version, True))
    spy.subscribe(f"$aws/things/{thing}/jobs/#", "free/#")
    job = fleet.job(thing)
    device = fleet.device(thing, make_link(version, True))
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    device.publish("free/end", {"over": True})
    topics = [spy.take().topic for _ in range(5)]
    assert topics == [*map(device.topic, NOTICES * 2), "free/end"]


def test_a_new_job_is_announced_with_its_list_and_its_document(fleet, device, thing):
    job = fleet.job(thing, document={"operation": "test", "n": 1})
    listed = device.take_named("notify")
    assert set(listed) == {"timestamp", "jobs"}
    assert list(listed["jobs"]) == ["QUEUED"]
    (summary,) = listed["jobs"]["QUEUED"]
    assert set(summary) == {"jobId", "queuedAt", "lastUpdatedAt", "executionNumber", "versionNumber"}
    assert summary["jobId"] == job
    following = device.take_named("notify-next")
    assert set(following) == {"timestamp", "execution"}
    execution = following["execution"]
    assert execution["jobDocument"] == {"operation": "test", "n": 1}
    assert (execution["jobId"], execution["status"], execution["versionNumber"]) == (job, "QUEUED", 1)
    assert "thingName" not in execution
    for value in (
        listed["timestamp"],
        summary["queuedAt"],
        execution["queuedAt"],
        execution["lastUpdatedAt"],
    ):
        assert isinstance(value, int)
        assert abs(value - time.time()) < 60
    device.quiet()


def test_answer_then_list_then_next_in_this_order_when_the_first_of_two_ends(fleet, device, thing):
    first, second = fleet.job(thing), fleet.job(thing)
    assert [device.take().topic for _ in range(3)] == [
        *map(device.topic, NOTICES),
        device.topic("notify"),
    ]
    device.ask("start-next")
    device.publish(f"{first}/update", {"status": "SUCCEEDED"})
    messages = [device.take() for _ in range(3)]
    assert [message.topic for message in messages] == [
        device.topic(f"{first}/update/accepted"),
        *map(device.topic, NOTICES),
    ]
    assert {message.qos for message in messages} == {1}
    assert [entry["jobId"] for entry in messages[1].body["jobs"]["QUEUED"]] == [second]
    assert messages[2].body["execution"]["jobId"] == second


def test_the_end_of_the_last_job_is_an_empty_list_and_a_bare_next(fleet, device, thing):
    job = fleet.job(thing)
    device.take_named("notify")
    device.take_named("notify-next")
    device.ask(f"{job}/update", {"status": "FAILED"})
    assert device.take_named("notify")["jobs"] == {}
    assert set(device.take_named("notify-next")) == {"timestamp"}
    device.quiet()


class Scene:
    """Two pending jobs ``first`` and ``later`` of one device, and what may happen to them."""

    def __init__(self, fleet, device, started):
        self.fleet = fleet
        self.device = device
        self.thing = device.thing
        self.group = fleet.group(self.thing)
        self.first = fleet.job(self.group, targetSelection="CONTINUOUS")
        self.later = fleet.job(self.thing)
        for name in started:
            device.ask(f"{getattr(self, name)}/update", {"status": "IN_PROGRESS"})

    def report(self, job, status):
        self.device.ask(f"{getattr(self, job)}/update", {"status": status})

    def start_next(self):
        self.device.ask("start-next")

    def new(self):
        self.fleet.job(self.thing)

    def join(self):
        group = self.fleet.group()
        self.fleet.job(group, targetSelection="CONTINUOUS")
        self.fleet.iot.add_thing_to_thing_group(thingGroupName=group, thingName=self.thing)

    def leave(self):
        self.fleet.iot.remove_thing_from_thing_group(thingGroupName=self.group, thingName=self.thing)

    def cancel_job(self, job, **more):
        self.fleet.iot.cancel_job(jobId=getattr(self, job), **more)

    def cancel(self, job, **more):
        self.fleet.iot.cancel_job_execution(jobId=getattr(self, job), thingName=self.thing, **more)

    def delete_job(self, job):
        self.fleet.iot.delete_job(jobId=getattr(self, job), force=True)

    def delete(self, job, **more):
        self.fleet.iot.delete_job_execution(
            jobId=getattr(self, job), thingName=self.thing, executionNumber=1, **more
        )


@pytest.mark.parametrize(
    ("started", "event", "given", "notify", "following"),
    [
        ([], "new", {}, True, None),
        ([], "join", {}, True, None),
        ([], "start_next", {}, False, None),
        ([], "report", {"job": "first", "status": "IN_PROGRESS"}, False, None),
        ([], "report", {"job": "later", "status": "IN_PROGRESS"}, False, "later"),
        (["first"], "report", {"job": "later", "status": "IN_PROGRESS"}, False, None),
        (["later"], "report", {"job": "first", "status": "IN_PROGRESS"}, False, "first"),
        (["first"], "report", {"job": "first", "status": "IN_PROGRESS"}, False, None),
        (["first"], "report", {"job": "first", "status": "SUCCEEDED"}, True, "later"),
        (["first"], "report", {"job": "first", "status": "FAILED"}, True, "later"),
        ([], "report", {"job": "first", "status": "REJECTED"}, True, "later"),
        ([], "report", {"job": "later", "status": "SUCCEEDED"}, True, None),
        (["later"], "report", {"job": "later", "status": "SUCCEEDED"}, True, "first"),
        ([], "leave", {}, True, "later"),
        (["first"], "leave", {}, False, None),
        ([], "cancel_job", {"job": "first"}, True, "later"),
        ([], "cancel_job", {"job": "later"}, True, None),
        (["first"], "cancel_job", {"job": "first"}, False, None),
        (["first"], "cancel_job", {"job": "first", "force": True}, True, "later"),
        ([], "cancel", {"job": "first"}, True, "later"),
        ([], "cancel", {"job": "later"}, True, None),
        (["first"], "cancel", {"job": "first", "force": True}, True, "later"),
        ([], "delete", {"job": "first"}, True, "later"),
        ([], "delete", {"job": "later"}, True, None),
        (["first"], "delete", {"job": "first", "force": True}, True, "later"),
        ([], "delete_job", {"job": "first"}, True, "later"),
        ([], "delete_job", {"job": "later"}, True, None),
        (["first"], "delete_job", {"job": "first"}, True, "later"),
    ],
    ids=str,
)
def test_what_is_notified_when(fleet, make_link, thing, started, event, given, notify, following):
    device = fleet.device(thing, make_link(4, False))
    scene = Scene(fleet, device, started)
    device.subscribe(*NOTICES)
    getattr(scene, event)(**given)
    if notify:
        jobs = device.take_named("notify")["jobs"]
    if following:
        assert device.take_named("notify-next")["execution"]["jobId"] == getattr(scene, following)
    if notify:
        pending = device.ask("get")
        lists = {"IN_PROGRESS": pending["inProgressJobs"], "QUEUED": pending["queuedJobs"]}
        assert jobs == {status: entries for status, entries in lists.items() if entries}
    device.quiet()


@pytest.mark.parametrize("event", ["new", "join"])
def test_a_job_for_an_idle_thing_is_notified_as_list_and_next(fleet, make_link, thing, event):
    device = fleet.device(thing, make_link(5, False))
    scene = Scene(fleet, device, [])
    scene.delete_job("first")
    scene.delete_job("later")
    device.subscribe(*NOTICES)
    getattr(scene, event)()
    (listed,) = device.take_named("notify")["jobs"]["QUEUED"]
    assert device.take_named("notify-next")["execution"]["jobId"] == listed["jobId"]
    device.quiet()


def test_joining_reaches_a_listening_device_at_once_and_leaving_removes_it(fleet, device, thing):
    group = fleet.group()
    job = fleet.job(group, targetSelection="CONTINUOUS")
    for number in (1, 2):
        fleet.iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
        device.take_named("notify")
        assert device.take_named("notify-next")["execution"]["executionNumber"] == number
        fleet.iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
        assert device.take_named("notify")["jobs"] == {}
        assert "execution" not in device.take_named("notify-next")
        assert fleet.execution(thing, job)["status"] == "REMOVED"
    assert fleet.counts(job) == {"Removed": 2}


def test_reports_over_https_are_notified_to_the_mqtt_connection(fleet, device, thing):
    job = fleet.job(thing)
    device.take_named("notify")
    device.take_named("notify-next")
    fleet.data.start_next_pending_job_execution(thingName=thing)
    device.quiet()
    fleet.data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    assert device.take_named("notify")["jobs"] == {}
    device.take_named("notify-next")


def test_ten_are_listed_and_the_eleventh_appears_when_one_ends(fleet, make_link, thing):
    device = fleet.device(thing, make_link(5, False))
    jobs = [fleet.job(thing) for _ in range(12)]
    device.subscribe("notify")
    device.ask(f"{jobs[0]}/update", {"status": "SUCCEEDED"})
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == jobs[1:11]
    device.ask(f"{jobs[1]}/update", {"status": "SUCCEEDED"})
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == jobs[2:12]
    assert queued(device) == jobs[2:]


def test_nothing_is_told_at_connect_or_subscribe_and_nothing_is_retained(fleet, link, thing):
    fleet.job(thing)
    for _ in range(2):
        device = fleet.device(thing, link)
        assert device.session_present is False
        device.subscribe(*NOTICES)
        device.quiet()
        device.disconnect()


def test_a_persistent_session_is_told_on_its_return_what_it_missed_and_once(fleet, link, thing):
    device = fleet.device(thing, link, clean=False)
    assert device.session_present is False
    device.subscribe(*NOTICES)
    device.drop()
    first, second = fleet.job(thing), fleet.job(thing)
    device.connect(clean=False)
    assert device.session_present is True
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == [first, second]
    assert device.take_named("notify-next")["execution"]["jobId"] == first
    device.quiet()
    device.disconnect()
    device.connect(clean=False)
    assert device.session_present is True
    device.quiet()
    fleet.iot.cancel_job(jobId=second)
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == [first]
    device.disconnect()
    device.connect(clean=True)
    assert device.session_present is False
    fleet.iot.cancel_job(jobId=first)
    device.quiet()


def test_each_delivery_carries_a_pre_signed_url_of_its_own(server, fleet, device, thing):
    placeholder = "${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/images-bucket/a}"
    job = fleet.job(thing, document={"url": placeholder}, presignedUrlConfig={"roleArn": ROLE})
    device.take_named("notify")
    pushed = device.take_named("notify-next")["execution"]["jobDocument"]["url"]
    assert pushed.startswith(f"{server.https}/images-bucket/a?")
    assert "X-Amz-Signature=" in pushed

    def asked():
        return device.ask(f"{job}/get")["execution"]["jobDocument"]["url"]

    first = second = asked()
    while second == first:  # within one second a signature repeats
        second = asked()
    stored = json.loads(fleet.iot.get_job_document(jobId=job)["document"])
    assert stored == {"url": placeholder}
