"""A request on a function URL as an event."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.functions.url_events import UrlCaller, UrlRequest, build_event

NOW = 1_795_450_000_123  # 2026-11-23 16:06:40 UTC


def made(**members):
    standard = {
        "url_id": "a" * 32,
        "method": "GET",
        "raw_path": "/",
        "raw_query": "",
        "headers": (("host", "h"),),
        "body": b"",
        "domain": "h",
        "source_ip": "192.0.2.1",
        "request_id": "r",
    }
    return build_event(UrlRequest(**standard | members), NOW)


def test_the_whole_event():
    event = made(
        method="POST",
        raw_path="/a/b%20c",
        raw_query="x=1&x=2&y=a%20b&flag",
        headers=(
            ("host", "h:1"),
            ("x-two", "1"),
            ("x-two", "2"),
            ("cookie", "a=1; b=2"),
            ("cookie", "c=3"),
            ("user-agent", "me"),
            ("content-type", "application/json"),
        ),
        body=b'{"a":1}',
        caller=UrlCaller(access_key_id="AKIA", account="000000000000", arn="arn:me"),
    )
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a/b%20c",
        "rawQueryString": "x=1&x=2&y=a%20b&flag",
        "cookies": ["a=1", "b=2", "c=3"],
        "headers": {
            "host": "h:1",
            "x-two": "1,2",
            "user-agent": "me",
            "content-type": "application/json",
        },
        "queryStringParameters": {"x": "1,2", "y": "a b", "flag": ""},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "a" * 32,
            "authorizer": {
                "iam": {
                    "accessKey": "AKIA",
                    "accountId": "000000000000",
                    "callerId": "AKIA",
                    "cognitoIdentity": None,
                    "principalOrgId": None,
                    "userArn": "arn:me",
                    "userId": "AKIA",
                }
            },
            "domainName": "h",
            "domainPrefix": "a" * 32,
            "http": {
                "method": "POST",
                "path": "/a/b%20c",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "me",
            },
            "requestId": "r",
            "routeKey": "$default",
            "stage": "$default",
            "time": "23/Nov/2026:16:06:40 +0000",
            "timeEpoch": NOW,
        },
        "body": '{"a":1}',
        "isBase64Encoded": False,
    }


def test_without_anything():
    event = made()
    assert {"cookies", "body", "queryStringParameters"}.isdisjoint(event)
    assert event["requestContext"]["accountId"] == "anonymous"
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("application/json", b"{}", False),
        ("application/json; charset=utf-8", "ü".encode(), False),
        ("application/problem+json", b"{}", False),
        ("image/svg+xml", b"<svg/>", True),
        ("text/plain", b"x", False),
        ("", b"x", False),
        ("", b"\xff", True),
        ("application/json", b"\xff", True),
        ("application/x-www-form-urlencoded", b"a=b", True),
        ("application/octet-stream", b"x", True),
    ],
)
def test_bodies(content_type, body, encoded):
    event = made(body=body, headers=(("content-type", content_type),))
    assert event["isBase64Encoded"] is encoded
    text = event["body"]
    assert (base64.b64decode(text) if encoded else text.encode()) == body


@given(
    query=st.text(max_size=30),
    headers=st.lists(st.tuples(st.sampled_from(["a", "cookie", "content-type"]), st.text(max_size=10))),
    body=st.binary(max_size=30),
)
def test_any_request_is_an_event(query, headers, body):
    json.dumps(made(raw_query=query, headers=tuple(headers), body=body)).encode()
