"""Functions through boto3 and the AWS command line: their life, their calls, and what they may not do."""

import base64
import hashlib
import io
import itertools
import json
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ParamValidationError

AWS = Path(sys.executable).parent / "aws"
ROLE = "arn:aws:iam::000000000000:role/worker"
ECHO = "def handler(event, context):\n    print('called')\n    return event\n"
numbers = itertools.count(1)


def archive(source, name="app.py"):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr(name, source)
    return made.getvalue()


class Functions:
    """Functions of one test on one client."""

    def __init__(self, client):
        self.client = client
        self.made = []

    def name(self):
        return f"function-{next(numbers)}"

    def create(self, source=ECHO, **members):
        name = members.pop("FunctionName", None) or self.name()
        given = {
            "Runtime": "python3.11",
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": archive(source)},
        } | members
        self.client.create_function(FunctionName=name, **given)
        self.made.append(name)
        return name

    def invoke(self, name, event=None, **members):
        """The answer, with its payload read and decoded and its log as text."""
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail", **members)
        payload = answer["Payload"].read()
        answer["Payload"] = json.loads(payload) if payload else None
        answer["Log"] = base64.b64decode(answer.pop("LogResult", "")).decode()
        return answer

    def close(self):
        for name in self.made:
            try:
                self.client.delete_function(FunctionName=name)
            except self.client.exceptions.ResourceNotFoundException:
                continue


@pytest.fixture
def functions(server, tls):
    made = Functions(server.client("lambda", tls=tls, read_timeout=100))
    yield made
    made.close()


@pytest.fixture
def plain(server):
    made = Functions(server.client("lambda", read_timeout=100))
    yield made
    made.close()


def refused(code, call, **members):
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response


