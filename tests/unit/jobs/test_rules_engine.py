"""The rules of jobs on the real engine, one example each: rates, abort, timers, retries, schedules, pausing."""

from functools import partial

import pytest
from outfitter_server.base.refusals import InvalidRequest, InvalidStateTransition
from outfitter_server.jobs.configs import (
    AbortCriterion,
    Configs,
    EndBehavior,
    ExponentialRate,
    FailureType,
    RetryCriterion,
    Rollout,
    Schedule,
    Window,
)
from outfitter_server.jobs.values import JobStatus, NewJob, QueuedBy, StartNext, Target, TargetSelection
from outfitter_server.services.job_changes import JobChange

MINUTE = 60_000
HOUR = 60


def crowd(engine, number, group="crowd"):
    names = [f"t{index:04}" for index in range(number)]
    engine.things(*names, watch=False)
    engine.group(group, names)
    return names


def rows(engine, job):
    return engine.executions.page_of_job(job, status=None, limit=2_000, token=None).items


async def create_only(engine, name, group, configs, *, continuous=False):
    """CreateJob, with no background work after it; for engines that are not paced."""
    new = NewJob(
        id=name,
        targets=(Target(position=0, kind="thinggroup", name=group),),
        stored="{}",
        selection=TargetSelection.CONTINUOUS if continuous else TargetSelection.SNAPSHOT,
        configs=configs,
    )
    return await engine.jobs.create(new)


async def step(engine, job, rows_max):
    await engine.committer.change(partial(engine.steps.step, job_id=job, rows_max=rows_max))


@pytest.fixture
async def stepped(engines, tmp_path):
    """An engine whose background work is done by the test."""
    async with engines(tmp_path, paced=False) as made:
        yield made


# Rates


async def test_a_constant_rate_queues_a_batch_a_minute(engine, count):
    crowd(engine, 25)
    await engine.job("j", "thinggroup:crowd", configs=Configs(rollout=Rollout(maximum_per_minute=10)))
    seen = [count("j")["queued"]]
    for seconds in (59, 1, 59, 1):
        await engine.pass_time(seconds / 60)
        seen.append(count("j")["queued"])
    assert seen == [10, 10, 20, 20, 25]
    assert not engine.jobs.get("j").rolling


async def test_an_exponential_rate_doubles_with_each_thousand_notified(engine):
    names = crowd(engine, 4_000)
    grown = ExponentialRate(base_per_minute=50, increment_factor=2.0, notified_things=1_000)
    await engine.job("j", "thinggroup:crowd", configs=Configs(rollout=Rollout(exponential=grown)))
    batches = [engine.jobs.get("j").rolled_out]
    while engine.jobs.get("j").rolling:
        before = engine.jobs.get("j").rolled_out
        await engine.pass_time(1)
        batches.append(engine.jobs.get("j").rolled_out - before)
    assert batches == [50] * 20 + [100] * 10 + [200] * 5 + [400] * 2 + [200]
    assert engine.jobs.get("j").counts.queued == len(names)


async def test_a_rate_that_grows_by_successes_waits_for_them(engine, count):
    names = crowd(engine, 20)
    grown = ExponentialRate(base_per_minute=2, increment_factor=2.0, succeeded_things=2)
    await engine.job("j", "thinggroup:crowd", configs=Configs(rollout=Rollout(exponential=grown)))
    await engine.pass_time(1)
    assert count("j") == {"queued": 4}
    for name in names[:2]:
        await engine.report(name, "j", "SUCCEEDED")
    await engine.pass_time(1)
    assert count("j") == {"queued": 6, "succeeded": 2}


async def test_a_rate_holds_for_any_minute_when_a_batch_takes_several_steps(stepped, monkeypatch):
    monkeypatch.setattr("outfitter_server.services.jobs.FIRST_ROWS_MAX", 2)
    crowd(stepped, 6)
    await create_only(stepped, "j", "crowd", Configs(rollout=Rollout(maximum_per_minute=3)))
    stepped.clock[0] += 59_000
    await step(stepped, "j", 2)
    assert stepped.jobs.get("j").counts.queued == 3
    stepped.clock[0] += 59_999
    await stepped.committer.change(stepped.timers.fire)
    assert stepped.jobs.get("j").work is None
    stepped.clock[0] += 1
    await stepped.committer.change(stepped.timers.fire)
    await step(stepped, "j", 10)
    assert stepped.jobs.get("j").counts.queued == 6


