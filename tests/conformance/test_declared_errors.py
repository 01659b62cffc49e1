"""The errors that the service models declare for each Jobs operation, provoked one by one with boto3."""

import contextlib
import json
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

conforms = pytest.mark.conforms
ARN = "arn:aws:iot:us-east-1:000000000000"
THING, NOBODY = f"{ARN}:thing/nobody", {"thingName": "nobody"}
DOORS = {"iot": "iot", "data": "iot-jobs-data"}
STARTS = {"document": "{}", "targets": [THING]}
TEMPLATE = {"jobTemplateId": "t", "description": "d"}
# A call of each operation that names nothing that exists; {job} is filled in.
CALLS = {
    "iot CreateJob": {"jobId": "{job}", **STARTS},
    "iot DescribeJob": {"jobId": "{job}"},
    "iot GetJobDocument": {"jobId": "{job}"},
    "iot UpdateJob": {"jobId": "{job}", "description": "d"},
    "iot CancelJob": {"jobId": "{job}"},
    "iot DeleteJob": {"jobId": "{job}"},
    "iot AssociateTargetsWithJob": {"jobId": "{job}", "targets": [THING]},
    "iot ListJobs": {"thingGroupName": "{job}"},
    "iot ListJobExecutionsForJob": {"jobId": "{job}"},
    "iot ListJobExecutionsForThing": NOBODY,
    "iot DescribeJobExecution": {"jobId": "{job}", **NOBODY},
    "iot CancelJobExecution": {"jobId": "{job}", **NOBODY},
    "iot DeleteJobExecution": {"jobId": "{job}", "executionNumber": 1, **NOBODY},
    "iot CreateJobTemplate": {**TEMPLATE, "jobArn": f"{ARN}:job/{{job}}"},
    "iot DescribeJobTemplate": {"jobTemplateId": "{job}"},
    "iot DeleteJobTemplate": {"jobTemplateId": "{job}"},
    "iot ListJobTemplates": {},
    "iot DescribeManagedJobTemplate": {"templateName": "AWS-None"},
    "iot ListManagedJobTemplates": {"templateName": "AWS-None"},
    "iot DescribeEventConfigurations": {},
    "iot UpdateEventConfigurations": {"eventConfigurations": {"JOB": {"Enabled": False}}},
    "data GetPendingJobExecutions": NOBODY,
    "data StartNextPendingJobExecution": NOBODY,
    "data DescribeJobExecution": {"jobId": "{job}", **NOBODY},
    "data UpdateJobExecution": {"jobId": "{job}", "status": "SUCCEEDED", **NOBODY},
}
NO_NAME = {"jobId": "not a name"}
# What changes each of the calls above into one that the service's rules forbid.
FORBIDDEN = {
    "iot CreateJob": NO_NAME,
    "iot DescribeJob": NO_NAME,
    "iot GetJobDocument": NO_NAME,
    "iot UpdateJob": NO_NAME,
    "iot CancelJob": {"reasonCode": "lower case"},
    "iot DeleteJob": NO_NAME,
    "iot AssociateTargetsWithJob": {"targets": ["arn:aws:s3:::bucket"]},
    "iot ListJobs": {"maxResults": 251},
    "iot ListJobExecutionsForJob": {"nextToken": "not one of ours"},
    "iot ListJobExecutionsForThing": {"maxResults": 251},
    "iot DescribeJobExecution": NO_NAME,
    "iot CancelJobExecution": {"statusDetails": {"key": "control\ncharacter"}},
    "iot DeleteJobExecution": NO_NAME,
    "iot CreateJobTemplate": {"jobTemplateId": "not a name"},
    "iot DescribeJobTemplate": {"jobTemplateId": "not a name"},
    "iot DeleteJobTemplate": {"jobTemplateId": "not a name"},
    "iot ListJobTemplates": {"maxResults": 251},
    "iot DescribeManagedJobTemplate": {"templateVersion": "latest"},
    "iot ListManagedJobTemplates": {"maxResults": 251},
    "iot UpdateEventConfigurations": {"eventConfigurations": {"NONE": {"Enabled": True}}},
    "data GetPendingJobExecutions": {"thingName": "not a name"},
    "data StartNextPendingJobExecution": {"thingName": "not a name"},
    "data DescribeJobExecution": {"jobId": "not a name"},
    "data UpdateJobExecution": {"status": "DONE"},
}
FOUND_NONE = set(CALLS) - {
    "iot ListJobTemplates",
    "iot DescribeEventConfigurations",
    "iot UpdateEventConfigurations",
}
# What writes needs room on the disk.
WRITES = {
    "iot CreateJob": {"jobId": "another"},
    "iot UpdateJob": {},
    "iot CancelJob": {},
    "iot DeleteJob": {"force": True},
    "iot AssociateTargetsWithJob": {},
    "iot CancelJobExecution": {},
    "iot DeleteJobExecution": {},
    "data StartNextPendingJobExecution": {},
    "data UpdateJobExecution": {},
}
BEING_DELETED_MAX = 10
RATES = {
    "data GetPendingJobExecutions": "device-reads",
    "data DescribeJobExecution": "device-reads",
    "data StartNextPendingJobExecution": "device-writes",
    "data UpdateJobExecution": "device-writes",
}
# AWS tells no rate of these.
UNTHROTTLED = {"iot DescribeEventConfigurations", "iot UpdateEventConfigurations"}


