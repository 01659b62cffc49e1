"""What the engine does where jobs meet: in what is told of them, at the end of their windows, beside each other."""

import json

import pytest
from outfitter_server.aws.wire import WireRequest
from outfitter_server.base.refusals import InvalidStateTransition
from outfitter_server.https.own_calls import OwnCalls
from outfitter_server.jobs.configs import Configs, Rollout, Schedule, Window
from outfitter_server.jobs.values import NewJob, Target
from outfitter_server.jobs.why import Kind
from outfitter_server.services.traces import Traces
from outfitter_server.services.why import Why

ONE_A_MINUTE = Configs(rollout=Rollout(maximum_per_minute=1))
MINUTE_MS = 60_000
GROUP = (Target(position=0, kind="thinggroup", name="g"),)


def why(engine, traces=None):
    return Why(engine.committer, traces or Traces(), lambda: ())


def told(engine, thing):
    """(job, held, what it waits for) of each execution, in the order shown."""
    return [
        (each.execution.job, each.execution.held, each.waits_for)
        for each in why(engine).thing(thing).executions
    ]


async def test_why_begins_with_the_front_of_a_long_list(engine):
    engine.things("t")
    for number in range(15):
        await engine.job(f"j{number:02}", "thing:t")
    await engine.changes.pause("j00")
    await engine.settle()
    shown = [job for job, _, _ in told(engine, "t")]
    assert shown == [f"j{number:02}" for number in range(1, 11)], (
        "from the front on; what is held comes after"
    )
    for number in range(1, 15):
        await engine.report("t", f"j{number:02}", "SUCCEEDED")
    shown = [(job, held) for job, held, _ in told(engine, "t")]
    assert shown == [("j00", True)] + [(f"j{number:02}", False) for number in range(14, 5, -1)]


async def test_why_expects_no_job_that_is_being_deleted_or_was_taken_before(engine, engines, tmp_path):
    engine.things("a", "b", "z")
    engine.group("g", ["a", "b"])
    await engine.job("j", "thinggroup:g", configs=ONE_A_MINUTE)
    engine.clock[0] += 1
    await engine.join("z", "g")
    assert [each.job.id for each in why(engine).thing("b").expected] == ["j"]
    assert why(engine).thing("z").expected == [], "it joined after the snapshot was taken"

    (tmp_path / "other").mkdir()
    async with engines(tmp_path / "other", paced=False) as other:
        names = [f"t{number:04}" for number in range(2_500)]
        other.things(*names, watch=False)
        other.group("g", names)
        await other.jobs.create(NewJob(id="j", targets=GROUP, stored="{}"))
        assert [each.job.id for each in why(other).thing("t2400").expected] == ["j"]
        await other.changes.delete("j", force=True)
        assert other.jobs.get("j").status == "DELETION_IN_PROGRESS"
        assert why(other).thing("t2400").expected == []


async def test_why_tells_nothing_of_an_earlier_job_with_the_same_id(engine):
    engine.things("t")
    traces = Traces()
    await engine.job("j", "thing:t")
    traces.note(await engine.peek("t"), Kind.NOTIFIED, engine.clock[0])
    await engine.changes.delete("j", force=True)
    engine.clock[0] += 1
    await engine.job("j", "thing:t")
    traces.note(await engine.peek("t"), Kind.DOCUMENT_SENT, engine.clock[0])
    (execution,) = why(engine, traces).thing("t").executions
    assert [moment.kind for moment in execution.moments] == [Kind.QUEUED, Kind.DOCUMENT_SENT]


async def test_what_is_held_says_what_it_really_waits_for(engines, tmp_path):
    async with engines(tmp_path, paced=False) as engine:
        names = [f"t{number:04}" for number in range(1_500)]
        engine.things(*names, watch=False)
        engine.group("g", names)
        await engine.jobs.create(NewJob(id="j", targets=GROUP, stored="{}"))

        async def work():
            await engine.committer.change(lambda batch: engine.steps.step(batch, "j"))

        def held():
            return {waits for name in names for _, held, waits in told(engine, name) if held}

        await work()
        await engine.changes.pause("j")
        await work()
        assert held() == {"its operator: the job is paused"}
        await engine.changes.resume("j")
        assert held() == {"nothing more: what was held back is coming back"}
        await engine.changes.cancel("j", force=False, comment=None, reason_code=None)
        assert held() == {"its end, which is under way: nothing of the job begins any more"}
        await work()
        assert held() == set()


async def test_a_window_that_never_opens_before_the_end_is_not_promised(engine):
    engine.things("t")
    nightly = Window(cron="cron(0 22 * * ? *)", duration_minutes=60)  # it is 22:13 UTC
    end_at = engine.clock[0] + 30 * 60 * MINUTE_MS
    await engine.job("j", "thing:t", configs=Configs(schedule=Schedule(end_at=end_at, windows=(nightly,))))
    await engine.pass_time(60)
    assert told(engine, "t") == [
        ("j", True, "the job's next maintenance window, which opens at 2023-11-15 22:00:00 UTC")
    ]
    await engine.pass_time(24 * 60)
    assert told(engine, "t") == [
        ("j", True, "the job's end at 2023-11-16 04:13:20 UTC: no maintenance window opens before")
    ]


