"""Jobs of the ``iot`` model, member by member: what each does and what each says."""

import datetime as dt
import json

import pytest

conforms = pytest.mark.conforms
ROLE = "arn:aws:iam::000000000000:role/signer"
ARN = "arn:aws:iot:us-east-1:000000000000"
ABORT = {
    "criteriaList": [
        {
            "failureType": "ALL",
            "action": "CANCEL",
            "thresholdPercentage": 12.5,
            "minNumberOfExecutedThings": 3,
        }
    ]
}
RETRY = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]}
EXPONENTIAL = {
    "exponentialRate": {
        "baseRatePerMinute": 10,
        "incrementFactor": 1.5,
        "rateIncreaseCriteria": {"numberOfNotifiedThings": 5},
    },
    "maximumPerMinute": 100,
}


def near_now(time):
    return abs(dt.datetime.now(dt.UTC) - time) < dt.timedelta(minutes=1)


def minutes_ahead(minutes):
    return (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M")


@pytest.fixture
def describe(iot):
    return lambda job: iot.describe_job(jobId=job)["job"]


@conforms("iot CreateJob", "in jobId", "in targets", "in document", "in description")
@conforms("iot CreateJob", "out jobArn", "out jobId", "out description")
def test_create_job_answers_with_its_name(fleet, iot, thing):
    job = fleet.name("job")
    made = iot.create_job(jobId=job, targets=[fleet.arn(thing)], document="{}", description="why")
    made.pop("ResponseMetadata")
    assert made == {"jobArn": f"{ARN}:job/{job}", "jobId": job, "description": "why"}
    assert fleet.execution(thing, job)["status"] == "QUEUED"


@conforms("iot CreateJob", "in targets")
def test_a_thing_that_two_targets_cover_gets_one_execution(fleet, iot, thing):
    job = fleet.job(thing, fleet.group(thing))
    found = iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
    assert [entry["thingArn"] for entry in found] == [fleet.arn(thing)]


@conforms("iot CreateJob", "in targets")
def test_a_group_stands_for_its_child_groups_too(fleet, iot, thing):
    parent, child = fleet.group(), fleet.name("group")
    iot.create_thing_group(thingGroupName=child, parentGroupName=parent)
    iot.add_thing_to_thing_group(thingGroupName=child, thingName=thing)
    job = fleet.job(parent)
    assert fleet.execution(thing, job)["status"] == "QUEUED"


@conforms(
    "iot DescribeJob", "in jobId", "out job.jobArn", "out job.jobId", "out job.targets", "out job.status"
)
@conforms("iot DescribeJob", "out job.targetSelection", "out job.description", "out job.createdAt")
@conforms("iot DescribeJob", "out job.lastUpdatedAt", "out job.isConcurrent")
def test_describe_job_tells_what_was_created(fleet, describe, eventually, thing):
    group = fleet.group()
    job = fleet.job(thing, group, description="why")
    found = eventually(lambda: (told := describe(job))["isConcurrent"] is False and told, 5)
    assert (found["jobArn"], found["jobId"]) == (f"{ARN}:job/{job}", job)
    assert found["targets"] == [fleet.arn(thing), fleet.arn(group)]
    assert (found["status"], found["targetSelection"]) == ("IN_PROGRESS", "SNAPSHOT")
    assert found["description"] == "why"
    assert near_now(found["createdAt"])
    assert near_now(found["lastUpdatedAt"])


@conforms("iot DescribeJob", "out job.timeoutConfig", "out job.schedulingConfig", "out job.abortConfig")
@conforms("iot DescribeJob", "out job.jobProcessDetails.processingTargets")
def test_a_job_at_rest_tells_empty_configurations(fleet, describe, thing):
    found = describe(fleet.job(thing))
    assert (found["timeoutConfig"], found["schedulingConfig"]) == ({}, {})
    assert "abortConfig" not in found
    assert "processingTargets" not in found["jobProcessDetails"]


@conforms("iot DescribeJob", "out documentSource")
@conforms("iot CreateJob", "in documentSource")
def test_the_source_of_a_document_is_told_beside_the_job(fleet, iot, bucket, thing):
    source = bucket("d.json", "{}")
    answer = iot.describe_job(jobId=fleet.job(thing, documentSource=source))
    assert answer["documentSource"] == source
    assert "documentSource" not in answer["job"]


def configured(created, described=None, *, cells=(), name=None):
    """A member that CreateJob takes and DescribeJob tells."""
    ((member, value),) = created.items()
    inputs = [f"in {cell}" for cell in cells or (member,)]
    marks = [conforms("iot CreateJob", *inputs), conforms("iot DescribeJob", f"out job.{member}")]
    return pytest.param(
        member, value, value if described is None else described, id=name or member, marks=marks
    )


@pytest.mark.parametrize(
    ("member", "value", "told"),
    [
        configured(
            {"presignedUrlConfig": {"roleArn": ROLE, "expiresInSec": 61}},
            cells=("presignedUrlConfig.roleArn", "presignedUrlConfig.expiresInSec"),
        ),
        configured(
            {"jobExecutionsRolloutConfig": {"maximumPerMinute": 17}},
            cells=("jobExecutionsRolloutConfig.maximumPerMinute",),
            name="rate",
        ),
        configured(
            {"jobExecutionsRolloutConfig": EXPONENTIAL},
            cells=tuple(
                f"jobExecutionsRolloutConfig.exponentialRate.{name}"
                for name in (
                    "baseRatePerMinute",
                    "incrementFactor",
                    "rateIncreaseCriteria.numberOfNotifiedThings",
                )
            ),
            name="exponential-rate",
        ),
        configured(
            {"abortConfig": ABORT},
            cells=tuple(f"abortConfig.criteriaList.{name}" for name in ABORT["criteriaList"][0]),
        ),
        configured(
            {"timeoutConfig": {"inProgressTimeoutInMinutes": 10080}},
            cells=("timeoutConfig.inProgressTimeoutInMinutes",),
        ),
        configured(
            {"jobExecutionsRetryConfig": RETRY},
            cells=tuple(f"jobExecutionsRetryConfig.criteriaList.{name}" for name in RETRY["criteriaList"][0]),
        ),
    ],
)
def test_a_configuration_is_told_as_it_was_given(fleet, describe, thing, member, value, told):
    assert describe(fleet.job(thing, **{member: value}))[member] == told


@conforms(
    "iot CreateJob", *(f"in schedulingConfig.{name}" for name in ("startTime", "endTime", "endBehavior"))
)
@conforms("iot DescribeJob", "out job.schedulingConfig", "out job.status", "out job.isConcurrent")
def test_a_job_of_the_future_is_scheduled_and_queues_nothing(fleet, describe, iot, thing):
    schedule = {"startTime": minutes_ahead(60), "endTime": minutes_ahead(120), "endBehavior": "CANCEL"}
    job = fleet.job(thing, schedulingConfig=schedule)
    found = describe(job)
    assert (found["status"], found["isConcurrent"]) == ("SCHEDULED", False)
    assert found["schedulingConfig"] == schedule
    assert iot.list_job_executions_for_job(jobId=job)["executionSummaries"] == []


@conforms(
    "iot CreateJob",
    *(f"in schedulingConfig.maintenanceWindows.{n}" for n in ("startTime", "durationInMinutes")),
)
@conforms("iot DescribeJob", "out job.scheduledJobRollouts.startTime", "out job.schedulingConfig")
def test_a_job_with_windows_tells_the_next_seven(fleet, describe, thing):
    hour = (dt.datetime.now(dt.UTC).hour + 2) % 24
    window = {"startTime": f"cron(30 {hour} * * ? *)", "durationInMinutes": 30}
    found = describe(
        fleet.job(thing, targetSelection="CONTINUOUS", schedulingConfig={"maintenanceWindows": [window]})
    )
    assert found["status"] == "SCHEDULED"
    assert found["schedulingConfig"]["maintenanceWindows"] == [window]
    starts = [entry["startTime"] for entry in found["scheduledJobRollouts"]]
    assert len(starts) == 7
    assert all(f"{hour:02}:30" in start for start in starts)
    assert starts == sorted(starts)


@conforms("iot CreateJob", "in tags.Key", "in tags.Value")
def test_the_tags_of_a_job_are_kept(fleet, iot, thing):
    job = fleet.job(thing, tags=[{"Key": "line", "Value": "two"}])
    found = iot.list_tags_for_resource(resourceArn=f"{ARN}:job/{job}")["tags"]
    assert found == [{"Key": "line", "Value": "two"}]


@conforms("iot CreateJob", "in jobTemplateArn")
@conforms("iot DescribeJob", "out job.jobTemplateArn", "out job.timeoutConfig")
def test_a_template_gives_what_the_job_does_not(fleet, iot, describe, thing):
    template = iot.create_job_template(
        jobTemplateId=fleet.name("template"),
        description="of the template",
        document='{"from": "template"}',
        timeoutConfig={"inProgressTimeoutInMinutes": 5},
        abortConfig=ABORT,
    )["jobTemplateArn"]
    job = fleet.name("job")
    given = {"timeoutConfig": {"inProgressTimeoutInMinutes": 7}}
    iot.create_job(jobId=job, targets=[fleet.arn(thing)], jobTemplateArn=template, **given)
    found = describe(job)
    assert (found["jobTemplateArn"], found["timeoutConfig"]) == (template, given["timeoutConfig"])
    assert found["abortConfig"] == ABORT
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"from": "template"}