def test_the_life_of_a_function(functions, server):
    client, name = functions.client, functions.name()
    code = archive(ECHO)
    made = client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": code},
        Description="echoes",
        Timeout=7,
        MemorySize=256,
        Environment={"Variables": {"TOPIC": "b"}},
    )
    functions.made.append(name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
    assert made["FunctionArn"] == arn
    assert made["CodeSha256"] == digest
    assert (made["State"], made["LastUpdateStatus"], made["Version"]) == ("Active", "Successful", "$LATEST")
    assert (made["Timeout"], made["MemorySize"], made["Runtime"]) == (7, 256, "python3.12")
    client.get_waiter("function_active_v2").wait(FunctionName=name)

    found = client.get_function(FunctionName=arn)
    with open_url(found["Code"]["Location"], server) as zipped:
        assert zipped.read() == code
    assert found["Configuration"]["Environment"] == {"Variables": {"TOPIC": "b"}}
    assert client.get_function_configuration(FunctionName=name)["RevisionId"] == made["RevisionId"]
    assert name in [
        each["FunctionName"]
        for page in client.get_paginator("list_functions").paginate()
        for each in page["Functions"]
    ]

    updated = client.update_function_configuration(
        FunctionName=name, Timeout=9, Environment={"Variables": {}}, RevisionId=made["RevisionId"]
    )
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert updated["Timeout"] == 9
    assert "Environment" not in updated
    assert updated["Description"] == "echoes"
    assert updated["RevisionId"] != made["RevisionId"]
    refused(
        "PreconditionFailedException",
        client.update_function_code,
        FunctionName=name,
        ZipFile=code,
        RevisionId=made["RevisionId"],
    )
    assert functions.invoke(name, {"n": 1})["Payload"] == {"n": 1}
    client.update_function_code(
        FunctionName=name, ZipFile=archive("def handler(e, c): return 'new'"), DryRun=True
    )
    assert functions.invoke(name, {"n": 2})["Payload"] == {"n": 2}
    client.update_function_code(FunctionName=name, ZipFile=archive("def handler(e, c): return 'new'"))
    assert functions.invoke(name)["Payload"] == "new"

    assert client.delete_function(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (
        client.get_function,
        client.get_function_configuration,
        client.delete_function,
        client.invoke,
    ):
        response = refused("ResourceNotFoundException", call, FunctionName=name)
        assert response["Error"]["Message"] == f"Function not found: {arn}"


def open_url(url, server):
    import ssl

    context = ssl.create_default_context(cafile=str(server.ca)) if url.startswith("https") else None
    return urllib.request.urlopen(url, context=context)


def test_code_in_the_store(functions, server):
    s3, bucket = server.client("s3"), f"code-{next(numbers)}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="v1.zip", Body=archive("def handler(e, c): return 1"))
    name = functions.create(Code={"S3Bucket": bucket, "S3Key": "v1.zip"})
    s3.delete_object(Bucket=bucket, Key="v1.zip")
    assert functions.invoke(name)["Payload"] == 1
    refused(
        "NoSuchKey",
        functions.client.update_function_code,
        FunctionName=name,
        S3Bucket=bucket,
        S3Key="v2.zip",
    )


def test_an_answer_with_its_log(functions):
    name = functions.create()
    answer = functions.invoke(name, {"a": "ü"})
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert answer["Payload"] == {"a": "ü"}
    assert "FunctionError" not in answer
    assert answer["Log"].startswith("START RequestId: ")
    assert "\ncalled\nEND RequestId: " in answer["Log"]
    plain = functions.client.invoke(FunctionName=name, Payload=b"[]")
    assert "LogResult" not in plain
    context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    source = "def handler(e, c): return c.client_context.custom"
    functions.client.update_function_code(FunctionName=name, ZipFile=archive(source))
    assert functions.invoke(name, ClientContext=context)["Payload"] == {"k": "v"}


def test_a_dry_run_runs_nothing(functions, server):
    name = functions.create()
    answer = functions.client.invoke(FunctionName=name, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert not (server.data / "functions" / "logs" / f"{name}.log").exists()


FAILURES = {
    "loops": ("while True: pass", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    "eats memory": (
        "kept = []\n    while True: kept.append(bytearray(b'x') * (1 << 20))",
        "Runtime.OutOfMemory",
        "signal: killed",
    ),
    "exits": ("__import__('os')._exit(7)", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
    "leaves": ("raise SystemExit", "Runtime.ExitError", "Runtime exited without providing a reason"),
    "crashes": ("__import__('ctypes').string_at(0)", "Runtime.ExitError", "segmentation fault"),
    "is no JSON": ("return {1}", "Runtime.MarshalError", "not JSON serializable"),
    "raises": ("raise KeyError('x')", "KeyError", "'x'"),
    "answers too much": ("return 'x' * (7 << 20)", "Function.ResponseSizeTooLarge", "exceeded maximum"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_function_that(plain, how):
    body, kind, message = FAILURES[how]
    name = plain.create(f"def handler(event, context):\n    {body}\n", Timeout=1 if how == "loops" else 10)
    answer = plain.invoke(name)
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    # What asks for too much at once is refused by the allocator before the watch sees it.
    assert answer["Payload"]["errorType"] in {kind, "MemoryError" if how == "eats memory" else kind}
    if answer["Payload"]["errorType"] == kind:
        assert message in answer["Payload"]["errorMessage"]
    assert "REPORT RequestId: " in answer["Log"]
    plain.client.update_function_code(FunctionName=name, ZipFile=archive(ECHO))
    assert plain.invoke(name, 1)["Payload"] == 1


def test_a_function_that_logs_a_megabyte(plain, server):
    name = plain.create(
        "def handler(event, context):\n    for _ in range(10_000): print('x' * 100)\n    print('last')\n"
    )
    answer = plain.invoke(name)
    assert "FunctionError" not in answer
    assert len(answer["Log"]) == 4096
    assert "\nlast\nEND " in answer["Log"]
    log = (server.data / "functions" / "logs" / f"{name}.log").read_text()
    assert len(log) < 300_000
    assert "bytes left out" in log


def test_a_function_without_its_module(plain):
    for handler, kind in (
        ("nowhere.handler", "Runtime.ImportModuleError"),
        ("app.other", "Runtime.HandlerNotFound"),
    ):
        answer = plain.invoke(plain.create(Handler=handler))
        assert (answer["FunctionError"], answer["Payload"]["errorType"]) == ("Unhandled", kind)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"Runtime": "nodejs22.x"}, "functions here are Python's"),
        ({"Handler": "handler"}, "MODULE.FUNCTION"),
        ({"Timeout": 901}, "between 1 and 900"),
        ({"MemorySize": 4096}, "this server allows"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "AWS_REGION"),
        ({"Environment": {"Variables": {"BIG": "x" * 5000}}}, "4096 bytes limit"),
        ({"Code": {"ZipFile": b"no zip"}}, "Could not unzip"),
        ({"Code": {"ZipFile": archive("x", "../../etc/cron.d/x")}}, "without .."),
        ({"Code": {"ZipFile": archive("x", "/abs.py")}}, "relative path"),
        ({"Code": {"S3Bucket": "only-a-bucket"}}, "provide a source"),
        ({"Code": {"ImageUri": "registry/image"}}, "ImageUri is not supported"),
        ({"PackageType": "Image"}, "PackageType Image is not supported"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, "Layers is not supported"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, "VpcConfig is not supported"),
        ({"TracingConfig": {"Mode": "Active"}}, "TracingConfig is not supported"),
        ({"Publish": True}, "Publish is not supported"),
        ({"EphemeralStorage": {"Size": 1024}}, "EphemeralStorage is not supported"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_created(plain, members, words):
    name = plain.name()
    with pytest.raises(ClientError) as caught:
        plain.create(FunctionName=name, **members)
    error = caught.value.response["Error"]
    assert error["Code"] in {"InvalidParameterValueException", "ValidationException"}
    assert words in error["Message"]
    refused("ResourceNotFoundException", plain.client.get_function, FunctionName=name)


def test_members_that_only_say_what_holds_are_taken(plain):
    plain.create(
        PackageType="Zip",
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        TracingConfig={"Mode": "PassThrough"},
        EphemeralStorage={"Size": 512},
        LoggingConfig={"LogFormat": "Text"},
        Tags={},
    )


def test_names_are_taken_once(plain):
    name = plain.create()
    with pytest.raises(plain.client.exceptions.ResourceConflictException, match="already exist"):
        plain.create(FunctionName=name)


def test_payloads_that_cannot_be(plain):
    name = plain.create()
    refused("InvalidRequestContentException", plain.client.invoke, FunctionName=name, Payload=b"{")
    large = b'"' + b"x" * (6 << 20) + b'"'
    refused("RequestTooLargeException", plain.client.invoke, FunctionName=name, Payload=large)
    for size in (1 << 20, 5 << 20):
        refused(
            "RequestTooLargeException",
            plain.client.invoke,
            FunctionName=name,
            InvocationType="Event",
            Payload=b'"' + b"x" * size + b'"',
        )
    assert plain.client.invoke(FunctionName=name, Payload=b'"' + b"x" * 5_000_000 + b'"')["StatusCode"] == 200
    refused("InvalidParameterValueException", plain.client.invoke, FunctionName=name, ClientContext="%%%")
    refused("ResourceNotFoundException", plain.client.invoke, FunctionName=name, Qualifier="7")


def test_what_is_not_served_says_so(plain):
    name = plain.create()
    refused("UnknownOperationException", plain.client.publish_version, FunctionName=name)
    refused("UnknownOperationException", plain.client.list_layers)


def test_permissions(plain):
    client, name = plain.client, plain.create()
    refused("ResourceNotFoundException", client.get_policy, FunctionName=name)
    rule = "arn:aws:iot:us-east-1:000000000000:rule/alarm"
    made = client.add_permission(
        FunctionName=name,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com",
        SourceArn=rule,
    )
    statement = json.loads(made["Statement"])
    assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
    assert json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"] == [statement]
    refused(
        "ResourceConflictException",
        client.add_permission,
        FunctionName=name,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="*",
    )
    client.remove_permission(FunctionName=name, StatementId="rule")
    refused("ResourceNotFoundException", client.remove_permission, FunctionName=name, StatementId="rule")
    refused("ResourceNotFoundException", client.get_policy, FunctionName=name)
    with pytest.raises(ParamValidationError):
        client.add_permission(FunctionName=name)


def test_a_function_reaches_the_other_services_and_another_function(functions, fleet):
    called = functions.create("def handler(event, context): return event['number'] + 1")
    thing = fleet.thing()
    source = """
import json, os
import boto3

def handler(event, context):
    who = boto3.client("sts").get_caller_identity()["Arn"]
    thing = boto3.client("iot").describe_thing(thingName=event["thing"])["thingName"]
    s3 = boto3.client("s3")
    s3.put_object(Bucket=event["bucket"], Key="made", Body=b"by a function")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": event["bucket"], "Key": "made"})
    answer = boto3.client("lambda").invoke(FunctionName=event["called"], Payload=json.dumps({"number": 41}))
    return {"who": who, "thing": thing, "number": json.load(answer["Payload"]), "url": url}
"""
    bucket = f"made-{next(numbers)}"
    fleet.server.client("s3").create_bucket(Bucket=bucket)
    name = functions.create(source, Timeout=30, MemorySize=256)
    answer = functions.invoke(name, {"thing": thing, "bucket": bucket, "called": called})
    assert "FunctionError" not in answer, answer
    found = answer["Payload"]
    assert found["who"] == f"arn:aws:sts::000000000000:assumed-role/worker/{name}"
    assert (found["thing"], found["number"]) == (thing, 42)
    with open_url(found["url"], fleet.server) as made:
        assert made.read() == b"by a function"


def test_temporary_keys_of_others_are_refused(plain, server):
    name = plain.create("import os\ndef handler(event, context): return dict(os.environ)")
    keys = plain.invoke(name)["Payload"]
    import boto3

    def client(**changes):
        given = {
            "aws_access_key_id": keys["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": keys["AWS_SESSION_TOKEN"],
        } | changes
        return boto3.client("sts", region_name="us-east-1", endpoint_url=server.http, **given)

    assert client().get_caller_identity()["Account"] == "000000000000"
    token = keys["AWS_SESSION_TOKEN"]
    forged = ("y" if token[0] == "x" else "x") + token[1:]
    refused("InvalidClientTokenId", client(aws_session_token=forged).get_caller_identity)
    refused("InvalidClientTokenId", client(aws_session_token=None).get_caller_identity)
    refused("SignatureDoesNotMatch", client(aws_secret_access_key="other").get_caller_identity)
    refused("InvalidClientTokenId", client(aws_access_key_id="ASIA0000000000000000").get_caller_identity)


def test_the_keys_of_the_server_are_not_the_functions(plain, server):
    source = """
def handler(event, context):
    found = {}
    for path in event:
        try:
            found[path] = open(path).read(1)
        except OSError as error:
            found[path] = type(error).__name__
    return found
"""
    name = plain.create(source)
    paths = [str(server.data / part) for part in ("credentials", "ca/ca.key", "state.sqlite3")]
    assert all(Path(path).exists() for path in paths[:1] + paths[2:])
    assert set(plain.invoke(name, paths)["Payload"].values()) == {"PermissionError"}


def test_the_command_line(server, tls, tmp_path):
    name = f"function-{next(numbers)}"
    (tmp_path / "code.zip").write_bytes(archive(ECHO))

    def aws(*arguments):
        done = subprocess.run(
            [AWS, "lambda", *arguments],
            env=server.environment(tls=tls) | {"AWS_PAGER": ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    which = ("--function-name", name)
    aws("create-function", *which, "--runtime", "python3.11", "--handler", "app.handler", "--role", ROLE, "--zip-file", "fileb://code.zip")  # fmt: skip
    aws("wait", "function-active-v2", *which)
    answer = aws("invoke", *which, "--payload", '{"a": 1}', "out.json")
    assert answer == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    assert json.loads((tmp_path / "out.json").read_text()) == {"a": 1}
    assert aws("list-functions")["Functions"]
    aws("delete-function", *which)