async def test_a_job_whose_last_window_is_over_ends_instead_of_waiting_for_none(engine, count):
    engine.things("a", "b")
    engine.group("g", ["a", "b"])
    once = Window(cron="cron(0 22 14 11 ? 2023)", duration_minutes=60)  # it is 22:13 UTC of that day
    configs = Configs(rollout=Rollout(maximum_per_minute=1), schedule=Schedule(windows=(once,)))
    await engine.job("idle", "thinggroup:g", configs=configs)
    await engine.job("busy", "thing:a", configs=Configs(schedule=Schedule(windows=(once,))))
    await engine.report("a", "busy", "IN_PROGRESS")
    await engine.pass_time(60)
    job = engine.jobs.get("idle")
    assert (job.status, job.due_at, job.work) == ("COMPLETED", None, None)
    assert count("idle") == {"canceled": 1}, (
        "a device that comes online later must not begin outside of the window"
    )
    assert engine.jobs.get("busy").status == "IN_PROGRESS"
    await engine.report("a", "busy", "SUCCEEDED")
    assert engine.jobs.get("busy").status == "COMPLETED"


async def test_a_rollout_that_its_batch_finished_does_not_wait_for_the_next_one(engine):
    engine.things("a", "b")
    engine.group("top")
    engine.group("g", ["a", "b"], parent="top")
    await engine.job("j", "thinggroup:top", configs=Configs(rollout=Rollout(maximum_per_minute=2)))
    assert not engine.jobs.get("j").rolling
    await engine.report("a", "j", "SUCCEEDED")
    await engine.report("b", "j", "SUCCEEDED")
    assert engine.jobs.get("j").status == "COMPLETED", "not a minute, or a maintenance window, later"


@pytest.mark.parametrize("over", ["window", "end"])
async def test_a_rollout_queues_nothing_outside_of_its_time_even_when_nobody_looked(engines, tmp_path, over):
    async with engines(tmp_path, paced=False) as engine:
        names = [f"t{number:04}" for number in range(2_500)]
        engine.things(*names, watch=False)
        engine.group("g", names)
        nightly = Window(cron="cron(0 22 * * ? *)", duration_minutes=60)  # it is 22:13 UTC
        end_at = engine.clock[0] + 60 * MINUTE_MS
        schedule = Schedule(windows=(nightly,)) if over == "window" else Schedule(end_at=end_at)
        configs = Configs(schedule=schedule)
        await engine.jobs.create(NewJob(id="j", targets=GROUP, stored="{}", configs=configs))
        engine.clock[0] += 60 * MINUTE_MS
        for _ in range(3):
            await engine.committer.change(lambda batch: engine.steps.step(batch, "j"))
        job = engine.jobs.get("j")
        assert (job.rolled_out, job.work) == (1_000, None)
        assert (job.held, job.ended) == (over == "window", over == "end")
        assert await engine.pending("t0001") == ([] if over == "window" else [("j", "QUEUED")])


async def test_a_job_that_only_holds_back_says_what_it_waits_for(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    calls = OwnCalls(engine.jobs, engine.changes, why(engine))

    async def waits(method, path):
        request = WireRequest(method=method, raw_path=path, raw_query="", headers={}, body=b"")
        return json.loads((await calls.answer(request)).body)["waitsFor"]

    assert await waits("GET", "/_outfitter/jobs/j") is None
    assert await waits("PUT", "/_outfitter/jobs/j/pause") == "its operator: the job is paused"
    await engine.changes.cancel("j", force=False, comment=None, reason_code=None)
    assert await waits("GET", "/_outfitter/jobs/j") is None


async def test_nothing_begins_once_a_pause_is_answered_however_many_are_to_be_held_back(engines, tmp_path):
    async with engines(tmp_path, paced=False) as engine:
        names = [f"t{number:04}" for number in range(2_000)]
        engine.things(*names, watch=False)
        engine.group("g", names)
        await engine.job("other", "thing:t0000")
        await engine.report("t0000", "other", "IN_PROGRESS")
        await engine.jobs.create(NewJob(id="j", targets=GROUP, stored="{}"))
        await engine.committer.change(lambda batch: engine.steps.step(batch, "j"))
        await engine.jobs.create(NewJob(id="later", targets=GROUP, stored="{}"))
        await engine.changes.pause("j")
        assert await engine.pending("t0000") == [
            ("other", "IN_PROGRESS"),
            ("j", "QUEUED"),
            ("later", "QUEUED"),
        ], "the pacer has not come to it"
        assert (await engine.start("t0000")).execution.job == "other"
        with pytest.raises(InvalidStateTransition, match="may not begin now"):
            await engine.report("t0000", "j", "IN_PROGRESS")
        assert (await engine.start("t0001")).execution.job == "later"
        assert (await engine.report("t0002", "j", "SUCCEEDED")).execution.status == "SUCCEEDED"


@pytest.mark.parametrize("deleted", [False, True])
async def test_nothing_begins_once_the_end_of_its_job_is_answered_however_many_are_to_follow(
    engines, tmp_path, deleted
):
    async with engines(tmp_path, paced=False) as engine:
        names = [f"t{number:04}" for number in range(2_000)]
        engine.things(*names, watch=False)
        engine.group("g", names)
        await engine.jobs.create(NewJob(id="j", targets=GROUP, stored="{}"))
        await engine.committer.change(lambda batch: engine.steps.step(batch, "j"))
        await engine.jobs.create(NewJob(id="later", targets=GROUP, stored="{}"))
        if deleted:
            await engine.changes.delete("j", force=True)
        else:
            await engine.changes.cancel("j", force=False, comment=None, reason_code=None)
        left = [name for name in names if ("j", "QUEUED") in await engine.pending(name)]
        assert left, "the pacer has not come to all of them"
        with pytest.raises(InvalidStateTransition, match="may not begin now"):
            await engine.report(left[0], "j", "IN_PROGRESS")
        started = (await engine.start(left[1])).execution
        assert started is None or started.job == "later"
        assert (await engine.report(left[2], "j", "SUCCEEDED")).execution.status == "SUCCEEDED"
