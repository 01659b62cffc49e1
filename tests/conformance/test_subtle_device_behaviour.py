"""What a naive implementation of the jobs device plane gets wrong; one test for each, over MQTT, HTTPS or both."""

import datetime as dt
import json
import time

import awsiot
import pytest
from awsiot import iotjobs

conforms = pytest.mark.conforms
ROLE = "arn:aws:iam::000000000000:role/signer"


@conforms("iot ListJobExecutionsForThing", "out executionSummaries.jobId")
@conforms("data GetPendingJobExecutions", "out queuedJobs.jobId")
def test_j01_the_signing_scope_tells_two_services_on_one_host_apart(fleet, signed, thing):
    job = fleet.job(thing)
    status, control = signed("iot", "GET", f"/things/{thing}/jobs")
    assert (status, [entry["jobId"] for entry in control["executionSummaries"]]) == (200, [job])
    status, device = signed("iot-jobs-data", "GET", f"/things/{thing}/jobs")
    assert (status, [entry["jobId"] for entry in device["queuedJobs"]]) == (200, [job])
    assert device["inProgressJobs"] == []


@conforms("data DescribeJobExecution", "in jobId", "in thingName")
@conforms("data StartNextPendingJobExecution", "in thingName")
def test_j03_next_may_be_percent_encoded_and_things_may_have_colons(fleet, signed):
    thing = fleet.thing(fleet.name("thing") + ":b")
    job = fleet.job(thing)
    for path in ("$next", "%24next"):
        status, body = signed("iot-jobs-data", "GET", f"/things/{thing.replace(':', '%3A')}/jobs/{path}")
        assert (status, body["execution"]["jobId"]) == (200, job)
    status, body = signed("iot-jobs-data", "PUT", f"/things/{thing.replace(':', '%3A')}/jobs/%24next", {})
    assert (status, body["execution"]["status"]) == (200, "IN_PROGRESS")


@conforms("mqtt StartNextPendingJobExecution", "topic start-next", "topic start-next/accepted")
def test_j04_starting_the_front_job_notifies_nobody(fleet, device, thing):
    job = fleet.job(thing)
    device.take_named("notify")
    device.take_named("notify-next")
    assert device.ask("start-next")["execution"]["jobId"] == job
    device.quiet()


@conforms("mqtt UpdateJobExecution", "topic {jobId}/update", "topic {jobId}/update/accepted")
@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_j05_a_second_job_is_listed_only_and_the_end_of_the_first_is_answered_listed_and_followed(
    fleet, device, thing
):
    first = fleet.job(thing)
    device.take_named("notify")
    device.take_named("notify-next")
    second = fleet.job(thing)
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == [first, second]
    device.quiet()
    device.ask("start-next")
    device.ask(f"{first}/update", {"status": "SUCCEEDED"})
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == [second]
    assert device.take_named("notify-next")["execution"]["jobId"] == second


@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_j06_the_end_of_the_last_job_is_an_empty_list_and_a_bare_next(fleet, device, thing):
    job = fleet.job(thing)
    device.take_named("notify")
    device.take_named("notify-next")
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    assert device.take_named("notify")["jobs"] == {}
    assert set(device.take_named("notify-next")) == {"timestamp"}
    device.quiet()


@conforms("mqtt notifications", "topic notify-next")
def test_j07_a_later_job_that_starts_first_becomes_the_next_and_is_not_listed_anew(fleet, connect, thing):
    fleet.job(thing)
    later = fleet.job(thing)
    device = connect(thing)
    device.ask(f"{later}/update", {"status": "IN_PROGRESS"})
    execution = device.take_named("notify-next")["execution"]
    assert (execution["jobId"], execution["status"]) == (later, "IN_PROGRESS")
    device.quiet()


