"""The job engine on a real store: what people and devices do, and what becomes of it."""

import asyncio

import pytest
from outfitter_server.base.refusals import (
    AlreadyExists,
    InvalidRequest,
    InvalidStateTransition,
    LimitExceeded,
    NotFound,
    TerminalState,
    VersionConflict,
)
from outfitter_server.jobs.values import Describe, GetPending, JobStatus


async def test_a_job_on_a_thing_goes_from_queued_to_completed(engine, count):
    engine.things("t")
    await engine.job("j", "thing:t")
    assert engine.told() == [("t", True, True)]
    assert await engine.pending("t") == [("j", "QUEUED")]
    started = await engine.start("t", step="begin")
    assert (started.execution.status, started.execution.version) == ("IN_PROGRESS", 2)
    assert started.head.document == '{"operation":"x"}'
    assert engine.told() == []
    again = await engine.start("t", step="other")
    assert again.execution == started.execution
    await engine.report("t", "j", "IN_PROGRESS", details={"percent": "50"})
    assert engine.told() == []
    done = await engine.report("t", "j", "SUCCEEDED", expected_version=3)
    assert (done.execution.version, done.execution.details) == (4, {"percent": "50"})
    assert engine.told() == [("t", True, True)]
    assert (await engine.start("t")).execution is None
    job = engine.jobs.get("j")
    assert (job.status, job.completed_at) == (JobStatus.COMPLETED, engine.clock[0])
    assert count("j") == {"succeeded": 1}


async def test_second_job_notifies_without_next_and_the_end_of_the_first_brings_it_forward(engine):
    engine.things("t")
    await engine.job("a", "thing:t")
    await engine.job("b", "thing:t")
    assert engine.told() == [("t", True, True), ("t", True, False)]
    await engine.report("t", "b", "IN_PROGRESS")
    assert engine.told() == [("t", False, True)], "a later job that starts first becomes the front"
    await engine.report("t", "a", "IN_PROGRESS")
    assert engine.told() == [("t", False, True)], "the older one in progress is the front again"
    await engine.report("t", "b", "FAILED")
    assert engine.told() == [("t", True, False)]
    await engine.report("t", "a", "SUCCEEDED")
    assert engine.told() == [("t", True, True)]


async def test_revisions_rise_exactly_with_notifications(engine):
    engine.things("t")
    await engine.job("a", "thing:t")
    await engine.job("b", "thing:t")
    now = engine.plane.current("t")
    assert (now.pending_revision, now.next_revision) == (2, 1)
    await engine.start("t")
    await engine.report("t", "a", "SUCCEEDED")
    now = engine.plane.current("t")
    assert (now.pending_revision, now.next_revision, [e.job for e in now.pending]) == (3, 2, ["b"])


@pytest.mark.parametrize(
    ("status", "members", "error", "carries_state"),
    [
        ("QUEUED", {"job": "unknown"}, InvalidStateTransition, False),
        ("CANCELED", {}, InvalidStateTransition, False),
        ("TIMED_OUT", {}, InvalidStateTransition, False),
        ("REMOVED", {"expected_version": 9}, InvalidStateTransition, False),
        ("DONE", {}, InvalidRequest, False),
        ("SUCCEEDED", {"job": "unknown"}, NotFound, False),
        ("SUCCEEDED", {"number": 7}, NotFound, False),
        ("SUCCEEDED", {"expected_version": 9, "problem": "bad"}, VersionConflict, True),
        ("SUCCEEDED", {"problem": "statusDetails: bad"}, InvalidRequest, False),
    ],
)
async def test_refused_updates_change_nothing(engine, status, members, error, carries_state):
    engine.things("t")
    await engine.job("j", "thing:t")
    engine.told()
    before = await engine.peek("t")
    with pytest.raises(error) as refused:
        await engine.report("t", members.pop("job", "j"), status, **members)
    assert ("execution" in refused.value.members) is carries_state
    assert await engine.peek("t") == before
    assert engine.told() == []


