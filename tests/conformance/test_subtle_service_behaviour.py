"""What a naive implementation of the job service gets wrong; one test for each, seen from boto3 and from a device."""

import json

import pytest

conforms = pytest.mark.conforms
ROLE = "arn:aws:iam::000000000000:role/signer"


@pytest.fixture
def sends(target):
    """The lines that boto3 puts on the wire from now on: method, path with query, body."""
    lines = []

    def before(request, **_):
        lines.append(
            (request.method, request.url.removeprefix(target.http), json.loads(request.body or "{}"))
        )

    events = target.client("iot").meta.events
    events.register("before-send.iot.*", before)
    yield lines
    events.unregister("before-send.iot.*", before)


def retries(kind, number):
    return {"jobExecutionsRetryConfig": {"criteriaList": [{"failureType": kind, "numberOfRetries": number}]}}


def ends(data, thing, job, status):
    data.update_job_execution(jobId=job, thingName=thing, status=status)


def attempts(iot, thing, job):
    """Execution number, attempt and status of each execution of a job on a thing, in order."""
    found = iot.list_job_executions_for_thing(thingName=thing, jobId=job)["executionSummaries"]
    rows = [entry["jobExecutionSummary"] for entry in found]
    return sorted((row["executionNumber"], row.get("retryAttempt", 0), row["status"]) for row in rows)


@conforms("iot CancelJob", "in force", "in comment", "in reasonCode")
@conforms("iot CancelJobExecution", "in force", "in expectedVersion")
def test_j02_force_is_read_from_the_query_and_the_rest_from_the_body(
    fleet, iot, data, sends, signed, refusal, eventually, thing
):
    job = fleet.job(thing)
    data.start_next_pending_job_execution(thingName=thing)
    code, status, _ = refusal(
        iot.cancel_job_execution, jobId=job, thingName=thing, force=True, expectedVersion=7
    )
    assert (code, status) == ("VersionConflictException", 409)
    assert sends[-1] == ("PUT", f"/things/{thing}/jobs/{job}/cancel?force=true", {"expectedVersion": 7})
    status, _ = signed("iot", "PUT", f"/jobs/{job}/cancel", {"force": True, "comment": "not forced"})
    assert status == 200
    assert fleet.execution(thing, job)["status"] == "IN_PROGRESS"
    other = fleet.thing()
    job = fleet.job(other)
    data.start_next_pending_job_execution(thingName=other)
    iot.cancel_job(jobId=job, force=True, comment="c", reasonCode="R")
    assert sends[-1] == ("PUT", f"/jobs/{job}/cancel?force=true", {"comment": "c", "reasonCode": "R"})
    described = iot.describe_job(jobId=job)["job"]
    assert (described["comment"], described["reasonCode"], described["forceCanceled"]) == ("c", "R", True)
    eventually(lambda: fleet.execution(other, job)["status"] == "CANCELED", 5)


@conforms("iot CancelJob", "in jobId", "out jobId", "out jobArn")
@conforms("iot DescribeJob", "out job.jobProcessDetails.numberOfSucceededThings")
def test_j22_what_runs_outlives_a_plain_cancel_and_may_still_succeed(fleet, iot, data, eventually):
    running, waiting = fleet.thing(), fleet.thing()
    job = fleet.job(running, waiting)
    data.start_next_pending_job_execution(thingName=running)
    answer = iot.cancel_job(jobId=job)
    assert (answer["jobId"], answer["jobArn"]) == (job, f"arn:aws:iot:us-east-1:000000000000:job/{job}")
    eventually(lambda: fleet.counts(job) == {"InProgress": 1, "Canceled": 1}, 5)
    ends(data, running, job, "SUCCEEDED")
    assert (fleet.status(job), fleet.counts(job)) == ("CANCELED", {"Succeeded": 1, "Canceled": 1})


@conforms("iot CreateJob", "in targetSelection")
@conforms("iot DescribeJob", "out job.status", "out job.targetSelection")
def test_j24_a_snapshot_completes_with_its_last_end_and_a_continuous_job_never_by_that(fleet, data):
    first, second = fleet.thing(), fleet.thing()
    group = fleet.group(first, second)
    snapshot = fleet.job(group, **retries("FAILED", 1))
    continuous = fleet.job(group, targetSelection="CONTINUOUS")
    for thing in (first, second):
        assert fleet.status(snapshot) == "IN_PROGRESS"
        ends(data, thing, continuous, "SUCCEEDED")
        ends(data, thing, snapshot, "FAILED")
    assert fleet.status(snapshot) == "IN_PROGRESS"
    for thing in (first, second):
        ends(data, thing, snapshot, "SUCCEEDED")
    assert (fleet.status(snapshot), fleet.status(continuous)) == ("COMPLETED", "IN_PROGRESS")


