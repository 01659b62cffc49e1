"""What a line needs to get from the jobs that it has to those that it shall have."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from outfitter_contract.operations import Operation
from outfitter_updates.catalogue.configurations import StoredConfiguration, content_location
from outfitter_updates.catalogue.devices import Group
from outfitter_updates.catalogue.problems import Conflict, WrongUsage
from outfitter_updates.catalogue.software import Image, Location, Publication, SoftwareVersion
from outfitter_updates.operations.line import (
    LineOrder,
    line_group,
    line_job,
    newest,
    plan_line,
    supersede,
    type_of,
)
from outfitter_updates.operations.progress import Job

NOW = 1_770_000_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = Group(name="line-pc", arn="arn:aws:iot:r:0:thinggroup/line-pc")


def software(version="1.0.0", **changes):
    image = Image(name="pump", version=version, device_types=("pc",), sha256=version[0] * 64, size_bytes=7)
    made = SoftwareVersion(
        image=image, publication=Publication.PUBLISHED, location=Location(bucket="b", key=f"pump-{version}")
    )
    return replace(made, **changes)


def configuration(digit="a"):
    return StoredConfiguration(location=content_location("b", digit * 64), sha256=digit * 64, size_bytes=9)


def order(version="1.0.0", config=None, **changes):
    made = LineOrder(
        device_type="pc",
        group=GROUP,
        software=software(version),
        configuration=config,
        forced=False,
        region="eu-west-1",
        role_arn="arn:aws:iam::0:role/r",
    )
    return replace(made, **changes)


def job(job_id, minute, text, targets=(GROUP.arn,), *, continuous=True):
    made = Job(
        job_id=job_id,
        status="IN_PROGRESS",
        continuous=continuous,
        targets=targets,
        description="",
        comment="",
        created_at=START + timedelta(minutes=minute),
        updated_at=None,
        completed_at=None,
        rolling_out=False,
        counts={},
    )
    return line_job(made, text, GROUP.arn)


def carried_out(plan, present, minute):
    """The jobs of the line after the plan."""
    made = [job(each["jobId"], minute + number, each["document"]) for number, each in enumerate(plan.create)]
    return [each for each in present if each.job.job_id not in plan.cancel] + made


def play(*orders):
    """One order after the other; the last plan, and the jobs after it."""
    present, plan = [], None
    for number, each in enumerate(orders):
        plan = plan_line(each, present, NOW, f"t{number}")
        present = carried_out(plan, present, number * 10)
    return plan, present


def kinds(plan):
    return [json.loads(each["document"])["operation"] for each in plan.create]


def test_a_new_line_has_its_software_first():
    plan, _ = play(order(config=configuration()))
    assert kinds(plan) == ["install", "config-download"]
    assert plan.create[0] == {
        "jobId": "line-pc-pump-1-0-0-20260202T024000-t0",
        "targets": [GROUP.arn],
        "document": plan.create[0]["document"],
        "description": "Line pc: pump 1.0.0",
        "presignedUrlConfig": {"roleArn": "arn:aws:iam::0:role/r", "expiresInSec": 3600},
        "targetSelection": "CONTINUOUS",
        "destinationPackageVersions": ["arn:aws:iot:r:0:package/pump/version/1.0.0"],
    }
    assert plan.create[1]["jobId"] == "line-pc-configuration-aaaaaaaaaaaa-20260202T024000-t0"
    assert plan.cancel == ()


@pytest.mark.parametrize("config", [None, configuration()])
@pytest.mark.parametrize("again", [None, configuration()])
def test_the_same_again_changes_nothing(config, again):
    if config is None and again is not None:
        return
    plan, _ = play(order(config=config), order(config=again))
    assert (plan.create, plan.cancel) == ((), ())


def test_newer_software_takes_the_place_and_the_configuration_comes_after_it_again():
    first, _ = play(order(config=configuration()))
    plan, present = play(order(config=configuration()), order("2.0.0"))
    assert kinds(plan) == ["install", "config-download"]
    assert plan.cancel == tuple(each["jobId"] for each in first.create)
    assert plan.create[1]["document"] == first.create[1]["document"]
    assert len(present) == 2
    assert newest(present, Operation.INSTALL).document.version == "2.0.0"


def test_newer_configuration_alone():
    plan, present = play(order(config=configuration()), order(config=configuration("b")))
    assert kinds(plan) == ["config-download"]
    assert len(plan.cancel) == 1
    assert newest(present, Operation.INSTALL).document.version == "1.0.0"


def test_a_line_without_a_configuration_gets_one():
    plan, _ = play(order(), order(config=configuration()))
    assert (kinds(plan), plan.cancel) == (["config-download"], ())


def test_an_interrupted_change_is_completed():
    """Software was created, and then nothing more happened."""
    _, present = play(order(config=configuration()))
    wanted = order("2.0.0")
    begun = plan_line(wanted, present, NOW, "x")
    halfway = [*present, job(begun.create[0]["jobId"], 50, begun.create[0]["document"])]
    rest = plan_line(wanted, halfway, NOW, "y")
    assert kinds(rest) == ["config-download"]
    assert rest.cancel == tuple(each.job.job_id for each in present)
    done = carried_out(rest, halfway, 60)
    assert plan_line(wanted, done, NOW, "z").create == ()
    uncanceled = [*halfway, job(rest.create[0]["jobId"], 60, rest.create[0]["document"])]
    last = plan_line(wanted, uncanceled, NOW, "z")
    assert (last.create, last.cancel) == ((), rest.cancel)


def test_back_to_the_older_version_is_a_job_of_its_own():
    plan, present = play(order(), order("2.0.0"), order(forced=True))
    assert json.loads(plan.create[0]["document"])["forced"] is True
    assert len(present) == 1


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ('{"operation": "install", "url": "https://x"}', {"targets": (GROUP.arn, "another")}),
        ('{"operation": "install", "url": "https://x"}', {"continuous": False}),
        ('{"operation": "config-upload", "url": "https://x"}', {}),
        ('{"steps": []}', {}),
        ("no json", {}),
    ],
)
def test_jobs_that_are_not_the_lines(text, changes):
    assert job("other", 0, text, **changes) is None


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (replace(order(), software=software(publication=Publication.DRAFT)), "is a draft"),
        (order(device_type="valve"), "made for pc"),
    ],
)
def test_software_that_the_line_cannot_bring(wanted, words):
    with pytest.raises(Conflict, match=words):
        plan_line(wanted, [], NOW, "x")


def test_groups_of_lines():
    assert line_group("pc") == "line-pc"
    assert (type_of("line-pc"), type_of("pumps")) == ("pc", "")
    for name in ("", "a b", "x" * 124):
        with pytest.raises(WrongUsage, match="can be no device type"):
            line_group(name)


def test_superseding_lets_devices_finish():
    assert supersede("j")["force"] is False
