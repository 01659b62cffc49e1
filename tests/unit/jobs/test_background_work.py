"""The pacer and the committer under faults, and beside each other."""

import asyncio
from functools import partial

import pytest
from outfitter_server.base.refusals import Unavailable
from outfitter_server.jobs import lifecycle
from outfitter_server.jobs.values import NewJob, Target
from outfitter_server.services import rollout
from waiting import until


async def test_a_job_whose_step_fails_holds_up_no_other_and_is_tried_again(engine, count, monkeypatch):
    monkeypatch.setattr("outfitter_server.services.pacer._RETRY_SECONDS", 0.01)
    names = [f"t{number:04d}" for number in range(1_500)]
    engine.things(*names, watch=False)
    engine.group("g", names)
    real, broken = rollout.Steps.step, [True]

    def step(self, batch, job_id, **bounds):
        if job_id == "bad" and not bounds and broken[0]:
            raise RuntimeError("broken")
        real(self, batch, job_id, **bounds)

    monkeypatch.setattr(rollout.Steps, "step", step)
    for name in ("bad", "good"):
        target = Target(position=0, kind="thinggroup", name="g")
        await engine.jobs.create(NewJob(id=name, targets=(target,), stored="{}"))
    await until(lambda: engine.jobs.get("good").work is None)
    assert count("good") == {"queued": 1_500}
    assert count("bad") == {"queued": 1_000}
    broken[0] = False
    await until(lambda: engine.jobs.get("bad").work is None)
    assert count("bad") == {"queued": 1_500}


async def test_many_large_jobs_at_once_share_no_batch(engine):
    names = [f"t{number:04d}" for number in range(20)]
    engine.things(*names, watch=False)
    engine.group("g", names)

    def new(name, kind, target):
        return NewJob(
            id=name,
            targets=(Target(position=0, kind=kind, name=target),),
            stored="{}",
        )

    before = engine.committer.batches
    await asyncio.gather(*(engine.jobs.create(new(f"g{number}", "thinggroup", "g")) for number in range(5)))
    assert engine.committer.batches == before + 5, "a thousand rows each: the loop breathes between them"
    await asyncio.gather(*(engine.jobs.create(new(f"t{number}", "thing", "t0001")) for number in range(5)))
    assert engine.committer.batches == before + 6, "one row each: they share a commit"
    cancels = (engine.changes.cancel(f"g{n}", force=False, comment=None, reason_code=None) for n in range(5))
    await asyncio.gather(*cancels)
    assert engine.committer.batches == before + 11


@pytest.mark.parametrize("work", ["rollout", "cancel"])
async def test_who_begins_to_listen_beside_a_heavy_step_hears_of_it(engine, work):
    engine.things("t", "u", watch=False)
    engine.group("g", ["t", "u"])
    if work == "cancel":
        await engine.job("j", "thinggroup:g")
        await engine.start("u")
    engine.told()

    def apply(batch):
        if work == "rollout":
            engine.jobs._create(
                batch,
                NewJob(
                    id="j",
                    targets=(Target(position=0, kind="thinggroup", name="g"),),
                    stored="{}",
                ),
            )
        else:
            cancel = partial(lifecycle.cancel, force=False, comment=None, reason_code=None)
            engine.changes._apply(batch, "j", lambda job, now: cancel(job, now=now))
        # The loop is free meanwhile: a device subscribes after the step looked and before it is committed.
        engine.watched.add("t")

    await engine.committer.change(apply, heavy=True)
    assert engine.told() == [("t", True, True)]

    assert bool(engine.plane.current("t").pending) is (work == "rollout")


async def test_documents_of_a_batch_that_was_undone_are_forgotten(engine):
    engine.things("t")
    await engine.job("j", "thing:t", document='{"old":1}')
    assert (await engine.start("t")).head.document == '{"old":1}'
    (pages,) = engine.store._writer.execute("PRAGMA page_count").fetchone()
    engine.store._writer.execute(f"PRAGMA max_page_count={pages}").fetchall()
    target = Target(position=0, kind="thing", name="t")

    def again(batch):
        delete = partial(lifecycle.delete, force=True, being_deleted=0)
        engine.changes._apply(batch, "j", lambda job, now: delete(job, now=now))
        engine.jobs._create(batch, NewJob(id="j", targets=(target,), stored='{"new":1}'))

    def too_much(batch):
        batch.tx.run("job_document_insert", job="large", stored="x" * 100_000, delivered="{}", raw=None)

    outcomes = await asyncio.gather(
        engine.committer.change(again), engine.committer.change(too_much), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert (await engine.start("t")).head.document == '{"old":1}'


async def test_no_step_tells_more_than_a_thousand_devices(engine, count):
    names = [f"t{number:04d}" for number in range(3_500)]
    engine.things(*names)
    engine.group("g", names)
    told = []
    engine.committer.listen(lambda effects: told.append(len(effects)))
    await engine.job("j", "thinggroup:g")
    assert count("j") == {"queued": 3_500}
    assert max(told) <= 1_001, "the things of one step, and that more is to be done"
    assert len(engine.told()) == 3_500


async def test_a_hierarchy_of_empty_groups_is_walked_in_steps_too(engine, count):
    engine.things("t", watch=False)
    engine.group("top")
    for number in range(2_500):
        engine.group(f"low{number:04d}", ["t"] if number == 2_400 else [], parent="top")
    target = Target(position=0, kind="thinggroup", name="top")
    job = await engine.jobs.create(NewJob(id="j", targets=(target,), stored="{}"))
    assert job.work == "ROLLOUT", "CreateJob answers after its first thousand"
    await until(lambda: engine.jobs.get("j").work is None)
    assert count("j") == {"queued": 1}