async def test_a_batch_that_found_nobody_costs_no_minute(engine, count):
    crowd(engine, 1)
    engine.things("other")
    engine.group("more", ["other"])
    configs = Configs(rollout=Rollout(maximum_per_minute=1))
    await engine.job("j", "thinggroup:crowd", continuous=True, configs=configs)
    await engine.pass_time(1)
    assert not engine.jobs.get("j").rolling
    target = Target(position=0, kind="thinggroup", name="more")
    await engine.changes.associate("j", [target], None)
    await engine.settle()
    assert count("j") == {"queued": 2}


async def test_who_joins_passes_the_rate_and_is_queued_once(engine, count):
    crowd(engine, 4)
    engine.things("late")
    configs = Configs(rollout=Rollout(maximum_per_minute=1))
    await engine.job("j", "thinggroup:crowd", continuous=True, configs=configs)
    await engine.join("late", "crowd")
    assert count("j") == {"queued": 2}
    await engine.pass_time(10)
    for _ in range(5):
        await engine.pass_time(1)
    assert count("j") == {"queued": 5}


async def test_a_changed_rate_counts_from_the_next_batch(engine, count):
    crowd(engine, 10)
    await engine.job("j", "thinggroup:crowd", configs=Configs(rollout=Rollout(maximum_per_minute=1)))
    await engine.changes.update(
        "j", JobChange(configs=lambda old: Configs(rollout=Rollout(maximum_per_minute=6)))
    )
    await engine.settle()
    assert count("j") == {"queued": 1}
    await engine.pass_time(1)
    assert count("j") == {"queued": 7}


# Abort


@pytest.mark.parametrize(
    ("threshold", "minimum", "ends", "aborted"),
    [
        (50.0, 4, ["FAILED", "SUCCEEDED", "FAILED"], False),  # the minimum is not reached
        (50.0, 4, ["FAILED", "SUCCEEDED", "SUCCEEDED", "FAILED"], True),  # exactly the threshold
        (50.0, 4, ["FAILED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"], False),
        (66.67, 3, ["FAILED", "FAILED", "SUCCEEDED"], False),  # 66.666… percent
        (66.66, 3, ["FAILED", "FAILED", "SUCCEEDED"], True),
        (100.0, 1, ["FAILED"], True),
        (20.0, 1, ["SUCCEEDED", "REJECTED"], False),  # another failure than the criterion's
    ],
)
async def test_abort_at_its_boundaries(engine, threshold, minimum, ends, aborted):
    names = crowd(engine, 10)
    criterion = AbortCriterion(failure=FailureType.FAILED, threshold_percent=threshold, minimum_ended=minimum)
    await engine.job("j", "thinggroup:crowd", configs=Configs(abort=(criterion,)))
    await engine.start(names[-1])
    for name, end in zip(names, ends, strict=False):
        assert engine.jobs.get("j").status == JobStatus.IN_PROGRESS
        await engine.report(name, "j", end)
    await engine.settle()
    job = engine.jobs.get("j")
    assert (job.status == JobStatus.CANCELED) is aborted
    assert job.counts.in_progress == 1, "what runs goes on"
    assert job.counts.queued == (0 if aborted else 9 - len(ends))


async def test_abort_drops_queued_retries_and_stops_the_rollout(engine, count):
    names = crowd(engine, 6)
    configs = Configs(
        rollout=Rollout(maximum_per_minute=3),
        retries=(RetryCriterion(failure=FailureType.ALL, retries=5),),
        abort=(AbortCriterion(failure=FailureType.FAILED, threshold_percent=50.0, minimum_ended=2),),
    )
    await engine.job("j", "thinggroup:crowd", configs=configs)
    await engine.report(names[0], "j", "FAILED")
    await engine.report(names[1], "j", "FAILED")
    await engine.settle()
    assert count("j") == {"failed": 2, "canceled": 3}
    await engine.pass_time(5)
    assert count("j") == {"failed": 2, "canceled": 3}


