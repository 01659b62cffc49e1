"""What a function returned, as the answer of its URL."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.functions.url_answers import AnswerUnusable, UrlAnswer, url_answer

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        ('"Hello"', UrlAnswer(headers=JSON, body=b'"Hello"')),
        ('{"message": "hi"}', UrlAnswer(headers=JSON, body=b'{"message": "hi"}')),
        ("null", UrlAnswer(headers=JSON, body=b"null")),
        ("[1]", UrlAnswer(headers=JSON, body=b"[1]")),
        ('{"statusCode": 204}', UrlAnswer(status=204, headers=JSON)),
        ('{"statusCode": "404", "body": "no"}', UrlAnswer(status=404, headers=JSON, body=b"no")),
        (
            '{"statusCode": 200, "headers": {"Content-Type": "text/html", "X-N": 5, "X-B": true}, "body": "ü"}',
            UrlAnswer(headers={"content-type": "text/html", "x-n": "5", "x-b": "true"}, body="ü".encode()),
        ),
        ('{"statusCode": 200, "body": {"a": 1}}', UrlAnswer(headers=JSON, body=b'{"a": 1}')),
        (
            '{"statusCode": 200, "body": "/wA=", "isBase64Encoded": true}',
            UrlAnswer(headers=JSON, body=b"\xff\x00"),
        ),
        (
            '{"statusCode": 200, "cookies": ["a=1; Secure", "b=2"]}',
            UrlAnswer(headers=JSON, cookies=("a=1; Secure", "b=2")),
        ),
        (
            '{"statusCode": 200, "headers": {"Content-Length": "5", "Transfer-Encoding": "chunked"}}',
            UrlAnswer(headers=JSON),
        ),
    ],
)
def test_answers(returned, answer):
    assert url_answer(returned.encode()) == answer


@pytest.mark.parametrize(
    "returned",
    [
        '{"statusCode": "x"}',
        '{"statusCode": 99}',
        '{"statusCode": 600}',
        '{"statusCode": 1e400}',
        '{"statusCode": true}',
        '{"statusCode": null}',
        '{"statusCode": 200, "headers": []}',
        '{"statusCode": 200, "headers": {"a b": "x"}}',
        '{"statusCode": 200, "headers": {"a": "x\\r\\nSet-Cookie: y"}}',
        '{"statusCode": 200, "headers": {"a": {}}}',
        '{"statusCode": 200, "headers": {"a": "\\ud800"}}',
        '{"statusCode": 200, "cookies": "a=1"}',
        '{"statusCode": 200, "cookies": ["a\\nb"]}',
        '{"statusCode": 200, "body": "!", "isBase64Encoded": true}',
        '{"statusCode": 200, "body": "\\ud800"}',
        "{",
    ],
)
def test_what_cannot_be_sent(returned):
    with pytest.raises(AnswerUnusable):
        url_answer(returned.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
members = st.fixed_dictionaries(
    {"statusCode": json_values | st.integers(100, 700)},
    optional=dict.fromkeys(("headers", "cookies", "body", "isBase64Encoded"), json_values),
)


@given(json_values | members)
def test_any_return_is_an_answer_or_none(returned):
    try:
        answer = url_answer(json.dumps(returned).encode())
    except AnswerUnusable:
        return
    assert 200 <= answer.status <= 599
    for text in (*answer.headers, *answer.headers.values(), *answer.cookies):
        assert not {"\r", "\n", "\0"} & set(text)
        text.encode()
