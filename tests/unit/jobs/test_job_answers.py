"""What the management side of jobs answers, member by member, where the acceptance tests do not look."""

import pytest
from outfitter_server.aws.dispatch import Call
from outfitter_server.aws.operations.job_executions import ExecutionOperations
from outfitter_server.aws.operations.jobs import JobOperations
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.callers import Caller
from outfitter_server.services.templates import Templates

CALLER = Caller(account="000000000000", access_key_id="", arn="")
TARGET = "arn:aws:iot:us-east-1:000000000000:thing/t"


@pytest.fixture
def call(engine):
    templates = Templates(engine.committer, engine.installation)
    handlers = {
        **JobOperations(engine.jobs, engine.changes, templates, engine.installation).handlers(),
        **ExecutionOperations(engine.executions, engine.installation).handlers(),
    }

    async def ask(operation, **parameters):
        asked = Call(
            service="iot", operation=operation, parameters=parameters, caller=CALLER, host="", secure=False
        )
        return await handlers[operation](asked)

    return ask


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, {}),
        ({"expiresInSec": 90}, {"expiresInSec": 90}),
        (
            {"roleArn": "arn:aws:iam::000000000000:role/path/r"},
            {"roleArn": "arn:aws:iam::000000000000:role/path/r", "expiresInSec": 3600},
        ),
    ],
)
async def test_presigned_url_config_is_shown_as_given(engine, call, given, shown):
    engine.things("t")
    more = {} if given is None else {"presignedUrlConfig": given}
    await call("CreateJob", jobId="j", targets=[TARGET], document="{}", **more)
    told = (await call("DescribeJob", jobId="j"))["job"]["presignedUrlConfig"]
    assert {key: value for key, value in told.items() if value is not None} == shown


@pytest.mark.parametrize("role", ["not-an-arn-of-any-kind", "arn:aws:iam::000000000000:user/somebody"])
async def test_a_role_that_is_none_refuses_the_job(engine, call, role):
    engine.things("t")
    config = {"roleArn": role}
    with pytest.raises(InvalidRequest, match="roleArn"):
        await call("CreateJob", jobId="j", targets=[TARGET], document="{}", presignedUrlConfig=config)


async def test_status_details_are_absent_until_a_device_reports_some(engine, call):
    engine.things("t")
    await call("CreateJob", jobId="j", targets=[TARGET], document="{}")
    described = await call("DescribeJobExecution", thingName="t", jobId="j")
    assert described["execution"]["statusDetails"] is None, "a member that is None is left out"
    await engine.report("t", "j", "IN_PROGRESS", details={})
    described = await call("DescribeJobExecution", thingName="t", jobId="j")
    assert described["execution"]["statusDetails"] == {"detailsMap": {}}


async def test_a_job_that_has_ended_tells_no_windows_to_come(engine, call):
    engine.things("t")
    windows = [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60}]
    await call(
        "CreateJob",
        jobId="j",
        targets=[TARGET],
        document="{}",
        schedulingConfig={"maintenanceWindows": windows},
    )
    assert len((await call("DescribeJob", jobId="j"))["job"]["scheduledJobRollouts"]) == 7
    await call("CancelJob", jobId="j")
    told = (await call("DescribeJob", jobId="j"))["job"]
    assert told["scheduledJobRollouts"] is None
    assert told["schedulingConfig"]["maintenanceWindows"] == windows
