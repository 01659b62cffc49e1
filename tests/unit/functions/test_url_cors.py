"""Cross-origin rules of function URLs."""

import pytest
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.url_cors import (
    UrlCors,
    answer_headers,
    check_cors,
    is_preflight,
    preflight_headers,
)

PAGE = "https://page.example"


def asked(method="POST", headers="authorization,content-type", origin=PAGE):
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


def test_everything_allowed():
    cors = UrlCors(origins=("*",), methods=("*",), headers=("*",), max_age_seconds=60)
    assert preflight_headers(cors, asked()) == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "authorization,content-type",
        "Access-Control-Max-Age": "60",
    }


def test_named_origin_methods_headers_and_credentials():
    cors = UrlCors(
        origins=(PAGE,),
        methods=("GET", "POST"),
        headers=("authorization",),
        exposed=("x-a", "x-b"),
        credentials=True,
    )
    assert preflight_headers(cors, asked()) == {
        "Access-Control-Allow-Origin": PAGE,
        "Vary": "Origin",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "x-a,x-b",
        "Access-Control-Allow-Methods": "GET,POST",
        "Access-Control-Allow-Headers": "authorization",
    }
    assert preflight_headers(cors, asked(method="DELETE")) == {}
    assert preflight_headers(cors, asked(origin="https://other.example")) == {}
    assert answer_headers(cors, "") == {}


def test_what_is_a_preflight():
    assert is_preflight("OPTIONS", asked())
    assert not is_preflight("POST", asked())
    assert not is_preflight("OPTIONS", {"origin": PAGE})


def test_no_header_is_smuggled_in():
    cors = UrlCors(origins=("*",), methods=("*",), headers=("*",))
    assert "Access-Control-Allow-Headers" not in preflight_headers(cors, asked(headers="a\r\nb: c"))


@pytest.mark.parametrize(
    ("cors", "words"),
    [
        (UrlCors(methods=("BREW",)), "BREW"),
        (UrlCors(origins=("page.example",)), "no origin"),
        (UrlCors(origins=("https://page.example/path",)), "no origin"),
        (UrlCors(origins=("*",), credentials=True), "AllowCredentials"),
        (UrlCors(headers=("a\r\nb",)), "no name of a header"),
    ],
)
def test_rules_that_cannot_be(cors, words):
    with pytest.raises(InvalidRequest, match=words):
        check_cors(cors)