async def test_deleting_an_execution_can_meet_a_criterion(engine):
    names = crowd(engine, 6)
    criterion = AbortCriterion(failure=FailureType.FAILED, threshold_percent=60.0, minimum_ended=2)
    await engine.job("j", "thinggroup:crowd", configs=Configs(abort=(criterion,)))
    for name, status in zip(names, ["SUCCEEDED", "FAILED", "SUCCEEDED", "FAILED"], strict=False):
        await engine.report(name, "j", status)
    assert engine.jobs.get("j").status == JobStatus.IN_PROGRESS
    await engine.executions.delete(names[0], "j", 1, force=False)
    assert engine.jobs.get("j").status == JobStatus.CANCELED


async def test_a_changed_criterion_that_is_met_already_aborts_at_once(engine, count):
    names = crowd(engine, 3)
    await engine.job("j", "thinggroup:crowd")
    await engine.report(names[0], "j", "FAILED")
    criterion = AbortCriterion(failure=FailureType.FAILED, threshold_percent=50.0, minimum_ended=1)
    await engine.changes.update("j", JobChange(configs=lambda old: Configs(abort=(criterion,))))
    await engine.settle()
    assert engine.jobs.get("j").status == JobStatus.CANCELED
    assert count("j") == {"failed": 1, "canceled": 2}


# Timers


async def test_the_twenty_minute_job_with_step_timers_of_7_5_and_9_minutes(engine):
    engine.things("t")
    await engine.job("j", "thing:t", configs=Configs(timeout_minutes=20))
    begun = engine.clock[0]
    await engine.start("t")
    for minute, step_minutes, due in [(5, 7, 12), (10, 5, 15), (13, 9, 20)]:
        await engine.pass_time(minute - (engine.clock[0] - begun) / MINUTE)
        await engine.report("t", "j", "IN_PROGRESS", step_timeout_minutes=step_minutes)
        assert engine.executions.get("t", "j", None).expires_at == begun + due * MINUTE
    await engine.pass_time(20 - 13 - 1 / MINUTE)
    assert await engine.pending("t") == [("j", "IN_PROGRESS")]
    await engine.pass_time(1 / MINUTE)
    assert engine.executions.get("t", "j", None).status == "TIMED_OUT"
    assert engine.jobs.get("j").status == JobStatus.COMPLETED


async def test_minus_one_takes_the_step_timer_away_and_no_other(engine):
    engine.things("t")
    await engine.job("j", "thing:t", configs=Configs(timeout_minutes=20))
    await engine.ask(StartNext(thing="t", step_timeout_minutes=2))
    await engine.report("t", "j", "IN_PROGRESS", step_timeout_minutes=-1)
    await engine.pass_time(19)
    assert await engine.pending("t") == [("j", "IN_PROGRESS")]
    await engine.pass_time(1)
    assert await engine.pending("t") == []


async def test_what_is_queued_never_times_out(engine):
    engine.things("t")
    await engine.job("j", "thing:t", configs=Configs(timeout_minutes=1))
    await engine.pass_time(100 * 24 * HOUR)
    assert await engine.pending("t") == [("j", "QUEUED")]


async def test_a_changed_timeout_leaves_running_deadlines(engine):
    engine.things("a", "b")
    await engine.job("j", "thing:a", "thing:b", configs=Configs(timeout_minutes=10))
    await engine.start("a")
    await engine.changes.update("j", JobChange(configs=lambda old: Configs(timeout_minutes=2)))
    await engine.start("b")
    await engine.pass_time(2)
    assert (await engine.pending("a"), await engine.pending("b")) == ([("j", "IN_PROGRESS")], [])
    await engine.pass_time(8)
    assert await engine.pending("a") == []


