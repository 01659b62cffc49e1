"""The control plane and the jobs data plane, as boto3 sees them."""

import datetime as dt
import json
import subprocess
from urllib.parse import quote

import pytest

ROLE = "arn:aws:iam::000000000000:role/signer"


@pytest.fixture
def iot(server, tls):
    return server.client("iot", tls=tls)


@pytest.fixture
def data(server, tls):
    return server.client("iot-jobs-data", tls=tls)


@pytest.fixture
def bucket(server, fleet):
    name = f"documents-{fleet.name()}"
    server.client("s3").create_bucket(Bucket=name)
    return name


def refusal(call, **given):
    """Code and HTTP status of the error that a call raises, and the class boto3 made for it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any; what it is, is looked at
        call(**given)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], caught.value


def fetch(url, server, *options):
    """What curl without any credentials makes of a URL: status and body."""
    command = ["curl", "-sS", "--cacert", server.ca, "-w", "\n%{http_code}", *options, url]
    output = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
    body, _, status = output.rpartition(b"\n")
    return int(status), body


def near_now(time):
    return abs((dt.datetime.now(dt.UTC) - time).total_seconds()) < 60


def test_create_and_describe_a_job_on_things_and_groups(fleet, iot):
    first, second, third = (fleet.thing() for _ in range(3))
    group = fleet.group(second, third)
    job = fleet.name("job")
    made = iot.create_job(
        jobId=job,
        targets=[fleet.arn(first), fleet.arn(group)],
        document='{"operation": "test"}',
        description="for two and one",
        targetSelection="CONTINUOUS",
        presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 120},
    )
    assert (made["jobId"], made["description"]) == (job, "for two and one")
    assert made["jobArn"] == f"arn:aws:iot:us-east-1:000000000000:job/{job}"
    answer = iot.describe_job(jobId=job)
    assert "documentSource" not in answer
    described = answer["job"]
    assert described["targets"] == [fleet.arn(first), fleet.arn(group)]
    assert described["status"] == "IN_PROGRESS"
    assert described["targetSelection"] == "CONTINUOUS"
    assert described["presignedUrlConfig"] == {"roleArn": ROLE, "expiresInSec": 120}
    assert described["isConcurrent"] is False
    assert described["timeoutConfig"] == {}
    assert "abortConfig" not in described
    assert "processingTargets" not in described["jobProcessDetails"]
    assert described["jobProcessDetails"]["numberOfQueuedThings"] == 3
    assert near_now(described["createdAt"])
    assert near_now(described["lastUpdatedAt"])


def test_a_thing_covered_twice_gets_one_execution(fleet, iot):
    thing = fleet.thing()
    job = fleet.job(thing, fleet.group(thing))
    found = iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
    assert [entry["thingArn"] for entry in found] == [fleet.arn(thing)]


def test_a_snapshot_job_is_the_default_and_completes_with_its_last_execution(fleet, iot, data):
    first, second = fleet.thing(), fleet.thing()
    job = fleet.job(first, second)
    data.update_job_execution(jobId=job, thingName=first, status="SUCCEEDED")
    assert iot.describe_job(jobId=job)["job"]["status"] == "IN_PROGRESS"
    data.update_job_execution(jobId=job, thingName=second, status="FAILED")
    described = iot.describe_job(jobId=job)["job"]
    assert (described["status"], described["targetSelection"]) == ("COMPLETED", "SNAPSHOT")
    assert near_now(described["completedAt"])
    assert fleet.counts(job) == {"Succeeded": 1, "Failed": 1}


def test_a_snapshot_job_on_an_empty_group_is_complete_at_once(fleet, iot):
    job = fleet.job(fleet.group())
    assert iot.describe_job(jobId=job)["job"]["status"] == "COMPLETED"


def test_a_continuous_job_stays_in_progress_when_everything_has_ended(fleet, data):
    thing = fleet.thing()
    job = fleet.job(fleet.group(thing), targetSelection="CONTINUOUS")
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    assert (fleet.status(job), fleet.counts(job)) == ("IN_PROGRESS", {"Succeeded": 1})


def test_joining_a_continuous_target_queues_and_joining_a_snapshot_target_does_not(fleet, iot):
    early, late = fleet.thing(), fleet.thing()
    group = fleet.group(early)
    continuous, snapshot = fleet.job(group, targetSelection="CONTINUOUS"), fleet.job(group)
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=late)
    assert fleet.execution(late, continuous)["status"] == "QUEUED"
    assert fleet.counts(snapshot) == {"Queued": 1}
    code, status, _ = refusal(iot.describe_job_execution, jobId=snapshot, thingName=late)
    assert (code, status) == ("ResourceNotFoundException", 404)


def test_leaving_a_continuous_target_removes_what_is_queued_and_rejoining_runs_again(fleet, iot, data):
    waiting, running, ended = (fleet.thing() for _ in range(3))
    group = fleet.group(waiting, running, ended)
    job = fleet.job(group, targetSelection="CONTINUOUS")
    data.start_next_pending_job_execution(thingName=running)
    data.update_job_execution(jobId=job, thingName=ended, status="SUCCEEDED")
    for thing in (waiting, running, ended):
        iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
    assert fleet.counts(job) == {"Removed": 1, "InProgress": 1, "Succeeded": 1}
    for thing in (waiting, running, ended):
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    again = {thing: fleet.execution(thing, job) for thing in (waiting, running, ended)}
    assert {thing: (e["status"], e["executionNumber"]) for thing, e in again.items()} == {
        waiting: ("QUEUED", 2),
        running: ("IN_PROGRESS", 1),
        ended: ("QUEUED", 2),
    }


def test_deleting_a_thing_takes_its_executions_along_and_completes_the_job(fleet, iot, data):
    gone, stays = fleet.thing(), fleet.thing()
    job = fleet.job(gone, stays)
    data.update_job_execution(jobId=job, thingName=stays, status="SUCCEEDED")
    iot.delete_thing(thingName=gone)
    assert fleet.status(job) == "COMPLETED"
    fleet.thing(gone)
    assert refusal(iot.describe_job_execution, jobId=job, thingName=gone)[0] == "ResourceNotFoundException"


def test_the_document_is_kept_as_given_and_sent_compact_without_nulls(fleet, iot, data):
    thing = fleet.thing()
    text = '{ "operation": "test",\n  "nothing": null, "deep": {"a": [1, null, {"b": null}]}, "sign": "ü" }'
    job = fleet.name("job")
    iot.create_job(jobId=job, targets=[fleet.arn(thing)], document=text)
    assert iot.get_job_document(jobId=job)["document"] == text
    sent = data.describe_job_execution(jobId=job, thingName=thing)["execution"]["jobDocument"]
    assert sent == '{"operation":"test","deep":{"a":[1,null,{}]},"sign":"ü"}'


def test_a_document_source_is_read_once_when_the_job_is_created(server, fleet, iot, data, bucket):
    s3 = server.client("s3")
    s3.put_object(Bucket=bucket, Key="a/document.json", Body=b'{"operation": "first"}')
    thing = fleet.thing()
    source = f"https://s3.us-east-1.amazonaws.com/{bucket}/a/document.json"
    job = fleet.job(thing, documentSource=source)
    s3.put_object(Bucket=bucket, Key="a/document.json", Body=b'{"operation": "second"}')
    answer = iot.describe_job(jobId=job)
    assert answer["documentSource"] == source
    assert "documentSource" not in answer["job"]
    assert iot.get_job_document(jobId=job)["document"] == '{"operation": "first"}'
    sent = data.start_next_pending_job_execution(thingName=thing)["execution"]["jobDocument"]
    assert sent == '{"operation":"first"}'


@pytest.mark.parametrize(
    "form", ["https://s3.amazonaws.com/{}/d.json", "https://{}.s3.eu-west-1.amazonaws.com/d.json"]
)
def test_a_document_source_may_have_any_of_awss_forms(server, fleet, bucket, form):
    server.client("s3").put_object(Bucket=bucket, Key="d.json", Body=b'{"operation": "any"}')
    job = fleet.job(fleet.thing(), documentSource=form.format(bucket))
    assert fleet.iot.get_job_document(jobId=job)["document"] == '{"operation": "any"}'


@pytest.mark.parametrize(
    ("key", "content"), [("absent.json", None), ("bad.json", b"{"), ("latin.json", b'{"a": "\xff"}')]
)
def test_a_document_source_that_is_absent_or_no_json_refuses_the_job(
    server, fleet, iot, bucket, key, content
):
    if content is not None:
        server.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    job, targets = fleet.name("job"), [fleet.arn(fleet.thing())]
    source = f"https://s3.amazonaws.com/{bucket}/{key}"
    code, status, error = refusal(iot.create_job, jobId=job, targets=targets, documentSource=source)
    assert (code, status) == ("InvalidRequestException", 400)
    assert isinstance(error, iot.exceptions.InvalidRequestException)
    assert refusal(iot.describe_job, jobId=job)[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "operation",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": ' * 1001 + "1" + "}" * 1001,
        json.dumps({"a": "ü" * 16_400}),
        '{"a": "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/b/k}"}',
        '{"a": "${aws:iot:s3-presigned-url:https://example.com/b/k}"}',
        '{"a": "${aws:iot:parameter:x}"}',
    ],
    ids=[
        "empty",
        "cut",
        "bare-word",
        "nan",
        "infinity",
        "too-deep",
        "too-long",
        "no-role",
        "no-object",
        "parameter",
    ],
)
def test_a_malformed_document_refuses_the_job(fleet, iot, document):
    thing, job = fleet.thing(), fleet.name("job")
    code, status, _ = refusal(iot.create_job, jobId=job, targets=[fleet.arn(thing)], document=document)
    assert (code, status) == ("InvalidRequestException", 400)
    assert refusal(iot.describe_job, jobId=job)[0] == "ResourceNotFoundException"
    assert iot.list_job_executions_for_thing(thingName=thing)["executionSummaries"] == []


def test_an_unknown_target_refuses_the_job_whole(fleet, iot):
    thing, job = fleet.thing(), fleet.name("job")
    for unknown in (fleet.arn(fleet.name("thing")), fleet.arn(fleet.name("group"))):
        code, status, error = refusal(
            iot.create_job, jobId=job, targets=[fleet.arn(thing), unknown], document="{}"
        )
        assert (code, status) == ("ResourceNotFoundException", 404)
        assert isinstance(error, iot.exceptions.ResourceNotFoundException)
        assert unknown in str(error)
    assert refusal(iot.describe_job, jobId=job)[0] == "ResourceNotFoundException"
    assert iot.list_job_executions_for_thing(thingName=thing)["executionSummaries"] == []


@pytest.mark.parametrize(
    "target", ["thing", "arn:aws:iot:us-east-1:111111111111:thing/x", "arn:aws:s3:::bucket"]
)
def test_a_target_that_is_no_arn_of_ours_is_refused(fleet, iot, target):
    code, status, _ = refusal(iot.create_job, jobId=fleet.name("job"), targets=[target], document="{}")
    assert (code, status) in {("InvalidRequestException", 400), ("ResourceNotFoundException", 404)}


@pytest.mark.parametrize("job", ["a b", "a.b", "ä", "j" * 65])
def test_a_wrong_job_id_is_refused(fleet, iot, job):
    code, status, _ = refusal(iot.create_job, jobId=job, targets=[fleet.arn(fleet.thing())], document="{}")
    assert (code, status) == ("InvalidRequestException", 400)


def test_a_job_id_is_taken_once(fleet, iot):
    thing = fleet.thing()
    job = fleet.job(thing)
    code, status, error = refusal(iot.create_job, jobId=job, targets=[fleet.arn(thing)], document="{}")
    assert (code, status) == ("ResourceAlreadyExistsException", 409)
    assert error.response["resourceId"] == job
    assert error.response["resourceArn"].endswith(f":job/{job}")
    assert fleet.counts(job) == {"Queued": 1}


@pytest.mark.parametrize("left_out", [{"namespaceId": "greengrass"}], ids=lambda member: next(iter(member)))
def test_members_that_are_not_served_are_refused_by_name(fleet, iot, left_out):
    job = fleet.name("job")
    code, status, error = refusal(
        iot.create_job, jobId=job, targets=[fleet.arn(fleet.thing())], document="{}", **left_out
    )
    assert (code, status) == ("InvalidRequestException", 400)
    assert next(iter(left_out)) in str(error)
    assert refusal(iot.describe_job, jobId=job)[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("get_statistics", {"queryString": "*"}),
        ("list_streams", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operations_that_are_not_served_say_so(iot, operation, given):
    code, status, _ = refusal(getattr(iot, operation), **given)
    assert code == "UnknownOperationException"
    assert 400 <= status < 500


def test_list_jobs_filters_and_pages(fleet, iot, data):
    thing, other = fleet.thing(), fleet.thing()
    group = fleet.group(thing)
    on_group = {fleet.job(group) for _ in range(5)}
    continuous = fleet.job(group, targetSelection="CONTINUOUS")
    done = fleet.job(other)
    data.update_job_execution(jobId=done, thingName=other, status="SUCCEEDED")

    def listed(size=2, **filters):
        pages = iot.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": size}, **filters)
        found = [entry["jobId"] for page in pages for entry in page["jobs"]]
        assert len(found) == len(set(found))
        return set(found)

    assert listed(thingGroupName=group) == {*on_group, continuous}
    assert listed(thingGroupName=group, targetSelection="CONTINUOUS") == {continuous}
    assert listed(thingGroupName=group, status="COMPLETED") == set()
    assert done in listed(size=50, status="COMPLETED")
    assert not {done} & listed(size=50, status="IN_PROGRESS")
    assert {*on_group, continuous, done} <= listed(size=50)
    newest = iot.list_jobs(maxResults=1)["jobs"][0]
    assert newest["jobId"] == done
    assert newest["status"] == "COMPLETED"
    assert near_now(newest["completedAt"])


def test_executions_of_a_job_and_of_a_thing_are_listed_with_paginators(fleet, iot, data):
    things = [fleet.thing() for _ in range(5)]
    job = fleet.job(fleet.group(*things))
    data.update_job_execution(jobId=job, thingName=things[2], status="FAILED")

    def listed(operation, **given):
        pages = iot.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **given)
        return [entry for page in pages for entry in page["executionSummaries"]]

    found = listed("list_job_executions_for_job", jobId=job)
    assert sorted(entry["thingArn"] for entry in found) == sorted(map(fleet.arn, things))
    assert found[0]["thingArn"] == fleet.arn(things[2])
    failed = listed("list_job_executions_for_job", jobId=job, status="FAILED")
    assert [entry["thingArn"] for entry in failed] == [fleet.arn(things[2])]
    summary = failed[0]["jobExecutionSummary"]
    assert (summary["status"], summary["executionNumber"]) == ("FAILED", 1)
    assert near_now(summary["queuedAt"])

    more = [fleet.job(things[0]) for _ in range(4)]
    of_thing = [entry["jobId"] for entry in listed("list_job_executions_for_thing", thingName=things[0])]
    assert sorted(of_thing) == sorted([job, *more])
    queued = listed("list_job_executions_for_thing", thingName=things[2], status="QUEUED")
    assert queued == []
    assert [
        entry["jobId"] for entry in listed("list_job_executions_for_thing", thingName=things[0], jobId=job)
    ] == [job]


def test_a_page_token_that_we_did_not_give_is_refused(fleet, iot):
    code, status, _ = refusal(iot.list_jobs, nextToken="made-up")
    assert (code, status) == ("InvalidRequestException", 400)


def test_the_control_plane_nests_status_details_and_the_data_plane_does_not(fleet, iot, data):
    thing = fleet.thing()
    job = fleet.job(thing)
    data.start_next_pending_job_execution(thingName=thing, statusDetails={"step": "one"})
    execution = fleet.execution(thing, job)
    assert execution["statusDetails"] == {"detailsMap": {"step": "one"}}
    assert execution["thingArn"] == fleet.arn(thing)
    assert (execution["versionNumber"], execution["executionNumber"]) == (2, 1)
    assert near_now(execution["startedAt"])
    flat = data.describe_job_execution(jobId=job, thingName=thing)["execution"]
    assert flat["statusDetails"] == {"step": "one"}
    assert flat["thingName"] == thing
    assert abs(flat["startedAt"] - execution["startedAt"].timestamp()) < 1


def test_cancel_without_force_leaves_what_runs_and_the_device_may_still_succeed(fleet, iot, data):
    running, waiting = fleet.thing(), fleet.thing()
    job = fleet.job(running, waiting)
    data.start_next_pending_job_execution(thingName=running)
    answer = iot.cancel_job(jobId=job, comment="enough", reasonCode="OPERATOR")
    assert answer["jobId"] == job
    described = iot.describe_job(jobId=job)["job"]
    assert (described["status"], described["comment"], described["reasonCode"]) == (
        "CANCELED",
        "enough",
        "OPERATOR",
    )
    assert "forceCanceled" not in described or described["forceCanceled"] is False
    assert fleet.counts(job) == {"InProgress": 1, "Canceled": 1}
    data.update_job_execution(jobId=job, thingName=running, status="SUCCEEDED")
    assert (fleet.status(job), fleet.counts(job)) == ("CANCELED", {"Succeeded": 1, "Canceled": 1})


def test_cancel_with_force_reaches_what_runs_and_raises_its_version(fleet, iot, data):
    thing = fleet.thing()
    job = fleet.job(thing)
    data.start_next_pending_job_execution(thingName=thing)
    iot.cancel_job(jobId=job, force=True)
    assert iot.describe_job(jobId=job)["job"]["forceCanceled"] is True
    execution = fleet.execution(thing, job)
    assert (execution["status"], execution["versionNumber"]) == ("CANCELED", 3)
    code, status, error = refusal(data.update_job_execution, jobId=job, thingName=thing, status="SUCCEEDED")
    assert (code, status) == ("InvalidStateTransitionException", 409)
    assert all(word in str(error) for word in (job, thing, "CANCELED"))
    assert fleet.execution(thing, job) == execution


def test_a_completed_job_cannot_be_canceled(fleet, iot):
    job = fleet.job(fleet.group())
    code, status, _ = refusal(iot.cancel_job, jobId=job)
    assert (code, status) == ("InvalidRequestException", 400)
    assert fleet.status(job) == "COMPLETED"


def test_delete_wants_an_ended_job_or_force(fleet, iot, data, eventually):
    thing = fleet.thing()
    job = fleet.job(thing)
    code, status, _ = refusal(iot.delete_job, jobId=job)
    assert (code, status) == ("InvalidStateTransitionException", 409)
    assert fleet.status(job) == "IN_PROGRESS"
    data.start_next_pending_job_execution(thingName=thing)
    iot.delete_job(jobId=job, force=True)

    def gone():
        try:
            return iot.describe_job(jobId=job)["job"]["status"] != "DELETION_IN_PROGRESS"
        except iot.exceptions.ResourceNotFoundException:
            return True

    eventually(gone)
    assert refusal(iot.describe_job, jobId=job)[:2] == ("ResourceNotFoundException", 404)
    late = refusal(data.update_job_execution, jobId=job, thingName=thing, status="SUCCEEDED")
    assert late[:2] == ("ResourceNotFoundException", 404)
    fleet.job(thing, job=job)
    assert fleet.execution(thing, job)["status"] == "QUEUED"


def test_cancel_one_execution(fleet, iot, data):
    queued, running = fleet.thing(), fleet.thing()
    job = fleet.job(queued, running)
    iot.cancel_job_execution(jobId=job, thingName=queued, statusDetails={"why": "test"})
    execution = fleet.execution(queued, job)
    assert (execution["status"], execution["versionNumber"]) == ("CANCELED", 2)
    assert execution["statusDetails"] == {"detailsMap": {"why": "test"}}
    data.start_next_pending_job_execution(thingName=running)
    before = fleet.execution(running, job)
    assert refusal(iot.cancel_job_execution, jobId=job, thingName=running)[:2] == (
        "InvalidStateTransitionException",
        409,
    )
    code, status, error = refusal(
        iot.cancel_job_execution, jobId=job, thingName=running, force=True, expectedVersion=7
    )
    assert (code, status) == ("VersionConflictException", 409)
    assert isinstance(error, iot.exceptions.VersionConflictException)
    assert fleet.execution(running, job) == before
    iot.cancel_job_execution(jobId=job, thingName=running, force=True, expectedVersion=2)
    assert fleet.counts(job) == {"Canceled": 2}
    assert fleet.status(job) == "COMPLETED"
    ended = refusal(iot.cancel_job_execution, jobId=job, thingName=running, force=True)
    assert ended[:2] == ("InvalidStateTransitionException", 409)


def test_delete_one_execution(fleet, iot, data):
    queued, running, stays = (fleet.thing() for _ in range(3))
    job = fleet.job(queued, running, stays)
    data.start_next_pending_job_execution(thingName=running)
    wrong = refusal(iot.delete_job_execution, jobId=job, thingName=queued, executionNumber=2)
    assert wrong[:2] == ("ResourceNotFoundException", 404)
    iot.delete_job_execution(jobId=job, thingName=queued, executionNumber=1)
    in_progress = refusal(iot.delete_job_execution, jobId=job, thingName=running, executionNumber=1)
    assert in_progress[:2] == ("InvalidStateTransitionException", 409)
    iot.delete_job_execution(jobId=job, thingName=running, executionNumber=1, force=True)
    for thing in (queued, running):
        assert refusal(iot.describe_job_execution, jobId=job, thingName=thing)[1] == 404
    found = iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
    assert [entry["thingArn"] for entry in found] == [fleet.arn(stays)]


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("describe_job", {}),
        ("get_job_document", {}),
        ("cancel_job", {}),
        ("delete_job", {}),
        ("list_job_executions_for_job", {}),
        ("describe_job_execution", {"thingName": "nobody"}),
        ("cancel_job_execution", {"thingName": "nobody"}),
        ("delete_job_execution", {"thingName": "nobody", "executionNumber": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_names_no_job_is_not_found(fleet, iot, operation, given):
    code, status, error = refusal(getattr(iot, operation), jobId=fleet.name("job"), **given)
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert isinstance(error, iot.exceptions.ResourceNotFoundException)


def test_the_four_operations_of_the_data_plane(fleet, data):
    thing = fleet.thing(fleet.name("thing") + ":colon")
    first, second = fleet.job(thing, document={"n": 1}), fleet.job(thing, document={"n": 2})
    pending = data.get_pending_job_executions(thingName=thing)
    assert pending["inProgressJobs"] == []
    assert [entry["jobId"] for entry in pending["queuedJobs"]] == [first, second]
    assert pending["queuedJobs"][0]["versionNumber"] == 1
    assert "startedAt" not in pending["queuedJobs"][0]
    peek = data.describe_job_execution(jobId="$next", thingName=thing, includeJobDocument=False)["execution"]
    assert (peek["jobId"], peek["status"], peek["versionNumber"]) == (first, "QUEUED", 1)
    assert "jobDocument" not in peek
    started = data.start_next_pending_job_execution(thingName=thing, statusDetails={"a": "1"})["execution"]
    assert (started["jobId"], started["status"], started["versionNumber"]) == (first, "IN_PROGRESS", 2)
    assert json.loads(started["jobDocument"]) == {"n": 1}
    again = data.start_next_pending_job_execution(thingName=thing, statusDetails={"b": "2"})["execution"]
    assert (again["statusDetails"], again["versionNumber"]) == ({"a": "1"}, 2)
    answer = data.update_job_execution(
        jobId=first,
        thingName=thing,
        status="IN_PROGRESS",
        statusDetails={"c": "3"},
        expectedVersion=2,
        executionNumber=1,
        includeJobExecutionState=True,
        includeJobDocument=True,
    )
    assert answer["executionState"] == {
        "status": "IN_PROGRESS",
        "statusDetails": {"c": "3"},
        "versionNumber": 3,
    }
    assert json.loads(answer["jobDocument"]) == {"n": 1}
    bare = data.update_job_execution(jobId=first, thingName=thing, status="SUCCEEDED")
    assert set(bare) == {"ResponseMetadata"}
    ended = refusal(data.describe_job_execution, jobId=first, thingName=thing)
    assert ended[:2] == ("TerminalStateException", 410)
    assert isinstance(ended[2], data.exceptions.TerminalStateException)
    data.update_job_execution(jobId=second, thingName=thing, status="REJECTED")
    assert "execution" not in data.start_next_pending_job_execution(thingName=thing)
    assert "execution" not in data.describe_job_execution(jobId="$next", thingName=thing)


def test_version_conflicts_have_the_name_of_their_plane(fleet, iot, data):
    thing = fleet.thing()
    job = fleet.job(thing)
    before = fleet.execution(thing, job)
    on_data = refusal(
        data.update_job_execution, jobId=job, thingName=thing, status="IN_PROGRESS", expectedVersion=5
    )
    assert on_data[:2] == ("InvalidStateTransitionException", 409)
    on_control = refusal(iot.cancel_job_execution, jobId=job, thingName=thing, expectedVersion=5)
    assert on_control[:2] == ("VersionConflictException", 409)
    assert fleet.execution(thing, job) == before


def test_states_that_no_device_may_set_are_refused_even_for_an_unknown_job(fleet, data):
    thing = fleet.thing()
    job = fleet.job(thing)
    before = fleet.execution(thing, job)
    for status in ("CANCELED", "TIMED_OUT", "REMOVED", "QUEUED"):
        for name in (job, "unknown"):
            code, http, error = refusal(data.update_job_execution, jobId=name, thingName=thing, status=status)
            assert (code, http) == ("InvalidStateTransitionException", 409)
            assert f"cannot be changed to be {status}" in str(error)
    assert fleet.execution(thing, job) == before


@pytest.mark.parametrize(
    "details",
    [{f"k{n}": "v" for n in range(11)}, {"k": "v" * 1025}, {"k": "a\nb"}, {"bad key": "v"}],
    ids=["eleven-pairs", "too-long", "control-characters", "key"],
)
def test_status_details_that_break_a_rule_are_refused(fleet, data, details):
    thing = fleet.thing()
    job = fleet.job(thing)
    before = fleet.execution(thing, job)
    code, status, _ = refusal(
        data.update_job_execution, jobId=job, thingName=thing, status="IN_PROGRESS", statusDetails=details
    )
    assert (code, status) == ("InvalidRequestException", 400)
    assert fleet.execution(thing, job) == before


def test_the_scope_of_the_signature_tells_shared_paths_apart(fleet, iot, data):
    thing = fleet.thing()
    job = fleet.job(thing)
    assert set(iot.list_job_executions_for_thing(thingName=thing)) == {
        "executionSummaries",
        "ResponseMetadata",
    }
    assert set(data.get_pending_job_executions(thingName=thing)) == {
        "inProgressJobs",
        "queuedJobs",
        "ResponseMetadata",
    }
    assert "thingArn" in iot.describe_job_execution(thingName=thing, jobId=job)["execution"]
    assert "thingName" in data.describe_job_execution(thingName=thing, jobId=job)["execution"]


def test_pre_signed_downloads_are_fresh_each_time_and_need_no_credentials(server, fleet, iot, data, bucket):
    content = bytes(range(256)) * 64
    server.client("s3").put_object(Bucket=bucket, Key="images/pump 1.tar.gz", Body=content)
    thing = fleet.thing()
    v1 = f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{bucket}/images/pump 1.tar.gz}}"
    v2 = (
        f"${{aws:iot:s3-presigned-url-v2:https://{bucket}.s3.us-east-1.amazonaws.com/images/pump%201.tar.gz}}"
    )
    document = {"url": v1, "again": v2}
    job = fleet.job(thing, document=document, presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 60})
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == document

    def sent():
        return json.loads(data.describe_job_execution(jobId=job, thingName=thing)["execution"]["jobDocument"])

    first = sent()
    for url in first.values():
        assert "X-Amz-Expires=60" in url
        assert url.startswith(server.https + "/")
        assert fetch(url, server) == (200, content)
        assert fetch(url, server, "-r", "10-19") == (206, content[10:20])
        assert fetch(url.replace("images", "others"), server)[0] == 403
    second_times = set(_after_a_second(sent, first))
    assert not second_times & set(first.values())


def _after_a_second(sent, first):
    """The next document whose URLs were signed in another second."""
    seen = sent()
    while seen["url"] == first["url"]:
        seen = sent()
    return seen.values()


@pytest.mark.parametrize("key", ["plain", "a b/c d", "50%20+1", "ü/ß", "q?a=b&c#d", "$~!*'(),;:@="])
def test_objects_with_any_key_are_delivered(server, fleet, data, bucket, key):
    server.client("s3").put_object(Bucket=bucket, Key=key, Body=key.encode())
    base = "https://s3.us-east-1.amazonaws.com"
    document = {
        "raw": f"${{aws:iot:s3-presigned-url:{base}/{bucket}/{key}}}",
        "encoded": f"${{aws:iot:s3-presigned-url-v2:{base}/{bucket}/{quote(key)}}}",
    }
    thing = fleet.thing()
    fleet.job(thing, document=document, presignedUrlConfig={"roleArn": ROLE})
    sent = data.start_next_pending_job_execution(thingName=thing)["execution"]["jobDocument"]
    for url in json.loads(sent).values():
        assert fetch(url, server) == (200, key.encode())


def test_a_pre_signed_upload_puts_with_the_execution_in_its_key(server, fleet, data, bucket):
    thing = fleet.thing()
    placeholder = (
        f"${{aws:iot:s3-presigned-url-upload:https://s3.us-east-1.amazonaws.com/{bucket}"
        "/logs/${thingName}/${jobId}/${executionNumber}.txt}"
    )
    job = fleet.job(thing, document={"url": placeholder}, presignedUrlConfig={"roleArn": ROLE})
    url = json.loads(data.start_next_pending_job_execution(thingName=thing)["execution"]["jobDocument"])[
        "url"
    ]
    assert fetch(url, server, "-X", "PUT", "--data-binary", "from the device")[0] == 200
    stored = server.client("s3").get_object(Bucket=bucket, Key=f"logs/{thing}/{job}/1.txt")["Body"].read()
    assert stored == b"from the device"
    assert fetch(url, server)[0] == 403


def test_an_expired_url_is_refused(server, fleet, bucket, tls, eventually):
    s3 = server.client("s3", tls=tls)
    s3.put_object(Bucket=bucket, Key="k", Body=b"content")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=1)
    status, body = eventually(lambda: (found := fetch(url, server))[0] != 200 and found)
    assert status == 403
    assert b"<Code>AccessDenied</Code>" in body
    assert b"expired" in body


def test_the_account_and_the_endpoint_are_told(server, tls):
    identity = server.client("sts", tls=tls).get_caller_identity()
    assert identity["Account"] == "000000000000"
    iot = server.client("iot", tls=tls)
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    code, status, error = refusal(iot.describe_endpoint, endpointType="iot:Jobs")
    assert (code, status) == ("InvalidRequestException", 400)
    assert "iot:Data-ATS" in str(error)