@conforms("mqtt notifications", "topic notify")
@conforms("mqtt GetPendingJobExecutions", "out inProgressJobs", "out queuedJobs")
def test_j08_a_notification_leaves_empty_lists_out_and_an_answer_keeps_them(fleet, device, thing):
    body = device.ask("get")
    assert (body["inProgressJobs"], body["queuedJobs"]) == ([], [])
    fleet.job(thing)
    assert list(device.take_named("notify")["jobs"]) == ["QUEUED"]


@conforms("iot GetJobDocument", "in jobId", "out document")
@conforms(
    "mqtt DescribeJobExecution",
    "topic {jobId}/get",
    "topic {jobId}/get/accepted",
    "out execution.jobDocument",
)
def test_j09_a_document_is_an_object_over_mqtt_and_text_over_https(fleet, connect, data, iot, thing):
    job = fleet.job(thing, document={"n": 1})
    device = connect(thing)
    assert device.ask(f"{job}/get")["execution"]["jobDocument"] == {"n": 1}
    assert device.ask("$next/get")["execution"]["jobDocument"] == {"n": 1}
    sent = data.describe_job_execution(thingName=thing, jobId=job)["execution"]["jobDocument"]
    assert json.loads(sent) == {"n": 1}
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"n": 1}


@conforms("data StartNextPendingJobExecution", "out execution.queuedAt", "out execution.startedAt")
@conforms("mqtt DescribeJobExecution", "out timestamp")
def test_j10_times_on_the_device_plane_are_whole_seconds(fleet, connect, data, sdk, thing):
    job = fleet.job(thing)
    started = data.start_next_pending_job_execution(thingName=thing)["execution"]
    times = [started[name] for name in ("queuedAt", "startedAt", "lastUpdatedAt")]
    request = iotjobs.DescribeJobExecutionRequest(thing_name=thing, job_id=job)
    answer = sdk.describe_job_execution(request).result(10)
    for moment in (answer.timestamp, answer.execution.queued_at, answer.execution.started_at):
        assert abs(moment.astimezone(dt.UTC) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    watcher = connect(fleet.thing())
    other = fleet.job(watcher.thing)
    execution = watcher.take_named("notify")["jobs"]["QUEUED"][0]
    times += [execution["queuedAt"], execution["lastUpdatedAt"]]
    times.append(watcher.take_named("notify-next")["timestamp"])
    times.append(watcher.ask(f"{other}/get")["timestamp"])
    assert all(isinstance(value, int) and abs(value - time.time()) < 60 for value in times), times


@conforms(
    "mqtt UpdateJobExecution",
    "in clientToken",
    "out clientToken",
    "topic {jobId}/update/rejected",
    "code InvalidRequest",
)
def test_j11_the_client_token_comes_back_in_answers_and_refusals(fleet, connect, sdk, thing):
    job = fleet.job(thing)
    update = iotjobs.UpdateJobExecutionRequest(
        thing_name=thing, job_id=job, status="IN_PROGRESS", expected_version=7
    )
    with pytest.raises(awsiot.V2ServiceException) as caught:
        sdk.update_job_execution(update).result(10)
    assert caught.value.modeled_error.code == "VersionMismatch"
    asked = iotjobs.GetPendingJobExecutionsRequest(thing_name=thing)
    assert [each.job_id for each in sdk.get_pending_job_executions(asked).result(10).queued_jobs] == [job]
    other = connect(fleet.thing())
    other_job = fleet.job(other.thing)
    other.take_named("notify")
    other.take_named("notify-next")
    assert other.ask("get", {"clientToken": "one"})["clientToken"] == "one"
    assert "clientToken" not in other.ask("get")
    refused = other.refused(f"{other_job}/update", {"status": "DONE", "clientToken": "two"})
    assert (refused["code"], refused["clientToken"]) == ("InvalidRequest", "two")
    assert "clientToken" not in other.refused(f"{other_job}/update", {"status": "DONE"})


@conforms("mqtt UpdateJobExecution", "in expectedVersion")
def test_j12_the_expected_version_may_be_text(fleet, connect, thing):
    job = fleet.job(thing)
    device = connect(thing)
    device.ask("start-next")
    device.ask(f"{job}/update", {"status": "IN_PROGRESS", "expectedVersion": "2"})
    assert fleet.execution(thing, job)["versionNumber"] == 3


@conforms("mqtt UpdateJobExecution", "out timestamp", "in includeJobExecutionState", "in includeJobDocument")
def test_j13_an_update_that_asks_for_nothing_gets_the_time_only(fleet, connect, thing):
    job = fleet.job(thing)
    device = connect(thing)
    assert set(device.ask(f"{job}/update", {"status": "IN_PROGRESS"})) == {"timestamp"}
    body = device.ask(f"{job}/update", {"status": "IN_PROGRESS", "clientToken": "t"})
    assert set(body) == {"timestamp", "clientToken"}


@conforms(
    "mqtt UpdateJobExecution", "code VersionMismatch", "code InvalidStateTransition", "code ResourceNotFound"
)
def test_j14_the_state_comes_with_version_and_transition_refusals_only_and_stays(fleet, connect, thing):
    job = fleet.job(thing)
    device = connect(thing)
    stale = device.refused(f"{job}/update", {"status": "IN_PROGRESS", "expectedVersion": 99})
    assert (stale["code"], stale["executionState"]) == (
        "VersionMismatch",
        {"status": "QUEUED", "versionNumber": 1},
    )
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    device.take_named("notify")
    device.take_named("notify-next")
    before = fleet.execution(thing, job)
    ended = device.refused(f"{job}/update", {"status": "FAILED"})
    assert ended["code"] == "InvalidStateTransition"
    assert ended["executionState"] == {"status": "SUCCEEDED", "versionNumber": 2}
    for name, body in (("none", {"status": "FAILED"}), (job, {"status": "DONE"})):
        assert "executionState" not in device.refused(f"{name}/update", body)
    assert fleet.execution(thing, job) == before


@conforms("mqtt UpdateJobExecution", "code VersionMismatch")
@conforms("iot CancelJobExecution", "in expectedVersion", "error VersionConflictException")
@conforms("data UpdateJobExecution", "in expectedVersion", "error InvalidStateTransitionException")
def test_j15_a_wrong_version_has_a_name_of_its_own_on_each_plane(fleet, connect, iot, data, refusal, thing):
    job = fleet.job(thing)
    device = connect(thing)
    update = {"status": "IN_PROGRESS", "expectedVersion": 5}
    assert device.refused(f"{job}/update", update)["code"] == "VersionMismatch"
    found = refusal(iot.cancel_job_execution, jobId=job, thingName=thing, expectedVersion=5)
    assert found[:2] == ("VersionConflictException", 409)
    found = refusal(data.update_job_execution, jobId=job, thingName=thing, **update)
    assert found[:2] == ("InvalidStateTransitionException", 409)


@conforms("mqtt StartNextPendingJobExecution", "in statusDetails", "out execution.statusDetails")
@conforms("data StartNextPendingJobExecution", "in statusDetails", "out execution.statusDetails")
def test_j16_repeating_start_next_returns_the_old_details_and_the_same_version(fleet, connect, data, thing):
    fleet.job(thing)
    device = connect(thing)
    device.ask("start-next", {"statusDetails": {"a": "1"}})
    again = device.ask("start-next", {"statusDetails": {"b": "2"}})["execution"]
    over_https = data.start_next_pending_job_execution(thingName=thing, statusDetails={"c": "3"})["execution"]
    for execution in (again, over_https):
        assert (execution["statusDetails"], execution["versionNumber"]) == ({"a": "1"}, 2)


@conforms("mqtt DescribeJobExecution", "topic $next/get", "topic $next/get/accepted")
def test_j17_looking_at_the_next_one_changes_nothing_and_an_idle_thing_is_no_error(fleet, connect, thing):
    device = connect(thing, notices=False)
    assert set(device.ask("$next/get")) == {"timestamp"}
    job = fleet.job(thing)
    for _ in range(2):
        execution = device.ask("$next/get")["execution"]
        assert (execution["jobId"], execution["status"], execution["versionNumber"]) == (job, "QUEUED", 1)


@conforms("mqtt UpdateJobExecution", "in status", "out executionState")
def test_j18_progress_raises_the_version_keeps_the_start_and_notifies_nobody(fleet, connect, thing):
    job = fleet.job(thing, timeoutConfig={"inProgressTimeoutInMinutes": 30})
    device = connect(thing)
    first = device.ask("start-next")["execution"]
    report = {"status": "IN_PROGRESS", "statusDetails": {"p": "50"}, "includeJobExecutionState": True}
    assert device.ask(f"{job}/update", report)["executionState"]["versionNumber"] == 3
    later = device.ask(f"{job}/get")["execution"]
    assert later["startedAt"] == first["startedAt"]
    assert 0 <= first["approximateSecondsBeforeTimedOut"] - later["approximateSecondsBeforeTimedOut"] < 30
    device.quiet()


@conforms("mqtt UpdateJobExecution", "code InvalidStateTransition", "in status")
@conforms("data UpdateJobExecution", "in status", "error InvalidStateTransitionException")
def test_j21_states_of_the_service_are_refused_even_for_an_unknown_job_and_rejected_ends_for_good(
    fleet, connect, data, refusal, thing
):
    retry = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 2}]}
    job = fleet.job(thing, jobExecutionsRetryConfig=retry)
    device = connect(thing, notices=False)
    for status in ("CANCELED", "REMOVED", "TIMED_OUT", "QUEUED"):
        for name in (job, "unknown"):
            body = device.refused(f"{name}/update", {"status": status})
            assert (body["code"], "executionState" in body) == ("InvalidStateTransition", False)
            found = refusal(data.update_job_execution, jobId=name, thingName=thing, status=status)
            assert found[:2] == ("InvalidStateTransitionException", 409)
    device.ask(f"{job}/update", {"status": "REJECTED"})
    assert (fleet.status(job), fleet.counts(job)) == ("COMPLETED", {"Rejected": 1})