@conforms("iot CreateJob", "in documentParameters", "in jobTemplateArn")
@conforms("iot DescribeJob", "out job.documentParameters")
def test_parameters_fill_the_document_of_a_managed_template(fleet, iot, describe, thing):
    template = iot.describe_managed_job_template(templateName="AWS-Download-File")
    given = {each["key"]: each["example"] for each in template["documentParameters"] if not each["optional"]}
    job = fleet.name("job")
    iot.create_job(
        jobId=job,
        targets=[fleet.arn(thing)],
        jobTemplateArn=template["templateArn"],
        documentParameters=given,
        presignedUrlConfig={"roleArn": ROLE},
    )
    assert describe(job)["documentParameters"] == given
    document = iot.get_job_document(jobId=job)["document"]
    assert given
    assert all(value in document for value in given.values())
    assert "${aws:iot:parameter:" not in document


@pytest.fixture
def package(fleet, iot):
    """A package with a published version 1; its name."""
    name = fleet.name("package")
    iot.create_package(packageName=name)
    iot.create_package_version(packageName=name, versionName="1", attributes={"key": "value"})
    iot.update_package_version(packageName=name, versionName="1", action="PUBLISH")
    return name


@conforms("iot CreateJob", "in destinationPackageVersions")
@conforms("iot DescribeJob", "out job.destinationPackageVersions", "in beforeSubstitution")
@conforms("iot GetJobDocument", "in beforeSubstitution", "out document")
def test_a_default_version_is_resolved_when_the_job_is_made_and_can_be_seen_unresolved(
    fleet, iot, package, thing
):
    iot.update_package(packageName=package, defaultVersionName="1")
    default, first = (f"{ARN}:package/{package}/version/{name}" for name in ("$default", "1"))
    raw = f'{{"value": "${{aws:iot:package:{package}:version:$default:attributes:key}}"}}'
    job = fleet.name("job")
    iot.create_job(jobId=job, targets=[fleet.arn(thing)], document=raw, destinationPackageVersions=[default])
    assert iot.describe_job(jobId=job)["job"]["destinationPackageVersions"] == [first]
    before = iot.describe_job(jobId=job, beforeSubstitution=True)["job"]
    assert before["destinationPackageVersions"] == [default]
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"value": "value"}
    assert iot.get_job_document(jobId=job, beforeSubstitution=True)["document"] == raw


