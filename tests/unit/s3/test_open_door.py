"""Requests without an SDK: pre-signed URLs, everybody's reads, browsers, raw bodies, and clients that misbehave."""

import hashlib
import json
import logging
import socket
import subprocess

import pytest


def curl(server, *arguments):
    done = subprocess.run(
        ["curl", "-sS", "-i", "--cacert", server.ca, *arguments], capture_output=True, timeout=20, check=True
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    return head.decode(), body


@pytest.mark.parametrize("secure", [False, True])
def test_presigned_urls_with_curl(server, bucket, tmp_path, secure):
    client = server.client(secure=secure)
    file = tmp_path / "file"
    file.write_bytes(b"z" * 2_000_000)
    url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "up/load"})
    head, _ = curl(server, "-T", str(file), "-H", "Expect: 100-continue", url)
    assert "200 OK" in head
    wanted = {"Bucket": bucket, "Key": "up/load", "ResponseContentType": "text/plain"}
    url = client.generate_presigned_url("get_object", Params=wanted)
    head, body = curl(server, "-H", "Range: bytes=1999995-", url)
    assert "206" in head
    assert "Content-Type: text/plain" in head
    assert "Content-Range: bytes 1999995-1999999/2000000" in head
    assert body == b"zzzzz"
    head, body = curl(server, url)
    assert body == file.read_bytes()
    head, body = curl(server, url.replace("up/load", "up/other"))
    assert "403" in head
    assert b"<Code>SignatureDoesNotMatch</Code>" in body


def test_a_presigned_put_keeps_to_the_digest_that_was_signed(server, bucket):
    md5 = "XUFAKrxLKna5cZ2REBfFkg=="  # of "hello"
    url = server.client().generate_presigned_url(
        "put_object", Params={"Bucket": bucket, "Key": "k", "ContentMD5": md5}
    )
    head, body = curl(server, "-X", "PUT", "--data-binary", "other", "-H", f"Content-MD5: {md5}", url)
    assert b"BadDigest" in body
    head, _ = curl(server, "-X", "PUT", "--data-binary", "hello", "-H", f"Content-MD5: {md5}", url)
    assert "200 OK" in head