@conforms("mqtt UpdateJobExecution", "code InvalidStateTransition", "code ResourceNotFound")
@conforms("data UpdateJobExecution", "error ResourceNotFoundException")
def test_j23_a_late_report_is_an_invalid_transition_after_a_cancel_and_unknown_after_a_delete(
    fleet, connect, iot, data, refusal, thing
):
    canceled, deleted = fleet.job(thing), fleet.job(thing)
    device = connect(thing, notices=False)
    for job in (canceled, deleted):
        device.ask(f"{job}/update", {"status": "IN_PROGRESS"})
    iot.cancel_job_execution(jobId=canceled, thingName=thing, force=True)
    iot.delete_job_execution(jobId=deleted, thingName=thing, executionNumber=1, force=True)
    body = device.refused(f"{canceled}/update", {"status": "SUCCEEDED"})
    assert (body["code"], body["executionState"]["status"]) == ("InvalidStateTransition", "CANCELED")
    assert device.refused(f"{deleted}/update", {"status": "SUCCEEDED"})["code"] == "ResourceNotFound"
    update = {"thingName": thing, "status": "SUCCEEDED"}
    assert (
        refusal(data.update_job_execution, jobId=canceled, **update)[0] == "InvalidStateTransitionException"
    )
    assert refusal(data.update_job_execution, jobId=deleted, **update)[0] == "ResourceNotFoundException"


