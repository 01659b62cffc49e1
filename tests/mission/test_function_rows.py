"""Functions, row by row."""

import io
import json
import textwrap
import zipfile

import pytest

ROLE = "arn:aws:iam::000000000000:role/functions"
HELLO = """
    def handle(event, context):
        return {"greets": event["name"], "from": context.function_name}
"""


@pytest.fixture
def link(make_link):
    return make_link(5, True)


@pytest.fixture
def functions(server):
    return server.client("lambda")


def packed(code):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", textwrap.dedent(code))
    return content.getvalue()


@pytest.fixture
def make(functions, fleet):
    """Functions of the test's own, deleted after it."""
    made = []

    def create(code, **settings):
        name = fleet.name("function")
        functions.create_function(
            FunctionName=name,
            Role=ROLE,
            Code={"ZipFile": packed(code)},
            **{"Runtime": "python3.13", "Handler": "app.handle", "Timeout": 10, **settings},
        )
        made.append(name)
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        return name

    yield create
    for name in made:
        functions.delete_function(FunctionName=name)


def invoke(functions, name, event=None, **more):
    """Status, error and result."""
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    text = answer["Payload"].read()
    return answer["StatusCode"], answer.get("FunctionError"), json.loads(text) if text else None


def test_named_code_is_invoked_on_events_with_parameters(functions, make):
    name = make(HELLO)
    assert invoke(functions, name, {"name": "lamp"}) == (200, None, {"greets": "lamp", "from": name})
    functions.update_function_code(
        FunctionName=name, ZipFile=packed("def handle(event, context): return sum(event)")
    )
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert invoke(functions, name, [1, 2, 3]) == (200, None, 6)
    found = [
        each for page in functions.get_paginator("list_functions").paginate() for each in page["Functions"]
    ]
    assert name in {each["FunctionName"] for each in found}


def test_events_come_from_a_page_from_another_function_and_from_a_device(world, functions, fleet, make, link):
    name = make(HELLO)
    caller = make(
        """
        import json, os, boto3
        def handle(event, context):
            asked = json.loads(event["body"]) if "body" in event else event
            answer = boto3.client("lambda").invoke(
                FunctionName=asked["function"], Payload=json.dumps({"name": asked["name"]})
            )
            return json.load(answer["Payload"])
        """
    )
    expected = {"greets": "lamp", "from": name}
    event = {"function": name, "name": "lamp"}
    assert invoke(functions, caller, event) == (200, None, expected)
    url = functions.create_function_url_config(FunctionName=caller, AuthType="AWS_IAM")["FunctionUrl"]
    assert world.post(url, event) == (200, expected)
    assert world.post(url, event, secret_key="not-the-secret")[0] == 403

    answers = make(
        """
        import json, boto3
        def handle(event, context):
            boto3.client("iot-data").publish(
                topic=f"free/{event['who']}/answer", qos=1, payload=json.dumps({"double": 2 * event["n"]})
            )
        """
    )
    arn = functions.get_function_configuration(FunctionName=answers)["FunctionArn"]
    thing, rule = fleet.thing(), fleet.name("rule").replace("-", "_")
    functions.add_permission(
        FunctionName=answers,
        StatementId="rules",
        Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com",
    )
    sql = f"SELECT n, clientid() AS who FROM 'free/{thing}/question' WHERE n > 1"
    fleet.iot.create_topic_rule(
        ruleName=rule, topicRulePayload={"sql": sql, "actions": [{"lambda": {"functionArn": arn}}]}
    )
    device = fleet.device(thing, link)
    device.subscribe(f"free/{thing}/answer")
    device.publish(f"free/{thing}/question", {"n": 1})
    device.publish(f"free/{thing}/question", {"n": 21})
    assert device.take_named(f"free/{thing}/answer") == {"double": 42}
    fleet.iot.delete_topic_rule(ruleName=rule)


def test_time_and_memory_are_limited_by_the_user_and_capped_and_past_a_limit_it_ends(functions, make):
    loops = make("def handle(event, context):\n    while True: pass", Timeout=1)
    status, error, told = invoke(functions, loops)
    assert (status, error) == (200, "Unhandled")
    assert "Task timed out after 1.00 seconds" in told["errorMessage"]
    eats = make(
        """
        def handle(event, context):
            return len(b"x" * (1 << 30))
        """,
        MemorySize=128,
    )
    status, error, told = invoke(functions, eats)
    assert (status, error) == (200, "Unhandled")
    assert told["errorType"] in {"MemoryError", "Runtime.ExitError", "Runtime.OutOfMemory"}, told
    for beyond in ({"Timeout": 901}, {"MemorySize": 10_241}):
        with pytest.raises(functions.exceptions.ClientError) as caught:
            functions.update_function_configuration(FunctionName=eats, **beyond)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert invoke(functions, make(HELLO), {"name": "still here"})[2]["greets"] == "still here"


def test_functions_stand_between_devices_resources_and_pages_with_credentials_of_their_own(
    server, functions, fleet, make
):
    bucket, thing = f"mission-{fleet.name()}", fleet.thing()
    server.client("s3").create_bucket(Bucket=bucket)
    name = make(
        """
        import json, os, boto3
        def handle(event, context):
            s3, iot = boto3.client("s3"), boto3.client("iot")
            s3.put_object(Bucket=event["bucket"], Key="made", Body=b"by a function")
            arn = iot.describe_thing(thingName=event["thing"])["thingArn"]
            made = iot.create_job(jobId=event["job"], targets=[arn], document='{"operation": "test"}')
            return {"job": made["jobId"], "key": os.environ["AWS_ACCESS_KEY_ID"]}
        """
    )
    job = fleet.name("job")
    status, error, told = invoke(functions, name, {"bucket": bucket, "thing": thing, "job": job})
    assert (status, error) == (200, None), told
    assert told["job"] == job
    assert told["key"] != server.access_key
    assert server.client("s3").get_object(Bucket=bucket, Key="made")["Body"].read() == b"by a function"
    assert fleet.execution(thing, job)["status"] == "QUEUED"
