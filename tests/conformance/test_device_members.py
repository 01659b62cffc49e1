"""The jobs data plane, member by member: over HTTPS with boto3, over MQTT with paho."""

import json
import time

import pytest

conforms = pytest.mark.conforms
EXECUTION = ("jobId", "status", "statusDetails", "queuedAt", "startedAt", "lastUpdatedAt")
MORE = ("versionNumber", "executionNumber", "jobDocument", "approximateSecondsBeforeTimedOut")
SUMMARY = {"jobId", "queuedAt", "lastUpdatedAt", "versionNumber", "executionNumber"}
OVER_HTTPS = [f"out execution.{name}" for name in (*EXECUTION, *MORE, "thingName")]
OVER_MQTT = [f"out execution.{name}" for name in (*EXECUTION, *MORE)]
TEN_MINUTES = {"timeoutConfig": {"inProgressTimeoutInMinutes": 10}}


def near_now(seconds):
    return isinstance(seconds, int) and abs(seconds - time.time()) < 60


def expect_running(execution, job, **more):
    """An execution in progress, whole, as ``more`` adds."""
    found = dict(execution)
    for name in ("queuedAt", "startedAt", "lastUpdatedAt"):
        assert near_now(found.pop(name)), name
    assert 500 < found.pop("approximateSecondsBeforeTimedOut") <= 600
    assert found == {
        "jobId": job,
        "status": "IN_PROGRESS",
        "statusDetails": {"a": "b"},
        "versionNumber": 2,
        "executionNumber": 1,
        **more,
    }


@conforms("data StartNextPendingJobExecution", "in thingName", "in statusDetails", *OVER_HTTPS)
@conforms("data DescribeJobExecution", "in thingName", "in jobId", *OVER_HTTPS)
def test_https_a_running_execution_is_told_whole(fleet, data, thing):
    job = fleet.job(thing, document={"n": 1}, **TEN_MINUTES)
    started = data.start_next_pending_job_execution(thingName=thing, statusDetails={"a": "b"})["execution"]
    described = data.describe_job_execution(thingName=thing, jobId=job, includeJobDocument=True)["execution"]
    for execution in (started, described):
        document = execution.pop("jobDocument")
        assert json.loads(document) == {"n": 1}
        expect_running(execution, job, thingName=thing)


@conforms("data DescribeJobExecution", "in jobId", "in includeJobDocument", "in executionNumber")
def test_https_an_execution_is_described_by_number_by_next_and_without_its_document(
    fleet, data, refusal, thing
):
    job = fleet.job(thing)
    for given in ({"jobId": "$next"}, {"jobId": job}, {"jobId": job, "executionNumber": 1}):
        found = data.describe_job_execution(thingName=thing, includeJobDocument=False, **given)["execution"]
        assert (found["jobId"], "jobDocument" in found) == (job, False)
    code, status, _ = refusal(
        data.describe_job_execution, thingName=thing, jobId=job, executionNumber=2, includeJobDocument=False
    )
    assert (code, status) == ("ResourceNotFoundException", 404)


@conforms("data DescribeJobExecution", "error TerminalStateException")
@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "REJECTED"])
def test_https_an_execution_that_has_ended_is_not_described(fleet, data, refusal, thing, status):
    job = fleet.job(thing)
    data.update_job_execution(thingName=thing, jobId=job, status=status)
    found = refusal(data.describe_job_execution, thingName=thing, jobId=job)
    assert found[:2] == ("TerminalStateException", 410)


