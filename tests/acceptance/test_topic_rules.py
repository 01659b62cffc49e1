"""Topic rules and messages over HTTP, with real devices on one side and AWS's own clients on the other."""

import base64
import json
import os
import queue
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from paho.mqtt import client as paho

ACCOUNT_ARN = "arn:aws:iot:us-east-1:000000000000"
ROLE = "arn:aws:iam::000000000000:role/rules"
SECONDS = 10


def republish(topic, **more):
    return {"republish": {"roleArn": ROLE, "topic": topic, **more}}


@pytest.fixture
def rules(fleet):
    """Make rules of the test's own; they are gone after it."""
    made = []

    def make(sql, *actions, **more):
        name = fleet.name("rule").replace("-", "_")
        fleet.iot.create_topic_rule(
            ruleName=name, topicRulePayload={"sql": sql, "actions": list(actions), **more}
        )
        made.append(name)
        return name

    yield make
    for name in made:
        fleet.iot.delete_topic_rule(ruleName=name)


def test_a_devices_message_reaches_another_device_by_a_rule(fleet, rules, link):
    sender, receiver = fleet.thing(), fleet.thing()
    rules(
        f"SELECT temperature AS t, clientid() AS who, topic(2) AS site FROM 'free/{sender}/+' WHERE temperature > 40",
        republish("free/alarms/${get(*, 'to')}", qos=1),
    )
    hears = fleet.device(receiver, link)
    hears.subscribe(f"free/alarms/{receiver}")
    says = fleet.device(sender, link)
    says.publish(f"free/{sender}/cold", {"temperature": 20, "to": receiver})
    says.publish(f"free/{sender}/hot", {"temperature": 50, "to": receiver})
    message = hears.take()
    assert message.topic == f"free/alarms/{receiver}"
    assert message.body == {"t": 50, "who": sender, "site": sender}
    assert message.qos == 1
    hears.quiet()


def test_failed_actions_go_to_the_error_action(fleet, rules, link):
    thing = fleet.thing()
    function = f"arn:aws:lambda:us-east-1:000000000000:function:{fleet.name('missing')}"
    name = rules(
        f"SELECT * FROM 'free/{thing}/in'",
        {"lambda": {"functionArn": function}},
        errorAction=republish(f"free/{thing}/errors"),
    )
    device = fleet.device(thing, link)
    device.subscribe(f"free/{thing}/errors")
    device.publish(f"free/{thing}/in", {"a": 1})
    document = device.take().body
    (failure,) = document.pop("failures")
    assert document == {
        "ruleName": name,
        "topic": f"free/{thing}/in",
        "clientId": thing,
        "base64OriginalPayload": base64.b64encode(b'{"a": 1}').decode(),
    }
    assert (failure["failedAction"], failure["failedResource"]) == ("LambdaAction", function)
    assert "not found" in failure["errorMessage"].lower()


def test_basic_ingest_needs_the_policy_of_its_topic(fleet, rules, make_link):
    link = make_link(5, True)
    thing, stranger = fleet.thing(), fleet.thing()
    name = rules("SELECT *, topic() AS topic", republish(f"free/{thing}/out"))
    allowed = fleet.policy(
        {
            "Effect": "Allow",
            "Action": ["iot:Connect", "iot:Publish", "iot:Receive", "iot:Subscribe"],
            "Resource": [
                f"{ACCOUNT_ARN}:client/*",
                f"{ACCOUNT_ARN}:topic/$aws/rules/{name}/*",
                f"{ACCOUNT_ARN}:topic/free/*",
                f"{ACCOUNT_ARN}:topicfilter/free/*",
            ],
        }
    )
    fleet.identity(thing, allowed)
    device = fleet.device(thing, link)
    device.subscribe(f"free/{thing}/out")
    device.publish(f"$aws/rules/{name}/plant/7", {"a": 1})
    assert device.take().body == {"a": 1, "topic": "plant/7"}
    other = fleet.device(stranger, link)
    other.publish(f"$aws/rules/{name}/plant/7", {"a": 1})
    assert other.acknowledged().getName() == "Not authorized"


