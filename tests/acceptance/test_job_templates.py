"""Job templates, one's own and the managed ones, and the jobs that are made from them; as boto3 sees them."""

import datetime as dt
import json

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:iot:us-east-1:000000000000"
MANAGED = "arn:aws:iot:us-east-1::jobtemplate/AWS-"
ROLE = "arn:aws:iam::000000000000:role/signer"
CONFIGS = {
    "jobExecutionsRolloutConfig": {
        "maximumPerMinute": 50,
        "exponentialRate": {
            "baseRatePerMinute": 5,
            "incrementFactor": 1.5,
            "rateIncreaseCriteria": {"numberOfSucceededThings": 10},
        },
    },
    "abortConfig": {
        "criteriaList": [
            {
                "failureType": "ALL",
                "action": "CANCEL",
                "thresholdPercentage": 12.5,
                "minNumberOfExecutedThings": 4,
            }
        ]
    },
    "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
    "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]},
}
WINDOWS = [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60}]


@pytest.fixture
def iot(server):
    return server.client("iot")


@pytest.fixture
def data(server):
    return server.client("iot-jobs-data")


@pytest.fixture
def make(fleet, iot):
    """CreateJobTemplate; the id and the ARN."""

    def create(**given):
        name = given.pop("jobTemplateId", None) or fleet.name("template")
        if not {"jobArn", "document", "documentSource"} & set(given):
            given["document"] = '{"operation":"test"}'
        made = iot.create_job_template(jobTemplateId=name, **{"description": "d", **given})
        assert made["jobTemplateId"] == name
        return name, made["jobTemplateArn"]

    return create


@pytest.fixture
def bucket(server, fleet):
    name = f"templates-{fleet.name()}"
    server.client("s3").create_bucket(Bucket=name)
    return name


def refused(call, **given):
    """Code and HTTP status of the refusal, and its message."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return response["Error"]["Code"], status, response["Error"]["Message"]


def described(iot, name):
    answer = iot.describe_job_template(jobTemplateId=name)
    del answer["ResponseMetadata"]
    return answer


def create_job(fleet, iot, **given):
    """CreateJob on a new thing; the job's id and the thing."""
    thing, job = fleet.thing(), fleet.name("job")
    iot.create_job(jobId=job, targets=[fleet.arn(thing)], **given)
    return job, thing


def test_a_template_is_described_as_it_was_made(iot, make):
    document = '{ "operation": "test", "nothing": null }'
    given = {
        "description": "for many",
        "document": document,
        "presignedUrlConfig": {"roleArn": ROLE, "expiresInSec": 90},
        "maintenanceWindows": WINDOWS,
        **CONFIGS,
    }
    name, arn = make(**given)
    assert arn == f"{ARN}:jobtemplate/{name}"
    answer = described(iot, name)
    age = dt.datetime.now(dt.UTC) - answer.pop("createdAt")
    assert abs(age.total_seconds()) < 60
    assert answer == {"jobTemplateId": name, "jobTemplateArn": arn, **given}


def test_a_template_of_the_least_and_its_end(iot, make):
    name, arn = make()
    answer = described(iot, name)
    assert set(answer) >= {"jobTemplateArn", "jobTemplateId", "description", "document", "createdAt"}
    assert not {"abortConfig", "maintenanceWindows", "documentSource", "destinationPackageVersions"} & set(
        answer
    )
    iot.delete_job_template(jobTemplateId=name)
    for call in (iot.describe_job_template, iot.delete_job_template):
        assert refused(call, jobTemplateId=name)[:2] == ("ResourceNotFoundException", 404)
    assert refused(iot.list_tags_for_resource, resourceArn=arn)[1] == 404
    make(jobTemplateId=name, description="another")
    assert described(iot, name)["description"] == "another"


def test_an_id_that_is_taken_conflicts_even_with_the_same_content(iot, make):
    name, _ = make()
    with pytest.raises(iot.exceptions.ConflictException) as caught:
        make(jobTemplateId=name)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert caught.value.response["resourceId"] == name


