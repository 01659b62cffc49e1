"""Job templates of the ``iot`` model, our own and the managed ones, member by member."""

import datetime as dt
import json

import pytest

conforms = pytest.mark.conforms
ROLE = "arn:aws:iam::000000000000:role/signer"
ARN = "arn:aws:iot:us-east-1:000000000000"
MANAGED = "AWS-Reboot"
CONFIGS = {
    "presignedUrlConfig": {"roleArn": ROLE, "expiresInSec": 60},
    "jobExecutionsRolloutConfig": {"maximumPerMinute": 3},
    "abortConfig": {
        "criteriaList": [
            {
                "failureType": "FAILED",
                "action": "CANCEL",
                "thresholdPercentage": 10.0,
                "minNumberOfExecutedThings": 4,
            }
        ]
    },
    "timeoutConfig": {"inProgressTimeoutInMinutes": 5},
    "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 1}]},
    "maintenanceWindows": [{"startTime": "cron(0 3 * * ? *)", "durationInMinutes": 60}],
}


@pytest.fixture
def describe(iot):
    return lambda template: iot.describe_job_template(jobTemplateId=template)


@conforms("iot CreateJobTemplate", *(f"in {n}" for n in ("jobTemplateId", "document", "description")))
@conforms("iot CreateJobTemplate", "out jobTemplateArn", "out jobTemplateId")
@conforms(
    "iot DescribeJobTemplate", "in jobTemplateId", *(f"out {n}" for n in ("jobTemplateArn", "jobTemplateId"))
)
@conforms("iot DescribeJobTemplate", *(f"out {n}" for n in ("description", "document", "createdAt")))
def test_a_template_is_described_as_it_was_made(fleet, iot, describe):
    name = fleet.name("template")
    made = iot.create_job_template(jobTemplateId=name, description="why", document='{ "a": 1 }')
    made.pop("ResponseMetadata")
    assert made == {"jobTemplateArn": f"{ARN}:jobtemplate/{name}", "jobTemplateId": name}
    found = describe(name)
    assert (found["jobTemplateArn"], found["jobTemplateId"]) == (made["jobTemplateArn"], name)
    assert (found["description"], found["document"]) == ("why", '{ "a": 1 }')
    assert abs(found["createdAt"] - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(
            name,
            id=name,
            marks=[
                conforms("iot CreateJobTemplate", f"in {name}"),
                conforms("iot DescribeJobTemplate", f"out {name}"),
            ],
        )
        for name in CONFIGS
    ],
)
def test_a_configuration_of_a_template_is_told_as_it_was_given(fleet, iot, describe, member):
    name = fleet.name("template")
    iot.create_job_template(jobTemplateId=name, description="d", document="{}", **{member: CONFIGS[member]})
    assert describe(name)[member] == CONFIGS[member]


@conforms("iot CreateJobTemplate", "in documentSource")
@conforms("iot DescribeJobTemplate", "out documentSource")
def test_a_template_reads_its_source_once(fleet, iot, describe, bucket):
    name = fleet.name("template")
    source = bucket("d.json", '{"n": 1}')
    iot.create_job_template(jobTemplateId=name, description="d", documentSource=source)
    bucket("d.json", '{"n": 2}')
    found = describe(name)
    assert (found["documentSource"], json.loads(found["document"])) == (source, {"n": 1})


@conforms("iot CreateJobTemplate", "in jobArn")
@conforms("iot DescribeJobTemplate", "out document", "out timeoutConfig")
def test_a_template_may_be_made_of_a_job(fleet, iot, describe, thing):
    job = fleet.job(thing, document={"n": 1}, timeoutConfig={"inProgressTimeoutInMinutes": 6})
    name = fleet.name("template")
    iot.create_job_template(jobTemplateId=name, description="d", jobArn=f"{ARN}:job/{job}")
    found = describe(name)
    assert (json.loads(found["document"]), found["timeoutConfig"]) == (
        {"n": 1},
        {"inProgressTimeoutInMinutes": 6},
    )


@conforms("iot CreateJobTemplate", "in tags")
def test_the_tags_of_a_template_are_kept(fleet, iot):
    made = iot.create_job_template(
        jobTemplateId=fleet.name("template"),
        description="d",
        document="{}",
        tags=[{"Key": "line", "Value": "two"}],
    )
    found = iot.list_tags_for_resource(resourceArn=made["jobTemplateArn"])["tags"]
    assert found == [{"Key": "line", "Value": "two"}]


