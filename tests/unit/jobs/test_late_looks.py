"""What becomes due while nobody looks: a stop of the server, a clock that was set, a job that cannot be looked at."""

import pytest
from outfitter_server.jobs.configs import Configs, Rollout, Schedule, Window
from outfitter_server.jobs.values import StartNext
from outfitter_server.services import alarms
from outfitter_server.services.alarms import Alarms
from waiting import until

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NIGHTLY = Window(cron="cron(0 22 * * ? *)", duration_minutes=60)  # the clock begins at 22:13 UTC


async def test_nothing_stays_to_begin_after_an_end_between_windows_that_nobody_saw_close(engine):
    engine.things("a")
    engine.group("g", ["a"])
    schedule = Schedule(windows=(NIGHTLY,), end_at=engine.clock[0] + 6 * HOUR_MS)
    await engine.job("j", "thinggroup:g", configs=Configs(schedule=schedule))
    assert await engine.pending("a") == [("j", "QUEUED")]
    await engine.pass_time(7 * 60)
    assert await engine.pending("a") == []
    assert engine.jobs.get("j").status == "COMPLETED"


async def test_what_may_run_at_the_end_of_a_job_without_windows_stays(engine):
    engine.things("a")
    engine.group("g", ["a"])
    await engine.job(
        "j", "thinggroup:g", configs=Configs(schedule=Schedule(end_at=engine.clock[0] + HOUR_MS))
    )
    await engine.pass_time(7 * 60)
    assert await engine.pending("a") == [("j", "QUEUED")]


async def test_leaving_a_group_after_the_end_time_removes_and_lets_the_job_complete(engine):
    engine.things("a")
    engine.group("g", ["a"])
    schedule = Schedule(end_at=engine.clock[0] + HOUR_MS)
    await engine.job("j", "thinggroup:g", continuous=True, configs=Configs(schedule=schedule))
    await engine.pass_time(61)
    await engine.leave("a", "g")
    await engine.settle()
    assert await engine.pending("a") == []
    assert engine.jobs.get("j").status == "COMPLETED"
    await engine.join("a", "g")
    assert await engine.pending("a") == [], "nobody joins a job past its end time"


async def test_a_job_that_cannot_be_looked_at_holds_up_no_timer(engine):
    engine.things("a", "b")
    await engine.job("bad", "thing:a", configs=Configs(schedule=Schedule(windows=(NIGHTLY,))))
    await engine.job("j", "thing:b", configs=Configs(timeout_minutes=1))
    await engine.start("b")
    with engine.store.write():
        engine.store._writer.execute(
            "UPDATE jobs SET configs = replace(configs, 'cron(0 22', 'cron(99 22') WHERE id = 'bad'"
        )
    engine.clock[0] += 2 * HOUR_MS
    made = Alarms(engine.committer, engine.timers)
    made.start()
    await until(lambda: engine.jobs.get("j").counts.timed_out == 1)
    assert engine.timers.resting
    await made.close()


async def begin_by_a_clock_ahead(engine):
    """A rollout of two, one a minute."""
    engine.things("a", "b")
    engine.group("g", ["a", "b"])
    engine.clock[0] += 400 * DAY_MS
    await engine.job("j", "thinggroup:g", configs=Configs(rollout=Rollout(maximum_per_minute=1)))


async def test_a_clock_that_was_set_back_stops_no_rollout(engine, monkeypatch):
    monkeypatch.setattr(alarms, "_SLEEP_SECONDS_MAX", 0.02)
    await begin_by_a_clock_ahead(engine)
    made = Alarms(engine.committer, engine.timers)
    made.start()
    engine.clock[0] -= 400 * DAY_MS
    await until(lambda: engine.jobs.get("j").counts.queued == 2)
    await made.close()


async def test_a_clock_that_was_set_back_while_the_server_stood_stops_no_rollout(engine, monkeypatch):
    monkeypatch.setattr(alarms, "_SETTLING_SECONDS", 0)
    await begin_by_a_clock_ahead(engine)
    engine.clock[0] -= 400 * DAY_MS
    made = Alarms(engine.committer, engine.timers)
    made.start()
    await until(lambda: engine.jobs.get("j").counts.queued == 2)
    await made.close()


@pytest.mark.parametrize("stopped", [True, False])
async def test_timers_of_a_clock_that_was_set_back_are_over_in_their_time(engine, monkeypatch, stopped):
    monkeypatch.setattr(alarms, "_SLEEP_SECONDS_MAX", 0.02)
    monkeypatch.setattr(alarms, "_SETTLING_SECONDS", 0 if stopped else 300)
    engine.things("a", "b", "later")
    await engine.job("j", "thing:a", "thing:b", "thing:later", configs=Configs(timeout_minutes=60))
    await engine.start("later")
    engine.clock[0] += 400 * DAY_MS
    await engine.start("a")
    await engine.ask(StartNext(thing="b", step_timeout_minutes=5))
    made = Alarms(engine.committer, engine.timers)
    if not stopped:
        made.start()
    engine.clock[0] -= 400 * DAY_MS
    if stopped:
        made.start()
    await until(lambda: engine.executions.get("a", "j", None).updated_at == engine.clock[0])
    told = engine.executions.get("a", "j", None)
    assert (told.version, told.started_at, told.deadline_at) == (
        2,
        engine.clock[0],
        engine.clock[0] + HOUR_MS,
    )
    engine.clock[0] += 6 * 60_000
    await until(lambda: engine.jobs.get("j").counts.timed_out == 1)
    assert engine.executions.get("b", "j", None).status == "TIMED_OUT"
    engine.clock[0] += HOUR_MS
    await until(lambda: engine.jobs.get("j").status == "COMPLETED")
    await made.close()


async def test_a_start_with_a_clock_that_is_behind_until_it_is_set_right_moves_no_timer(engine):
    engine.things("a")
    await engine.job("j", "thing:a", configs=Configs(timeout_minutes=60))
    before = (await engine.start("a")).execution
    engine.clock[0] -= 400 * DAY_MS
    made = Alarms(engine.committer, engine.timers)
    made.start()
    await until(lambda: made._next_at == before.expires_at)
    engine.clock[0] += 400 * DAY_MS
    assert engine.executions.get("a", "j", None) == before
    await made.close()


async def test_a_clock_that_was_set_back_leaves_nobody_out_of_a_snapshot(engine, count):
    engine.things("a", "b", "late")
    engine.group("g")
    await engine.join("a", "g")
    engine.clock[0] += HOUR_MS
    await engine.join("b", "g")
    engine.clock[0] -= 2 * HOUR_MS
    await engine.job("j", "thinggroup:g", configs=Configs(rollout=Rollout(maximum_per_minute=1)))
    await engine.join("late", "g")
    await engine.pass_time(2)
    await engine.pass_time(2)
    assert await engine.pending("a") == await engine.pending("b") == [("j", "QUEUED")]
    assert await engine.pending("late") == [], "it joined after the snapshot was taken"
