"""Jobs whose document asks for a proof: SUCCEEDED counts with it, and with nothing else."""

import json

import pytest
from outfitter_contract.execution import Status
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.gateway import jobs_wire
from outfitter_server.jobs.device import Unproven
from outfitter_server.jobs.proofs import proof_wanted
from outfitter_server.jobs.why import Kind
from outfitter_server.services.why import Why

DIGEST = "a" * 64
PROOF = {"version": "2.0.0", "sha256": DIGEST}
DOCUMENT = json.dumps({"operation": "install", "url": "https://x/y", "confirm": PROOF})


@pytest.fixture
async def asked(engine):
    """A device that is at work on a job that asks for a proof."""
    engine.things("t")
    await engine.job("j", "thing:t", document=DOCUMENT)
    await engine.start("t")
    return engine


async def test_success_with_the_proof_counts(asked):
    answer = await asked.report("t", "j", "SUCCEEDED", details={**PROOF, "step": "done"})
    assert answer.execution.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("told", "lacking"),
    [
        (None, "version '2.0.0' is missing, sha256"),
        ({}, "version '2.0.0' is missing"),
        ({"version": "2.0.0"}, f"sha256 '{DIGEST}' is missing"),
        ({**PROOF, "version": "1.9"}, "version is '1.9' instead of '2.0.0'"),
    ],
)
async def test_success_without_it_is_refused_and_changes_nothing(asked, told, lacking):
    before = await asked.peek("t")
    asked.told()
    with pytest.raises(Unproven, match=lacking):
        await asked.report("t", "j", "SUCCEEDED", details=told)
    assert await asked.peek("t") == before
    assert asked.told() == []
    answer = await asked.report("t", "j", "SUCCEEDED", details=PROOF)
    assert answer.execution.version == before.version + 1


async def test_what_was_told_before_is_no_proof(asked):
    await asked.report("t", "j", "IN_PROGRESS", details=PROOF)
    with pytest.raises(Unproven, match=r"version '2\.0\.0' is missing"):
        await asked.report("t", "j", "SUCCEEDED")


@pytest.mark.parametrize("status", ["FAILED", "REJECTED"])
async def test_other_ends_need_none(asked, status):
    assert (await asked.report("t", "j", status)).execution.status == status


async def test_an_old_expected_version_is_told_first(asked):
    with pytest.raises(Exception, match="Expected version 9"):
        await asked.report("t", "j", "SUCCEEDED", expected_version=9)


async def test_the_refusal_has_the_shape_of_aws(asked):
    with pytest.raises(Unproven) as refused:
        await asked.report("t", "j", "SUCCEEDED", details={"version": "1"})
    suffix, payload = jobs_wire.answer(None, refused.value, "token", 1000, None)
    told = json.loads(payload)
    assert suffix == "/rejected"
    assert (told["code"], told["clientToken"]) == ("InvalidRequest", "token")
    assert told["message"].startswith("SUCCEEDED is not proven, as the job's confirm asks: version is '1'")
    assert told["executionState"]["status"] == "IN_PROGRESS"


async def test_why_tells_of_the_refusal_and_of_what_is_wanted(asked):
    why = Why(asked.committer, asked.plane._engine.traces, lambda: ["t"])
    with pytest.raises(Unproven):
        await asked.report("t", "j", "SUCCEEDED")
    (told,) = why.thing("t").executions
    assert "to report, with version '2.0.0', sha256" in told.waits_for
    (refused,) = [moment for moment in told.moments if moment.kind is Kind.REFUSED]
    assert "its device's report was refused: SUCCEEDED is not proven" in refused.text


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        '"confirm"',
        '["confirm"]',
        '{"confirm":{"version":"1"}}',
        '{"operation":"reboot","confirm":"yes"}',
        '{"operation":"install","url":"x"}',
        '{"operation":["install"],"confirm":1}',
    ],
)
def test_documents_that_ask_for_nothing(document):
    assert proof_wanted(document) is None


@pytest.mark.parametrize(
    ("confirm", "why"),
    [
        ({}, "1 to 10"),
        ("yes", "1 to 10"),
        ({f"k{number}": "v" for number in range(11)}, "1 to 10"),
        ({"a b": "v"}, "no name of a status detail"),
        ({"a": 1}, "is not a text"),
        ({"a": ""}, "is not a text"),
        ({"a": "x" * 1025}, "is not a text"),
        ({"a": "line\nbreak"}, "is not a text"),
    ],
)
async def test_what_no_device_could_prove_makes_no_job(engine, confirm, why):
    engine.things("t")
    with pytest.raises(InvalidRequest, match=why):
        await engine.job(
            "j", "thing:t", document=json.dumps({"operation": "install", "url": "x", "confirm": confirm})
        )