def test_rules_outlive_kill_9(own_server, make_fleet, make_link, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    fleet.iot.create_topic_rule(
        ruleName="kept",
        topicRulePayload={"sql": "SELECT * FROM 'free/in'", "actions": [republish("free/out")]},
    )
    own_server.kill()
    own_server.start()
    device = make_fleet(own_server, tmp_path).device("dev", make_link(4, False))
    device.subscribe("free/out")
    device.publish("free/in", {"still": "here"})
    assert device.take().body == {"still": "here"}
    device.disconnect()


# The rules of the iot API


def test_the_life_of_a_rule(fleet, tls):
    iot = fleet.server.client("iot", tls=tls)
    name = fleet.name("rule").replace("-", "_")
    payload = {
        "sql": "SELECT a.b[0] AS c FROM 'free/x/#' WHERE a.b[0] IN [1, 2]",
        "description": "what it is for",
        "actions": [
            republish("free/y", qos=1),
            {"lambda": {"functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f"}},
        ],
        "errorAction": republish("free/errors", qos=0),
        "awsIotSqlVersion": "2016-03-23",
        "ruleDisabled": True,
    }
    iot.create_topic_rule(ruleName=name, topicRulePayload=payload)
    found = iot.get_topic_rule(ruleName=name)
    assert found["ruleArn"] == f"{ACCOUNT_ARN}:rule/{name}"
    created_at = found["rule"].pop("createdAt")
    assert found["rule"] == {**payload, "ruleName": name}
    iot.enable_topic_rule(ruleName=name)
    assert iot.get_topic_rule(ruleName=name)["rule"]["ruleDisabled"] is False
    iot.disable_topic_rule(ruleName=name)
    iot.replace_topic_rule(ruleName=name, topicRulePayload={"sql": "SELECT * FROM 'free/z'", "actions": []})
    replaced = iot.get_topic_rule(ruleName=name)["rule"]
    assert (replaced["sql"], replaced["actions"], replaced["ruleDisabled"]) == (
        "SELECT * FROM 'free/z'",
        [],
        False,
    )
    assert replaced["createdAt"] == created_at
    pages = iot.get_paginator("list_topic_rules").paginate(topic="free/z", PaginationConfig={"PageSize": 1})
    assert name in [rule["ruleName"] for page in pages for rule in page["rules"]]
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_topic_rule(ruleName=name, topicRulePayload=payload)
    iot.delete_topic_rule(ruleName=name)
    with pytest.raises(iot.exceptions.UnauthorizedException, match="was denied"):
        iot.get_topic_rule(ruleName=name)


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT temperature FROM", "At character 24: expected a topic filter in single quotes"),
        ("SELECT * FROM 'a/#/b'", "At character 15: expected a topic filter"),
        ("SELECT * FROM 'a' WHERE temperature >", "At character 38: expected an expression"),
        ("SELECT unknown(a) FROM 'a'", "At character 8: expected a function that this server has"),
        ("SELECT a FROM 'a' WHERE b LIKE 'x'", "At character 27: expected an operator or the end"),
    ],
)
def test_a_bad_statement_is_a_sql_parse_exception_with_its_place(fleet, sql, place):
    with pytest.raises(fleet.iot.exceptions.SqlParseException) as refused:
        fleet.iot.create_topic_rule(ruleName="bad", topicRulePayload={"sql": sql, "actions": []})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert place in refused.value.response["Error"]["Message"]


def test_an_action_that_is_not_there_is_refused_by_its_name(fleet):
    action = {"sqs": {"roleArn": ROLE, "queueUrl": "https://example.com/queue"}}
    with pytest.raises(fleet.iot.exceptions.InvalidRequestException, match="action sqs is not supported"):
        fleet.iot.create_topic_rule(
            ruleName="bad", topicRulePayload={"sql": "SELECT * FROM 'a'", "actions": [action]}
        )


# Messages over HTTP


def test_publish_reaches_a_device(fleet, link, tls):
    thing = fleet.thing()
    device = fleet.device(thing, link)
    device.subscribe(f"free/{thing}/+")
    data = fleet.server.client("iot-data", tls=tls)
    data.publish(topic=f"free/{thing}/a b", qos=1, payload=b'{"hello": "device"}')
    message = device.take()
    assert (message.topic, message.body, message.qos) == (f"free/{thing}/a b", {"hello": "device"}, 1)
    data.publish(topic=f"free/{thing}/empty")
    assert device.take().body == b""