# Retries


async def test_retries_are_numbered_counted_and_end(engine, count):
    engine.things("t")
    retry = RetryCriterion(failure=FailureType.FAILED, retries=2)
    await engine.job("j", "thing:t", configs=Configs(retries=(retry,)))
    engine.told()
    for attempt in range(3):
        execution = await engine.peek("t")
        assert (execution.number, execution.attempt, execution.version) == (attempt + 1, attempt, 1)
        assert execution.queued_by == (QueuedBy.RETRY if attempt else QueuedBy.ROLLOUT)
        await engine.report("t", "j", "FAILED")
        assert engine.told() == [("t", True, True)]
    assert engine.jobs.get("j").status == JobStatus.COMPLETED
    assert count("j") == {"failed": 3}
    assert [row.number for row in rows(engine, "j")] == [3, 2, 1]


@pytest.mark.parametrize(
    ("criteria", "ends", "total"),
    [
        ([("FAILED", 1), ("TIMED_OUT", 1)], ["FAILED", "TIMED_OUT", "FAILED"], 3),
        ([("FAILED", 1)], ["TIMED_OUT"], 1),
        ([("ALL", 2)], ["FAILED", "TIMED_OUT", "FAILED"], 3),
        ([("ALL", 10)], ["REJECTED"], 1),
        ([("ALL", 10)], ["FAILED", "SUCCEEDED"], 2),
        ([("FAILED", 0)], ["FAILED"], 1),
    ],
)
async def test_which_ends_are_retried(engine, criteria, ends, total):
    engine.things("t")
    retries = tuple(RetryCriterion(failure=FailureType(kind), retries=number) for kind, number in criteria)
    await engine.job("j", "thing:t", configs=Configs(retries=retries, timeout_minutes=5))
    for end in ends:
        await engine.start("t")
        if end == "TIMED_OUT":
            await engine.pass_time(5)
        else:
            await engine.report("t", "j", end)
    assert [row.status.value for row in reversed(rows(engine, "j"))] == ends
    assert len(ends) == total
    assert engine.jobs.get("j").status == JobStatus.COMPLETED


async def test_no_retry_after_the_job_was_canceled_or_the_thing_left(engine, count):
    engine.things("a", "b")
    engine.group("g", ["a", "b"])
    retry = RetryCriterion(failure=FailureType.ALL, retries=3)
    await engine.job("j", "thinggroup:g", continuous=True, configs=Configs(retries=(retry,)))
    await engine.start("a")
    await engine.leave("a", "g")
    await engine.report("a", "j", "FAILED")
    assert count("j") == {"failed": 1, "queued": 1}
    await engine.start("b")
    await engine.changes.cancel("j", force=False, comment=None, reason_code=None)
    await engine.report("b", "j", "FAILED")
    assert count("j") == {"failed": 2}


async def test_rejoining_begins_the_retries_anew(engine):
    engine.things("t")
    engine.group("g", ["t"])
    retry = RetryCriterion(failure=FailureType.FAILED, retries=1)
    await engine.job("j", "thinggroup:g", continuous=True, configs=Configs(retries=(retry,)))
    await engine.report("t", "j", "FAILED")
    await engine.leave("t", "g")
    assert engine.executions.get("t", "j", None).status == "REMOVED"
    await engine.join("t", "g")
    await engine.report("t", "j", "FAILED")
    await engine.report("t", "j", "FAILED")
    assert [(row.number, row.attempt, row.status.value) for row in reversed(rows(engine, "j"))] == [
        (1, 0, "FAILED"),
        (2, 1, "REMOVED"),
        (3, 0, "FAILED"),
        (4, 1, "FAILED"),
    ]


async def test_a_timer_and_the_end_of_the_schedule_at_one_moment_queue_nothing_again(engine):
    engine.things("t")
    end = engine.clock[0] + 30 * MINUTE
    configs = Configs(
        timeout_minutes=10,
        retries=(RetryCriterion(failure=FailureType.ALL, retries=3),),
        schedule=Schedule(end_at=end),
    )
    await engine.job("j", "thing:t", configs=configs)
    await engine.pass_time(20)
    await engine.start("t")
    await engine.pass_time(10)
    assert [row.status.value for row in rows(engine, "j")] == ["TIMED_OUT"]
    assert engine.jobs.get("j").status == JobStatus.COMPLETED


