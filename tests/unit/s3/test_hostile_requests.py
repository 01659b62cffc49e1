"""Requests that were signed for one thing and are sent for another."""

import socket

import boto3
import pytest
from botocore.config import Config


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