@conforms("mqtt DescribeJobExecution", "topic {jobId}/get")
@conforms("mqtt GetPendingJobExecutions", "topic get")
def test_j34_a_job_called_like_a_request_does_not_hijack_it(fleet, connect, iot, thing):
    names = [fleet.job(thing, job=name) for name in ("get", "start-next")]
    device = connect(thing, notices=False)
    try:
        assert [entry["jobId"] for entry in device.ask("get")["queuedJobs"]] == names
        for name in names:
            assert device.ask(f"{name}/get")["execution"]["jobId"] == name
        assert device.ask("start-next")["execution"]["jobId"] == "get"
        for name in names:
            device.ask(f"{name}/update", {"status": "SUCCEEDED"})
    finally:
        for name in names:
            iot.delete_job(jobId=name, force=True)


@conforms("mqtt UpdateJobExecution", "topic {jobId}/update/accepted")
def test_j35_answers_go_to_the_client_that_asked_and_to_nobody_else(fleet, connect, make_link, thing):
    spy_thing = fleet.thing()
    everything = fleet.policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*"})
    fleet.identity(spy_thing, everything)
    spy = fleet.device(spy_thing, make_link(5, True))
    spy.subscribe(f"$aws/things/{thing}/jobs/+/update/accepted", "free/#")
    job = fleet.job(thing)
    device = connect(thing, notices=False)
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    device.publish("free/end", {"over": True})
    assert spy.take().topic == "free/end"


