"""The same page, function and command line against moto, another implementation of AWS's APIs.

Nothing is told to them but where the endpoint is. What moto lacks is named in docs/reference/parity.md, and looked at here:
when it learns one of these, the list is to be shortened.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from playwright.sync_api import expect, sync_playwright

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/outfitter-updates"
LACKING = re.compile(r"^\| `(?P<service>[a-z0-9-]+)` `(?P<operation>[A-Za-z]+)` \|", re.MULTILINE)
# What each operation cannot do without; enough for a service that knows it to take it seriously.
NEEDED = {
    "CreatePackage": {"packageName": "lamp"},
    "CreatePackageVersion": {"packageName": "lamp", "versionName": "1"},
    "GetPackageVersion": {"packageName": "lamp", "versionName": "1"},
    "ListPackages": {},
    "ListPackageVersions": {"packageName": "lamp"},
    "ListCACertificates": {},
    "GetPendingJobExecutions": {"thingName": "lamp-1"},
    "StartNextPendingJobExecution": {"thingName": "lamp-1"},
    "DescribeJobExecution": {"thingName": "lamp-1", "jobId": "$next"},
    "UpdateJobExecution": {"thingName": "lamp-1", "jobId": "j", "status": "SUCCEEDED"},
}
# Called as AWS Lambda would call it: moto runs functions in Docker only.
CALL = """
import json, sys, types
from outfitter_updates.function.handler import handle
arn = "arn:aws:lambda:us-east-1:123456789012:function:outfitter-updates"
print(json.dumps(handle(json.load(sys.stdin), types.SimpleNamespace(invoked_function_arn=arn))))
"""


class Moto:
    """A moto server, and our programs pointed at it."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OUTFITTER_"))},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "another/implementation/of/the/same/apis/",
            "AWS_DEFAULT_REGION": REGION,
        }
        with (folder / "log").open("w") as log:
            command = [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)

    def answers(self):
        try:
            with urlopen(f"{self.url}/moto-api/data.json") as answer:
                return answer.status == 200
        except URLError:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            return False

    def client(self, service):
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}),
        )

    def run(self, *arguments, given=""):
        done = subprocess.run(
            [*map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def outfitter(self, *arguments):
        return json.loads(self.run(BIN / "outfitter", *arguments, "--json").stdout or "null")

    def function(self, **request):
        """What the update function answers, run here with moto as its cloud."""
        return json.loads(self.run(sys.executable, "-c", CALL, given=json.dumps(request)).stdout)


@pytest.fixture(scope="module")
def moto(tmp_path_factory, eventually):
    made = Moto(tmp_path_factory.mktemp("moto"))
    try:
        eventually(made.answers)
        # As on AWS, a function's role has to be there before the function.
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made.client("iam").create_role(RoleName="outfitter-updates", AssumeRolePolicyDocument=trust)
        made.client("iot").create_thing(thingName="lamp-1")
        made.client("iot").create_thing(thingName="lamp-2")
        made.outfitter("group", "create", "lamps")
        made.outfitter("group", "add", "lamps", "lamp-1", "lamp-2")
        yield made
    finally:
        made.process.terminate()
        made.process.wait(20)


@pytest.fixture(scope="module")
def deployment(moto):
    return moto.outfitter("deploy")


def test_deploy_brings_page_and_function_there_and_again_changes_nothing(moto, deployment):
    with urlopen(deployment["page_url"]) as page:
        assert b"<script" in page.read()
    found = moto.client("lambda").get_function(FunctionName="outfitter-updates")["Configuration"]
    assert (found["FunctionArn"], found["Role"]) == (deployment["function_arn"], ROLE)
    assert found["State"] == "Active"
    assert moto.outfitter("deploy")["changes"] == []


def test_the_command_line_knows_groups_devices_and_jobs_of_the_other(moto):
    assert [each["name"] for each in moto.outfitter("group", "list")] == ["lamps"]
    devices = moto.outfitter("device", "list", "--group", "lamps")
    assert {each["name"]: each["connection"] for each in devices} == {"lamp-1": None, "lamp-2": None}
    (moto.folder / "lamp.json").write_text('{"colour": "green"}')
    made = moto.outfitter("config", "push", "lamp.json", "group:lamps")
    document = json.loads(moto.client("iot").get_job_document(jobId=made["job_id"])["document"])
    assert (document["operation"], document["sha256"]) == ("config-download", made["sha256"])
    assert made["job_id"] in {each["job_id"] for each in moto.outfitter("job", "list")}
    moto.run(BIN / "outfitter", "job", "cancel", made["job_id"])
    assert moto.client("iot").describe_job(jobId=made["job_id"])["job"]["status"] == "CANCELED"


def test_the_function_makes_jobs_at_the_other(moto, deployment):
    made = moto.function(operation="config-upload", target={"thing": "lamp-1"}, jobId="fetch")
    assert made["jobId"] == "fetch"
    document = json.loads(moto.client("iot").get_job_document(jobId="fetch")["document"])
    assert document["operation"] == "config-upload"
    assert moto.function(operation="config-upload", target={"thing": "nobody"})["statusCode"] == 404
    wanted = {"operation": "install", "target": {"group": "lamps"}, "software": "lamp", "version": "1"}
    refused = moto.function(**wanted)
    assert refused["statusCode"] == 502
    assert "GetPackageVersion" in refused["message"]


def test_the_page_shows_the_fleet_of_the_other(moto, deployment):
    moto.function(operation="config-upload", target={"thing": "lamp-1"}, jobId="watched")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(deployment["page_url"])
        page.get_by_label("Access key ID").fill(moto.environment["AWS_ACCESS_KEY_ID"])
        page.get_by_label("Secret access key").fill(moto.environment["AWS_SECRET_ACCESS_KEY"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("rowheader")).to_have_text(["lamp-1", "lamp-2"])
        view(page, "Groups")
        expect(page.get_by_role("rowheader")).to_have_text(["lamps"])
        view(page, "Jobs")
        expect(page.get_by_role("row").filter(has_text="watched")).to_contain_text("queued")
        page.get_by_role("link", name="watched").click()
        expect(page.get_by_role("rowheader")).to_have_text(["lamp-1"])
        browser.close()


def view(page, name):
    page.get_by_role("navigation").get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name, level=1).wait_for()


@pytest.mark.parametrize(
    ("service", "operation"),
    LACKING.findall((ROOT / "docs" / "reference" / "parity.md").read_text("utf-8")),
)
def test_what_the_other_lacks_is_still_lacking(moto, service, operation):
    client = moto.client(service)
    call = next(name for name, known in client.meta.method_to_api_mapping.items() if known == operation)
    with pytest.raises(ClientError):
        getattr(client, call)(**NEEDED[operation])


def test_what_is_lacking_is_looked_at():
    named = LACKING.findall((ROOT / "docs" / "reference" / "parity.md").read_text("utf-8"))
    assert {operation for _, operation in named} == set(NEEDED)