def each(operations, error):
    """One test for each operation, which shows the error."""
    return pytest.mark.parametrize(
        "operation",
        [pytest.param(name, id=name, marks=conforms(name, f"error {error}")) for name in sorted(operations)],
    )


def method(server, operation):
    """boto3's method for an operation."""
    door, _, name = operation.partition(" ")
    client = server.client(DOORS[door])
    known = client.meta.method_to_api_mapping.items()
    return getattr(client, next(python for python, aws in known if aws == name))


def call(operation, job, **more):
    """The members of a call."""
    return json.loads(json.dumps(CALLS[operation]).replace("{job}", job)) | more


@each(FOUND_NONE, "ResourceNotFoundException")
def test_what_is_not_there_is_not_found(target, fleet, refusal, operation):
    code, status, error = refusal(method(target, operation), **call(operation, fleet.name("job")))
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert type(error).__name__ == "ResourceNotFoundException"


@each(FORBIDDEN, "InvalidRequestException")
def test_what_the_rules_forbid_is_an_invalid_request(target, fleet, refusal, operation):
    given = call(operation, fleet.name("job"), **FORBIDDEN[operation])
    code, status, error = refusal(method(target, operation), **given)
    assert (code, status) == ("InvalidRequestException", 400)
    assert type(error).__name__ == "InvalidRequestException"


@conforms("iot AssociateTargetsWithJob", "error InvalidRequestException")
def test_only_continuous_jobs_in_progress_take_further_targets(fleet, iot, refusal, thing):
    snapshot = fleet.job(thing)
    continuous = fleet.job(thing, targetSelection="CONTINUOUS")
    iot.cancel_job(jobId=continuous)
    for job in (snapshot, continuous):
        found = refusal(iot.associate_targets_with_job, jobId=job, targets=[fleet.arn(thing)])
        assert found[:2] == ("InvalidRequestException", 400)


@conforms("iot CancelJob", "error InvalidRequestException")
def test_a_completed_job_is_not_canceled(fleet, iot, data, refusal, thing):
    job = fleet.job(thing)
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    assert refusal(iot.cancel_job, jobId=job)[:2] == ("InvalidRequestException", 400)


@conforms("iot CreateJob", "error LimitExceededException")
@conforms("iot AssociateTargetsWithJob", "error LimitExceededException")
def test_a_job_has_a_hundred_targets_at_most(fleet, iot, refusal):
    things = [fleet.thing() for _ in range(101)]
    targets = [fleet.arn(thing) for thing in things]
    found = refusal(iot.create_job, jobId=fleet.name("job"), document="{}", targets=targets)
    assert found[:2] == ("LimitExceededException", 410)
    job = fleet.job(*things[:100], targetSelection="CONTINUOUS")
    found = refusal(iot.associate_targets_with_job, jobId=job, targets=targets[100:])
    assert found[:2] == ("LimitExceededException", 410)


@conforms("iot DeleteJob", "error LimitExceededException", "error InvalidStateTransitionException")
def test_j29_a_job_in_progress_is_deleted_by_force_only_and_ten_at_once(
    make_resting, crowd, make_fleet, tmp_path, refusal
):
    with make_resting() as server:
        fleet, iot = make_fleet(server, tmp_path), server.client("iot", max_pool_connections=20)
        group = fleet.group()

        def join(_):
            iot.add_thing_to_thing_group(thingGroupName=group, thingName=fleet.thing())

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(join, range(crowd)))
        jobs = [fleet.job(group) for _ in range(BEING_DELETED_MAX + 1)]
        found = refusal(iot.delete_job, jobId=jobs[0])
        assert found[:2] == ("InvalidStateTransitionException", 409)
        for job in jobs[:BEING_DELETED_MAX]:
            iot.delete_job(jobId=job, force=True)
        assert fleet.status(jobs[0]) == "DELETION_IN_PROGRESS"
        found = refusal(iot.delete_job, jobId=jobs[0], force=True)
        assert found[:2] == ("InvalidStateTransitionException", 409)
        found = refusal(iot.delete_job, jobId=jobs[BEING_DELETED_MAX], force=True)
        assert found[:2] == ("LimitExceededException", 410)