def test_a_template_from_a_job_has_what_the_job_has(fleet, iot, make):
    job, _ = create_job(
        fleet,
        iot,
        document='{ "operation": "of the job" }',
        description="of the job",
        presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 90},
        tags=[{"Key": "k", "Value": "v"}],
        **CONFIGS,
    )
    name, arn = make(jobArn=f"{ARN}:job/{job}", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    answer = described(iot, name)
    assert (answer["document"], answer["description"]) == ('{ "operation": "of the job" }', "d")
    assert answer["presignedUrlConfig"] == {"roleArn": ROLE, "expiresInSec": 90}
    expected = {**CONFIGS, "timeoutConfig": {"inProgressTimeoutInMinutes": 5}}
    assert {member: answer[member] for member in CONFIGS} == expected
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == []
    iot.delete_job(jobId=job, force=True)
    assert described(iot, name)["document"] == '{ "operation": "of the job" }'


def test_a_document_source_is_read_once(server, fleet, iot, data, make, bucket):
    s3 = server.client("s3")
    s3.put_object(Bucket=bucket, Key="job.json", Body=b'{"operation":"first"}')
    source = f"https://s3.us-east-1.amazonaws.com/{bucket}/job.json"
    name, arn = make(documentSource=source)
    s3.put_object(Bucket=bucket, Key="job.json", Body=b'{"operation":"second"}')
    answer = described(iot, name)
    assert (answer["documentSource"], answer["document"]) == (source, '{"operation":"first"}')
    job, thing = create_job(fleet, iot, jobTemplateArn=arn)
    found = data.describe_job_execution(thingName=thing, jobId=job)["execution"]
    assert found["jobDocument"] == '{"operation":"first"}'


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"document": "{"}, "JSON"),
        ({"document": '{"a":NaN}'}, "NaN"),
        ({"document": "[" * 1_001 + "]" * 1_001}, "deeper"),
        ({"document": "{}", "jobArn": f"{ARN}:job/j"}, "one of"),
        ({"document": "{}", "documentSource": "https://s3.amazonaws.com/b/k"}, "one of"),
        ({"documentSource": "https://example.com/k"}, "documentSource"),
        ({"documentSource": "https://s3.amazonaws.com/nowhere/k"}, "documentSource"),
        ({"jobArn": f"{ARN}:thing/t"}, "not of a job"),
        ({"jobArn": "arn:aws:iot:us-east-1:111111111111:job/j"}, "account"),
        ({"document": '{"u":"${aws:iot:s3-presigned-url:https://s3.amazonaws.com/bucket/k}"}'}, "roleArn"),
        (
            {
                "document": '{"u":"${aws:iot:s3-presigned-url:nothing}"}',
                "presignedUrlConfig": {"roleArn": ROLE},
            },
            "no object",
        ),
        ({"document": '{"u":"${aws:iot:parameter:k}"}'}, "parameter"),
        ({"document": '{"u":"${aws:iot:package:app}"}'}, "package"),
        ({"presignedUrlConfig": {"roleArn": "arn:aws:iam::nobody:role/x"}}, "roleArn"),
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 0}}, "inProgressTimeoutInMinutes"),
        ({"maintenanceWindows": [{"startTime": "daily", "durationInMinutes": 60}]}, "cron"),
        ({"destinationPackageVersions": [f"{ARN}:package/p"]}, "destinationPackageVersions"),
        (
            {"destinationPackageVersions": [f"{ARN}:package/p{n}/version/1" for n in range(26)]},
            "destinationPackageVersions",
        ),
        ({"tags": [{"Key": "aws:k", "Value": ""}]}, "reserved"),
    ],
)
def test_what_makes_no_template(fleet, iot, make, given, words):
    name = fleet.name("template")
    code, status, message = refused(make, jobTemplateId=name, **given)
    assert (code, status) == ("InvalidRequestException", 400)
    assert words in message
    assert refused(iot.describe_job_template, jobTemplateId=name)[1] == 404


def test_a_template_from_nothing_and_from_a_job_that_is_not_there(fleet, iot):
    nothing = {"jobTemplateId": fleet.name("template"), "description": "d"}
    assert refused(iot.create_job_template, **nothing)[:2] == ("InvalidRequestException", 400)
    nobody = {**nothing, "jobArn": f"{ARN}:job/nobody"}
    assert refused(iot.create_job_template, **nobody)[:2] == ("ResourceNotFoundException", 404)


