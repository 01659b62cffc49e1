"""Topic rules at work: which run, what their actions get, what failures do, and that loops end."""

import asyncio
import base64
import logging

import pytest
from outfitter_server.base.refusals import (
    AlreadyExists,
    InvalidRequest,
    LimitExceeded,
    MalformedSql,
    Unauthorized,
)
from outfitter_server.services import topic_rules
from outfitter_server.services.messages import REPUBLISHED_MAX, Published
from outfitter_server.services.rule_engine import HOPS_MAX

ROLE = "arn:aws:iam::000000000000:role/rules"


def republish(topic, **more):
    return {"republish": {"roleArn": ROLE, "topic": topic, **more}}


def invoke(function):
    return {"lambda": {"functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{function}"}}


async def test_a_rule_republishes_what_it_selects(world):
    await world.rule(
        "hot",
        "SELECT temperature AS t, clientid() AS who FROM 'plant/+/state' WHERE temperature > 40",
        republish("alarms/${topic(2)}", qos=1),
    )
    assert await world.send("plant/7/state", {"temperature": 50}) == [("alarms/7", {"t": 50, "who": "dev"})]
    assert world.published[0].qos == 1
    assert await world.send("plant/7/state", {"temperature": 30}) == []
    assert await world.send("plant/7/other", {"temperature": 50}) == []


async def test_every_rule_that_matches_runs_and_in_trouble_harms_no_other(world, caplog):
    await world.rule("a", "SELECT * FROM 'x/#'", republish("out/a"))
    await world.rule("b", "SELECT x FROM 'x/y'", republish("out/b"))
    await world.rule("c", "SELECT * FROM '+/y'", republish("out/${missing}/#"))
    await world.rule("d", "SELECT clientid() AS c FROM 'x/y'", republish("out/d"))
    world.published.clear()
    with caplog.at_level(logging.WARNING):
        assert world.engine.take(Published("x/y", b"no json", 0, "dev")) is None
    assert sorted((one.topic, one.payload) for one in world.published) == [
        ("out/a", b"no json"),
        ("out/d", b'{"c":"dev"}'),
    ]
    assert sum("topic rule b" in line or "topic rule c" in line for line in caplog.messages) == 2


async def test_trouble_is_counted_and_told_once(world, caplog):
    await world.rule("bad", "SELECT a FROM 'x'", republish("y"))
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            assert await world.send("x", b"no json") == []
    assert sum("topic rule bad" in line for line in caplog.messages) == 1


async def test_rules_change_at_once_and_outlive_a_restart(world):
    assert not world.engine.active
    await world.rule("r", "SELECT * FROM 'a'", republish("one"))
    assert world.engine.active
    await world.call(
        "ReplaceTopicRule",
        ruleName="r",
        topicRulePayload={"sql": "SELECT * FROM 'b'", "actions": [republish("two")]},
    )
    assert await world.send("a", {}) == []
    assert await world.send("b", {}) == [("two", {})]
    await world.close()
    world.open()
    assert await world.send("b", {}) == [("two", {})]
    await world.call("DisableTopicRule", ruleName="r")
    assert not world.engine.active
    assert await world.send("b", {}) == []
    await world.call("EnableTopicRule", ruleName="r")
    assert await world.send("b", {}) == [("two", {})]
    await world.call("DeleteTopicRule", ruleName="r")
    assert not world.engine.active


async def test_basic_ingest_goes_to_its_rule_only_and_hides_the_prefix(world):
    await world.rule("direct", "SELECT topic() AS t, topic(1) AS first WHERE a = 1", republish("out"))
    await world.rule("other", "SELECT * FROM 'plant/#'", republish("other"))
    assert await world.send("$aws/rules/direct/plant/7", {"a": 1}) == [
        ("out", {"t": "plant/7", "first": "plant"})
    ]
    assert await world.send("$aws/rules/unknown/plant", {"a": 1}) == []


async def test_a_rule_may_hand_over_to_another_by_basic_ingest(world):
    await world.rule("first", "SELECT a FROM 'in'", republish("$$aws/rules/second/x"))
    await world.rule("second", "SELECT a, topic() AS t", republish("out"))
    assert (await world.send("in", {"a": 1, "b": 2}))[-1] == ("out", {"a": 1, "t": "x"})