@conforms("iot DescribeJob", "out job.completedAt", "out job.status")
@conforms(
    "iot DescribeJob", *(f"out job.jobProcessDetails.numberOf{n}Things" for n in ("Succeeded", "Failed"))
)
@conforms(
    "iot DescribeJob", *(f"out job.jobProcessDetails.numberOf{n}Things" for n in ("Rejected", "Queued"))
)
@conforms(
    "iot DescribeJob", *(f"out job.jobProcessDetails.numberOf{n}Things" for n in ("Canceled", "InProgress"))
)
def test_every_count_is_told_and_the_end_of_the_job(fleet, iot, data, describe):
    things = {name: fleet.thing() for name in ("SUCCEEDED", "FAILED", "REJECTED", "IN_PROGRESS", "QUEUED")}
    job = fleet.job(*things.values())
    for status in ("SUCCEEDED", "FAILED", "REJECTED", "IN_PROGRESS"):
        data.update_job_execution(jobId=job, thingName=things[status], status=status)
    assert fleet.counts(job) == {"Succeeded": 1, "Failed": 1, "Rejected": 1, "InProgress": 1, "Queued": 1}
    assert "completedAt" not in describe(job)
    iot.cancel_job_execution(jobId=job, thingName=things["QUEUED"])
    data.update_job_execution(jobId=job, thingName=things["IN_PROGRESS"], status="SUCCEEDED")
    assert fleet.counts(job) == {"Succeeded": 2, "Failed": 1, "Rejected": 1, "Canceled": 1}
    assert describe(job)["status"] == "COMPLETED"
    assert near_now(describe(job)["completedAt"])