def spoken(server, request):
    """What the server answers to these very bytes."""
    with socket.create_connection(("127.0.0.1", server.http), timeout=10) as connection:
        connection.sendall(request.encode() + b"Connection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


def test_nothing_behind_a_signed_url_is_read(server, bucket):
    client = server.client()
    client.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "mine"})
    target = put.removeprefix(server.url) + f"#&x-amz-copy-source=/{bucket}/secret"
    host = server.url.removeprefix("http://")
    answer = spoken(server, f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n")
    assert answer.startswith("HTTP/1.1 400")
    assert "Contents" not in client.list_objects_v2(Bucket=bucket, Prefix="mine")


def waiting(server, url, *lines):
    """What comes first to a client that waits for ``100 Continue``, and what after the body; ended once it has an answer."""
    head = [f"PUT {url.removeprefix(server.url)} HTTP/1.1", f"Host: {server.url.removeprefix('http://')}"]
    head += ["Content-Length: 5", "Expect: 100-continue", *lines]
    with socket.create_connection(("127.0.0.1", server.http), timeout=10) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        first = connection.recv(65_536).decode()
        if first.startswith("HTTP/1.1 100"):
            connection.sendall(b"hello")
            return first, connection.recv(65_536).decode()
        return first, ""


def test_who_waits_to_send_is_told_at_once_that_it_would_be_in_vain(server, bucket):
    def url(**target):
        return server.client().generate_presigned_url("put_object", Params=target)

    first, after = waiting(server, url(Bucket=bucket, Key="k"))
    assert (first.splitlines()[0], after.splitlines()[0]) == ("HTTP/1.1 100 Continue", "HTTP/1.1 200 OK")
    assert "Connection: close" not in after
    first, _ = waiting(server, url(Bucket=bucket, Key="k"), "If-None-Match: *")
    assert first.startswith("HTTP/1.1 412")
    first, _ = waiting(server, url(Bucket="missing", Key="k"))
    assert first.startswith("HTTP/1.1 404")
    assert "Connection: close" in first


def test_the_absolute_form_of_a_target_is_understood(server, bucket):
    client = server.client()
    client.put_object(Bucket=bucket, Key="k", Body=b"found")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    host = server.url.removeprefix("http://")
    assert spoken(server, f"GET {url} HTTP/1.1\r\nHost: {host}\r\n").endswith("\r\n\r\nfound")


def test_everybody_reads_what_a_policy_opens_and_no_more(server, bucket):
    client = server.client()
    client.put_object(Bucket=bucket, Key="open/page.html", Body=b"<p>", ContentType="text/html")
    client.put_object(Bucket=bucket, Key="shut", Body=b"secret")
    assert "403" in curl(server, f"{server.url}/{bucket}/open/page.html")[0]
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/open/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert client.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    head, body = curl(server, f"{server.secure_url}/{bucket}/open/page.html")
    assert "200 OK" in head
    assert "Content-Security-Policy: sandbox" in head
    assert body == b"<p>"
    host = f"{bucket}.s3.eu-north-1.amazonaws.com"
    assert curl(server, "-H", f"Host: {host}", f"{server.url}/open/page.html")[1] == b"<p>"
    assert curl(server, "-H", f"Host: {bucket}.store.test", f"{server.url}/open/page.html")[1] == b"<p>"
    for path in ("shut", "open/missing", "", "?list-type=2"):
        assert b"<Code>AccessDenied</Code>" in curl(server, f"{server.url}/{bucket}/{path}")[1]
    for method in ("PUT", "DELETE"):
        assert "403" in curl(server, "-X", method, "-d", "x", f"{server.url}/{bucket}/open/page.html")[0]
    client.delete_bucket_policy(Bucket=bucket)
    assert "403" in curl(server, f"{server.url}/{bucket}/open/page.html")[0]


def test_browsers_are_told_what_the_cors_rules_say(server, bucket):
    client = server.client()
    rule = {
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["x-amz-*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 60,
    }
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert client.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    asking = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"]
    url = f"{server.url}/{bucket}/k"
    head, _ = curl(
        server,
        *asking,
        "-H",
        "Origin: https://a.example.com",
        "-H",
        "Access-Control-Request-Headers: X-Amz-Date",
        url,
    )
    assert "200 OK" in head
    assert "Access-Control-Allow-Origin: https://a.example.com" in head
    assert "Access-Control-Allow-Headers: x-amz-date" in head
    assert "Access-Control-Max-Age: 60" in head
    assert "403" in curl(server, *asking, "-H", "Origin: https://evil.test", url)[0]
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    head, _ = curl(server, "-H", "Origin: https://a.example.com", url)
    assert "Access-Control-Expose-Headers: ETag" in head
    assert "Access-Control" not in curl(server, "-H", "Origin: https://evil.test", url)[0]
    client.delete_bucket_cors(Bucket=bucket)
    assert "403" in curl(server, *asking, "-H", "Origin: https://a.example.com", url)[0]


def test_a_client_that_goes_away_leaves_nothing(server, bucket):
    before = server.files()
    client = server.client()
    url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "half"})
    path = url.removeprefix(server.url)
    with socket.create_connection(("127.0.0.1", server.http)) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.http}\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 4_000_000)
    # The next request is served after the broken one was noticed, or soon after: ask until the files agree.
    for _ in range(100):
        client.list_objects_v2(Bucket=bucket)
        if server.files() == before:
            break
    assert server.files() == before
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("secure", [False, True])
def test_readers_that_go_away_are_no_fault(server, bucket, secure, caplog):
    client = server.client(secure=secure)
    client.put_object(Bucket=bucket, Key="k", Body=b"x" * 20_000_000)
    for _ in range(3):
        body = client.get_object(Bucket=bucket, Key="k")["Body"]
        assert body.read(10) == b"x" * 10
        body._raw_stream._connection.sock.close()
        body.close()
    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == 20_000_000
    assert len(client.get_object(Bucket=bucket, Key="k")["Body"].read()) == 20_000_000
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_body_that_is_not_the_signed_one_is_refused(server, bucket):
    client = server.client()

    def tamper(request, **_):
        request.body = b"other"

    client.meta.events.register("before-send.s3.PutObject", tamper, unique_id="tamper")
    try:
        with pytest.raises(client.exceptions.ClientError) as caught:
            client.put_object(Bucket=bucket, Key="k", Body=b"hello", ContentMD5="XUFAKrxLKna5cZ2REBfFkg==")
    finally:
        client.meta.events.unregister("before-send.s3.PutObject", unique_id="tamper")
    assert caught.value.response["Error"]["Code"] in {"BadDigest", "XAmzContentSHA256Mismatch"}
    assert hashlib.md5(b"hello").hexdigest() == "5d41402abc4b2a76b9719d911017c592"
