"""The job service, row by row."""

import json
from pathlib import Path

import pytest
from awscrt import mqtt_request_response
from awsiot import iotjobs, mqtt_connection_builder
from outfitter_fleet.stage.processes import program

ROLE = "arn:aws:iam::000000000000:role/signer"
SECONDS = 20
MANAGED = {
    "CancelJob",
    "CancelJobExecution",
    "CreateJob",
    "DeleteJob",
    "DeleteJobExecution",
    "DescribeJob",
    "DescribeJobExecution",
    "GetJobDocument",
    "ListJobExecutionsForJob",
    "ListJobExecutionsForThing",
    "ListJobs",
}


@pytest.fixture
def link(make_link):
    return make_link(5, True)


def start(fleet, *things):
    for thing in things:
        fleet.data.start_next_pending_job_execution(thingName=thing)


def finish(fleet, job, *things, status="SUCCEEDED"):
    for thing in things:
        fleet.data.update_job_execution(thingName=thing, jobId=job, status=status)


def test_long_lasting_actions_on_many_devices_outlive_the_server(own_server, make_fleet, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    things = [fleet.thing() for _ in range(5)]
    job = fleet.job(fleet.group(*things))
    start(fleet, *things[:3])
    finish(fleet, job, *things[:2])
    before = fleet.counts(job)
    assert before == {"Succeeded": 2, "InProgress": 1, "Queued": 2}
    own_server.kill()
    own_server.start()
    assert fleet.counts(job) == before
    finish(fleet, job, *things[2:])
    assert (fleet.status(job), fleet.counts(job)) == ("COMPLETED", {"Succeeded": 5})


def test_devices_have_the_four_operations_and_notifications_over_mqtt_and_https(server, fleet, link):
    """AWS's device SDK over MQTT; boto3 for the twin over HTTPS; paho for what is notified meanwhile."""
    thing = fleet.thing()
    identity = fleet.identity(thing)
    where = {
        "endpoint": "127.0.0.1",
        "port": server.port("mqtts"),
        "cert_filepath": str(identity.certificate),
        "pri_key_filepath": str(identity.key),
        "ca_filepath": str(server.ca),
        "client_id": thing,
    }
    first, second = fleet.job(thing), fleet.job(thing)
    connection = mqtt_connection_builder.mtls_from_path(clean_session=True, **where)
    connection.connect().result(SECONDS)
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=6,
        max_streaming_subscriptions=2,
        operation_timeout_in_seconds=SECONDS,
    )
    jobs = iotjobs.IotJobsClientV2(connection, options)
    pending = jobs.get_pending_job_executions(iotjobs.GetPendingJobExecutionsRequest(thing_name=thing))
    assert [each.job_id for each in pending.result(SECONDS).queued_jobs] == [first, second]
    request = iotjobs.StartNextPendingJobExecutionRequest(thing_name=thing)
    assert jobs.start_next_pending_job_execution(request).result(SECONDS).execution.job_id == first
    request = iotjobs.DescribeJobExecutionRequest(thing_name=thing, job_id=first)
    assert jobs.describe_job_execution(request).result(SECONDS).execution.status == "IN_PROGRESS"
    request = iotjobs.UpdateJobExecutionRequest(thing_name=thing, job_id=first, status="SUCCEEDED")
    jobs.update_job_execution(request).result(SECONDS)
    connection.disconnect().result(SECONDS)

    device = fleet.device(thing, link)
    device.subscribe("notify", "notify-next")
    queued = fleet.data.get_pending_job_executions(thingName=thing)["queuedJobs"]
    assert [each["jobId"] for each in queued] == [second]
    start(fleet, thing)
    described = fleet.data.describe_job_execution(thingName=thing, jobId=second)["execution"]
    assert described["status"] == "IN_PROGRESS"
    finish(fleet, second, thing)
    third = fleet.job(thing)
    told = [device.take() for _ in range(4)]
    assert [message.topic.rpartition("/")[2] for message in told].count("notify-next") >= 1
    assert told[-1].body["execution"]["jobId"] == third