@conforms("iot CancelJob", *(f"in {name}" for name in ("jobId", "reasonCode", "comment", "force")))
@conforms("iot CancelJob", "out jobArn", "out jobId", "out description")
@conforms("iot DescribeJob", "out job.forceCanceled", "out job.reasonCode", "out job.comment")
@conforms("iot DescribeJobExecution", "out execution.forceCanceled")
def test_cancel_job_keeps_what_it_was_told_and_with_force_ends_what_runs(
    fleet, iot, data, describe, eventually, thing
):
    job = fleet.job(thing, description="why")
    data.start_next_pending_job_execution(thingName=thing)
    answer = iot.cancel_job(jobId=job, reasonCode="OPERATOR_1", comment="enough", force=True)
    answer.pop("ResponseMetadata")
    assert answer == {"jobArn": f"{ARN}:job/{job}", "jobId": job, "description": "why"}
    found = describe(job)
    assert (found["status"], found["forceCanceled"]) == ("CANCELED", True)
    assert (found["reasonCode"], found["comment"]) == ("OPERATOR_1", "enough")
    execution = eventually(lambda: (e := fleet.execution(thing, job))["status"] == "CANCELED" and e, 5)
    assert (execution["forceCanceled"], execution["versionNumber"]) == (True, 3)


@pytest.fixture
def gone(iot, eventually):
    """Waits until a job is no more."""

    def absent(job):
        try:
            iot.describe_job(jobId=job)
        except iot.exceptions.ResourceNotFoundException:
            return True
        return False

    return lambda job: eventually(lambda: absent(job), 10)


@conforms("iot DeleteJob", "in jobId", "in force", "error InvalidStateTransitionException")
def test_delete_job_wants_an_end_or_force_and_frees_the_name(fleet, iot, data, refusal, gone, thing):
    job = fleet.job(thing)
    assert refusal(iot.delete_job, jobId=job)[:2] == ("InvalidStateTransitionException", 409)
    iot.delete_job(jobId=job, force=True)
    gone(job)
    assert iot.list_job_executions_for_thing(thingName=thing)["executionSummaries"] == []
    fleet.job(thing, job=job)
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    iot.delete_job(jobId=job)
    gone(job)


@conforms("iot AssociateTargetsWithJob", "in jobId", "in targets", "in comment")
@conforms("iot AssociateTargetsWithJob", "out jobId", "out jobArn", "out description")
def test_associated_targets_get_the_continuous_job(fleet, iot, describe, thing):
    other = fleet.thing()
    group = fleet.group(other)
    job = fleet.job(thing, targetSelection="CONTINUOUS", description="why")
    for _ in range(2):
        answer = iot.associate_targets_with_job(jobId=job, targets=[fleet.arn(group)], comment="more")
        answer.pop("ResponseMetadata")
        assert answer == {"jobArn": f"{ARN}:job/{job}", "jobId": job, "description": "why"}
    assert fleet.execution(other, job)["status"] == "QUEUED"
    found = describe(job)
    assert found["targets"] == [fleet.arn(thing), fleet.arn(group)]
    assert found["comment"] == "more"
    assert fleet.counts(job) == {"Queued": 2}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        pytest.param(member, value, id=member, marks=conforms("iot UpdateJob", "in jobId", f"in {member}"))
        for member, value in {
            "description": "new",
            "presignedUrlConfig": {"roleArn": ROLE, "expiresInSec": 99},
            "jobExecutionsRolloutConfig": EXPONENTIAL,
            "abortConfig": ABORT,
            "timeoutConfig": {"inProgressTimeoutInMinutes": 8},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 0}]},
        }.items()
    ],
)
def test_update_job_replaces_one_member_whole_and_leaves_the_others(
    fleet, iot, describe, thing, member, value
):
    before = {
        "description": "old",
        "presignedUrlConfig": {"roleArn": ROLE, "expiresInSec": 60},
        "jobExecutionsRolloutConfig": {"maximumPerMinute": 3},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 4},
        "jobExecutionsRetryConfig": RETRY,
    }
    job = fleet.job(thing, **before)
    assert set(iot.update_job(jobId=job, **{member: value})) == {"ResponseMetadata"}
    found = describe(job)
    assert {name: found[name] for name in before | {member: value}} == before | {member: value}