@conforms("data GetPendingJobExecutions", "in thingName")
@conforms("data GetPendingJobExecutions", *(f"out queuedJobs.{n}" for n in SUMMARY | {"startedAt"}))
@conforms("data GetPendingJobExecutions", *(f"out inProgressJobs.{n}" for n in SUMMARY | {"startedAt"}))
def test_https_what_is_pending_is_told_in_two_lists(fleet, data, thing):
    running, *waiting = (fleet.job(thing) for _ in range(3))
    data.start_next_pending_job_execution(thingName=thing)
    found = data.get_pending_job_executions(thingName=thing)
    assert [entry["jobId"] for entry in found["inProgressJobs"]] == [running]
    assert [entry["jobId"] for entry in found["queuedJobs"]] == waiting
    assert set(found["queuedJobs"][0]) == SUMMARY
    assert set(found["inProgressJobs"][0]) == SUMMARY | {"startedAt"}
    versions = [entry["versionNumber"] for entry in found["inProgressJobs"] + found["queuedJobs"]]
    assert versions == [2, 1, 1]
    assert near_now(found["inProgressJobs"][0]["startedAt"])


@conforms("data StartNextPendingJobExecution", "out execution.jobId")
def test_https_an_idle_thing_has_no_next_execution(data, thing):
    assert set(data.start_next_pending_job_execution(thingName=thing)) == {"ResponseMetadata"}
    assert set(data.describe_job_execution(thingName=thing, jobId="$next")) == {"ResponseMetadata"}


@conforms("data UpdateJobExecution", *(f"in {n}" for n in ("jobId", "thingName", "status", "statusDetails")))
@conforms("data UpdateJobExecution", *(f"in {n}" for n in ("includeJobExecutionState", "includeJobDocument")))
@conforms("data UpdateJobExecution", "in expectedVersion", "in executionNumber", "out jobDocument")
@conforms(
    "data UpdateJobExecution",
    *(f"out executionState.{n}" for n in ("status", "statusDetails", "versionNumber")),
)
def test_https_an_update_answers_with_what_was_asked_for(fleet, data, thing):
    job = fleet.job(thing, document={"n": 1})
    answer = data.update_job_execution(
        thingName=thing,
        jobId=job,
        status="IN_PROGRESS",
        statusDetails={"a": "b"},
        expectedVersion=1,
        executionNumber=1,
        includeJobExecutionState=True,
        includeJobDocument=True,
    )
    state = {"status": "IN_PROGRESS", "statusDetails": {"a": "b"}, "versionNumber": 2}
    assert answer["executionState"] == state
    assert json.loads(answer["jobDocument"]) == {"n": 1}
    bare = data.update_job_execution(thingName=thing, jobId=job, status="SUCCEEDED")
    assert set(bare) == {"ResponseMetadata"}


@conforms("data UpdateJobExecution", "in executionNumber", "error ResourceNotFoundException")
def test_https_an_update_of_a_number_that_is_not_there_is_not_found(fleet, data, refusal, thing):
    job = fleet.job(thing)
    update = {"thingName": thing, "jobId": job, "status": "SUCCEEDED"}
    found = refusal(data.update_job_execution, **update, executionNumber=2)
    assert found[:2] == ("ResourceNotFoundException", 404)
    assert fleet.execution(thing, job)["status"] == "QUEUED"


@conforms("data UpdateJobExecution", "in stepTimeoutInMinutes")
@conforms("data StartNextPendingJobExecution", "in stepTimeoutInMinutes")
def test_https_a_step_timer_is_set_anew_cleared_and_never_later_than_the_other(fleet, data, thing):
    job = fleet.job(thing, timeoutConfig={"inProgressTimeoutInMinutes": 20})

    def left():
        found = data.describe_job_execution(thingName=thing, jobId=job)["execution"]
        return found["approximateSecondsBeforeTimedOut"] / 60

    data.start_next_pending_job_execution(thingName=thing, stepTimeoutInMinutes=5)
    assert 4 < left() <= 5
    for step, minutes in ((7, 7), (90, 20), (3, 3), (-1, 20)):
        update = {"thingName": thing, "jobId": job, "status": "IN_PROGRESS"}
        data.update_job_execution(**update, stepTimeoutInMinutes=step)
        assert minutes - 1 < left() <= minutes, step


@conforms("data UpdateJobExecution", "in status")
@pytest.mark.parametrize(("status", "starts"), [("SUCCEEDED", True), ("FAILED", True), ("REJECTED", False)])
def test_https_a_first_report_may_be_the_last(fleet, data, thing, status, starts):
    job = fleet.job(thing)
    data.update_job_execution(thingName=thing, jobId=job, status=status)
    found = fleet.execution(thing, job)
    assert (found["status"], "startedAt" in found) == (status, starts)