def test_publish_carries_the_properties_of_mqtt_5(fleet, tls):
    topic, seen = f"free/{fleet.name()}", queue.SimpleQueue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, fleet.name(), protocol=paho.MQTTv5)
    client.on_connect = lambda *_: client.subscribe(topic, 1)
    client.on_subscribe = lambda *_: seen.put("subscribed")
    client.on_message = lambda _client, _data, message: seen.put(message)
    client.connect("127.0.0.1", fleet.server.port("mqtt"))
    client.loop_start()
    assert seen.get(timeout=SECONDS) == "subscribed"
    fleet.server.client("iot-data", tls=tls).publish(
        topic=topic,
        payload="grüß",
        userProperties=json.dumps([{"name": "alpha"}, {"count": "45"}]),
        payloadFormatIndicator="UTF8_DATA",
        contentType="text/plain",
        responseTopic="free/answers",
        correlationData=base64.b64encode(b"\x00id").decode(),
        messageExpiry=60,
    )
    message = seen.get(timeout=SECONDS)
    client.disconnect()
    client.loop_stop()
    properties = message.properties
    assert message.payload.decode() == "grüß"
    assert properties.UserProperty == [("name", "alpha"), ("count", "45")]
    assert properties.PayloadFormatIndicator == 1
    assert properties.ContentType == "text/plain"
    assert properties.ResponseTopic == "free/answers"
    assert properties.CorrelationData == b"\x00id"
    assert 1 <= properties.MessageExpiryInterval <= 60


def test_publish_runs_rules_of_which_nobody_is_the_client(fleet, rules, make_link):
    thing = fleet.thing()
    rules(f"SELECT *, clientid() AS who FROM 'free/{thing}/in'", republish(f"free/{thing}/out"))
    name = rules("SELECT *, topic() AS topic", republish(f"free/{thing}/out"))
    device = fleet.device(thing, make_link(4, True))
    device.subscribe(f"free/{thing}/out")
    data = fleet.server.client("iot-data")
    data.publish(topic=f"free/{thing}/in", payload=b'{"a":1}')
    assert device.take().body == {"a": 1, "who": "n/a"}
    data.publish(topic=f"$aws/rules/{name}/direct", payload=b'{"a":2}')
    assert device.take().body == {"a": 2, "topic": "direct"}


@pytest.mark.parametrize(
    ("topic", "code", "status"),
    [
        ("a/+/b", "InvalidRequestException", 400),
        ("a/#", "InvalidRequestException", 400),
        ("a/b/c/d/e/f/g/h/i", "InvalidRequestException", 400),
        ("$aws/things/x/jobs/notify", "ForbiddenException", 403),
        ("$SYS/x", "ForbiddenException", 403),
        ("$aws/rules", "ForbiddenException", 403),
    ],
)
def test_topics_that_nobody_may_publish_to(fleet, topic, code, status):
    with pytest.raises(ClientError) as refused:
        fleet.server.client("iot-data").publish(topic=topic, payload=b"x")
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"payload": b"x" * (128 * 1024 + 1)}, "at most 131072"),
        ({"userProperties": json.dumps({"a": "b"})}, "JSON array"),
        ({"userProperties": json.dumps([{"a": 1}])}, "JSON array"),
        ({"correlationData": "?"}, "base64"),
        ({"responseTopic": "a/+"}, "responseTopic"),
        ({"messageExpiry": 0}, "messageExpiry"),
        ({"contentType": "x" * 9000}, "bytes"),
    ],
)
def test_messages_that_are_refused(fleet, given, part):
    with pytest.raises(ClientError) as refused:
        fleet.server.client("iot-data").publish(topic="free/x", **given)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestException"
    assert part in refused.value.response["Error"]["Message"]


def test_shadows_are_not_made_up(fleet):
    with pytest.raises(ClientError) as refused:
        fleet.server.client("iot-data").update_thing_shadow(thingName="x", payload=b"{}")
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
    with pytest.raises(ClientError) as refused:
        fleet.server.client("iot-data").get_thing_shadow(thingName=fleet.thing())
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_the_aws_command_line_publishes_and_makes_rules(fleet, make_link, tls, tmp_path):
    thing = fleet.thing()
    device = fleet.device(thing, make_link(4, True))
    device.subscribe(f"free/{thing}/out")
    rule = fleet.name("rule").replace("-", "_")
    payload = tmp_path / "rule.json"
    payload.write_text(
        json.dumps({"sql": f"SELECT a FROM 'free/{thing}/in'", "actions": [republish(f"free/{thing}/out")]})
    )
    line = f"""
        aws iot create-topic-rule --rule-name {rule} --topic-rule-payload file://{payload}
        aws iot-data publish --topic free/{thing}/in --qos 1 --payload '{{"a": 7, "b": 8}}'
        aws iot delete-topic-rule --rule-name {rule}
    """
    done = subprocess.run(
        ["bash", "-ec", line],
        env=fleet.server.environment(tls=tls)
        | {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert device.take().body == {"a": 7}