@conforms("iot UpdateJob", "error InvalidRequestException", "in jobExecutionsRetryConfig")
def test_update_job_raises_no_retries_and_touches_no_job_that_has_ended(fleet, iot, refusal, thing):
    job = fleet.job(thing, jobExecutionsRetryConfig=RETRY)
    more = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 5}]}
    found = refusal(iot.update_job, jobId=job, jobExecutionsRetryConfig=more)
    assert found[:2] == ("InvalidRequestException", 400)
    iot.cancel_job(jobId=job)
    assert refusal(iot.update_job, jobId=job, description="late")[:2] == ("InvalidRequestException", 400)


@conforms("iot GetJobDocument", "in jobId", "out document")
@conforms("iot CreateJob", "in document")
def test_the_document_is_kept_to_the_letter(fleet, iot, thing):
    text = '{ "a": [1, null],\n "ü": "ß" }'
    job = fleet.name("job")
    iot.create_job(jobId=job, targets=[fleet.arn(thing)], document=text)
    assert iot.get_job_document(jobId=job)["document"] == text


@conforms("iot ListJobs", *(f"in {n}" for n in ("status", "targetSelection", "maxResults", "nextToken")))
@conforms("iot ListJobs", "in thingGroupName", "in thingGroupId", "out nextToken", "out jobs.thingGroupId")
def test_jobs_are_filtered_and_paged(fleet, iot, data, thing):
    group = fleet.group(thing)
    group_id = iot.describe_thing_group(thingGroupName=group)["thingGroupId"]
    snapshots = [fleet.job(group) for _ in range(3)]
    continuous = fleet.job(group, targetSelection="CONTINUOUS")
    data.update_job_execution(jobId=snapshots[0], thingName=thing, status="SUCCEEDED")

    def listed(**filters):
        pages = iot.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": 2}, **filters)
        return sorted(entry["jobId"] for page in pages for entry in page["jobs"])

    assert listed(thingGroupName=group) == sorted([*snapshots, continuous])
    assert listed(thingGroupId=group_id) == sorted([*snapshots, continuous])
    assert listed(thingGroupName=group, targetSelection="CONTINUOUS") == [continuous]
    assert listed(thingGroupName=group, status="COMPLETED") == [snapshots[0]]
    assert listed(thingGroupName=group, status="CANCELED") == []
    first = iot.list_jobs(thingGroupName=group, maxResults=3)
    assert len(first["jobs"]) == 3
    rest = iot.list_jobs(thingGroupName=group, maxResults=3, nextToken=first["nextToken"])
    assert len(rest["jobs"]) == 1
    assert "nextToken" not in rest
    assert {entry["thingGroupId"] for entry in first["jobs"]} == {group_id}


@conforms("iot ListJobs", "in status", "out jobs.status")
def test_scheduled_jobs_are_listed_as_such(fleet, iot, thing):
    group = fleet.group(thing)
    job = fleet.job(group, schedulingConfig={"startTime": minutes_ahead(60)})
    found = iot.list_jobs(status="SCHEDULED", thingGroupName=group)["jobs"]
    assert [entry["jobId"] for entry in found] == [job]


@conforms("iot ListJobs", *(f"out jobs.{n}" for n in ("jobArn", "jobId", "targetSelection", "status")))
@conforms(
    "iot ListJobs", *(f"out jobs.{n}" for n in ("createdAt", "lastUpdatedAt", "completedAt", "isConcurrent"))
)
def test_a_listed_job_tells_the_same_as_its_description(fleet, iot, data, describe, thing):
    group = fleet.group(thing)
    job = fleet.job(group)
    data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    (entry,) = iot.list_jobs(thingGroupName=group)["jobs"]
    entry.pop("thingGroupId", None)
    names = ("jobArn", "jobId", "targetSelection", "status", "createdAt", "lastUpdatedAt", "completedAt")
    assert entry == {name: describe(job)[name] for name in (*names, "isConcurrent")}
