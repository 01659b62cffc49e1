"""The file store, row by row."""

import json
import re

import pytest


@pytest.fixture
def bucket(fleet, world):
    name = f"mission-{fleet.name()}"
    world.s3.create_bucket(Bucket=name)
    return name


def test_files_lie_in_a_hierarchy_each_at_a_url(server, world, bucket, curl):
    """Three versions of an image side by side; with a policy for everybody, curl reads one from outside."""
    for version in ("1.0", "1.1", "2.0"):
        world.s3.put_object(Bucket=bucket, Key=f"images/pump/{version}.tar.gz", Body=version.encode())
    found = world.s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [each["Prefix"] for each in found["CommonPrefixes"]] == ["images/"]
    found = world.s3.list_objects_v2(Bucket=bucket, Prefix="images/pump/1.")
    assert [each["Key"] for each in found["Contents"]] == ["images/pump/1.0.tar.gz", "images/pump/1.1.tar.gz"]
    urls = [f"{origin}/{bucket}/images/pump/1.1.tar.gz" for origin in (server.http, server.https)]
    assert [curl(url, "--cacert", server.ca)[0] for url in urls] == [403, 403]
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    world.s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert [curl(url, "--cacert", server.ca) for url in urls] == [(200, b"1.1")] * 2


def test_a_page_that_people_open_is_served_from_the_store_and_calls_the_api(world, curl):
    """The console with all that it fetches; that a browser opens it and works with it is shown with one."""
    page, ca = world.deployment["page_url"], ("--cacert", world.server.ca)
    status, text = curl(page, *ca)
    assert (status, b"<script" in text) == (200, True)
    names = [each.decode() for each in re.findall(rb'(?:src|href)="([^"]+)"', text)]
    assert any(name.endswith(".js") for name in names)
    for name in (*(name for name in names if ":" not in name), "config.json"):
        headers = curl(
            f"{page.rpartition('/')[0]}/{name.removeprefix('./')}", *ca, "-D", "-", "-o", "/dev/null"
        )
        assert headers[0] == 200
        kind = {"js": b"text/javascript", "css": b"text/css", "json": b"application/json"}[
            name.rpartition(".")[2]
        ]
        assert b"content-type: " + kind in headers[1].lower()
    settings = json.loads(curl(f"{page.rpartition('/')[0]}/config.json", *ca)[1])
    assert world.deployment["function_url"].endswith(settings["functionUrl"])


def test_pre_signed_urls_lend_the_signers_privileges_for_a_limited_time(
    server, world, bucket, curl, eventually
):
    signer = server.client("s3", signature_version="s3v4")

    def signed(method, seconds):
        parameters = {"Bucket": bucket, "Key": "configurations/a.json"}
        return signer.generate_presigned_url(method, Params=parameters, ExpiresIn=seconds)

    assert curl(signed("put_object", 60), "-X", "PUT", "--data-binary", "{}")[0] == 200
    url = signed("get_object", 60)
    assert curl(url) == (200, b"{}")
    assert curl(url, "-X", "DELETE")[0] == 403
    assert curl(url.replace("a.json", "b.json"))[0] == 403
    short = {method: signed(method, 1) for method in ("get_object", "put_object")}
    eventually(lambda: curl(short["get_object"])[0] == 403)
    status, body = curl(short["put_object"], "-X", "PUT", "--data-binary", "late")
    assert (status, b"expired" in body) == (403, True)
    assert curl(url) == (200, b"{}")


def test_a_job_document_is_a_file_named_at_creation(server, fleet, world, bucket):
    document = {"operation": "test", "list": [1, {"a": None}]}
    world.s3.put_object(Bucket=bucket, Key="documents/job.json", Body=json.dumps(document).encode())
    thing = fleet.thing()
    source = f"https://s3.us-east-1.amazonaws.com/{bucket}/documents/job.json"
    job = fleet.job(thing, documentSource=source)
    assert json.loads(fleet.iot.get_job_document(jobId=job)["document"]) == document
    given = fleet.data.describe_job_execution(thingName=thing, jobId=job)["execution"]["jobDocument"]
    assert json.loads(given)["operation"] == "test"
