import fnmatch
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.access.conditions import source_variables
from outfitter_server.access.globs import Glob, Template
from outfitter_server.access.policy import Verdicts, evaluate, missing_variables, parse_policy
from outfitter_server.base.refusals import MalformedPolicy

TOPIC = "arn:aws:iot:us-east-1:000000000000:topic/"
JOBS = TOPIC + "$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"


def statement(effect: str, action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements: dict[str, Any], version: str | None = "2012-10-17") -> str:
    document: dict[str, Any] = {"Statement": list(statements)}
    if version is not None:
        document["Version"] = version
    return json.dumps(document)


def allowed(text: str, action: str, resource: str, **variables: str) -> bool:
    named = {name.replace("__", ".").replace("_", ":"): value for name, value in variables.items()}
    return evaluate([parse_policy(text)], action, resource, named)


@pytest.mark.parametrize(
    ("text", "action", "resource", "answer"),
    [
        (policy(statement("Allow", "iot:*", "*")), "iot:Publish", TOPIC + "a", True),
        (policy(statement("Allow", "*", "*")), "iotjobsdata:DescribeJobExecution", "x", True),
        (policy(statement("Allow", "iot:Publish", "*")), "iot:Subscribe", TOPIC + "a", False),
        (policy(statement("Allow", "IOT:publish", "*")), "iot:Publish", TOPIC + "a", True),
        (policy(statement("Allow", ["iot:Pub*", "iot:?onnect"], "*")), "iot:Connect", "x", True),
        (policy(statement("Allow", "iot:Publish", TOPIC + "a/*")), "iot:Publish", TOPIC + "a/b/c", True),
        (policy(statement("Allow", "iot:Publish", TOPIC + "a/*")), "iot:Publish", TOPIC + "a", False),
        (policy(statement("Allow", "iot:Publish", TOPIC + "A")), "iot:Publish", TOPIC + "a", False),
        (policy(statement("Allow", "iot:Publish", TOPIC + "a/?")), "iot:Publish", TOPIC + "a/+", True),
        (policy(statement("Allow", "iot:Publish", TOPIC + "a/+")), "iot:Publish", TOPIC + "a/b", False),
        (policy(statement("Allow", "iot:Publish", TOPIC + "a.c")), "iot:Publish", TOPIC + "abc", False),
        (
            policy(statement("Allow", "iot:*", "*"), statement("Deny", "iot:Publish", TOPIC + "a")),
            "iot:Publish",
            TOPIC + "a",
            False,
        ),
        (
            policy(statement("Deny", "iot:Publish", TOPIC + "a"), statement("Allow", "iot:*", "*")),
            "iot:Publish",
            TOPIC + "b",
            True,
        ),
    ],
)
def test_verdicts(text: str, action: str, resource: str, answer: bool) -> None:
    assert allowed(text, action, resource) is answer


def test_nothing_is_allowed_by_nothing() -> None:
    assert not evaluate([], "iot:Connect", "*", {})


def test_a_deny_in_one_document_beats_an_allow_in_another() -> None:
    documents = [parse_policy(policy(statement(effect, "iot:*", "*"))) for effect in ("Allow", "Deny")]
    assert not evaluate(documents, "iot:Connect", "x", {})


def test_variables_are_those_of_the_connection() -> None:
    text = policy(statement("Allow", "iot:Publish", JOBS))
    wanted = TOPIC + "$aws/things/pump/jobs/get"
    assert allowed(text, "iot:Publish", wanted, iot_Connection__Thing__ThingName="pump")
    assert not allowed(text, "iot:Publish", wanted, iot_Connection__Thing__ThingName="other")
    assert not allowed(text, "iot:Publish", wanted)