def test_templates_page_by_page(own_server):
    iot = own_server.client("iot")
    for number in range(5):
        iot.create_job_template(jobTemplateId=f"t{number}", description=f"d{number}", document="{}")
    pages = list(iot.get_paginator("list_job_templates").paginate(PaginationConfig={"PageSize": 2}))
    assert [[each["jobTemplateId"] for each in page["jobTemplates"]] for page in pages] == [
        ["t0", "t1"],
        ["t2", "t3"],
        ["t4"],
    ]
    first = pages[0]["jobTemplates"][0]
    assert set(first) == {"jobTemplateArn", "jobTemplateId", "description", "createdAt"}
    assert (first["jobTemplateArn"], first["description"]) == (f"{ARN}:jobtemplate/t0", "d0")
    assert refused(iot.list_job_templates, nextToken="x")[:2] == ("InvalidRequestException", 400)
    own_server.kill()
    own_server.start()
    assert len(own_server.client("iot").list_job_templates()["jobTemplates"]) == 5


def test_managed_templates_page_by_page(iot):
    pages = list(iot.get_paginator("list_managed_job_templates").paginate(PaginationConfig={"PageSize": 3}))
    found = [template for page in pages for template in page["managedJobTemplates"]]
    assert [len(page["managedJobTemplates"]) for page in pages] == [3, 3, 2]
    names = [template["templateName"].removeprefix("AWS-") for template in found]
    actions = ["Install-Application", "Reboot", "Remove-Application", "Restart-Application", "Run-Command"]
    assert names == ["Download-File", *actions, "Start-Application", "Stop-Application"]
    for template in found:
        assert template["templateArn"] == f"{MANAGED}{template['templateName'].removeprefix('AWS-')}:1.0"
        assert (template["environments"], template["templateVersion"]) == (["LINUX"], "1.0")
    one = iot.list_managed_job_templates(templateName="AWS-Reboot")["managedJobTemplates"]
    assert [template["templateName"] for template in one] == ["AWS-Reboot"]
    assert refused(iot.list_managed_job_templates, templateName="AWS-Nothing")[:2] == (
        "ResourceNotFoundException",
        404,
    )


def test_a_managed_template_tells_its_parameters_and_its_document(iot):
    found = iot.describe_managed_job_template(templateName="AWS-Download-File", templateVersion="1.0")
    assert found["templateArn"] == f"{MANAGED}Download-File:1.0"
    keys = {each["key"]: each["optional"] for each in found["documentParameters"]}
    assert keys == {"downloadUrl": False, "filePath": False, "runAsUser": True, "pathToHandler": True}
    assert all(
        set(each) == {"key", "description", "regex", "example", "optional"}
        for each in found["documentParameters"]
    )
    (step,) = json.loads(found["document"])["steps"]
    assert step["action"]["input"]["args"] == [
        "${aws:iot:parameter:downloadUrl}",
        "${aws:iot:parameter:filePath}",
    ]
    for given in (
        {"templateName": "AWS-Nothing"},
        {"templateName": "AWS-Reboot", "templateVersion": "1.1"},
    ):
        assert refused(iot.describe_managed_job_template, **given)[:2] == ("ResourceNotFoundException", 404)
    assert refused(iot.describe_job_template, jobTemplateId="AWS-Reboot")[1] == 404


def test_a_job_takes_from_its_template_what_it_does_not_say_itself(fleet, iot, make):
    name, arn = make(
        description="of the template",
        document='{ "operation": "of the template" }',
        presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 90},
        **CONFIGS,
    )
    job, _ = create_job(fleet, iot, jobTemplateArn=arn)
    found = iot.describe_job(jobId=job)["job"]
    assert {member: found[member] for member in CONFIGS} == CONFIGS
    assert (found["description"], found["jobTemplateArn"]) == ("of the template", arn)
    assert found["presignedUrlConfig"] == {"roleArn": ROLE, "expiresInSec": 90}
    assert iot.get_job_document(jobId=job)["document"] == '{ "operation": "of the template" }'
    iot.delete_job_template(jobTemplateId=name)
    after = iot.describe_job(jobId=job)["job"]
    assert (after["status"], after["jobTemplateArn"]) == ("IN_PROGRESS", arn)
    assert fleet.counts(job) == {"Queued": 1}
    nobody = {"jobId": fleet.name("job"), "targets": [fleet.arn(fleet.thing())], "jobTemplateArn": arn}
    assert refused(iot.create_job, **nobody)[:2] == ("ResourceNotFoundException", 404)


