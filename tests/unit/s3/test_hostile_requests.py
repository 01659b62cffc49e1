"""Requests that were signed for one thing and are sent for another."""

import gc
import json
import socket
import time
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from outfitter_server.access.signature import Credentials, presign_url

ROOT = Credentials(access_key_id="AKIAROOT", secret_access_key="root-secret")


def spoken(server, request):
    """What the server answers to these very bytes."""
    with socket.create_connection(("127.0.0.1", server.http), timeout=10) as connection:
        connection.sendall(request.encode() + b"Connection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


@pytest.fixture(scope="module")
def older(server):
    """A client that pre-signs by the older scheme."""
    made = boto3.client(
        "s3",
        region_name="eu-north-1",
        endpoint_url=server.url,
        aws_access_key_id="AKIAROOT",
        aws_secret_access_key="root-secret",
        config=Config(signature_version="s3", s3={"addressing_style": "path"}),
    )
    yield made
    made.close()


def test_a_host_name_turns_no_signed_url_to_another_object(server, bucket, older):
    client = server.client()
    other, longer = f"{bucket}-other", f"{bucket}.x"
    for name in (other, longer):
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="k", Body=b"secret")
    client.put_object(Bucket=bucket, Key="k", Body=b"open")
    nested = older.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": f"{other}/k"})
    plain = older.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    for path, url, host in (
        (f"/{other}/k", nested, f"{bucket}.elsewhere"),
        ("/k", plain, f"{longer}.store.test"),
    ):
        query = url.partition("?")[2]
        answer = spoken(server, f"GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\n")
        assert "<Code>SignatureDoesNotMatch</Code>" in answer
    query = plain.partition("?")[2]
    assert spoken(server, f"GET /k?{query} HTTP/1.1\r\nHost: {bucket}.store.test\r\n").endswith("open")


def test_a_denied_object_is_neither_copied_nor_deleted_among_others(server, bucket):
    client = server.client()
    for key in ("kept/k", "free"):
        client.put_object(Bucket=bucket, Key=key, Body=b"bytes")
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    denied = {"Effect": "Deny", "Principal": "*", "Action": ["s3:GetObject", "s3:DeleteObject"]}
    statement = {**denied, "Resource": f"arn:aws:s3:::{bucket}/kept/*"}
    client.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    source = {"Bucket": bucket, "CopySource": f"{bucket}/kept/k"}
    with pytest.raises(ClientError, match="AccessDenied"):
        client.copy_object(Key="copy", **source)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.upload_part_copy(Key="parts", UploadId=upload, PartNumber=1, **source)
    both = {"Objects": [{"Key": "kept/k"}, {"Key": "free"}]}
    answer = client.delete_objects(Bucket=bucket, Delete=both)
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [("kept/k", "AccessDenied")]
    assert [entry["Key"] for entry in answer["Deleted"]] == ["free"]
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept/k"]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("[" * 20_000, "MalformedPolicy"),
        ('{"Version": []}', "MalformedPolicy"),
        ('{"Statement": [{"Effect": []}]}', "MalformedPolicy"),
        (
            '{"Statement": {"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "*", "Resource": "arn:aws:s3:::%s/*"}}',
            "NotImplemented",
        ),
    ],
)
def test_what_is_no_policy_of_this_server_is_refused_and_opens_nothing(server, bucket, policy, code):
    with pytest.raises(ClientError, match=code):
        server.client().put_bucket_policy(Bucket=bucket, Policy=policy.replace("%s", bucket))


@pytest.mark.parametrize("name", ["x-amz-meta-a\r\nset-cookie: b", "x-amz-meta-a b", "x-amz-meta-\u00fc"])
def test_a_signed_query_brings_no_metadata_that_is_no_header(server, bucket, name):
    url = presign_url(
        method="PUT",
        scheme="http",
        host=server.url.removeprefix("http://"),
        raw_path=f"/{bucket}/k",
        query={name: "v"},
        region="eu-north-1",
        service="s3",
        credentials=ROOT,
        expires_seconds=60,
        now=int(time.time() * 1000),
    )
    host = server.url.removeprefix("http://")
    target = url.removeprefix(server.url)
    answer = spoken(server, f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n")
    assert "<Code>InvalidArgument</Code>" in answer


def test_cors_rules_add_no_headers_of_their_own(server, bucket):
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "ExposeHeaders": ["a\r\nset-cookie: b"]}
    with pytest.raises(ClientError, match="InvalidRequest"):
        server.client().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})


def test_readers_that_go_away_leave_no_file_open(server, bucket):
    def open_files():
        found = set()
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found.add(str(entry.readlink()))
        return {name for name in found if name.startswith(str(server.folder))}

    client = server.client(secure=True)
    client.put_object(Bucket=bucket, Key="k", Body=b"x" * 20_000_000)
    gc.disable()
    try:
        for _ in range(5):
            body = client.get_object(Bucket=bucket, Key="k")["Body"]
            body.read(10)
            body.close()
        for _ in range(300):
            client.head_object(Bucket=bucket, Key="k")
            if not open_files():
                break
        assert not open_files()
    finally:
        gc.enable()


def test_listings_of_nothing_end(server, bucket):
    client = server.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    client.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    assert client.list_multipart_uploads(Bucket=bucket, MaxUploads=0)["IsTruncated"] is False
    assert client.list_parts(Bucket=bucket, Key="k", UploadId=upload, MaxParts=0)["IsTruncated"] is False