@conforms("data UpdateJobExecution", "in statusDetails")
@conforms("mqtt UpdateJobExecution", "in statusDetails")
def test_details_are_replaced_when_given_and_kept_when_not(fleet, data, connect, thing):
    job = fleet.job(thing)
    device = connect(thing, notices=False)
    seen = []
    for more in ({"statusDetails": {"a": "1", "b": "2"}}, {}, {"statusDetails": {"c": "3"}}):
        over_https = {"thingName": thing, "jobId": job, "status": "IN_PROGRESS", **more}
        answer = data.update_job_execution(**over_https, includeJobExecutionState=True)
        seen.append(answer["executionState"]["statusDetails"])
        update = {"status": "IN_PROGRESS", "includeJobExecutionState": True, **more}
        seen.append(device.ask(f"{job}/update", update)["executionState"]["statusDetails"])
    first = {"a": "1", "b": "2"}
    assert seen == [first, first, first, first, {"c": "3"}, {"c": "3"}]


@conforms("mqtt StartNextPendingJobExecution", "topic start-next", "topic start-next/accepted", *OVER_MQTT)
@conforms(
    "mqtt StartNextPendingJobExecution",
    "in statusDetails",
    "in clientToken",
    "out clientToken",
    "out timestamp",
)
@conforms("mqtt DescribeJobExecution", "topic {jobId}/get", "topic {jobId}/get/accepted", *OVER_MQTT)
@conforms("mqtt DescribeJobExecution", "in clientToken", "out clientToken", "out timestamp")
def test_mqtt_a_running_execution_is_told_whole(fleet, connect, thing):
    job = fleet.job(thing, document={"n": 1}, **TEN_MINUTES)
    device = connect(thing)
    started = device.ask("start-next", {"statusDetails": {"a": "b"}, "clientToken": "one"})
    described = device.ask(f"{job}/get", {"clientToken": "one"})
    for answer in (started, described):
        assert set(answer) == {"clientToken", "timestamp", "execution"}
        assert answer["clientToken"] == "one"
        assert near_now(answer["timestamp"])
        assert "thingName" not in answer["execution"]
        expect_running(answer["execution"], job, jobDocument={"n": 1})


@conforms("mqtt DescribeJobExecution", "in executionNumber", "in includeJobDocument", "code ResourceNotFound")
@conforms("mqtt DescribeJobExecution", "topic {jobId}/get/rejected")
def test_mqtt_an_execution_is_described_by_number_and_without_its_document(fleet, connect, thing):
    job = fleet.job(thing)
    device = connect(thing)
    found = device.ask(f"{job}/get", {"executionNumber": 1, "includeJobDocument": False})["execution"]
    assert (found["jobId"], "jobDocument" in found) == (job, False)
    assert device.refused(f"{job}/get", {"executionNumber": 2})["code"] == "ResourceNotFound"
    assert device.refused("nothing/get")["code"] == "ResourceNotFound"


@conforms("mqtt DescribeJobExecution", "code TerminalStateReached", "topic {jobId}/get/rejected")
def test_mqtt_an_execution_that_has_ended_is_not_described(fleet, connect, thing):
    job = fleet.job(thing)
    device = connect(thing, notices=False)
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    body = device.refused(f"{job}/get", {"clientToken": "t"})
    assert set(body) == {"clientToken", "code", "message", "timestamp"}
    assert (body["code"], body["clientToken"]) == ("TerminalStateReached", "t")


