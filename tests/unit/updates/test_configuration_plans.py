"""Configurations as values, the jobs that carry them, and propagations."""

import hashlib
import json

import pytest
from outfitter_contract.document import parse_document
from outfitter_contract.operations import Operation
from outfitter_updates.catalogue.configurations import (
    Choice,
    StoredConfiguration,
    choose,
    compare,
    content_location,
    read_configuration,
    uploaded_location,
)
from outfitter_updates.catalogue.problems import BadConfiguration, Conflict, NotFound, WrongUsage
from outfitter_updates.operations.configuration import (
    DownloadIntention,
    UploadIntention,
    plan_download,
    plan_upload,
)
from outfitter_updates.operations.progress import Job
from outfitter_updates.operations.propagation import check_same, propagation

NOW = 1_770_000_000_000  # 2026-02-02T02:40:00Z
CONTENT = b'{"b": 2, "a": {"x": [1]},  "c": null}'
ARN = "arn:aws:iot:eu-west-1:000000000000:"
STORED = StoredConfiguration(location=content_location("bucket", "d" * 64), sha256="d" * 64, size_bytes=37)


def download(**changes):
    given = {
        "target_arns": (f"{ARN}thing/pump-1",),
        "configuration": STORED,
        "merge": False,
        "forced": False,
        "continuous": False,
        "region": "eu-west-1",
        "role_arn": "arn:aws:iam::0:role/r",
        "job_id": None,
    }
    return plan_download(DownloadIntention(**given | changes), NOW, "abc123")


def upload(job_id=None):
    intention = UploadIntention(
        target_arn=f"{ARN}thing/pump-1",
        bucket="bucket",
        region="eu-west-1",
        role_arn="arn:aws:iam::0:role/r",
        job_id=job_id,
    )
    return plan_upload(intention, NOW, "abc123")


def test_the_bytes_are_kept_as_they_are():
    read = read_configuration(CONTENT, "x.json")
    assert read.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert choose(read, Choice()).content == CONTENT


@pytest.mark.parametrize(
    ("content", "words"), [(b"[]", "x.json is no configuration"), (b" " * 1048577, "at most")]
)
def test_what_is_no_configuration_names_its_origin(content, words):
    with pytest.raises(BadConfiguration, match=words):
        read_configuration(content, "x.json")


@pytest.mark.parametrize(
    ("only", "left_out", "names"),
    [
        ({"a"}, (), {"a"}),
        (None, {"a"}, {"b", "c"}),
        ({"a", "b"}, {"b"}, {"a"}),
    ],
)
def test_parameters_are_chosen(only, left_out, names):
    choice = Choice(only=None if only is None else frozenset(only), left_out=frozenset(left_out))
    chosen = choose(read_configuration(CONTENT, ""), choice)
    assert set(chosen.parameters) == names == set(json.loads(chosen.content))
    assert choice.is_partial


def test_names_that_are_not_there_and_none_that_are_left():
    read = read_configuration(CONTENT, "")
    with pytest.raises(NotFound, match=r"no parameter 'z'\. There are: a, b, c"):
        choose(read, Choice(left_out=frozenset({"z"})))
    with pytest.raises(WrongUsage, match="No parameter is left"):
        choose(read, Choice(only=frozenset("a"), left_out=frozenset("a")))


def test_differences():
    found = compare(
        {"a": 1, "b": 1, "c": [1, {"x": 1}], "d": 1}, {"b": 2, "c": [1, {"x": True}], "d": 1.0, "e": 0}
    )
    assert (found.added, found.removed) == ({"e": 0}, {"a": 1})
    assert found.changed == {"b": (1, 2), "c": ([1, {"x": 1}], [1, {"x": True}])}
    assert not found.is_empty
    assert compare({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}).is_empty


def test_upload_job():
    plan = upload()
    assert plan["jobId"] == "config-upload-pump-1-20260202T024000-abc123"
    assert json.loads(plan["document"]) == {
        "operation": "config-upload",
        "url": "${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/bucket/configurations/"
        "${thingName}/${jobId}.json}",
    }
    assert plan["presignedUrlConfig"]["roleArn"] == "arn:aws:iam::0:role/r"
    assert upload("mine")["jobId"] == "mine"


def test_download_job():
    plan = download()
    document = json.loads(plan["document"])
    assert document == {
        "operation": "config-download",
        "url": "${aws:iot:s3-presigned-url-v2:https://s3.eu-west-1.amazonaws.com/bucket/configurations/%40content/"
        + "d" * 64
        + ".json}",
        "forced": False,
        "sha256": "d" * 64,
        "size": 37,
    }
    parsed = parse_document(json.loads(download(merge=True, forced=True)["document"]))
    assert (parsed.operation, parsed.merge, parsed.forced) == (Operation.CONFIG_DOWNLOAD, True, True)
    assert plan["targetSelection"] == "SNAPSHOT"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"target_arns": tuple(f"{ARN}thing/{number}" for number in range(101))},
            "put the devices into a group",
        ),
        ({"continuous": True}, "Only a group"),
        ({"job_id": "no spaces"}, "no job id"),
    ],
)
def test_jobs_that_cannot_be(changes, words):
    with pytest.raises(WrongUsage, match=words):
        download(**changes)


def test_what_devices_send_never_lies_where_people_put_theirs():
    assert uploaded_location("b", "pump:1", "job").key == "configurations/pump:1/job.json"
    assert content_location("b", "d").key == "configurations/@content/d.json"


def test_propagations_have_two_jobs_of_their_name():
    made = propagation("mine", "pump-1", NOW, "x")
    assert (made.upload_job, made.download_job) == ("mine-up", "mine-down")
    assert propagation(None, "pump-1", NOW, "abc123").name == "propagate-pump-1-20260202T024000-abc123"
    long = propagation(None, "p" * 128, NOW, "abc123")
    assert len(long.download_job) == 64
    assert long.name.endswith("-20260202T024000-abc123")


@pytest.mark.parametrize("name", ["", "a b", "x" * 60])
def test_propagations_that_give_no_job_ids(name):
    with pytest.raises(WrongUsage, match="no name of a propagation"):
        propagation(name, "pump-1", NOW, "x")


def test_the_job_of_another_propagation():
    job = Job(
        job_id="mine-down",
        status="COMPLETED",
        continuous=False,
        targets=("a", "b"),
        description="",
        comment="",
        created_at=None,
        updated_at=None,
        completed_at=None,
        rolling_out=False,
        counts={},
    )
    check_same(job, ("b", "a"), "is for")
    with pytest.raises(Conflict, match="belongs to another"):
        check_same(job, ("a",), "is for")
