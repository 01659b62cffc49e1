"""Job executions of the ``iot`` model, member by member."""

import datetime as dt

import pytest

conforms = pytest.mark.conforms
SUMMARY = ("status", "queuedAt", "startedAt", "lastUpdatedAt", "executionNumber", "retryAttempt")


def near_now(time):
    return abs(dt.datetime.now(dt.UTC) - time) < dt.timedelta(minutes=1)


def listed(client, operation, **given):
    pages = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **given)
    return [entry for page in pages for entry in page["executionSummaries"]]


@conforms("iot DescribeJobExecution", "in jobId", "in thingName")
@conforms(
    "iot DescribeJobExecution", *(f"out execution.{n}" for n in ("jobId", "status", "thingArn", "queuedAt"))
)
@conforms(
    "iot DescribeJobExecution",
    *(f"out execution.{n}" for n in ("startedAt", "lastUpdatedAt", "statusDetails")),
)
@conforms("iot DescribeJobExecution", "out execution.executionNumber", "out execution.versionNumber")
@conforms("iot DescribeJobExecution", "out execution.approximateSecondsBeforeTimedOut")
def test_an_execution_is_described_while_it_waits_runs_and_has_ended(fleet, data, thing):
    job = fleet.job(thing, timeoutConfig={"inProgressTimeoutInMinutes": 10})
    waiting = fleet.execution(thing, job)
    assert (waiting["jobId"], waiting["thingArn"]) == (job, fleet.arn(thing))
    assert (waiting["status"], waiting["executionNumber"], waiting["versionNumber"]) == ("QUEUED", 1, 1)
    assert near_now(waiting["queuedAt"])
    assert not {"startedAt", "approximateSecondsBeforeTimedOut"} & set(waiting)
    data.start_next_pending_job_execution(thingName=thing, statusDetails={"a": "b"})
    running = fleet.execution(thing, job)
    assert (running["status"], running["versionNumber"]) == ("IN_PROGRESS", 2)
    assert running["statusDetails"] == {"detailsMap": {"a": "b"}}
    assert near_now(running["startedAt"])
    assert near_now(running["lastUpdatedAt"])
    assert 500 < running["approximateSecondsBeforeTimedOut"] <= 600
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    assert "approximateSecondsBeforeTimedOut" not in fleet.execution(thing, job)


@conforms("iot DescribeJobExecution", "in executionNumber")
def test_an_execution_is_described_by_its_number_and_the_newest_without(
    fleet, data, iot, refusal, eventually, thing
):
    retry = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}
    job = fleet.job(thing, jobExecutionsRetryConfig=retry)
    data.update_job_execution(jobId=job, thingName=thing, status="FAILED")
    eventually(lambda: fleet.execution(thing, job)["executionNumber"] == 2, 5)
    assert fleet.execution(thing, job, executionNumber=1)["status"] == "FAILED"
    code, status, _ = refusal(iot.describe_job_execution, jobId=job, thingName=thing, executionNumber=3)
    assert (code, status) == ("ResourceNotFoundException", 404)


@conforms("iot ListJobExecutionsForJob", *(f"in {n}" for n in ("jobId", "status", "maxResults", "nextToken")))
@conforms("iot ListJobExecutionsForJob", "out executionSummaries.thingArn", "out nextToken")
@conforms(
    "iot ListJobExecutionsForJob", *(f"out executionSummaries.jobExecutionSummary.{n}" for n in SUMMARY)
)
def test_the_executions_of_a_job_are_listed_newest_change_first_and_once_an_attempt(
    fleet, data, iot, eventually
):
    things = [fleet.thing() for _ in range(4)]
    retry = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}
    job = fleet.job(fleet.group(*things), jobExecutionsRetryConfig=retry)
    data.start_next_pending_job_execution(thingName=things[2])
    data.update_job_execution(jobId=job, thingName=things[2], status="FAILED")
    found = eventually(
        lambda: len(rows := listed(iot, "list_job_executions_for_job", jobId=job)) == 5 and rows, 5
    )
    arn = fleet.arn(things[2])
    assert {found[0]["thingArn"], found[1]["thingArn"]} == {arn}
    own = sorted((e["jobExecutionSummary"] for e in found[:2]), key=lambda each: each["executionNumber"])
    assert [(e["status"], e["executionNumber"], e.get("retryAttempt", 0)) for e in own] == [
        ("FAILED", 1, 0),
        ("QUEUED", 2, 1),
    ]
    assert near_now(own[0]["queuedAt"])
    assert near_now(own[0]["startedAt"])
    assert near_now(own[0]["lastUpdatedAt"])
    failed = iot.list_job_executions_for_job(jobId=job, status="FAILED")["executionSummaries"]
    assert [entry["thingArn"] for entry in failed] == [arn]
    first = iot.list_job_executions_for_job(jobId=job, maxResults=4)
    rest = iot.list_job_executions_for_job(jobId=job, maxResults=4, nextToken=first["nextToken"])
    assert [len(first["executionSummaries"]), len(rest["executionSummaries"])] == [4, 1]
    assert "nextToken" not in rest