async def test_a_function_is_queued_before_the_publisher_goes_on(world):
    await world.rule("call", "SELECT *, clientid() AS who FROM 'in'", invoke("handler"))
    world.functions.open.clear()
    under_way = world.engine.take(Published("in", b'{"a":1}', 1, "dev"))
    await asyncio.sleep(0)
    assert not under_way.done()
    world.functions.open.set()
    await asyncio.wait_for(under_way, 5)
    assert world.functions.queued == [
        ("handler", {"a": 1, "who": "dev"}, "arn:aws:iot:us-east-1:000000000000:rule/call")
    ]


async def test_the_error_action_gets_all_failures_of_a_message_once(world):
    await world.rule(
        "failing",
        "SELECT * FROM 'in'",
        invoke("missing"),
        republish("bad/+"),
        invoke("broken"),
        republish("good"),
        errorAction=republish("errors/${topic()}"),
    )
    sent = dict(await world.send("in", {"a": 1}))
    assert sent["good"] == {"a": 1}
    document = sent["errors/in"]
    failures = {
        one["failedAction"] + one["failedResource"]: one["errorMessage"] for one in document.pop("failures")
    }
    assert document == {
        "ruleName": "failing",
        "topic": "in",
        "clientId": "dev",
        "base64OriginalPayload": base64.b64encode(b'{"a": 1}').decode(),
    }
    assert failures == {
        "LambdaActionarn:aws:lambda:us-east-1:000000000000:function:missing": "Function not found: missing",
        "LambdaActionarn:aws:lambda:us-east-1:000000000000:function:broken": "fault of the server: RuntimeError",
        "RepublishActionbad/+": "'bad/+' is no topic to publish to",
    }


@pytest.mark.parametrize("last", [invoke("missing"), republish("bad/#")])
async def test_a_failing_error_action_is_not_tried_again(world, last, caplog):
    await world.rule("worse", "SELECT * FROM 'in'", invoke("missing"), errorAction=last)
    with caplog.at_level(logging.WARNING):
        assert await world.send("in", {}) == []
    await world.rule("well", "SELECT * FROM 'in'", republish("out"))
    assert await world.send("in", {}) == [("out", {})]


async def test_an_error_action_may_be_a_function(world):
    await world.rule("told", "SELECT * FROM 'in'", republish("bad/#"), errorAction=invoke("handler"))
    await world.send("in", {})
    ((function, document, _),) = world.functions.queued
    assert function == "handler"
    assert document["failures"][0]["failedAction"] == "RepublishAction"


async def test_a_rule_that_feeds_itself_ends(world):
    await world.rule("loop", "SELECT * FROM 'a/#'", republish("a/b"), errorAction=republish("errors"))
    sent = await world.send("a", {})
    assert [topic for topic, _ in sent] == ["a/b"] * HOPS_MAX + ["errors"] * (len(sent) - HOPS_MAX)
    assert "passed on" in sent[-1][1]["failures"][0]["errorMessage"]


async def test_rules_that_multiply_messages_end(world):
    for name in "abcd":
        await world.rule(name, "SELECT * FROM 'a/#'", *[republish("a/b")] * 10)
    assert len(await world.send("a", {})) == REPUBLISHED_MAX


async def test_a_message_that_is_too_large_fails(world):
    await world.rule(
        "big", "SELECT *, text AS a, text AS b FROM 'in'", republish("out"), errorAction=republish("errors")
    )
    ((topic, document),) = await world.send("in", {"text": "x" * 60_000})
    assert topic == "errors"
    assert "more than 131072" in document["failures"][0]["errorMessage"]


async def test_a_function_gets_no_event_beyond_awss_limit(world):
    await world.rule("big", "SELECT *, text AS a, text AS b FROM 'in'", invoke("handler"))
    await world.send("in", {"text": "x" * 100_000})
    assert not world.functions.queued


# The operations


async def test_what_was_made_is_shown(world):
    await world.rule(
        "shown",
        "SELECT * FROM 'a/b'",
        republish("out", qos=1),
        invoke("handler"),
        description="why",
        errorAction=republish("errors"),
        ruleDisabled=True,
        awsIotSqlVersion="2016-03-23",
    )
    found = await world.call("GetTopicRule", ruleName="shown")
    assert found == {
        "ruleArn": "arn:aws:iot:us-east-1:000000000000:rule/shown",
        "rule": {
            "ruleName": "shown",
            "sql": "SELECT * FROM 'a/b'",
            "description": "why",
            "createdAt": 1_700_000_000.0,
            "actions": [republish("out", qos=1), invoke("handler")],
            "ruleDisabled": True,
            "awsIotSqlVersion": "2016-03-23",
            "errorAction": republish("errors", qos=0),
        },
    }


