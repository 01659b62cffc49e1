"""`outfitter deploy` against a real server: the page that it brings, and its function behind a signed URL."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

OUTFITTER = Path(sys.executable).parent / "outfitter"
BUCKET = "outfitter-console-000000000000-us-east-1"
ROLE = "arn:aws:iam::000000000000:role/another"


def outfitter(server, *arguments, expect=0):
    done = subprocess.run(
        [OUTFITTER, *arguments],
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) if not expect and "--json" in arguments else done


def get(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def post(server, url, request, *, signed=True):
    """Status and body of the function's answer."""
    body = json.dumps(request).encode()
    sent = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
    if signed:
        SigV4Auth(Credentials(server.access_key, server.secret_key), "lambda", "us-east-1").add_auth(sent)
    ready = urllib.request.Request(url, data=body, headers=dict(sent.headers), method="POST")
    try:
        with urllib.request.urlopen(ready, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}")


@pytest.fixture(scope="module")
def deployed(server):
    return outfitter(server, "deploy", "--json")


def test_the_same_again_changes_nothing(server, deployed):
    again = outfitter(server, "deploy", "--json")
    assert again == {**deployed, "changes": []}
    assert deployed["bucket"] == BUCKET
    assert deployed["page_url"] == f"{server.http}/{BUCKET}/index.html"
    assert outfitter(server, "deploy").stdout == deployed["page_url"] + "\n"


def test_everybody_may_read_the_page_and_browsers_may_run_it(server, deployed):
    status, headers, page = get(deployed["page_url"])
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Content-Security-Policy"] is None
    script = re.search(rb'src="(assets/console-[^"]+\.js)"', page)[1].decode()
    status, headers, _ = get(f"{server.http}/{BUCKET}/{script}", Origin="https://elsewhere.example")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in headers["Cache-Control"]
    assert headers["Access-Control-Allow-Origin"] == "*"
    status, _, settings = get(f"{server.http}/{BUCKET}/config.json")
    told = json.loads(settings)
    assert told["endpoints"] == {"iot": ""}
    assert deployed["function_url"] == server.http + told["functionUrl"]


def test_nothing_else_is_open_to_everybody(server, deployed):
    software = "outfitter-software-000000000000-us-east-1"
    server.client("s3").put_object(Bucket=software, Key="secret", Body=b"x")
    assert get(f"{server.http}/{software}/secret")[0] == 403
    assert get(f"{server.http}/{BUCKET}/?list-type=2")[0] == 403


def test_the_function_takes_signed_requests_only(server, deployed):
    request = {"operation": "install", "target": {"thing": "deploy-none"}, "software": "x", "version": "1"}
    assert post(server, deployed["function_url"], request, signed=False)[0] == 403
    status, told = post(server, deployed["function_url"], request)
    assert (status, told["message"]) == (404, "There is no thing named 'deploy-none'.")


def test_the_function_makes_the_job_that_was_asked_for(server, deployed):
    iot = server.client("iot")
    iot.create_thing(thingName="deploy-lamp")
    request = {"operation": "config-upload", "target": {"thing": "deploy-lamp"}, "jobId": "deploy-fetch"}
    status, told = post(server, deployed["function_url"], request)
    assert status == 200, told
    assert told["jobId"] == "deploy-fetch"
    assert iot.describe_job(jobId="deploy-fetch")["job"]["targets"] == [
        iot.describe_thing(thingName="deploy-lamp")["thingArn"]
    ]
    status, told = post(server, deployed["function_url"], request)
    assert status == 409, told


def test_what_has_changed_is_brought_up_to_date(own_server):
    first = outfitter(own_server, "deploy", "--json")
    s3, functions = own_server.client("s3"), own_server.client("lambda")
    s3.put_object(Bucket=BUCKET, Key="index.html", Body=b"old", ContentType="text/plain")
    s3.delete_bucket_policy(Bucket=BUCKET)
    s3.delete_bucket_cors(Bucket=BUCKET)
    functions.update_function_url_config(FunctionName="outfitter-updates", AuthType="NONE", Cors={})
    second = outfitter(own_server, "deploy", "--json", "--role-arn", ROLE)
    assert set(second["changes"]) == {
        f"Everybody may read what is in {BUCKET}.",
        f"Set the CORS rules of {BUCKET}.",
        "Updated the settings of outfitter-updates.",
        "Updated the URL of outfitter-updates.",
        "Stored index.html.",
    }
    assert second["function_url"] == first["function_url"]
    told = functions.get_function_configuration(FunctionName="outfitter-updates")
    assert told["Role"] == ROLE
    assert told["Environment"]["Variables"]["OUTFITTER_ROLE_ARN"] == ROLE
    assert functions.get_function_url_config(FunctionName="outfitter-updates")["AuthType"] == "AWS_IAM"


def test_a_bucket_with_other_things_is_not_opened(own_server):
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket="mine", Key="accounts.csv", Body=b"x")
    refused = outfitter(own_server, "deploy", "--bucket", "mine", expect=1)
    assert "accounts.csv" in refused.stderr
    assert get(f"{own_server.http}/mine/accounts.csv")[0] == 403