async def test_an_ended_execution_refuses_updates_and_hides_from_describe(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    await engine.report("t", "j", "REJECTED")
    with pytest.raises(InvalidStateTransition, match="t is in terminal status REJECTED") as refused:
        await engine.report("t", "j", "IN_PROGRESS")
    assert refused.value.members["execution"].started_at is None, "a rejection starts nothing"
    with pytest.raises(TerminalState):
        await engine.ask(Describe(thing="t", job="j"))


async def test_unknown_thing_with_nothing_pending_is_not_found(engine):
    with pytest.raises(NotFound):
        await engine.ask(GetPending("nobody"))


async def test_group_job_reaches_members_of_child_groups_once(engine, count):
    names = [f"t{i}" for i in range(7)]
    engine.things(*names, watch=False)
    engine.group("top", names[:3])
    engine.group("low", names[2:6], parent="top")
    engine.group("lower", names[6:], parent="low")
    await engine.job("j", "thinggroup:top", "thing:t0")
    assert count("j") == {"queued": 7}
    assert all(target.done for target in engine.jobs.describe("j")[1])


async def test_large_rollout_goes_on_after_the_answer(engine, count):
    names = [f"t{i:05d}" for i in range(12_300)]
    engine.things(*names, watch=False)
    engine.group("g", names)
    engine.watched.add("t12299")
    await engine.job("j", "thinggroup:g")
    assert count("j") == {"queued": 12_300}
    assert engine.told() == [("t12299", True, True)]
    assert engine.jobs.get("j").work is None


async def test_snapshot_job_on_an_empty_group_completes_at_once(engine):
    engine.group("g")
    await engine.job("j", "thinggroup:g")
    assert engine.jobs.get("j").status is JobStatus.COMPLETED


async def test_job_ids_are_taken_until_deleted_and_targets_must_exist(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    with pytest.raises(AlreadyExists):
        await engine.job("j", "thing:t")
    with pytest.raises(NotFound, match="thing/nobody"):
        await engine.job("k", "thing:t", "thing:nobody")
    assert await engine.pending("t") == [("j", "QUEUED")], "a refused job queued nothing"
    await engine.changes.delete("j", force=True)
    await engine.job("j", "thing:t", document='{"operation":"y"}')
    assert (await engine.start("t")).head.document == '{"operation":"y"}'


async def test_cancel_spares_what_runs_unless_forced(engine, count):
    engine.things("run", "wait")
    engine.group("g", ["run", "wait"])
    await engine.job("j", "thinggroup:g")
    await engine.start("run")
    engine.told()
    await engine.changes.cancel("j", force=False, comment="why", reason_code="R")
    assert engine.told() == [("wait", True, True)]
    assert count("j") == {"in_progress": 1, "canceled": 1}
    job = engine.jobs.get("j")
    assert (job.status, job.comment, job.reason_code, job.completed_at) == (
        JobStatus.CANCELED,
        "why",
        "R",
        None,
    )
    await engine.changes.cancel("j", force=True, comment=None, reason_code=None)
    assert count("j") == {"canceled": 2}
    assert engine.executions.get("run", "j", None).force_canceled
    with pytest.raises(InvalidStateTransition):
        await engine.report("run", "j", "SUCCEEDED")


async def test_device_may_finish_after_a_plain_cancel(engine, count):
    engine.things("t")
    await engine.job("j", "thing:t")
    await engine.start("t")
    await engine.changes.cancel("j", force=False, comment=None, reason_code=None)
    await engine.report("t", "j", "SUCCEEDED")
    assert count("j") == {"succeeded": 1}
    assert engine.jobs.get("j").status is JobStatus.CANCELED


async def test_completed_jobs_cannot_be_canceled_and_running_ones_not_deleted(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    with pytest.raises(InvalidStateTransition):
        await engine.changes.delete("j", force=False)
    await engine.report("t", "j", "SUCCEEDED")
    with pytest.raises(InvalidRequest):
        await engine.changes.cancel("j", force=True, comment=None, reason_code=None)
    await engine.changes.delete("j", force=False)
    with pytest.raises(NotFound):
        engine.jobs.get("j")


async def test_eleventh_deletion_at_once_is_refused(engine):
    engine.things("t")
    for index in range(11):
        await engine.job(f"j{index}", "thing:t")
    with engine.store.write():
        engine.store._writer.execute("UPDATE jobs SET status = 'DELETION_IN_PROGRESS' WHERE id <> 'j10'")
    with pytest.raises(LimitExceeded, match="at most 10"):
        await engine.changes.delete("j10", force=True)
    with pytest.raises(InvalidStateTransition, match="being deleted already"):
        await engine.changes.delete("j0", force=True)


async def test_executions_are_canceled_and_deleted_one_by_one(engine, count):
    engine.things("t")
    await engine.job("a", "thing:t")
    await engine.job("b", "thing:t")
    engine.told()
    with pytest.raises(VersionConflict):
        await engine.executions.cancel("t", "a", force=False, expected_version=5, details=None)
    await engine.executions.cancel("t", "a", force=False, expected_version=1, details={"why": "test"})
    assert engine.told() == [("t", True, True)]
    assert engine.executions.get("t", "a", 1).details == {"why": "test"}
    with pytest.raises(InvalidStateTransition):
        await engine.executions.cancel("t", "a", force=True, expected_version=None, details=None)
    await engine.start("t")
    with pytest.raises(InvalidStateTransition):
        await engine.executions.delete("t", "b", 1, force=False)
    await engine.executions.delete("t", "b", 1, force=True)
    with pytest.raises(NotFound):
        await engine.report("t", "b", "SUCCEEDED")
    assert count("b") == {}
    assert engine.jobs.get("b").status is JobStatus.COMPLETED


async def test_joining_and_leaving_a_continuous_job(engine, count):
    engine.things("t", "u")
    engine.group("g", ["t"])
    engine.group("child", parent="g")
    await engine.job("c", "thinggroup:g", continuous=True)
    await engine.job("s", "thinggroup:g")
    engine.told()
    await engine.join("u", "child")
    assert engine.told() == [("u", True, True)]
    assert await engine.pending("u") == [("c", "QUEUED")], "a snapshot job does not care for late members"
    await engine.leave("u", "child")
    assert engine.told() == [("u", True, True)]
    assert count("c") == {"queued": 1, "removed": 1}
    await engine.join("u", "child")
    assert engine.executions.get("u", "c", None).number == 2
    await engine.start("u")
    await engine.leave("u", "child")
    await engine.join("u", "child")
    assert await engine.pending("u") == [("c", "IN_PROGRESS")], "what runs goes on, and is not doubled"
    await engine.report("u", "c", "SUCCEEDED")
    assert engine.jobs.get("c").status is JobStatus.IN_PROGRESS, "a continuous job goes on"


async def test_a_thing_reached_twice_stays_when_it_leaves_one_group(engine):
    engine.things("t")
    engine.group("a", ["t"])
    engine.group("b", ["t"])
    await engine.job("c", "thinggroup:a", "thinggroup:b", continuous=True)
    await engine.leave("t", "a")
    assert await engine.pending("t") == [("c", "QUEUED")]
    await engine.leave("t", "b")
    assert engine.executions.get("t", "c", None).status == "REMOVED"


async def test_deleting_a_thing_takes_its_executions_along(engine, count):
    engine.things("t", "u")
    engine.group("g", ["t", "u"])
    await engine.job("j", "thinggroup:g")
    await engine.report("t", "j", "SUCCEEDED")
    await engine.delete_thing("u")
    assert engine.jobs.get("j").status is JobStatus.COMPLETED
    assert count("j") == {"succeeded": 1}


async def test_notifications_list_ten_while_the_queue_is_longer(engine):
    engine.things("t")
    for index in range(20):
        await engine.job(f"j{index:02d}", "thing:t")
    assert len(engine.plane.current("t").pending) == 10
    for index in range(20):
        await engine.report("t", f"j{index:02d}", "SUCCEEDED")
        listed = [entry.job for entry in engine.heard[-1].pending]
        assert listed == [f"j{n:02d}" for n in range(index + 1, min(index + 11, 20))]


async def test_pages_walk_everything_once(engine):
    names = [f"t{i:02d}" for i in range(25)]
    engine.things(*names, watch=False)
    engine.group("g", names)
    for name in ("a", "b", "c"):
        await engine.job(name, "thinggroup:g")
    for index, name in enumerate(names):
        engine.clock[0] += 1000
        if index % 3:
            await engine.report(name, "a", "SUCCEEDED" if index % 2 else "FAILED")
    seen, token = [], None
    while True:
        page = engine.executions.page_of_job("a", status=None, limit=4, token=token)
        seen += page.items
        token = page.next_token
        if token is None:
            break
    assert sorted(entry.thing for entry in seen) == names
    assert [entry.updated_at for entry in seen] == sorted((entry.updated_at for entry in seen), reverse=True)
    jobs, token = [], None
    while True:
        page = engine.executions.page_of_thing("t01", job=None, status=None, limit=2, token=token)
        jobs += [entry.job for entry in page.items]
        token = page.next_token
        if token is None:
            break
    assert jobs == ["c", "b", "a"]
    listed = engine.jobs.page(status=None, selection=None, group="g", limit=2, token=None)
    assert [job.id for job, _ in listed.items] == ["a", "b"]
    rest = engine.jobs.page(status=None, selection=None, group="g", limit=2, token=listed.next_token)
    assert ([job.id for job, _ in rest.items], rest.next_token) == (["c"], None)


async def test_one_failing_request_harms_no_other(engine):
    import asyncio

    engine.things("t")
    await engine.job("j", "thing:t")

    def broken(batch):
        raise RuntimeError("a fault of the server")

    outcomes = await asyncio.gather(
        engine.start("t"), engine.committer.change(broken), engine.pending("t"), return_exceptions=True
    )
    assert outcomes[0].execution.status == "IN_PROGRESS"
    assert isinstance(outcomes[1], RuntimeError)
    assert outcomes[2] == [("j", "IN_PROGRESS")]


async def test_joining_a_group_costs_nothing_for_the_jobs_that_it_once_had(engine):
    engine.things("t", "u")
    engine.group("g", ["t"])
    await engine.job("c", "thinggroup:g", continuous=True)

    def steps() -> int:
        counted = []
        engine.store._writer.set_progress_handler(lambda: counted.append(1), 1)
        with engine.store.write() as tx:
            jobs = [row["job"] for row in tx.all("job_targets_named", kind="thinggroup", name="g")]
        engine.store._writer.set_progress_handler(None, 0)
        assert jobs == ["c"]
        return len(counted)

    before = steps()
    for index in range(40):
        await engine.job(f"old{index}", "thinggroup:g", continuous=index % 2 == 0)
        await engine.changes.cancel(f"old{index}", force=True, comment=None, reason_code=None)
    assert steps() == before
    await engine.join("u", "g")
    assert await engine.pending("u") == [("c", "QUEUED")]


async def test_a_long_pending_list_stays_right_through_a_burst_of_one_device(engine):
    engine.things("t")
    for index in range(40):
        await engine.job(f"j{index:02d}", "thing:t")
    for index in range(20):
        await engine.report("t", f"j{index:02d}", "IN_PROGRESS")
    before = engine.committer.batches
    burst = [engine.report("t", f"j{index:02d}", "IN_PROGRESS") for index in range(30, 40)]
    burst += [engine.report("t", f"j{index:02d}", "SUCCEEDED") for index in range(10)]
    *_, pending = await asyncio.gather(*burst, engine.pending("t"))
    assert engine.committer.batches == before + 1
    assert [job for job, _ in pending] == [f"j{index:02d}" for index in range(10, 20)]


async def test_jobs_that_a_thing_joins_at_once_queue_as_they_were_made(engine):
    engine.things("t")
    engine.group("above")
    engine.group("below", parent="above")
    await engine.job("first", "thinggroup:below", continuous=True)
    await engine.job("second", "thinggroup:above", continuous=True)
    await engine.join("t", "below")
    assert [job for job, _ in await engine.pending("t")] == ["first", "second"]