async def test_rules_are_listed_in_pages_and_by_topic(world):
    for number in range(5):
        await world.rule(
            f"r{number}", f"SELECT * FROM 'a/{number}'", republish("x"), ruleDisabled=number == 0
        )
    await world.rule("wide", "SELECT * FROM 'a/+'", republish("x"))
    await world.rule("ingest", "SELECT *", republish("x"))
    names, token = [], None
    while True:
        page = await world.call("ListTopicRules", maxResults=3, **({"nextToken": token} if token else {}))
        names += [rule["ruleName"] for rule in page["rules"]]
        token = page["nextToken"]
        if token is None:
            break
    assert names == ["ingest", "r0", "r1", "r2", "r3", "r4", "wide"]
    matching = await world.call("ListTopicRules", topic="a/3")
    assert [rule["topicPattern"] for rule in matching["rules"]] == ["a/3", "a/+"]
    disabled = await world.call("ListTopicRules", ruleDisabled=True)
    assert [rule["ruleName"] for rule in disabled["rules"]] == ["r0"]


@pytest.mark.parametrize(
    ("given", "error", "part"),
    [
        ({"sql": "SELECT * FROM 'a/+b'"}, MalformedSql, "At character 15: expected a topic filter"),
        ({"sql": "SELECT * FROM"}, MalformedSql, "At character 14"),
        ({"sql": "SELECT * FROM '$aws/things/#'"}, InvalidRequest, "no rule sees the reserved topics"),
        (
            {"actions": [{"sns": {"targetArn": "a", "roleArn": "b"}}]},
            InvalidRequest,
            "actions.1: the action sns",
        ),
        ({"actions": [{}]}, InvalidRequest, "exactly one kind"),
        ({"errorAction": {"sqs": {}}}, InvalidRequest, "errorAction: the action sqs"),
        ({"actions": [{"lambda": {"functionArn": "handler"}}]}, InvalidRequest, "is no function"),
        (
            {"actions": [{"lambda": {"functionArn": "arn:aws:lambda:us-east-1:111111111111:function:f"}}]},
            InvalidRequest,
            "belongs to account",
        ),
        (
            {"actions": [{"lambda": {"functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f:7"}}]},
            InvalidRequest,
            "version or alias",
        ),
        ({"actions": [{"republish": {"roleArn": "me", "topic": "x"}}]}, InvalidRequest, "is no role"),
        ({"actions": [republish("$$aws/things/x/shadow/update")]}, InvalidRequest, "reserved topic"),
        ({"actions": [republish("a/${topic(}")]}, MalformedSql, "In ${…} at character 3"),
        (
            {"actions": [republish("x", headers={"contentType": "a"})]},
            InvalidRequest,
            "headers is not supported",
        ),
        ({"awsIotSqlVersion": "2015-10-08"}, InvalidRequest, "2016-03-23"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(world, given, error, part):
    payload = {"sql": "SELECT * FROM 'a'", "actions": [republish("x")], **given}
    with pytest.raises(error) as refused:
        await world.call("CreateTopicRule", ruleName="r", topicRulePayload=payload)
    assert part in refused.value.message
    assert (await world.call("ListTopicRules"))["rules"] == []


async def test_names_are_taken_once_and_unknown_ones_denied(world, monkeypatch):
    await world.rule("r", "SELECT * FROM 'a'", republish("x"))
    with pytest.raises(AlreadyExists):
        await world.rule("r", "SELECT * FROM 'a'", republish("x"))
    for operation in ("GetTopicRule", "DeleteTopicRule", "EnableTopicRule", "DisableTopicRule"):
        with pytest.raises(Unauthorized, match="Access to topic rule 'q' was denied"):
            await world.call(operation, ruleName="q")
    with pytest.raises(Unauthorized):
        await world.call(
            "ReplaceTopicRule", ruleName="q", topicRulePayload={"sql": "SELECT *", "actions": []}
        )
    monkeypatch.setattr(topic_rules, "RULES_MAX", 1)
    with pytest.raises(LimitExceeded):
        await world.rule("s", "SELECT * FROM 'a'", republish("x"))
