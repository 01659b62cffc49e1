"""Who may call a function without a key of the account."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.functions.permissions import (
    INVOKE,
    INVOKE_URL,
    Permission,
    Request,
    allows,
    like,
    policy,
)

RULE = "arn:aws:iot:us-east-1:000000000000:rule/alarm"
FROM_RULE = Request(
    action=INVOKE, principal="iot.amazonaws.com", source_arn=RULE, source_account="000000000000"
)
FROM_URL = Request(action=INVOKE_URL, principal="*", url_auth_type="NONE")


def permission(**members):
    return Permission(**{"id": "s", "action": INVOKE, "principal": "iot.amazonaws.com"} | members)


@pytest.mark.parametrize(
    ("members", "request_", "allowed"),
    [
        ({}, FROM_RULE, True),
        ({"principal": "*"}, FROM_RULE, True),
        ({"action": "lambda:*"}, FROM_RULE, True),
        ({"action": "LAMBDA:invokefunction"}, FROM_RULE, True),
        ({"action": "*"}, FROM_RULE, True),
        ({"source_arn": RULE}, FROM_RULE, True),
        ({"source_arn": "arn:aws:iot:*:rule/*"}, FROM_RULE, True),
        ({"source_account": "000000000000"}, FROM_RULE, True),
        ({"principal": "s3.amazonaws.com"}, FROM_RULE, False),
        ({"action": INVOKE_URL}, FROM_RULE, False),
        ({"source_arn": f"{RULE}s"}, FROM_RULE, False),
        ({"source_account": "111111111111"}, FROM_RULE, False),
        ({"url_auth_type": "NONE"}, FROM_RULE, False),
        ({"via_url": True}, FROM_RULE, False),
        ({"principal": "*", "action": INVOKE_URL}, FROM_URL, True),
        ({"principal": "*", "action": INVOKE_URL, "url_auth_type": "NONE"}, FROM_URL, True),
        ({"principal": "*", "action": INVOKE_URL, "url_auth_type": "AWS_IAM"}, FROM_URL, False),
        ({"principal": "*", "action": INVOKE}, FROM_URL, False),
        ({"principal": "123456789012", "action": INVOKE_URL}, FROM_URL, False),
        ({"principal": "*", "action": INVOKE_URL, "source_arn": RULE}, FROM_URL, False),
    ],
)
def test_decisions(members, request_, allowed):
    assert allows([permission(**members)], request_) is allowed


def test_nothing_allows_nothing():
    assert not allows([], FROM_URL)


def test_the_policy_is_as_aws_prints_it():
    made = [
        permission(source_arn=RULE, source_account="000000000000"),
        permission(id="t", principal="123456789012"),
        permission(id="u", principal="*", action=INVOKE_URL, url_auth_type="NONE"),
        permission(id="v", principal="*", via_url=True),
    ]
    assert json.loads(policy(made, "arn:f")) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [
            {
                "Sid": "s",
                "Effect": "Allow",
                "Principal": {"Service": "iot.amazonaws.com"},
                "Action": INVOKE,
                "Resource": "arn:f",
                "Condition": {
                    "ArnLike": {"AWS:SourceArn": RULE},
                    "StringEquals": {"AWS:SourceAccount": "000000000000"},
                },
            },
            {
                "Sid": "t",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": INVOKE,
                "Resource": "arn:f",
            },
            {
                "Sid": "u",
                "Effect": "Allow",
                "Principal": "*",
                "Action": INVOKE_URL,
                "Resource": "arn:f",
                "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
            },
            {
                "Sid": "v",
                "Effect": "Allow",
                "Principal": "*",
                "Action": INVOKE,
                "Resource": "arn:f",
                "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
            },
        ],
    }


@given(st.text(alphabet="ab*?", max_size=10), st.text(alphabet="ab", max_size=10))
def test_patterns(pattern, text):
    def slow(pattern, text):
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(slow(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return bool(text) and pattern[0] in {"?", text[0]} and slow(pattern[1:], text[1:])

    assert like(pattern, text) is slow(pattern, text)