@pytest.fixture(scope="module")
def throttled(make_own):
    """A server that serves each operation once in a long while."""
    names = {RATES.get(name, name.partition(" ")[2]) for name in set(CALLS) - UNTHROTTLED}
    with make_own(*(f"--rate={name}=0.001" for name in sorted(names))) as made:
        yield made


@each(set(CALLS) - UNTHROTTLED, "ThrottlingException")
def test_j30_too_many_calls_are_throttled_with_the_status_of_the_plane(throttled, refusal, operation):
    with contextlib.suppress(Exception):
        method(throttled, operation)(**call(operation, "job"))
    code, status, error = refusal(method(throttled, operation), **call(operation, "job"))
    assert (code, status) == ("ThrottlingException", 400 if operation.startswith("iot ") else 429)
    assert type(error).__name__ == "ThrottlingException"


@pytest.fixture
def attach(make_fleet, make_link, tmp_path):
    """Connects a thing of a server of the test's own."""
    fleets = []

    def connected(server, thing):
        fleets.append(make_fleet(server, tmp_path))
        return fleets[-1].device(thing, make_link(5, False))

    yield connected
    for fleet in fleets:
        fleet.close()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param(name, body, id=operation, marks=conforms(f"mqtt {operation}", "code RequestThrottled"))
        for operation, name, body in (
            ("GetPendingJobExecutions", "get", {}),
            ("DescribeJobExecution", "$next/get", {}),
            ("StartNextPendingJobExecution", "start-next", {}),
            ("UpdateJobExecution", "job/update", {"status": "SUCCEEDED"}),
        )
    ],
)
def test_too_many_requests_over_mqtt_are_throttled(throttled, attach, name, body):
    device = attach(throttled, throttled.client("iot").create_thing(thingName="busy")["thingName"])
    device.publish(name, body)
    device.take()
    assert device.refused(name, body)["code"] == "RequestThrottled"


@pytest.fixture(scope="module")
def full(make_own):
    """A server with a thing and a job, and no room for another change: its files may not grow any more."""
    with make_own() as made:
        iot = made.client("iot")
        iot.create_thing(thingName="nobody")
        iot.create_job(jobId="job", targets=[THING], document="{}", targetSelection="CONTINUOUS")
        log = made.data / "state.sqlite3-wal"
        usual = resource.prlimit(made.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(made.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, usual[1]))
        yield made
        resource.prlimit(made.process.pid, resource.RLIMIT_FSIZE, usual)


@each(WRITES, "ServiceUnavailableException")
def test_what_cannot_be_stored_is_refused_as_unavailable(full, refusal, operation):
    given = call(operation, "job", **WRITES[operation])
    code, status, error = refusal(method(full, operation), **given)
    assert (code, status) == ("ServiceUnavailableException", 503)
    assert type(error).__name__ == "ServiceUnavailableException"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param(name, body, id=operation, marks=conforms(f"mqtt {operation}", "code InternalError"))
        for operation, name, body in (
            ("StartNextPendingJobExecution", "start-next", {"clientToken": "t"}),
            ("UpdateJobExecution", "job/update", {"clientToken": "t", "status": "SUCCEEDED"}),
        )
    ],
)
def test_what_cannot_be_stored_is_an_internal_error_over_mqtt(full, attach, name, body):
    answer = attach(full, "nobody").refused(name, body)
    assert (answer["code"], answer["clientToken"]) == ("InternalError", "t")


NAMESPACED = (
    "AssociateTargetsWithJob",
    "CreateJob",
    "DeleteJob",
    "DeleteJobExecution",
    "ListJobExecutionsForThing",
    "ListJobs",
    "UpdateJob",
)


@pytest.mark.parametrize("operation", NAMESPACED)
def test_a_namespace_of_greengrass_is_refused_by_name(ours, fleet, refusal, operation):
    given = call(f"iot {operation}", fleet.name("job"), namespaceId="greengrass")
    code, status, error = refusal(method(ours, f"iot {operation}"), **given)
    assert (code, status) == ("InvalidRequestException", 400)
    assert "namespaceId" in str(error)
