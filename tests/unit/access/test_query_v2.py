"""S3's older pre-signed URLs, with boto3 as the oracle."""

from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from outfitter_server.access.claims import SignatureRefused
from outfitter_server.access.query_v2 import read_query_claim, verify_query
from outfitter_server.access.signature import Credentials

CREDENTIALS = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key="a/secret+key")


def presigned(operation="get_object", style="path", key="a b/ü+c.tar.gz", **parameters):
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://localhost:4566",
        aws_access_key_id=CREDENTIALS.access_key_id,
        aws_secret_access_key=CREDENTIALS.secret_access_key,
        config=Config(signature_version="s3", s3={"addressing_style": style}),
    )
    given = {"Bucket": "soft", **({"Key": key} if key else {}), **parameters}
    return client.generate_presigned_url(operation, Params=given, ExpiresIn=600)


def check(url, method="GET", *, headers=(), late_seconds=0, bucket=None):
    parts = urlsplit(url)
    claim = read_query_claim(parts.query)
    now = (claim.expires - 600 + late_seconds) * 1000
    all_headers = (("host", parts.netloc), *headers)
    verify_query(
        method,
        parts.path,
        parts.query,
        all_headers,
        bucket=bucket,
        claim=claim,
        credentials=CREDENTIALS,
        now=now,
    )


@pytest.mark.parametrize(("style", "bucket"), [("path", None), ("virtual", "soft")])
def test_urls_of_boto3_are_accepted(style, bucket):
    check(presigned(style=style), bucket=bucket)
    check(presigned(style=style, ResponseContentType="text/plain", VersionId="v1"), bucket=bucket)
    put = presigned("put_object", style, ContentType="text/plain")
    check(put, "PUT", headers=[("content-type", "text/plain")], bucket=bucket)
    twice = [("content-type", "text/html"), ("content-type", "text/plain")]
    with pytest.raises(SignatureRefused, match="does not match"):
        check(put, "PUT", headers=twice, bucket=bucket)


@pytest.mark.parametrize(("style", "bucket"), [("path", None), ("virtual", "soft")])
def test_urls_of_buckets_are_accepted(style, bucket):
    check(presigned("list_objects_v2", style, key="", Prefix="a", MaxKeys=3), bucket=bucket)
    check(presigned("get_bucket_policy", style, key=""), bucket=bucket)
    check(presigned("head_bucket", style, key=""), "HEAD", bucket=bucket)


def test_anything_changed_is_refused():
    url = presigned()
    with pytest.raises(SignatureRefused, match="does not match"):
        check(url, "DELETE")
    with pytest.raises(SignatureRefused, match="does not match"):
        check(url.replace("soft", "hard"))
    with pytest.raises(SignatureRefused, match="expired"):
        check(url, late_seconds=601)


def test_incomplete_claims_are_refused_and_other_queries_are_none_of_its_business():
    assert read_query_claim("list-type=2") is None
    assert read_query_claim("xAWSAccessKeyId=x&Signature=y&Expires=1") is None
    with pytest.raises(SignatureRefused, match="requires"):
        read_query_claim("AWSAccessKeyId=x&Signature=y")