@conforms("iot CreateJob", "in jobExecutionsRolloutConfig.maximumPerMinute", "in targetSelection")
@conforms("mqtt notifications", "topic notify", "topic notify-next")
def test_j25_joining_queues_at_once_past_the_rate_and_is_pushed_for_a_continuous_job_only(
    fleet, connect, iot, refusal
):
    members, late = [fleet.thing() for _ in range(3)], fleet.thing()
    group = fleet.group(*members)
    snapshot = fleet.job(group)
    slow = {"maximumPerMinute": 1}
    continuous = fleet.job(group, targetSelection="CONTINUOUS", jobExecutionsRolloutConfig=slow)
    assert fleet.counts(continuous) == {"Queued": 1}
    device = connect(late)
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=late)
    assert [each["jobId"] for each in device.take_named("notify")["jobs"]["QUEUED"]] == [continuous]
    assert device.take_named("notify-next")["execution"]["jobId"] == continuous
    code, status, _ = refusal(iot.describe_job_execution, jobId=snapshot, thingName=late)
    assert (code, status) == ("ResourceNotFoundException", 404)


@conforms("iot CreateJob", "in jobExecutionsRetryConfig.criteriaList.numberOfRetries")
@conforms("iot DescribeJob", "out job.jobProcessDetails.numberOfRemovedThings")
@conforms("mqtt notifications", "topic notify")
def test_j26_leaving_removes_what_waits_with_its_retries_and_rejoining_counts_anew(
    fleet, connect, iot, data, eventually
):
    thing = fleet.thing()
    group = fleet.group(thing)
    job = fleet.job(group, targetSelection="CONTINUOUS", **retries("FAILED", 1))
    ends(data, thing, job, "FAILED")
    eventually(lambda: attempts(iot, thing, job) == [(1, 0, "FAILED"), (2, 1, "QUEUED")], 5)
    device = connect(thing)
    iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
    assert device.take_named("notify")["jobs"] == {}
    device.take_named("notify-next")
    assert fleet.counts(job) == {"Failed": 1, "Removed": 1}
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    device.take_named("notify")
    device.take_named("notify-next")
    ends(data, thing, job, "FAILED")
    eventually(
        lambda: (
            attempts(iot, thing, job)
            == [(1, 0, "FAILED"), (2, 1, "REMOVED"), (3, 0, "FAILED"), (4, 1, "QUEUED")]
        ),
        5,
    )


@conforms(
    "iot CreateJob",
    "in jobExecutionsRetryConfig.criteriaList.failureType",
    "in jobExecutionsRetryConfig.criteriaList.numberOfRetries",
)
@conforms(
    "iot ListJobExecutionsForThing",
    "in jobId",
    "out executionSummaries.jobExecutionSummary.retryAttempt",
    "out executionSummaries.jobExecutionSummary.executionNumber",
)
@conforms("iot DescribeJob", "out job.jobProcessDetails.numberOfFailedThings")
def test_j27_a_retry_is_an_execution_of_its_own_and_the_counts_are_of_executions(
    fleet, iot, data, eventually, thing
):
    job = fleet.job(thing, **retries("FAILED", 2))
    for number in (1, 2, 3):
        eventually(lambda number=number: (number, number - 1, "QUEUED") in attempts(iot, thing, job), 5)
        ends(data, thing, job, "FAILED")
    assert attempts(iot, thing, job) == [(1, 0, "FAILED"), (2, 1, "FAILED"), (3, 2, "FAILED")]
    assert (fleet.status(job), fleet.counts(job)) == ("COMPLETED", {"Failed": 3})


