"""What a deployment consists of, on AWS and on a server of one's own."""

import json

import pytest
from outfitter_updates.operations.deployment import (
    Site,
    function_cors,
    is_of_page,
    object_headers,
    page_settings,
    page_url,
    public_read,
)

AWS = Site(region="eu-west-1", endpoint=None, bucket="page")
CHINA = Site(region="cn-north-1", endpoint=None, bucket="page")
OWN = Site(region="us-east-1", endpoint="http://127.0.0.1:4566", bucket="page")


@pytest.mark.parametrize(
    ("site", "url", "origin"),
    [
        (
            AWS,
            "https://page.s3.eu-west-1.amazonaws.com/index.html",
            "https://page.s3.eu-west-1.amazonaws.com",
        ),
        (
            CHINA,
            "https://page.s3.cn-north-1.amazonaws.com.cn/index.html",
            "https://page.s3.cn-north-1.amazonaws.com.cn",
        ),
        (OWN, "http://127.0.0.1:4566/page/index.html", "http://127.0.0.1:4566"),
    ],
)
def test_the_page_and_its_origin(site, url, origin):
    assert page_url(site) == url
    cors = function_cors(site)
    assert cors["AllowOrigins"] == [origin]
    assert cors["AllowMethods"] == ["POST"]
    assert "authorization" in cors["AllowHeaders"]


@pytest.mark.parametrize(
    ("site", "function_url", "iot", "told"),
    [
        (
            AWS,
            "https://x.lambda-url.eu-west-1.on.aws/",
            "https://iot.eu-west-1.amazonaws.com",
            "https://x.lambda-url.eu-west-1.on.aws/",
        ),
        (
            CHINA,
            "https://x.lambda-url.cn-north-1.on.aws/",
            "https://iot.cn-north-1.amazonaws.com.cn",
            "https://x.lambda-url.cn-north-1.on.aws/",
        ),
        (OWN, "http://127.0.0.1:4566/_url/abc/", "", "/_url/abc/"),
        (OWN, "http://127.0.0.1:9000/_url/abc/", "", "http://127.0.0.1:9000/_url/abc/"),
    ],
)
def test_the_page_is_told_where_things_are(site, function_url, iot, told):
    settings = json.loads(page_settings(site, function_url))
    assert settings == {
        "region": site.region,
        "endpoints": {"iot": iot},
        "functionUrl": told,
        "bucket": "page",
    }


def test_everybody_may_read_and_do_nothing_else():
    (statement,) = json.loads(public_read("page", "aws-cn"))["Statement"]
    assert statement["Action"] == "s3:GetObject"
    assert statement["Resource"] == "arn:aws-cn:s3:::page/*"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("index.html", True),
        ("config.json", True),
        ("assets/x.js", True),
        ("software/x.tar.gz", False),
        ("", False),
    ],
)
def test_what_belongs_to_the_page(key, expected):
    assert is_of_page(key) is expected


def test_unknown_kinds_are_bytes():
    assert object_headers("assets/x.bin")["ContentType"] == "application/octet-stream"