@conforms("iot CreateJobTemplate", "in destinationPackageVersions")
@conforms("iot DescribeJobTemplate", "out destinationPackageVersions")
def test_a_template_names_the_packages_of_its_jobs(fleet, iot, describe):
    package, name = fleet.name("package"), fleet.name("template")
    iot.create_package(packageName=package)
    iot.create_package_version(packageName=package, versionName="1")
    iot.update_package_version(packageName=package, versionName="1", action="PUBLISH")
    arns = [f"{ARN}:package/{package}/version/1"]
    iot.create_job_template(
        jobTemplateId=name, description="d", document="{}", destinationPackageVersions=arns
    )
    assert describe(name)["destinationPackageVersions"] == arns


@conforms("iot DeleteJobTemplate", "in jobTemplateId")
@conforms("iot DescribeJobTemplate", "error ResourceNotFoundException")
def test_a_deleted_template_is_gone_and_its_jobs_stay(fleet, iot, refusal, thing):
    name = fleet.name("template")
    made = iot.create_job_template(jobTemplateId=name, description="d", document="{}")
    job = fleet.name("job")
    iot.create_job(jobId=job, targets=[fleet.arn(thing)], jobTemplateArn=made["jobTemplateArn"])
    iot.delete_job_template(jobTemplateId=name)
    found = refusal(iot.describe_job_template, jobTemplateId=name)
    assert found[:2] == ("ResourceNotFoundException", 404)
    assert fleet.status(job) == "IN_PROGRESS"


@conforms("iot ListJobTemplates", "in maxResults", "in nextToken", "out nextToken")
@conforms("iot ListJobTemplates", *(f"out jobTemplates.{n}" for n in ("jobTemplateArn", "jobTemplateId")))
@conforms("iot ListJobTemplates", *(f"out jobTemplates.{n}" for n in ("description", "createdAt")))
def test_templates_are_listed_in_pages(fleet, iot, describe):
    names = [fleet.name("template") for _ in range(3)]
    for name in names:
        iot.create_job_template(jobTemplateId=name, description=f"of {name}", document="{}")
    first = iot.list_job_templates(maxResults=1)
    assert len(first["jobTemplates"]) == 1
    second = iot.list_job_templates(maxResults=1, nextToken=first["nextToken"])
    assert second["jobTemplates"] != first["jobTemplates"]
    pages = iot.get_paginator("list_job_templates").paginate(PaginationConfig={"PageSize": 2})
    found = {entry["jobTemplateId"]: entry for page in pages for entry in page["jobTemplates"]}
    assert set(names) <= set(found)
    told = describe(names[0])
    members = ("jobTemplateArn", "jobTemplateId", "description", "createdAt")
    assert found[names[0]] == {member: told[member] for member in members}


@conforms("iot DescribeManagedJobTemplate", "in templateName", "in templateVersion")
@conforms(
    "iot DescribeManagedJobTemplate", *(f"out {n}" for n in ("templateName", "templateArn", "description"))
)
@conforms(
    "iot DescribeManagedJobTemplate", *(f"out {n}" for n in ("templateVersion", "environments", "document"))
)
@conforms("iot DescribeManagedJobTemplate", "out documentParameters")
def test_a_managed_template_is_described_with_its_parameters(iot):
    found = iot.describe_managed_job_template(templateName=MANAGED)
    assert found["templateName"] == MANAGED
    assert MANAGED in found["templateArn"]
    assert found["description"]
    assert found["environments"]
    assert json.loads(found["document"])["steps"]
    for parameter in found.get("documentParameters", []):
        assert {"key", "description", "regex", "example", "optional"} <= set(parameter)
    again = iot.describe_managed_job_template(templateName=MANAGED, templateVersion=found["templateVersion"])
    assert again["document"] == found["document"]


@conforms("iot ListManagedJobTemplates", *(f"in {n}" for n in ("templateName", "maxResults", "nextToken")))
@conforms("iot ListManagedJobTemplates", "out nextToken")
@conforms(
    "iot ListManagedJobTemplates",
    *(
        f"out managedJobTemplates.{n}"
        for n in ("templateArn", "templateName", "description", "environments", "templateVersion")
    ),
)
def test_managed_templates_are_listed_by_name_and_in_pages(iot):
    first = iot.list_managed_job_templates(maxResults=1)
    assert len(first["managedJobTemplates"]) == 1
    second = iot.list_managed_job_templates(maxResults=1, nextToken=first["nextToken"])
    assert second["managedJobTemplates"] != first["managedJobTemplates"]
    pages = iot.get_paginator("list_managed_job_templates").paginate(PaginationConfig={"PageSize": 3})
    names = {entry["templateName"] for page in pages for entry in page["managedJobTemplates"]}
    assert {"AWS-Reboot", "AWS-Download-File"} <= names
    (entry,) = iot.list_managed_job_templates(templateName=MANAGED)["managedJobTemplates"]
    told = iot.describe_managed_job_template(templateName=MANAGED)
    assert entry == {name: told[name] for name in entry}
    assert set(entry) == {"templateArn", "templateName", "description", "environments", "templateVersion"}