@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_j36_nothing_is_replayed_or_retained_and_a_kept_session_gets_what_it_missed(fleet, connect, thing):
    kept_thing = fleet.thing()
    fleet.job(thing)
    for _ in range(2):
        device = connect(thing)
        device.quiet()
        device.disconnect()
    kept = connect(kept_thing, clean=False)
    kept.drop()
    job = fleet.job(kept_thing)
    kept.connect(clean=False)
    assert kept.session_present is True
    missed = {message.topic: message for message in (kept.take(), kept.take())}
    assert set(missed) == {kept.topic("notify"), kept.topic("notify-next")}
    following = missed[kept.topic("notify-next")]
    assert (following.body["execution"]["jobId"], following.retain) == (job, False)
    kept.quiet()


@conforms("mqtt UpdateJobExecution", "in statusDetails", "code InvalidRequest")
@conforms("data UpdateJobExecution", "in statusDetails", "error InvalidRequestException")
@pytest.mark.parametrize(
    "details",
    [{f"k{n}": "v" for n in range(11)}, {"k": "v" * 1025}, {"k": "a\nb"}],
    ids=["eleven-pairs", "too-long", "control-characters"],
)
def test_j40_status_details_beyond_the_limits_are_refused_on_both_doors(
    fleet, connect, data, refusal, thing, details
):
    job = fleet.job(thing)
    device = connect(thing)
    update = {"status": "IN_PROGRESS", "statusDetails": details}
    assert device.refused(f"{job}/update", update)["code"] == "InvalidRequest"
    found = refusal(data.update_job_execution, jobId=job, thingName=thing, **update)
    assert found[:2] == ("InvalidRequestException", 400)
    assert fleet.execution(thing, job)["versionNumber"] == 1


@conforms("mqtt notifications", "topic notify")
@conforms("iot ListJobExecutionsForThing", "in status")
def test_j41_ten_are_listed_and_the_eleventh_appears_when_one_ends(fleet, connect, iot, thing):
    jobs = [fleet.job(thing) for _ in range(11)]
    device = connect(thing)
    device.ask(f"{jobs[0]}/update", {"status": "SUCCEEDED"})
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == jobs[1:11]
    assert device.take_named("notify-next")["execution"]["jobId"] == jobs[1]
    last = fleet.job(thing)
    assert [entry["jobId"] for entry in device.take_named("notify")["jobs"]["QUEUED"]] == jobs[1:11]
    waiting = iot.list_job_executions_for_thing(thingName=thing, status="QUEUED")["executionSummaries"]
    assert sorted(entry["jobId"] for entry in waiting) == sorted([*jobs[1:], last])