def test_values_of_variables_are_taken_literally() -> None:
    text = policy(statement("Allow", "iot:Publish", TOPIC + "${iot:ClientId}"))
    assert not allowed(text, "iot:Publish", TOPIC + "anything", iot_ClientId="*")
    assert not allowed(text, "iot:Publish", TOPIC + "x", iot_ClientId="?")
    assert allowed(text, "iot:Publish", TOPIC + "*", iot_ClientId="*")
    assert not allowed(text, "iot:Publish", TOPIC + "a", iot_ClientId="\0")
    nested = policy(statement("Allow", "iot:Publish", TOPIC + "${iot:ClientId}"))
    assert not allowed(nested, "iot:Publish", TOPIC + "a", iot_ClientId="${x}", x="a")


def test_escapes_are_plain_characters() -> None:
    text = policy(statement("Allow", "iot:Publish", TOPIC + "${*}${?}${$}"))
    assert allowed(text, "iot:Publish", TOPIC + "*?$")
    assert not allowed(text, "iot:Publish", TOPIC + "abc")


def test_the_old_language_has_no_variables() -> None:
    for version in ("2008-10-17", None):
        text = policy(statement("Allow", "iot:Publish", TOPIC + "${iot:ClientId}"), version=version)
        assert not allowed(text, "iot:Publish", TOPIC + "me", iot_ClientId="me")


@pytest.mark.parametrize(
    ("condition", "attached", "answer"),
    [
        ({"Bool": {"k": "true"}}, "true", True),
        ({"Bool": {"k": [True]}}, "true", True),
        ({"Bool": {"k": "true"}}, "false", False),
        ({"Bool": {"k": "true"}}, None, False),
        ({"StringEquals": {"k": ["a", "b*"]}}, "b*", True),
        ({"StringEquals": {"k": ["a", "b*"]}}, "bc", False),
        ({"StringNotEquals": {"k": "a"}}, "b", True),
        ({"StringNotEquals": {"k": "a"}}, None, True),
        ({"StringLike": {"k": "b*"}}, "bc", True),
        ({"StringNotLike": {"k": "b*"}}, "bc", False),
        ({"Bool": {"k": "true"}, "StringLike": {"k": "f*"}}, "true", False),
        ({"Bool": {"k": "TRUE"}}, "true", True),
        ({"StringEquals": {"K": "a"}}, "a", True),
        ({"StringEquals": {"k": "A"}}, "a", False),
        ({"StringEqualsIgnoreCase": {"k": "Ab*"}}, "aB*", True),
        ({"StringEqualsIgnoreCase": {"k": "a*"}}, "ab", False),
        ({"StringNotEqualsIgnoreCase": {"k": "A"}}, "a", False),
        ({"StringNotEqualsIgnoreCase": {"k": "A"}}, None, True),
        ({"StringEqualsIfExists": {"k": "a"}}, None, True),
        ({"StringEqualsIfExists": {"k": "a"}}, "b", False),
        ({"ForAnyValue:StringLike": {"k": "a*"}}, "ab", True),
        ({"ForAnyValue:StringNotEquals": {"k": "a"}}, None, False),
        ({"ForAnyValue:StringNotEquals": {"k": "a"}}, "b", True),
        ({"ForAllValues:StringEquals": {"k": "a"}}, None, True),
        ({"ForAllValues:StringEquals": {"k": "a"}}, "b", False),
        ({"ArnEquals": {"k": "arn:aws:iot:*:0000:thing/a*"}}, "arn:aws:iot:us-east-1:0000:thing/ab", True),
        ({"ArnLike": {"k": "arn:aws:*:*:*:*"}}, "arn:aws:iot:us-east-1:0000:thing/a:b", True),
        ({"ArnLike": {"k": "arn:aws:i*:1:2:3"}}, "arn:aws:iot:x:1:2:3", False),
        ({"ArnLike": {"k": "arn:aws:iot:1:2:3"}}, "no ARN", False),
        ({"ArnNotLike": {"k": "arn:aws:iot:*:*:*"}}, "arn:aws:s3:::b", True),
        ({"ArnLike": {"k": "arn:a:b:c:d:${k}"}}, "arn:a:b:c:d:e", False),
        ({"NumericEquals": {"k": "7"}}, "7.0", True),
        ({"NumericEquals": {"k": 7}}, "7", True),
        ({"NumericEquals": {"k": "7"}}, "seven", False),
        ({"NumericNotEquals": {"k": ["7", "8"]}}, "8", False),
        ({"NumericNotEquals": {"k": "7"}}, None, True),
        ({"NumericLessThan": {"k": "7"}}, "7", False),
        ({"NumericLessThan": {"k": "7"}}, "-7.5", True),
        ({"NumericLessThanEquals": {"k": "7"}}, "7", True),
        ({"NumericGreaterThan": {"k": "9"}}, "10", True),
        ({"NumericGreaterThan": {"k": "9"}}, None, False),
        ({"NumericGreaterThanEquals": {"k": 0.5}}, "0.5", True),
        ({"NumericGreaterThanIfExists": {"k": "9"}}, None, True),
        ({"IpAddress": {"k": "10.0.0.0/8"}}, "10.1.2.3", True),
        ({"IpAddress": {"k": "10.1.2.3/8"}}, "10.9.9.9", True),
        ({"IpAddress": {"k": ["192.168.0.1", "10.0.0.0/8"]}}, "192.168.0.1", True),
        ({"IpAddress": {"k": "10.0.0.0/8"}}, "11.0.0.1", False),
        ({"IpAddress": {"k": "10.0.0.0/8"}}, "2001:db8::1", False),
        ({"IpAddress": {"k": "2001:db8::/32"}}, "2001:db8::1", True),
        ({"IpAddress": {"k": "10.0.0.0/8"}}, "nowhere", False),
        ({"IpAddress": {"k": "10.0.0.0/8"}}, None, False),
        ({"NotIpAddress": {"k": "10.0.0.0/8"}}, "11.0.0.1", True),
        ({"NotIpAddress": {"k": "10.0.0.0/8"}}, "10.0.0.1", False),
        ({"NotIpAddress": {"k": "10.0.0.0/8"}}, None, True),
        ({"Null": {"k": "true"}}, None, True),
        ({"Null": {"k": "true"}}, "", False),
        ({"Null": {"k": False}}, "a", True),
        ({"Null": {"k": "false"}}, None, False),
    ],
)
def test_conditions(condition: dict[str, Any], attached: str | None, answer: bool) -> None:
    text = policy(statement("Allow", "iot:Connect", "*", Condition=condition))
    variables = {} if attached is None else {"k": attached}
    assert evaluate([parse_policy(text)], "iot:Connect", "x", variables) is answer


