"""The one-way flow: a device says something, a rule wakes a function, the function answers another device by itself."""

import io
import json
import zipfile

import pytest

ROLE = "arn:aws:iam::000000000000:role/functions"
ANSWERS = """
import json
import boto3

def handle(event, context):
    for who in event["tell"]:
        boto3.client("iot-data").publish(
            topic=f"free/{who}/answers",
            qos=1,
            payload=json.dumps({"heard": event["said"], "of": event["who"], "at": event["site"]}),
        )
"""


def packed(code):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", code)
    return content.getvalue()


def make_function(server, name, code=ANSWERS):
    """The ARN of a new function."""
    functions = server.client("lambda")
    made = functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handle",
        Code={"ZipFile": packed(code)},
        Timeout=20,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return made["FunctionArn"]


def allow(server, function, rule, **more):
    server.client("lambda").add_permission(
        FunctionName=function,
        StatementId=f"for-{rule}",
        Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com",
        SourceArn=f"arn:aws:iot:us-east-1:000000000000:rule/{rule}",
        **more,
    )


def make_rule(fleet, name, sql, arn, **more):
    fleet.iot.create_topic_rule(
        ruleName=name, topicRulePayload={"sql": sql, "actions": [{"lambda": {"functionArn": arn}}], **more}
    )


@pytest.fixture
def names(fleet):
    """A function's name and a rule's; both are gone after the test."""
    function, rule = fleet.name("function"), fleet.name("rule").replace("-", "_")
    yield function, rule
    fleet.iot.delete_topic_rule(ruleName=rule)
    fleet.server.client("lambda").delete_function(FunctionName=function)


def test_a_devices_message_wakes_a_function_that_answers_devices(fleet, names, link):
    function, rule = names
    sender, receiver = fleet.thing(), fleet.thing()
    arn = make_function(fleet.server, function)
    sql = f"SELECT *, clientid() AS who, topic(3) AS site FROM 'free/{sender}/+' WHERE said <> 'nothing'"
    make_rule(fleet, rule, sql, arn)
    allow(fleet.server, function, rule)
    hears, says = fleet.device(receiver, link), fleet.device(sender, link)
    hears.subscribe(f"free/{receiver}/answers")
    says.subscribe(f"free/{sender}/answers")
    says.publish(f"free/{sender}/hall", {"said": "nothing", "tell": [receiver]})
    says.publish(f"free/{sender}/hall", {"said": "hello", "tell": [receiver, sender]})
    expected = {"heard": "hello", "of": sender, "at": "hall"}
    for device in (hears, says):
        assert device.take_named(f"free/{device.thing}/answers") == expected
        device.quiet()


def test_a_function_that_does_not_let_rules_in_is_not_invoked(fleet, names, make_link):
    function, rule = names
    thing = fleet.thing()
    arn = make_function(fleet.server, function)
    error = {"republish": {"roleArn": "arn:aws:iam::000000000000:role/r", "topic": f"free/{thing}/errors"}}
    make_rule(fleet, rule, f"SELECT * FROM 'free/{thing}/in'", arn, errorAction=error)
    allow(fleet.server, function, "another_rule")
    device = fleet.device(thing, make_link(5, True))
    device.subscribe(f"free/{thing}/errors")
    device.publish(f"free/{thing}/in", {"said": "x"})
    (failure,) = device.take().body["failures"]
    assert failure["failedAction"] == "LambdaAction"
    assert "iot.amazonaws.com" in failure["errorMessage"]


def test_a_payload_that_is_no_json_is_no_event(fleet, names, make_link):
    function, rule = names
    thing = fleet.thing()
    arn = make_function(fleet.server, function)
    error = {"republish": {"roleArn": "arn:aws:iam::000000000000:role/r", "topic": f"free/{thing}/errors"}}
    make_rule(fleet, rule, f"SELECT * FROM 'free/{thing}/in'", arn, errorAction=error)
    allow(fleet.server, function, rule)
    device = fleet.device(thing, make_link(4, True))
    device.subscribe(f"free/{thing}/errors")
    device.publish(f"free/{thing}/in", b"\xff\x00")
    (failure,) = device.take().body["failures"]
    assert "json" in failure["errorMessage"].lower()


def test_what_was_acknowledged_is_invoked_after_kill_9(
    own_server, make_fleet, make_link, tmp_path, eventually
):
    """The PUBACK says that the invocation is on disk; the server dies before it can have run to its end."""
    fleet = make_fleet(own_server, tmp_path)
    own_server.client("s3").create_bucket(Bucket="proof")
    arn = make_function(
        own_server,
        "writes",
        """
import boto3

def handle(event, context):
    boto3.client("s3").put_object(Bucket="proof", Key=event["key"], Body=b"done")
""",
    )
    make_rule(fleet, "writing", "SELECT * FROM 'free/in'", arn)
    allow(own_server, "writes", "writing")
    device = fleet.device("dev", make_link(4, False))
    wanted = {f"key-{number}" for number in range(5)}
    for key in sorted(wanted):
        device.publish("free/in", {"key": key})
    for _ in wanted:
        device.acknowledged()
    own_server.kill()
    own_server.start()
    s3 = own_server.client("s3")
    eventually(
        lambda: {one["Key"] for one in s3.list_objects_v2(Bucket="proof").get("Contents", [])} == wanted,
        seconds=60,
    )
    device.disconnect()


def test_an_event_is_json_of_what_the_rule_selected(fleet, names, make_link):
    function, rule = names
    thing = fleet.thing()
    code = f"""
import json, boto3

def handle(event, context):
    boto3.client("iot-data").publish(topic="free/{thing}/echo", qos=1, payload=json.dumps(event))
"""
    arn = make_function(fleet.server, function, code)
    make_rule(fleet, rule, f"SELECT VALUE [a, topic(), 1.50] FROM 'free/{thing}/in'", arn)
    allow(fleet.server, function, rule, SourceAccount="000000000000")
    device = fleet.device(thing, make_link(5, False))
    device.subscribe(f"free/{thing}/echo")
    device.publish(f"free/{thing}/in", json.dumps({"a": {"b": [1]}}).encode())
    assert device.take_named(f"free/{thing}/echo") == [{"b": [1]}, f"free/{thing}/in", 1.5]