def test_pages_functions_and_people_manage_jobs_over_https(world, fleet):
    """Each operation through boto3, and a job's whole life in the command line of AWS."""
    thing, other = fleet.thing(), fleet.thing()
    job = fleet.job(thing, other)
    iot, called = fleet.iot, []
    iot.meta.events.register("before-call.iot.*", lambda model, **_: called.append(model.name))
    doomed = fleet.job(other)
    assert iot.describe_job(jobId=job)["job"]["status"] == "IN_PROGRESS"
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"operation": "test"}
    assert job in {
        each["jobId"] for page in iot.get_paginator("list_jobs").paginate() for each in page["jobs"]
    }
    assert len(iot.list_job_executions_for_job(jobId=job)["executionSummaries"]) == 2
    found = iot.list_job_executions_for_thing(thingName=other)["executionSummaries"]
    assert {each["jobId"] for each in found} == {job, doomed}
    iot.cancel_job_execution(jobId=job, thingName=other)
    assert iot.describe_job_execution(jobId=job, thingName=other)["execution"]["status"] == "CANCELED"
    iot.delete_job_execution(jobId=job, thingName=other, executionNumber=1)
    iot.cancel_job(jobId=job, comment="no more")
    assert fleet.status(job) == "CANCELED"
    iot.delete_job(jobId=doomed, force=True)
    assert set(called) == MANAGED

    def aws(*words):
        command = (Path(program("aws")), "iot", *words)
        return json.loads(world.run(*command, AWS_PAGER="") or "null")

    name = fleet.name("job")
    made = aws("create-job", "--job-id", name, "--targets", fleet.arn(thing), "--document", '{"a": 1}')
    assert made["jobId"] == name
    aws("cancel-job", "--job-id", name)
    assert aws("describe-job", "--job-id", name)["job"]["status"] == "CANCELED"


def test_the_document_is_passed_on_unchanged_and_its_placeholders_are_filled_in(world, fleet, curl):
    bucket, thing = f"mission-{fleet.name()}", fleet.thing()
    world.s3.create_bucket(Bucket=bucket)
    world.s3.put_object(Bucket=bucket, Key="image", Body=b"content")
    url = f"https://s3.us-east-1.amazonaws.com/{bucket}/image"
    plain = {"operation": "install", "note": "ÄÖ “quoted” \\ ${not:ours}", "deep": [{"x": [1.5, True]}]}
    job = fleet.job(
        thing,
        document={**plain, "url": f"${{aws:iot:s3-presigned-url:{url}}}"},
        presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 60},
    )
    given = fleet.data.describe_job_execution(thingName=thing, jobId=job)["execution"]["jobDocument"]
    document = json.loads(given)
    filled = document.pop("url")
    assert document == plain
    assert curl(filled, "--insecure") == (200, b"content")


def test_a_groups_job_runs_on_all_its_members(fleet):
    things = [fleet.thing() for _ in range(3)]
    alone = fleet.thing()
    job = fleet.job(fleet.group(*things), alone)
    found = fleet.iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
    assert {each["thingArn"].rpartition("/")[2] for each in found} == {*things, alone}


def test_a_snapshot_job_ends_with_its_devices_and_a_continuous_job_goes_on(fleet):
    first, late = fleet.thing(), fleet.thing()
    group = fleet.group(first)
    snapshot = fleet.job(group)
    continuous = fleet.job(group, targetSelection="CONTINUOUS")
    start(fleet, first)
    finish(fleet, snapshot, first)
    start(fleet, first)
    finish(fleet, continuous, first)
    assert (fleet.status(snapshot), fleet.status(continuous)) == ("COMPLETED", "IN_PROGRESS")
    fleet.iot.add_thing_to_thing_group(thingGroupName=group, thingName=late)
    assert fleet.execution(late, continuous)["status"] == "QUEUED"
    with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
        fleet.execution(late, snapshot)


def test_executions_go_through_the_states_that_devices_and_managers_give_them(fleet):
    """QUEUED, IN_PROGRESS, and each end but the one of a time limit."""
    things = [fleet.thing() for _ in range(5)]
    group = fleet.group(*things)
    job = fleet.job(group, targetSelection="CONTINUOUS")

    def states():
        return [fleet.execution(thing, job)["status"] for thing in things]

    assert set(states()) == {"QUEUED"}
    start(fleet, *things[:3])
    assert states() == ["IN_PROGRESS"] * 3 + ["QUEUED"] * 2
    for thing, status in zip(things[:3], ("SUCCEEDED", "FAILED", "REJECTED"), strict=True):
        finish(fleet, job, thing, status=status)
    fleet.iot.cancel_job_execution(jobId=job, thingName=things[3])
    fleet.iot.remove_thing_from_thing_group(thingGroupName=group, thingName=things[4])
    assert states() == ["SUCCEEDED", "FAILED", "REJECTED", "CANCELED", "REMOVED"]
    for thing in things:
        with pytest.raises(fleet.data.exceptions.ClientError):
            finish(fleet, job, thing)
    assert fleet.counts(job) == {"Succeeded": 1, "Failed": 1, "Rejected": 1, "Canceled": 1, "Removed": 1}