# Schedules


def daily(hour, minutes):
    return Schedule(windows=(Window(cron=f"cron(0 {hour} * * ? *)", duration_minutes=minutes),))


async def to_hour(engine, hour, minute=0):
    """Go on to the next time that the clock shows this hour (UTC)."""
    of_day = engine.clock[0] // MINUTE % (24 * HOUR)
    await engine.pass_time((hour * HOUR + minute - of_day) % (24 * HOUR) - engine.clock[0] % MINUTE / MINUTE)


async def test_a_snapshot_is_of_the_members_when_its_start_comes(engine):
    engine.things("early", "late", "later")
    engine.group("g", ["early"])
    start = engine.clock[0] + 40 * MINUTE
    await engine.job("j", "thinggroup:g", configs=Configs(schedule=Schedule(start_at=start)))
    assert engine.jobs.get("j").status == JobStatus.SCHEDULED
    await engine.join("late", "g")
    await engine.pass_time(39)
    assert rows(engine, "j") == []
    await engine.pass_time(1)
    await engine.join("later", "g")
    assert engine.jobs.get("j").status == JobStatus.IN_PROGRESS
    assert {row.thing for row in rows(engine, "j")} == {"early", "late"}


async def test_outside_its_windows_a_job_hides_what_is_queued_and_lets_run_what_runs(engine):
    engine.things("a", "b")
    engine.group("g", ["a", "b"])
    await to_hour(engine, 1)
    await engine.job("j", "thinggroup:g", continuous=True, configs=Configs(schedule=daily(2, HOUR)))
    assert engine.jobs.get("j").status == JobStatus.SCHEDULED
    await to_hour(engine, 2)
    assert engine.jobs.get("j").status == JobStatus.IN_PROGRESS
    await engine.start("a")
    engine.told()
    await to_hour(engine, 3)
    assert engine.jobs.get("j").status == JobStatus.SCHEDULED
    assert engine.told() == [("b", True, True)]
    assert (await engine.pending("a"), await engine.pending("b")) == ([("j", "IN_PROGRESS")], [])
    assert (await engine.start("b")).execution is None
    with pytest.raises(InvalidStateTransition):
        await engine.report("b", "j", "IN_PROGRESS")
    await engine.report("a", "j", "SUCCEEDED")
    engine.told()
    await to_hour(engine, 2)
    assert engine.told() == [("b", True, True)]
    assert await engine.pending("b") == [("j", "QUEUED")]


@pytest.mark.parametrize(
    ("behavior", "status", "left"),
    [
        (None, JobStatus.IN_PROGRESS, {"in_progress": 1, "queued": 1}),
        (EndBehavior.STOP_ROLLOUT, JobStatus.IN_PROGRESS, {"in_progress": 1, "queued": 1}),
        (EndBehavior.CANCEL, JobStatus.CANCELED, {"in_progress": 1, "canceled": 1}),
        (EndBehavior.FORCE_CANCEL, JobStatus.CANCELED, {"canceled": 2}),
    ],
)
async def test_what_the_end_time_does(engine, count, behavior, status, left):
    names = crowd(engine, 5)
    engine.things("late")
    schedule = Schedule(end_at=engine.clock[0] + 30 * MINUTE, end_behavior=behavior)
    rollout = Rollout(maximum_per_minute=2)
    await engine.job(
        "j", "thinggroup:crowd", continuous=True, configs=Configs(schedule=schedule, rollout=rollout)
    )
    await engine.start(names[0])
    for _ in range(2):
        await engine.pass_time(1)
    await engine.pass_time(27)
    while engine.jobs.get("j").counts.queued > 1:
        waiting = next(row for row in rows(engine, "j") if row.status == "QUEUED")
        await engine.report(waiting.thing, "j", "SUCCEEDED")
    await engine.pass_time(1)
    await engine.join("late", "crowd")
    job = engine.jobs.get("j")
    assert job.status is status
    assert {name: number for name, number in count("j").items() if name != "succeeded"} == left
    assert not job.rolling
    for row in rows(engine, "j"):
        if row.status in ("QUEUED", "IN_PROGRESS"):
            await engine.report(row.thing, "j", "SUCCEEDED")
    assert engine.jobs.get("j").status is (
        JobStatus.COMPLETED if status is JobStatus.IN_PROGRESS else JobStatus.CANCELED
    )