def test_a_condition_takes_the_variables_of_the_connection() -> None:
    for operator, pattern in (("StringEquals", "${v}*"), ("ArnLike", "arn:a:b:c:d:${v}*")):
        text = policy(statement("Allow", "iot:Connect", "*", Condition={operator: {"k": pattern}}))
        document = parse_policy(text)
        value = pattern.replace("${v}", "x:y")
        assert evaluate([document], "iot:Connect", "x", {"k": value, "v": "x:y"})
        assert not evaluate([document], "iot:Connect", "x", {"k": value, "v": "z"})
        assert not evaluate([document], "iot:Connect", "x", {"k": value})
        assert missing_variables([document], "iot:Connect", {"K": value}) == {"v"}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("", None),
        (None, None),
        ("/run/socket", None),
    ],
)
def test_where_a_connection_comes_from(host: str | None, address: str | None) -> None:
    assert source_variables(host).get("aws:SourceIp") == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "[]",
        "{}",
        '{"Version":"2012-10-17"}',
        '{"Version":"2020-01-01","Statement":[]}',
        policy(),
        policy({"Effect": "Allow", "Action": "iot:*"}),
        policy({"Effect": "Allow", "Resource": "*"}),
        policy(statement("Maybe", "iot:*", "*")),
        policy(statement("Allow", "publish", "*")),
        policy(statement("Allow", [], "*")),
        policy(statement("Allow", 7, "*")),
        policy(statement("Allow", "iot:*", "topic/a")),
        policy(statement("Allow", "iot:*", "arn:${}")),
        policy(statement("Allow", "iot:*", "arn:\0")),
        policy(statement("Allow", "iot:*", "*", NotAction="x")),
        policy(statement("Allow", "iot:*", "*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}})),
        policy(
            statement("Allow", "iot:*", "*", Condition={"IpAddress": {"aws:SourceIp": "${aws:SourceIp}"}})
        ),
        policy(statement("Allow", "iot:*", "*", Condition={"NumericEquals": {"k": "1e3"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"NumericEquals": {"k": "NaN"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"StringEquals": {"k": 7}})),
        policy(statement("Allow", "iot:*", "*", Condition={"ArnLike": {"k": "arn:aws:iot"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"Null": {"k": "perhaps"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"Null": {"k": ["true", "false"]}})),
        policy(statement("Allow", "iot:*", "*", Condition={"NullIfExists": {"k": "true"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"DateEquals": {"k": "2026-01-01"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"stringEquals": {"k": "a"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"ForAllValues:ForAnyValue:Bool": {"k": "true"}})),
        policy(statement("Allow", "iot:*", "*", Condition={"Bool": {"k": []}})),
        '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}',
        '{"Statement":' * 400 + "1" + "}" * 400,
        policy(statement("Allow", "iot:*", "arn:" + "x" * 2048)),
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(MalformedPolicy):
        parse_policy(text)


PATTERNS = st.text(alphabet="ab*?+.$[", max_size=12)
TEXTS = st.text(alphabet="ab+.$[\n", max_size=12)


def reference(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(each, re.escape(each)) for each in pattern), re.DOTALL)


@given(PATTERNS, TEXTS)
def test_globs_match_as_the_obvious_expression_does(pattern: str, text: str) -> None:
    expected = reference(pattern).fullmatch(text) is not None
    assert Glob.parse(pattern).matches(text) is expected
    bound = Template.parse(pattern, with_variables=True).bind({})
    assert bound is not None
    assert bound.matches(text) is expected


@given(PATTERNS.filter(lambda pattern: "[" not in pattern), TEXTS.filter(lambda text: "[" not in text))
def test_globs_match_as_file_names_do(pattern: str, text: str) -> None:
    assert Glob.parse(pattern).matches(text) is fnmatch.fnmatchcase(text, pattern)


def test_many_stars_take_no_time() -> None:
    assert not Glob.parse("*a" * 60 + "b").matches("a" * 5_000)


STATEMENTS = st.builds(
    statement,
    st.sampled_from(["Allow", "Deny"]),
    st.lists(st.sampled_from(["iot:*", "iot:Publish", "iot:Connect"]), min_size=1, max_size=2),
    st.lists(st.sampled_from(["*", "arn:a", "arn:a*", "arn:${v}", "arn:b?"]), min_size=1, max_size=2),
)


@given(
    st.lists(STATEMENTS, min_size=1, max_size=5),
    st.sampled_from(["iot:Publish", "iot:Connect"]),
    st.sampled_from(["arn:a", "arn:ab", "arn:bb", "arn:v"]),
)
def test_deny_wins_and_order_is_nothing(statements: list[dict[str, Any]], action: str, resource: str) -> None:
    def applies(each: dict[str, Any]) -> bool:
        return any(fnmatch.fnmatchcase(action, pattern) for pattern in each["Action"]) and any(
            fnmatch.fnmatchcase(resource, pattern.replace("${v}", "v")) for pattern in each["Resource"]
        )

    effects = {each["Effect"] for each in statements if applies(each)}
    for order in (statements, statements[::-1]):
        verdicts = Verdicts([parse_policy(policy(*order))], {"v": "v"})
        assert verdicts.allows(action, resource) is (effects == {"Allow"})
