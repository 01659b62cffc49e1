"""From an intention to the arguments of CreateJob."""

import json
from dataclasses import replace

import pytest
from outfitter_contract.document import parse_document
from outfitter_updates.catalogue.problems import Conflict, WrongUsage
from outfitter_updates.catalogue.software import Image, Location, Publication, SoftwareVersion
from outfitter_updates.operations.update import (
    UpdateIntention,
    cancel_job,
    make_job_id,
    plan_update,
    role_arn,
)

NOW = 1_770_000_000_000  # 2026-02-02T02:40:00Z
IMAGE = Image(name="pump", version="1.4.0", device_types=("pc",), sha256="a" * 64, size_bytes=123)
SOFTWARE = SoftwareVersion(
    image=IMAGE,
    publication=Publication.PUBLISHED,
    location=Location(bucket="b", key="software/pump/1.4.0/pump 1.tar.gz"),
)
GROUP = "arn:aws:iot:us-east-1:000000000000:thinggroup/pumps"
INTENTION = UpdateIntention(
    target_arn=GROUP,
    software=SOFTWARE,
    forced=False,
    continuous=False,
    region="eu-west-1",
    role_arn="arn:aws:iam::000000000000:role/outfitter-updates",
    job_id=None,
)


def test_a_plan_holds_all_that_create_job_needs():
    plan = plan_update(INTENTION, NOW, "abc123")
    document = json.loads(plan.pop("document"))
    assert plan == {
        "jobId": "update-pump-1-4-0-20260202T024000-abc123",
        "targets": [GROUP],
        "description": "Install pump 1.4.0",
        "presignedUrlConfig": {"roleArn": INTENTION.role_arn, "expiresInSec": 3600},
        "targetSelection": "SNAPSHOT",
        "destinationPackageVersions": ["arn:aws:iot:us-east-1:000000000000:package/pump/version/1.4.0"],
    }
    assert document == {
        "operation": "install",
        "url": "${aws:iot:s3-presigned-url-v2:https://s3.eu-west-1.amazonaws.com/b/software/pump/1.4.0/pump%201.tar.gz}",
        "forced": False,
        "name": "pump",
        "version": "1.4.0",
        "sha256": "a" * 64,
        "size": 123,
    }
    assert parse_document(document).sha256 == IMAGE.sha256


def test_a_confirmed_update_asks_for_the_proof_of_version_and_digest():
    plan = plan_update(replace(INTENTION, confirm=True), NOW, "abc123")
    assert parse_document(json.loads(plan["document"])).confirm == {"version": "1.4.0", "sha256": "a" * 64}


def test_the_same_intention_gives_the_same_plan():
    assert plan_update(INTENTION, NOW, "x") == plan_update(INTENTION, NOW, "x")


def test_forced_and_continuous_are_passed_on():
    plan = plan_update(replace(INTENTION, forced=True, continuous=True, job_id="mine"), NOW, "x")
    assert json.loads(plan["document"])["forced"] is True
    assert plan["targetSelection"] == "CONTINUOUS"
    assert plan["jobId"] == "mine"


@pytest.mark.parametrize(
    ("changes", "problem", "words"),
    [
        ({"job_id": "no spaces"}, WrongUsage, "no job id"),
        ({"job_id": "x" * 65}, WrongUsage, "no job id"),
        ({"continuous": True, "target_arn": "arn:aws:iot:r:0:thing/t"}, WrongUsage, "group"),
        ({"software": replace(SOFTWARE, publication=Publication.DRAFT)}, Conflict, "draft"),
    ],
)
def test_what_cannot_be_is_refused(changes, problem, words):
    with pytest.raises(problem, match=words):
        plan_update(replace(INTENTION, **changes), NOW, "x")


def test_a_deprecated_version_may_still_be_installed():
    assert plan_update(
        replace(INTENTION, software=replace(SOFTWARE, publication=Publication.DEPRECATED)), NOW, "x"
    )


def test_long_names_give_way_to_the_limit_of_job_ids():
    software = replace(SOFTWARE, image=replace(IMAGE, name="n" * 128))
    job_id = make_job_id(software, NOW, "abc123")
    assert len(job_id) == 64
    assert job_id.endswith("-20260202T024000-abc123")


def test_the_role_follows_partition_and_account():
    assert role_arn("aws-cn", "123456789012") == "arn:aws-cn:iam::123456789012:role/outfitter-updates"


def test_cancelling_without_a_comment_sends_none():
    assert cancel_job("j", force=True, comment=None) == {
        "jobId": "j",
        "force": True,
        "reasonCode": "CANCELED_BY_USER",
    }
    assert cancel_job("j", force=False, comment="why")["comment"] == "why"