def test_what_a_job_says_itself_replaces_the_whole_of_the_templates(fleet, iot, data, make):
    _, arn = make(presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 90}, **CONFIGS)
    own = {
        "document": '{"operation":"of the job"}',
        "description": "of the job",
        "presignedUrlConfig": {"expiresInSec": 60},
        "jobExecutionsRolloutConfig": {"maximumPerMinute": 7},
        "timeoutConfig": {},
    }
    job, thing = create_job(fleet, iot, jobTemplateArn=arn, **own)
    found = iot.describe_job(jobId=job)["job"]
    assert (found["description"], found["presignedUrlConfig"]) == ("of the job", {"expiresInSec": 60})
    assert found["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 7}
    assert found["timeoutConfig"] == {}
    for member in ("abortConfig", "jobExecutionsRetryConfig"):
        assert found[member] == CONFIGS[member]
    document = data.describe_job_execution(thingName=thing, jobId=job)["execution"]["jobDocument"]
    assert document == '{"operation":"of the job"}'


def test_the_windows_of_a_template_hold_for_its_jobs(fleet, iot, make):
    _, arn = make(maintenanceWindows=WINDOWS)
    job, _ = create_job(fleet, iot, jobTemplateArn=arn)
    found = iot.describe_job(jobId=job)["job"]
    assert found["schedulingConfig"] == {"maintenanceWindows": WINDOWS}
    assert found["scheduledJobRollouts"]


def test_packages_of_a_template_are_looked_up_when_a_job_is_made(fleet, iot, data, make):
    package = fleet.name("package")
    arn = f"{ARN}:package/{package}/version/$default"
    placeholder = f"${{aws:iot:package:{package}:version:$default:attributes:sum}}"
    document = json.dumps({"sum": placeholder})
    name, template = make(document=document, destinationPackageVersions=[arn])
    assert described(iot, name)["destinationPackageVersions"] == [arn]
    early = {"jobId": fleet.name("job"), "targets": [fleet.arn(fleet.thing())], "jobTemplateArn": template}
    assert refused(iot.create_job, **early)[0] in {"InvalidRequestException", "ResourceNotFoundException"}
    iot.create_package(packageName=package)
    iot.create_package_version(packageName=package, versionName="1", attributes={"sum": "abc"})
    iot.update_package_version(packageName=package, versionName="1", action="PUBLISH")
    iot.update_package(packageName=package, defaultVersionName="1")
    job, thing = create_job(fleet, iot, jobTemplateArn=template)
    found = data.describe_job_execution(thingName=thing, jobId=job)["execution"]
    assert found["jobDocument"] == '{"sum":"abc"}'
    assert described(iot, name)["document"] == document


def test_a_job_from_a_managed_template(fleet, iot, data, make):
    parameters = {"downloadUrl": "https://example.com/a?b=c", "filePath": '/tmp/"a"'}
    job, thing = create_job(
        fleet, iot, jobTemplateArn=f"{MANAGED}Download-File:1.0", documentParameters=parameters
    )
    found = iot.describe_job(jobId=job)["job"]
    assert (found["jobTemplateArn"], found["documentParameters"]) == (
        f"{MANAGED}Download-File:1.0",
        parameters,
    )
    template = iot.describe_managed_job_template(templateName="AWS-Download-File")
    assert found["description"] == template["description"]
    document = json.loads(data.describe_job_execution(thingName=thing, jobId=job)["execution"]["jobDocument"])
    assert document == {
        "version": "1.0",
        "steps": [
            {
                "action": {
                    "name": "Download-File",
                    "type": "runHandler",
                    "input": {"handler": "download-file.sh", "args": list(parameters.values()), "path": ""},
                    "runAsUser": "",
                }
            }
        ],
    }
    name, _ = make(jobArn=f"{ARN}:job/{job}")
    assert json.loads(described(iot, name)["document"]) == document


def test_a_template_from_a_job_of_a_managed_one_without_parameters(fleet, iot, make):
    job, _ = create_job(fleet, iot, jobTemplateArn=f"{MANAGED}Reboot:1.0")
    assert "documentParameters" not in iot.describe_job(jobId=job)["job"]
    name, arn = make(jobArn=f"{ARN}:job/{job}")
    (step,) = json.loads(described(iot, name)["document"])["steps"]
    assert step["action"]["input"] == {"handler": "reboot.sh", "path": ""}
    again, _ = create_job(fleet, iot, jobTemplateArn=arn)
    assert iot.get_job_document(jobId=again) | {"ResponseMetadata": 0} == (
        iot.get_job_document(jobId=job) | {"ResponseMetadata": 0}
    )


def test_a_template_from_a_job_fills_in_packages_anew(fleet, iot, make):
    package = fleet.name("package")
    iot.create_package(packageName=package)
    for version in ("1", "2"):
        iot.create_package_version(packageName=package, versionName=version)
        iot.update_package_version(packageName=package, versionName=version, action="PUBLISH")
    iot.update_package(packageName=package, defaultVersionName="1")
    arn = f"{ARN}:package/{package}/version/$default"
    document = '{"all":"${aws:iot:package::version::attributes}"}'
    job, _ = create_job(fleet, iot, document=document, destinationPackageVersions=[arn])
    name, template = make(jobArn=f"{ARN}:job/{job}")
    assert described(iot, name)["document"] == document
    assert described(iot, name)["destinationPackageVersions"] == [arn]
    iot.update_package(packageName=package, defaultVersionName="2")
    later, _ = create_job(fleet, iot, jobTemplateArn=template)
    installed = iot.describe_job(jobId=later)["job"]["destinationPackageVersions"]
    assert installed == [f"{ARN}:package/{package}/version/2"]


def test_a_parameter_may_be_a_placeholder_for_a_url(fleet, iot, data, bucket):
    url = f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{bucket}/file}}"
    given = {
        "jobTemplateArn": f"{MANAGED}Download-File:1.0",
        "documentParameters": {"downloadUrl": url, "filePath": "/tmp/a"},
    }
    without_role = {"jobId": fleet.name("job"), "targets": [fleet.arn(fleet.thing())], **given}
    assert refused(iot.create_job, **without_role)[0] == "InvalidRequestException"
    job, thing = create_job(fleet, iot, **given, presignedUrlConfig={"roleArn": ROLE})
    document = json.loads(data.describe_job_execution(thingName=thing, jobId=job)["execution"]["jobDocument"])
    assert "X-Amz-Signature=" in document["steps"][0]["action"]["input"]["args"][0]


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"jobTemplateArn": f"{MANAGED}Reboot:9.9"}, 404, "version 9.9"),
        ({"jobTemplateArn": f"{MANAGED}Nothing:1.0"}, 404, "AWS-Nothing"),
        ({"jobTemplateArn": f"{ARN}:jobtemplate/nobody"}, 404, "nobody"),
        ({"jobTemplateArn": f"{ARN}:job/j"}, 400, "not of a job template"),
        ({"jobTemplateArn": "arn:aws:iot:us-east-1:111111111111:jobtemplate/t"}, 400, "account"),
        ({"jobTemplateArn": f"{MANAGED}Run-Command:1.0"}, 400, "'command'"),
        (
            {
                "jobTemplateArn": f"{MANAGED}Run-Command:1.0",
                "documentParameters": {"command": "ls", "speed": "1"},
            },
            400,
            "'speed'",
        ),
        (
            {"jobTemplateArn": f"{MANAGED}Reboot:1.0", "documentParameters": {"runAsUser": "u" * 257}},
            400,
            "'runAsUser'",
        ),
        (
            {
                "jobTemplateArn": f"{MANAGED}Reboot:1.0",
                "documentParameters": {"runAsUser": "u"},
                "document": "{}",
            },
            400,
            "documentParameters",
        ),
        ({"document": "{}", "documentParameters": {"command": "ls"}}, 400, "documentParameters"),
        ({"document": '{"a":"${aws:iot:parameter:k}"}'}, 400, "parameter"),
        ({}, 400, "jobTemplateArn"),
    ],
)
def test_what_makes_no_job(fleet, iot, given, code, words):
    job = fleet.name("job")
    name, status, message = refused(iot.create_job, jobId=job, targets=[fleet.arn(fleet.thing())], **given)
    assert (name, status) == (
        {400: "InvalidRequestException", 404: "ResourceNotFoundException"}[code],
        code,
    )
    assert words in message
    assert refused(iot.describe_job, jobId=job)[1] == 404


def test_parameters_are_not_for_templates_of_ones_own(fleet, iot, make):
    _, arn = make()
    given = {"jobId": fleet.name("job"), "targets": [fleet.arn(fleet.thing())], "jobTemplateArn": arn}
    code, status, message = refused(iot.create_job, **given, documentParameters={"command": "ls"})
    assert (code, status) == ("InvalidRequestException", 400)
    assert "documentParameters" in message