@conforms(
    "mqtt GetPendingJobExecutions", "topic get", "topic get/accepted", "in clientToken", "out clientToken"
)
@conforms("mqtt GetPendingJobExecutions", "out timestamp", "out inProgressJobs", "out queuedJobs")
def test_mqtt_what_is_pending_is_told_in_two_lists(fleet, connect, thing):
    running, *waiting = (fleet.job(thing) for _ in range(3))
    device = connect(thing, notices=False)
    device.ask("start-next")
    body = device.ask("get", {"clientToken": "t"})
    assert set(body) == {"clientToken", "timestamp", "inProgressJobs", "queuedJobs"}
    assert [entry["jobId"] for entry in body["inProgressJobs"]] == [running]
    assert [entry["jobId"] for entry in body["queuedJobs"]] == waiting
    assert set(body["inProgressJobs"][0]) == SUMMARY | {"startedAt"}
    assert set(body["queuedJobs"][0]) == SUMMARY


@conforms(
    "mqtt UpdateJobExecution",
    *(f"in {n}" for n in ("status", "statusDetails", "expectedVersion", "clientToken")),
)
@conforms(
    "mqtt UpdateJobExecution", "in executionNumber", "in includeJobExecutionState", "in includeJobDocument"
)
@conforms(
    "mqtt UpdateJobExecution", "out executionState", "out jobDocument", "out clientToken", "out timestamp"
)
def test_mqtt_an_update_answers_with_what_was_asked_for(fleet, connect, thing):
    job = fleet.job(thing, document={"n": 1})
    device = connect(thing, notices=False)
    body = device.ask(
        f"{job}/update",
        {
            "status": "IN_PROGRESS",
            "statusDetails": {"a": "b"},
            "expectedVersion": 1,
            "executionNumber": 1,
            "includeJobExecutionState": True,
            "includeJobDocument": True,
            "clientToken": "t",
        },
    )
    assert near_now(body.pop("timestamp"))
    assert body == {
        "clientToken": "t",
        "executionState": {"status": "IN_PROGRESS", "statusDetails": {"a": "b"}, "versionNumber": 2},
        "jobDocument": {"n": 1},
    }
    assert (
        device.refused(f"{job}/update", {"status": "FAILED", "executionNumber": 2})["code"]
        == "ResourceNotFound"
    )


@conforms("mqtt UpdateJobExecution", "in stepTimeoutInMinutes")
@conforms("mqtt StartNextPendingJobExecution", "in stepTimeoutInMinutes")
def test_mqtt_a_step_timer_is_set_anew_and_cleared(fleet, connect, thing):
    job = fleet.job(thing, timeoutConfig={"inProgressTimeoutInMinutes": 20})
    device = connect(thing, notices=False)
    device.ask("start-next", {"stepTimeoutInMinutes": 5})
    for step, minutes in ((None, 5), (7, 7), (-1, 20)):
        if step is not None:
            device.ask(f"{job}/update", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": step})
        left = device.ask(f"{job}/get")["execution"]["approximateSecondsBeforeTimedOut"] / 60
        assert minutes - 1 < left <= minutes, step


@conforms("mqtt DescribeJobExecution", "topic $next/get", "topic $next/get/accepted")
@conforms("mqtt StartNextPendingJobExecution", "topic start-next/accepted")
def test_mqtt_an_idle_thing_gets_the_bare_time(connect, thing):
    device = connect(thing)
    for name in ("start-next", "$next/get"):
        assert set(device.ask(name)) == {"timestamp"}


def refused(operation, name, body, code):
    """A request that is refused with a code on its topic."""
    marks = conforms(f"mqtt {operation}", f"topic {name}/rejected", f"code {code}")
    return pytest.param(
        name, body, code, id=f"{name}-{code}-{json.dumps(body, default=repr)[:30]}", marks=marks
    )


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        refused("GetPendingJobExecutions", "get", b"{", "InvalidJson"),
        refused("StartNextPendingJobExecution", "start-next", b"[]", "InvalidJson"),
        refused("StartNextPendingJobExecution", "start-next", {"statusDetails": 1}, "InvalidRequest"),
        refused("StartNextPendingJobExecution", "start-next", {"stepTimeoutInMinutes": 0}, "InvalidRequest"),
        refused("DescribeJobExecution", "{jobId}/get", b"\xff", "InvalidJson"),
        refused("DescribeJobExecution", "{jobId}/get", {"executionNumber": "one"}, "InvalidRequest"),
        refused("UpdateJobExecution", "{jobId}/update", b'"text"', "InvalidJson"),
        refused("UpdateJobExecution", "{jobId}/update", {}, "InvalidRequest"),
        refused("UpdateJobExecution", "{jobId}/update", {"status": "DONE"}, "InvalidRequest"),
        refused(
            "UpdateJobExecution",
            "{jobId}/update",
            {"status": "IN_PROGRESS", "expectedVersion": "two"},
            "InvalidRequest",
        ),
        refused(
            "UpdateJobExecution",
            "{jobId}/update",
            {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 10081},
            "InvalidRequest",
        ),
        refused(
            "UpdateJobExecution",
            "{jobId}/update",
            {"status": "IN_PROGRESS", "expectedVersion": 9},
            "VersionMismatch",
        ),
        refused("UpdateJobExecution", "{jobId}/update", {"status": "QUEUED"}, "InvalidStateTransition"),
    ],
)
def test_mqtt_a_refusal_has_its_code_a_message_and_the_time_and_changes_nothing(
    fleet, connect, thing, name, body, code
):
    job = fleet.job(thing)
    device = connect(thing)
    answer = device.refused(name.replace("{jobId}", job), body)
    assert answer["code"] == code
    assert answer["message"]
    assert near_now(answer["timestamp"])
    assert fleet.execution(thing, job)["versionNumber"] == 1