@conforms(
    "iot CreateJob",
    "in abortConfig.criteriaList.failureType",
    "in abortConfig.criteriaList.action",
    "in abortConfig.criteriaList.thresholdPercentage",
    "in abortConfig.criteriaList.minNumberOfExecutedThings",
)
@conforms("iot DescribeJob", "out job.comment", "out job.reasonCode")
def test_j28_an_abort_counts_what_has_ended_waits_for_the_minimum_and_cancels_what_waits(
    fleet, iot, data, eventually
):
    failed, well, running, *waiting = (fleet.thing() for _ in range(6))
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 2,
    }
    job = fleet.job(failed, well, running, *waiting, abortConfig={"criteriaList": [criterion]})
    data.start_next_pending_job_execution(thingName=running)
    ends(data, failed, job, "FAILED")
    assert fleet.status(job) == "IN_PROGRESS"
    ends(data, well, job, "SUCCEEDED")
    eventually(lambda: fleet.status(job) == "CANCELED", 5)
    eventually(lambda: fleet.counts(job) == {"Failed": 1, "Succeeded": 1, "InProgress": 1, "Canceled": 3}, 5)
    described = iot.describe_job(jobId=job)["job"]
    assert described["comment"]
    assert described["reasonCode"]


@conforms(
    "iot DescribeJobExecution",
    "out execution.statusDetails",
    "out execution.thingArn",
    "in thingName",
)
@conforms("iot CancelJobExecution", "in statusDetails", "in jobId", "in thingName")
@conforms("data DescribeJobExecution", "out execution.statusDetails", "out execution.thingName")
def test_j31_details_are_nested_for_operators_and_flat_for_devices(fleet, iot, data, thing):
    job = fleet.job(thing)
    data.start_next_pending_job_execution(thingName=thing, statusDetails={"a": "1"})
    nested = iot.describe_job_execution(jobId=job, thingName=thing)["execution"]
    assert (nested["statusDetails"], nested["thingArn"]) == ({"detailsMap": {"a": "1"}}, fleet.arn(thing))
    flat = data.describe_job_execution(jobId=job, thingName=thing)["execution"]
    assert (flat["statusDetails"], flat["thingName"]) == ({"a": "1"}, thing)
    iot.cancel_job_execution(jobId=job, thingName=thing, force=True, statusDetails={"b": "2"})
    assert fleet.execution(thing, job)["statusDetails"] == {"detailsMap": {"b": "2"}}


@conforms("iot CreateJob", "in documentSource")
@conforms("iot GetJobDocument", "out document")
def test_j32_a_document_source_is_read_once(fleet, iot, data, bucket, thing):
    source = bucket("document.json", '{"n": 1}')
    job = fleet.job(thing, documentSource=source)
    bucket("document.json", '{"n": 2}')
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"n": 1}
    sent = data.start_next_pending_job_execution(thingName=thing)["execution"]["jobDocument"]
    assert json.loads(sent) == {"n": 1}


@conforms("iot CreateJob", "in presignedUrlConfig.roleArn", "in document")
@conforms("iot GetJobDocument", "out document")
@conforms("data DescribeJobExecution", "out execution.jobDocument")
def test_j33_operators_see_the_placeholder_and_devices_a_fresh_url_each_time(
    fleet, iot, data, bucket, eventually, thing
):
    document = {"url": f"${{aws:iot:s3-presigned-url:{bucket('image', 'bytes')}}}"}
    job = fleet.job(thing, document=document, presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 60})
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == document

    def sent():
        found = data.describe_job_execution(jobId=job, thingName=thing)["execution"]["jobDocument"]
        return json.loads(found)["url"]

    first = sent()
    assert "Signature=" in first
    assert eventually(lambda: (second := sent()) != first and second, 5)


@conforms("iot CreateJobTemplate", "error ConflictException", "in jobTemplateId")
@conforms("iot CreateJob", "error ResourceAlreadyExistsException", "in jobId")
def test_j39_a_template_that_exists_is_a_conflict_and_a_job_that_exists_is_told_with_its_arn(
    fleet, iot, refusal, thing
):
    job = fleet.job(thing)
    code, status, error = refusal(iot.create_job, jobId=job, targets=[fleet.arn(thing)], document="{}")
    assert (code, status) == ("ResourceAlreadyExistsException", 409)
    assert (error.response["resourceId"], error.response["resourceArn"].split(":")[-1]) == (job, f"job/{job}")
    template = {"jobTemplateId": fleet.name("template"), "description": "d", "document": "{}"}
    iot.create_job_template(**template)
    code, status, _ = refusal(iot.create_job_template, **template)
    assert (code, status) == ("ConflictException", 409)