async def test_nobody_joins_a_job_past_its_end_however_busy_the_server_is(stepped):
    crowd(stepped, 1)
    stepped.things("late")
    end = stepped.clock[0] + 30 * MINUTE
    await create_only(stepped, "j", "crowd", Configs(schedule=Schedule(end_at=end)), continuous=True)
    stepped.clock[0] = end
    await stepped.committer.change(stepped.timers.fire)
    await stepped.join("late", "crowd")
    assert [row.thing for row in rows(stepped, "j")] == ["t0000"]


async def test_what_is_held_back_at_the_end_is_canceled(engine, count):
    engine.things("t")
    schedule = Schedule(end_at=engine.clock[0] + 30 * MINUTE)
    await engine.job("j", "thing:t", configs=Configs(schedule=schedule))
    await engine.changes.pause("j")
    await engine.pass_time(30)
    assert engine.jobs.get("j").status == JobStatus.COMPLETED
    assert count("j") == {"canceled": 1}


# Pausing


async def test_a_pause_holds_everything_and_resuming_brings_it_back_in_order(engine, count):
    engine.things("t", "u", "v")
    engine.group("g", ["t", "u", "v"])
    await engine.job("first", "thinggroup:g", configs=Configs(rollout=Rollout(maximum_per_minute=2)))
    await engine.job("second", "thing:t")
    engine.told()
    await engine.changes.pause("first")
    await engine.settle()
    assert sorted(engine.told()) == [("t", True, True), ("u", True, True)]
    assert await engine.pending("t") == [("second", "QUEUED")]
    await engine.pass_time(10)
    assert count("first") == {"queued": 2}
    await engine.changes.resume("first")
    await engine.settle()
    assert await engine.pending("t") == [("first", "QUEUED"), ("second", "QUEUED")]
    assert count("first") == {"queued": 3}
    assert sorted(engine.told()) == [("t", True, True), ("u", True, True), ("v", True, True)]


async def test_a_retry_during_a_pause_waits_for_its_end(engine):
    engine.things("t")
    retry = RetryCriterion(failure=FailureType.FAILED, retries=1)
    await engine.job("j", "thing:t", configs=Configs(retries=(retry,)))
    await engine.start("t")
    await engine.changes.pause("j")
    await engine.report("t", "j", "FAILED")
    assert await engine.pending("t") == []
    assert engine.jobs.get("j").status == JobStatus.IN_PROGRESS
    await engine.changes.resume("j")
    await engine.settle()
    assert await engine.pending("t") == [("j", "QUEUED")]


async def test_what_has_ended_is_neither_paused_nor_resumed(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    await engine.report("t", "j", "SUCCEEDED")
    for change in (engine.changes.pause, engine.changes.resume):
        with pytest.raises(InvalidRequest):
            await change("j")


async def test_ends_whose_lists_are_read_one_by_one_are_all_written(engine, count):
    engine.things("a", "b", "c", watch=False)
    engine.group("g", ["a", "b", "c"])
    await engine.job("j", "thinggroup:g", continuous=True)

    def apply(batch):
        engine.continuous.group_deleted(batch, "g")
        engine.store._writer.execute("DELETE FROM group_members")

    await engine.committer.change(apply)
    assert count("j") == {"removed": 3}
    for thing in "abc":
        assert await engine.pending(thing) == []
        assert engine.executions.get(thing, "j", None).status == "REMOVED"