@conforms("mqtt other topics", "code InvalidTopic")
def test_mqtt_a_topic_that_names_no_request_is_refused(connect, thing):
    device = connect(thing)
    assert device.refused("no-request/of/ours")["code"] == "InvalidTopic"


@conforms("mqtt GetPendingJobExecutions", "topic get/accepted")
@conforms("mqtt UpdateJobExecution", "topic {jobId}/update/accepted", "topic {jobId}/update/rejected")
def test_mqtt_answers_need_no_subscription(fleet, make_link, thing):
    job = fleet.job(thing)
    device = fleet.device(thing, make_link(5, True))
    assert device.ask("get")["queuedJobs"]
    assert device.refused(f"{job}/update", {"status": "DONE"})["code"] == "InvalidRequest"
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})


@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_mqtt_a_new_job_is_notified_with_its_list_and_its_document(fleet, device, thing):
    job = fleet.job(thing, document={"n": 1})
    listed = device.take_named("notify")
    assert set(listed) == {"timestamp", "jobs"}
    assert list(listed["jobs"]) == ["QUEUED"]
    assert set(listed["jobs"]["QUEUED"][0]) == SUMMARY
    following = device.take_named("notify-next")
    assert set(following) == {"timestamp", "execution"}
    assert set(following["execution"]) == SUMMARY | {"status", "jobDocument"}
    assert (following["execution"]["jobId"], following["execution"]["jobDocument"]) == (job, {"n": 1})


@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_mqtt_reports_over_https_are_notified_too(fleet, data, device, thing):
    job = fleet.job(thing)
    device.take_named("notify")
    device.take_named("notify-next")
    data.start_next_pending_job_execution(thingName=thing)
    device.quiet()
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    assert device.take_named("notify")["jobs"] == {}
    assert set(device.take_named("notify-next")) == {"timestamp"}


@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_mqtt_a_cancel_and_a_delete_of_the_front_one_are_notified(fleet, connect, iot, thing):
    canceled, deleted, last = (fleet.job(thing) for _ in range(3))
    device = connect(thing)
    iot.cancel_job(jobId=canceled)
    assert [each["jobId"] for each in device.take_named("notify")["jobs"]["QUEUED"]] == [deleted, last]
    assert device.take_named("notify-next")["execution"]["jobId"] == deleted
    iot.delete_job_execution(jobId=deleted, thingName=thing, executionNumber=1)
    assert [each["jobId"] for each in device.take_named("notify")["jobs"]["QUEUED"]] == [last]
    assert device.take_named("notify-next")["execution"]["jobId"] == last
