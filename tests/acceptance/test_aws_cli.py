"""The AWS command line, unmodified, pointed at this server by its environment alone."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

AWS = str(Path(sys.executable).parent / "aws")
IMAGE_BYTES = 20 * 1024 * 1024


@pytest.fixture
def shell(server, tmp_path):
    """Run a line of shell, over https unless told otherwise; its exit code, output and errors."""

    def run(line, *, tls=True, **environment):
        found = server.environment(tls=tls) | {"HOME": str(tmp_path), "AWS_PAGER": ""} | environment
        found["PATH"] = f"{Path(AWS).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-ec", line],
            env=found,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def good(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_create_a_job_and_describe_it_in_one_line(fleet, shell, tls):
    thing, job = fleet.thing(), fleet.name("job")
    line = (
        f'aws iot create-job --job-id {job} --targets {fleet.arn(thing)} --document \'{{"operation": "test"}}\''
        f" && aws iot describe-job --job-id {job} --query job.[status,jobProcessDetails.numberOfQueuedThings] --output text"
    )
    output = good(shell(line, tls=tls))
    made, _, described = output.rpartition("}")
    assert json.loads(made + "}")["jobId"] == job
    assert described.split() == ["IN_PROGRESS", "1"]


def test_a_job_template_and_a_job_from_it(fleet, shell):
    template, job, group = fleet.name("template"), fleet.name("job"), fleet.group(fleet.thing())
    line = (
        f"aws iot create-job-template --job-template-id {template} --description 'Reports, at night'"
        """ --document '{"operation": "report"}' --timeout-config inProgressTimeoutInMinutes=30"""
        """ --maintenance-windows 'startTime="cron(0 2 * * ? *)",durationInMinutes=120'"""
        " --query jobTemplateArn --output text"
    )
    arn = good(shell(line)).strip()
    line = (
        f"aws iot create-job --job-id {job} --targets {fleet.arn(group)} --job-template-arn {arn} >made"
        f" && aws iot describe-job --job-id {job} --query 'job.[description,schedulingConfig.maintenanceWindows[0].startTime]'"
        " --output text"
    )
    assert good(shell(line)).split("\t") == ["Reports, at night", "cron(0 2 * * ? *)\n"]


def test_a_managed_template_is_filled_in(fleet, shell):
    job = fleet.name("job")
    line = (
        f"aws iot create-job --job-id {job} --targets {fleet.arn(fleet.thing())}"
        " --job-template-arn arn:aws:iot:us-east-1::jobtemplate/AWS-Run-Command:1.0 --document-parameters command=uptime"
        f" >made && aws iot get-job-document --job-id {job} --query document --output text"
    )
    (step,) = json.loads(good(shell(line)))["steps"]
    assert step["action"]["input"] == {"command": "uptime"}


def test_things_and_executions_are_listed(fleet, shell):
    thing, other = fleet.thing(), fleet.thing()
    job = fleet.job(fleet.group(thing, other))
    output = good(
        shell(
            f"""
            aws iot create-thing --thing-name {fleet.name("thing")} --attribute-payload '{{"attributes": {{"site": "a"}}}}'
            aws iot list-things --query "things[?starts_with(thingName, '{thing}')].thingName" --output text
            aws iot list-job-executions-for-job --job-id {job} --page-size 1 \
                --query executionSummaries[].jobExecutionSummary.status --output text
            """
        )
    )
    assert output.split()[-3:] == [thing, "QUEUED", "QUEUED"]


def test_a_file_of_twenty_megabytes_there_and_back(fleet, shell, tls, tmp_path):
    bucket = f"cli-{fleet.name()}"
    image = tmp_path / "image.bin"
    image.write_bytes(random.Random(bucket).randbytes(IMAGE_BYTES))
    there = f"aws s3 mb s3://{bucket}; aws s3 cp --no-progress image.bin s3://{bucket}/images/image.bin"
    back = f"aws s3 ls s3://{bucket}/images/; aws s3 cp --no-progress s3://{bucket}/images/image.bin back.bin"
    good(shell(there, tls=tls))
    assert f"{IMAGE_BYTES} image.bin" in good(shell(back, tls=tls))
    assert digest(image) == digest(tmp_path / "back.bin")


def test_a_pre_signed_url_for_curl_and_the_end_of_file_and_bucket(fleet, shell, tmp_path):
    bucket = f"cli-{fleet.name()}"
    (tmp_path / "small.bin").write_bytes(b"small")
    good(shell(f"aws s3 mb s3://{bucket}; aws s3 cp --no-progress small.bin s3://{bucket}/a/small.bin"))
    fetch = (
        f"url=$(aws s3 presign s3://{bucket}/a/small.bin --expires-in 60);"
        ' curl -sSf --cacert "$AWS_CA_BUNDLE" "$url"'
    )
    assert good(shell(fetch)) == "small"
    good(shell(f"aws s3 rm s3://{bucket}/a/small.bin; aws s3 rb s3://{bucket}"))
    gone = shell(f"aws s3 ls s3://{bucket}/")
    assert gone.returncode != 0
    assert "NoSuchBucket" in gone.stderr


def test_a_job_whose_document_is_in_the_store(fleet, shell):
    bucket, job, thing = f"cli-{fleet.name()}", fleet.name("job"), fleet.thing()
    output = good(
        shell(
            f"""
            aws s3 mb s3://{bucket} > /dev/null
            echo '{{"operation": "stored"}}' | aws s3 cp - s3://{bucket}/document.json
            aws iot create-job --job-id {job} --targets {fleet.arn(thing)} \
                --document-source https://s3.amazonaws.com/{bucket}/document.json > /dev/null
            aws iot get-job-document --job-id {job} --query document --output text
            """
        )
    )
    assert json.loads(output) == {"operation": "stored"}


def test_a_whole_update_from_the_shell(fleet, shell):
    thing, job = fleet.thing(), fleet.name("job")
    output = good(
        shell(
            f"""
            aws iot create-job --job-id {job} --targets {fleet.arn(thing)} --document '{{}}' > /dev/null
            aws iot-jobs-data start-next-pending-job-execution --thing-name {thing} --query execution.jobId --output text
            aws iot-jobs-data update-job-execution --job-id {job} --thing-name {thing} --status SUCCEEDED
            aws iot describe-job --job-id {job} --query job.status --output text
            """
        )
    )
    assert output.split() == [job, "COMPLETED"]


def test_a_wrong_secret_is_told_as_aws_tells_it(shell):
    wrong = {"AWS_SECRET_ACCESS_KEY": "wrong"}
    iot = shell("aws iot list-things", **wrong)
    assert iot.returncode in (254, 255)
    assert "InvalidSignatureException" in iot.stderr
    assert "The request signature we calculated does not match the signature you provided" in iot.stderr
    s3 = shell("aws s3 ls", **wrong)
    assert s3.returncode != 0
    assert "SignatureDoesNotMatch" in s3.stderr
    key = shell("aws iot list-things", AWS_ACCESS_KEY_ID="AKIANOBODYKNOWSTHIS0")
    assert "UnrecognizedClientException" in key.stderr
    sts = shell("aws sts get-caller-identity", **wrong)
    assert "SignatureDoesNotMatch" in sts.stderr


def test_an_unknown_job_and_a_bad_target_are_told_with_awss_codes(fleet, shell):
    missing = shell(f"aws iot describe-job --job-id {fleet.name('job')}")
    assert missing.returncode in (254, 255)
    assert "(ResourceNotFoundException) when calling the DescribeJob operation" in missing.stderr
    target = f"arn:aws:iot:us-east-1:000000000000:thing/{fleet.name('thing')}"
    refused = shell(f"aws iot create-job --job-id {fleet.name('job')} --targets {target} --document '{{}}'")
    assert "(ResourceNotFoundException) when calling the CreateJob operation" in refused.stderr


def test_what_is_not_served_is_refused_and_never_pretended(shell):
    refused = shell("aws iot list-billing-groups")
    assert refused.returncode in (254, 255)
    assert "(UnknownOperationException)" in refused.stderr