@conforms(
    "iot ListJobExecutionsForThing", *(f"in {n}" for n in ("thingName", "status", "maxResults", "nextToken"))
)
@conforms("iot ListJobExecutionsForThing", "in jobId", "out executionSummaries.jobId", "out nextToken")
@conforms(
    "iot ListJobExecutionsForThing", *(f"out executionSummaries.jobExecutionSummary.{n}" for n in SUMMARY)
)
def test_the_executions_of_a_thing_are_listed_with_filters_and_pages(fleet, data, iot, eventually, thing):
    retry = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}
    failing = fleet.job(thing, jobExecutionsRetryConfig=retry)
    jobs = [failing, *(fleet.job(thing) for _ in range(3))]
    data.update_job_execution(jobId=failing, thingName=thing, status="FAILED")
    found = eventually(
        lambda: len(rows := listed(iot, "list_job_executions_for_thing", thingName=thing)) == 5 and rows, 5
    )
    assert sorted(entry["jobId"] for entry in found) == sorted([*jobs, failing])
    of_job = listed(iot, "list_job_executions_for_thing", thingName=thing, jobId=failing)
    own = sorted((e["jobExecutionSummary"] for e in of_job), key=lambda each: each["executionNumber"])
    assert [(e["status"], e.get("retryAttempt", 0)) for e in own] == [("FAILED", 0), ("QUEUED", 1)]
    assert near_now(own[0]["queuedAt"])
    assert near_now(own[0]["startedAt"])
    assert near_now(own[0]["lastUpdatedAt"])
    ended = listed(iot, "list_job_executions_for_thing", thingName=thing, status="FAILED")
    assert [entry["jobId"] for entry in ended] == [failing]
    first = iot.list_job_executions_for_thing(thingName=thing, maxResults=4)
    rest = iot.list_job_executions_for_thing(thingName=thing, maxResults=4, nextToken=first["nextToken"])
    assert [len(first["executionSummaries"]), len(rest["executionSummaries"])] == [4, 1]


@conforms(
    "iot CancelJobExecution", *(f"in {n}" for n in ("jobId", "thingName", "expectedVersion", "statusDetails"))
)
@conforms("iot CancelJobExecution", "in force", "error InvalidStateTransitionException")
@conforms("iot CancelJobExecution", "error VersionConflictException")
def test_an_execution_is_canceled_with_its_version_and_with_force_when_it_runs(fleet, data, iot, refusal):
    waiting, running = fleet.thing(), fleet.thing()
    job = fleet.job(waiting, running)
    data.start_next_pending_job_execution(thingName=running, statusDetails={"kept": "yes"})
    iot.cancel_job_execution(jobId=job, thingName=waiting, expectedVersion=1, statusDetails={"why": "test"})
    canceled = fleet.execution(waiting, job)
    assert (canceled["status"], canceled["statusDetails"]) == ("CANCELED", {"detailsMap": {"why": "test"}})
    plain = refusal(iot.cancel_job_execution, jobId=job, thingName=running)
    assert plain[:2] == ("InvalidStateTransitionException", 409)
    stale = refusal(iot.cancel_job_execution, jobId=job, thingName=running, force=True, expectedVersion=1)
    assert stale[:2] == ("VersionConflictException", 409)
    iot.cancel_job_execution(jobId=job, thingName=running, force=True, expectedVersion=2)
    ended = fleet.execution(running, job)
    assert (ended["status"], ended["statusDetails"]) == ("CANCELED", {"detailsMap": {"kept": "yes"}})
    again = refusal(iot.cancel_job_execution, jobId=job, thingName=running, force=True)
    assert again[:2] == ("InvalidStateTransitionException", 409)


@conforms("iot DeleteJobExecution", *(f"in {n}" for n in ("jobId", "thingName", "executionNumber", "force")))
@conforms(
    "iot DeleteJobExecution", "error InvalidStateTransitionException", "error ResourceNotFoundException"
)
def test_an_execution_is_deleted_by_its_number_and_with_force_when_it_runs(fleet, data, iot, refusal):
    waiting, running, ended = (fleet.thing() for _ in range(3))
    job = fleet.job(waiting, running, ended)
    data.start_next_pending_job_execution(thingName=running)
    data.update_job_execution(jobId=job, thingName=ended, status="SUCCEEDED")
    wrong = refusal(iot.delete_job_execution, jobId=job, thingName=waiting, executionNumber=2)
    assert wrong[:2] == ("ResourceNotFoundException", 404)
    iot.delete_job_execution(jobId=job, thingName=ended, executionNumber=1)
    plain = refusal(iot.delete_job_execution, jobId=job, thingName=running, executionNumber=1)
    assert plain[:2] == ("InvalidStateTransitionException", 409)
    iot.delete_job_execution(jobId=job, thingName=running, executionNumber=1, force=True)
    found = iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
    assert [entry["thingArn"] for entry in found] == [fleet.arn(waiting)]
