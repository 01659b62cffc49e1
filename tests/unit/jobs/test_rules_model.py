"""Random lives of jobs on the real engine with a clock of the test's own, followed batch by batch by tests/models/job_rules.py.

What must hold is written there. Background work is done in steps of one to three rows with everything else in between, and
time passes by seconds and by months: in order, from one due moment to the next, or all at once, as while a server is down.
``make soak`` runs the same with 10,000 lives of each kind.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from job_rules import ACTIVE, DAY, MINUTE, Auditor, JobFacts, state_of
from outfitter_server.base.refusals import Refusal
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
from outfitter_server.jobs.values import NewJob, StartNext, Target, TargetSelection, Update
from outfitter_server.services.job_changes import JobChange
from outfitter_server.services.timers import next_due

THINGS = [f"t{number}" for number in range(7)]
PARENTS = {"a": None, "b": None, "low": "a", "zlow": "a"}
JOBS_MAX = 9
EXAMPLES = int(os.environ.get("OUTFITTER_SOAK", "200"))
PROGRESS_EVERY = 500

things = st.sampled_from(THINGS)
groups = st.sampled_from(sorted(PARENTS))
rates = st.one_of(
    st.none(),
    st.builds(Rollout, maximum_per_minute=st.integers(1, 3)),
    st.builds(
        Rollout,
        maximum_per_minute=st.none() | st.integers(2, 5),
        exponential=st.builds(
            ExponentialRate,
            base_per_minute=st.integers(1, 2),
            increment_factor=st.sampled_from([1.1, 1.5, 2.0, 5.0]),
            notified_things=st.integers(1, 3),
        )
        | st.builds(
            ExponentialRate,
            base_per_minute=st.just(1),
            increment_factor=st.sampled_from([1.5, 2.0]),
            succeeded_things=st.integers(1, 2),
        ),
    ),
)
aborts = st.lists(
    st.builds(
        AbortCriterion,
        failure=st.sampled_from(FailureType),
        threshold_percent=st.sampled_from([20.0, 33.33, 50.0, 66.67, 100.0]),
        minimum_ended=st.integers(1, 4),
    ),
    max_size=2,
).map(tuple)
retries = st.lists(
    st.builds(
        RetryCriterion,
        failure=st.sampled_from([FailureType.ALL, FailureType.FAILED, FailureType.TIMED_OUT]),
        retries=st.sampled_from([2, 1, 3, 0]),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda criterion: criterion.failure,
).map(tuple)
tellings = st.sampled_from([None, {"version": "2"}, {"version": "1"}, {"step": "done"}])
timeouts = st.none() | st.sampled_from([1, 5, 20, 1_440])
steps = st.none() | st.sampled_from([1, 4, 7, 30])
windows = st.lists(
    st.builds(
        lambda hour, minute, duration: Window(
            cron=f"cron({minute} {hour} * * ? *)", duration_minutes=duration
        ),
        st.sampled_from([0, 1, 9, 22, 23]),
        st.sampled_from([0, 13, 30]),
        st.sampled_from([1, 30, 90, 1_430]),
    ),
    max_size=2,
).map(tuple)


@st.composite
def schedules(draw):
    """From now on: start, end and windows in minutes; made absolute at CreateJob."""
    start = draw(st.none() | st.sampled_from([30, 75, 2_000]))
    length = draw(st.none() | st.sampled_from([30, 45, 1_500]))
    end = None if length is None else (start or 0) + length
    return start, end, draw(st.none() | st.sampled_from(EndBehavior)), draw(windows)


class JobsMachine(RuleBasedStateMachine):
    """One engine, its auditor, time and background work; what is done to jobs is in the machines below."""

    engines = None
    lives = 0
    wishes = None  # what jobs are asked for
    alive_max = 3

    @initialize(data=st.data())
    def open(self, data) -> None:
        JobsMachine.lives += 1
        if EXAMPLES > 200 and JobsMachine.lives % PROGRESS_EVERY == 0:
            sys.stderr.write(f"{type(self).__name__}: {JobsMachine.lives} of {EXAMPLES} lives\n")
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        opening = JobsMachine.engines(self.folder, paced=False)
        self.engine = self.runner.run(self.stack.enter_async_context(opening))
        with self.engine.store.write():
            self.engine.store._writer.execute("UPDATE event_switches SET job = 1, job_execution = 1")
        self.engine.things(*THINGS)
        for group, parent in PARENTS.items():
            least = 2 if group == "a" else 0
            members = data.draw(st.lists(things, min_size=least, max_size=5, unique=True), label=group)
            self.engine.group(group, sorted(members), parent=parent)
        self.auditor = Auditor(PARENTS, state_of(self.engine, PARENTS))
        self.names = 0
        for _ in range(2):
            self.create(**data.draw(self.wishes))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            try:
                if hasattr(self, "auditor") and sys.exc_info()[0] is None:
                    self.come_to_rest()
            finally:
                self.runner.run(self.stack.aclose())
                self.runner.close()
                shutil.rmtree(self.folder)

    # One batch

    def act(self, cause, coroutine, device=None):
        """What was answered, None when it was refused; the auditor follows."""
        before = self.auditor.state
        try:
            answer, done = self.runner.run(coroutine), True
        except Refusal:
            answer, done = None, False
        after = state_of(self.engine, PARENTS)
        events = self.engine.store._writer.execute(
            "SELECT topic, payload FROM event_outbox WHERE id > ?", (before.events,)
        ).fetchall()
        told = self.engine.told()
        if done:
            self.auditor.follow(after, told, cause, events, device)
        else:
            assert (after.executions, after.jobs, told, events) == (before.executions, before.jobs, [], [])
            self.auditor.state = after
        self.runner.run(self.engine.known_agrees(THINGS))
        return (answer,) if done else None

    def work(self):
        return [name for name, job in self.auditor.state.jobs.items() if job["work"]]

    def step_once(self, job, rows, *, aside=False) -> None:
        step = partial(self.engine.steps.step, job_id=job, rows_max=rows)
        self.act("step", self.engine.committer.change(step, heavy=aside))

    def fire(self) -> None:
        for _ in range(100):
            if not self.act("time", self.engine.committer.change(self.engine.timers.fire))[0]:
                return
        raise AssertionError("what is due is never done")

    @precondition(lambda self: self.work())
    @rule(data=st.data(), rows=st.integers(1, 3), aside=st.booleans())
    def step(self, data, rows, aside) -> None:
        self.step_once(data.draw(st.sampled_from(self.work())), rows, aside=aside)

    @rule()
    def come_to_rest(self) -> None:
        for _ in range(300):
            work = self.work()
            if not work:
                break
            for job in work:
                self.step_once(job, 2)
        assert not self.work(), "background work never ends"
        self.fire()
        if not self.work():
            self.auditor.rest()

    # Time

    @rule(seconds=st.sampled_from([1, 20, 45, 59, 60]))
    def time_goes_on_amid_work(self, seconds) -> None:
        self.engine.clock[0] += seconds * 1000
        self.fire()

    @rule(minutes=st.sampled_from([0.5, 1, 1, 3, 10, 60, 600, 2_000]))
    def time_passes(self, minutes) -> None:
        until = self.engine.clock[0] + round(minutes * MINUTE)
        for _ in range(60):
            self.come_to_rest()
            due = self.engine.committer.read(next_due)
            self.engine.clock[0] = until if due is None else min(until, due)
            self.fire()
            if self.engine.clock[0] == until:
                break
        self.engine.clock[0] = until
        self.fire()
        self.come_to_rest()

    @rule(days=st.sampled_from([0.01, 1, 40, 400]))
    def server_is_down(self, days) -> None:
        self.engine.clock[0] += round(days * DAY)
        self.fire()
        self.come_to_rest()

    # What every machine does

    @rule(data=st.data())
    def create_job(self, data) -> None:
        alive = sum(job["status"] in ACTIVE for job in self.auditor.state.jobs.values())
        if alive < self.alive_max and len(self.auditor.jobs) < JOBS_MAX:
            self.create(**data.draw(self.wishes))

    def create(self, *, aims, continuous, schedule=None, **members) -> None:
        configs = Configs(schedule=self.scheduled(schedule), **members)
        aims = [aim for aim in aims if aim not in THINGS or aim in self.auditor.state.things]
        name, proof = f"j{self.names}", "2" if self.names % 3 == 1 else None
        self.names += 1
        new = NewJob(
            id=name,
            targets=tuple(
                Target(position=index, kind="thing" if aim in THINGS else "thinggroup", name=aim)
                for index, aim in enumerate(aims)
            ),
            stored='{"operation":"install","url":"u","confirm":{"version":"2"}}' if proof else "{}",
            selection=TargetSelection("CONTINUOUS" if continuous else "SNAPSHOT"),
            configs=configs,
        )
        facts = JobFacts(
            selection=new.selection.value,
            configs=configs,
            aims=list(aims),
            created_at=self.engine.clock[0],
            proof=proof,
        )
        self.auditor.jobs[name] = facts
        assert self.act("create", self.engine.jobs.create(new))

    def scheduled(self, schedule):
        if schedule is None:
            return None
        now = self.engine.clock[0]
        start, end, behavior, recurring = schedule
        return Schedule(
            start_at=None if start is None else now + start * MINUTE,
            end_at=None if end is None else now + end * MINUTE,
            end_behavior=None if end is None else behavior,
            windows=recurring,
        )

    @rule(data=st.data(), step=steps)
    def start(self, data, step) -> None:
        waiting = [thing for thing, rows in self.auditor.state.lists().items() if rows]
        thing = data.draw(st.sampled_from(sorted(waiting) or THINGS))
        request = StartNext(thing=thing, step_timeout_minutes=step)
        self.act("device", self.engine.ask(request), (thing, None, step))

    def rows(self):
        """Executions, those first that have not ended."""
        rows = self.auditor.state.executions.values()
        return sorted(rows, key=lambda row: (row.status != "IN_PROGRESS", not row.pending, row.id))

    def status(self, name):
        return self.auditor.state.jobs.get(name, {}).get("status")

    def a_job(self, data):
        return data.draw(st.sampled_from(sorted(self.auditor.jobs)), label="job")

    async def ask_at_once(self, requests):
        answers = await asyncio.gather(*map(self.engine.ask, requests), return_exceptions=True)
        assert all(isinstance(answer, Refusal) for answer in answers if isinstance(answer, Exception))

    def report_on(self, row, status, step, told) -> None:
        request = Update(thing=row.thing, job=row.job, status=status, step_timeout_minutes=step, details=told)
        self.act("device", self.engine.ask(request), (row.thing, row.job, step))

    @precondition(lambda self: self.auditor.state.executions)
    @rule(data=st.data(), status=st.sampled_from(["SUCCEEDED", "FAILED", "FAILED", "REJECTED"]))
    def end_some(self, data, status) -> None:
        """Reports of several things in one batch; some may have ended already."""
        rows = self.rows()[: data.draw(st.integers(1, 4), label="number")]
        told = data.draw(tellings)
        requests = [
            Update(thing=row.thing, job=row.job, number=row.number, status=status, details=told)
            for row in rows
        ]
        self.act("device", self.ask_at_once(requests), (None, None, None))

    @precondition(lambda self: any(row.status == "IN_PROGRESS" for row in self.rows()))
    @rule(status=st.sampled_from(["FAILED", "FAILED", "SUCCEEDED"]))
    def end_what_runs(self, status) -> None:
        for row in self.rows():
            if row.status == "IN_PROGRESS":
                self.report_on(row, status, None, {"version": "2"})

    @precondition(lambda self: self.auditor.jobs)
    @rule(data=st.data(), force=st.booleans())
    def cancel(self, data, force) -> None:
        name = self.a_job(data)
        facts = self.auditor.jobs[name]
        was = facts.fate, facts.forced
        if facts.fate != "DELETED" and self.status(name) != "COMPLETED":
            facts.again = force and facts.fate == "CANCELED"
            facts.fate, facts.forced = "CANCELED", facts.forced or force
        asked = self.engine.changes.cancel(name, force=force, comment=None, reason_code=None)
        if not self.act("cancel", asked):
            assert (facts.fate, facts.forced) == was, "it could have been canceled"
        facts.again = False


class RolloutMachine(JobsMachine):
    """Rates, abort, schedules with their ends and windows, pause and resume, UpdateJob."""

    wishes = st.fixed_dictionaries(
        {
            "aims": st.lists(
                st.sampled_from([*THINGS[:2], *sorted(PARENTS)]), min_size=1, max_size=3, unique=True
            ),
            "continuous": st.booleans(),
            "rollout": rates,
            "abort": aborts,
            "schedule": st.none() | schedules(),
        }
    )

    @precondition(lambda self: self.auditor.jobs)
    @rule(data=st.data(), paused=st.booleans())
    def pause_or_resume(self, data, paused) -> None:
        name = self.a_job(data)
        facts = self.auditor.jobs[name]
        was, facts.paused = facts.paused, paused
        done = self.act(
            "pause" if paused else "resume",
            self.engine.changes.pause(name) if paused else self.engine.changes.resume(name),
        )
        if not done:
            facts.paused = was
            assert facts.stopped or self.status(name) not in ACTIVE

    @precondition(lambda self: self.auditor.jobs)
    @rule(data=st.data(), rollout=rates, abort=aborts)
    def update(self, data, rollout, abort) -> None:
        name = self.a_job(data)
        facts = self.auditor.jobs[name]
        was = msgspec.structs.replace(facts.configs), facts.batch_limit, facts.batch_last, facts.changed_at
        facts.configs = msgspec.structs.replace(facts.configs, rollout=rollout, abort=abort)
        if rollout is None:
            facts.batch_limit = None
        elif facts.batch_limit is None:
            facts.batch_last = None
        facts.changed_at = self.engine.clock[0]
        change = JobChange(
            configs=lambda old: msgspec.structs.replace(old, rollout=rollout, abort=abort),
        )
        if not self.act("update", self.engine.changes.update(name, change)):
            facts.configs, facts.batch_limit, facts.batch_last, facts.changed_at = was
            assert self.status(name) != "IN_PROGRESS"


class DeviceMachine(JobsMachine):
    """Timeouts, step timers, retries, executions canceled and deleted, windows; several jobs wait for a thing."""

    alive_max = 6

    wishes = st.fixed_dictionaries(
        {
            "aims": st.lists(st.sampled_from([*THINGS[:3], "a"]), min_size=1, max_size=2, unique=True),
            "continuous": st.booleans(),
            "timeout_minutes": timeouts,
            "retries": retries | st.just(()),
            "abort": st.just(()) | st.just(()) | aborts,
            "schedule": st.none() | st.none() | schedules(),
        }
    )

    @precondition(lambda self: self.auditor.state.executions)
    @rule(
        data=st.data(),
        status=st.sampled_from(["IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"]),
        step=steps | st.just(-1),
        told=tellings,
    )
    def report(self, data, status, step, told) -> None:
        rows = self.rows()
        self.report_on(data.draw(st.sampled_from(rows[:8])), status, step, told)

    @precondition(lambda self: self.auditor.jobs)
    @rule(data=st.data(), timeout=timeouts.filter(bool))
    def update_timeout(self, data, timeout) -> None:
        name = self.a_job(data)
        facts = self.auditor.jobs[name]
        change = JobChange(configs=lambda old: msgspec.structs.replace(old, timeout_minutes=timeout))
        if self.act("update", self.engine.changes.update(name, change)):
            facts.configs = msgspec.structs.replace(facts.configs, timeout_minutes=timeout)

    @precondition(lambda self: self.auditor.state.executions)
    @rule(data=st.data(), force=st.booleans())
    def cancel_execution(self, data, force) -> None:
        row = data.draw(st.sampled_from(list(self.auditor.state.executions.values())))
        ask = self.engine.executions.cancel
        self.act(
            "cancel_execution", ask(row.thing, row.job, force=force, expected_version=None, details=None)
        )

    @precondition(lambda self: self.auditor.state.executions)
    @rule(data=st.data(), force=st.booleans())
    def delete_execution(self, data, force) -> None:
        row = data.draw(st.sampled_from(list(self.auditor.state.executions.values())))
        ask = self.engine.executions.delete
        self.act("delete_execution", ask(row.thing, row.job, row.number, force=force))


class MembershipMachine(JobsMachine):
    """Groups that things join, leave and rejoin, things deleted, jobs widened and deleted, with rates, windows and retries."""

    wishes = st.fixed_dictionaries(
        {
            "aims": st.lists(
                st.sampled_from([*THINGS[:1], *sorted(PARENTS)]), min_size=1, max_size=3, unique=True
            ),
            "continuous": st.sampled_from([True, True, False]),
            "rollout": rates,
            "retries": retries | st.just(()),
            "timeout_minutes": st.just(5),
            "schedule": st.none() | st.none() | schedules(),
        }
    )

    @rule(thing=things, group=groups)
    def join(self, thing, group) -> None:
        state = self.auditor.state
        if thing not in state.members[group] and thing in state.things:
            assert self.act("join", self.engine.join(thing, group))
            self.auditor.joined(thing, group)

    def take_out(self, thing, group) -> None:
        assert self.act("leave", self.engine.leave(thing, group))
        for facts in self.auditor.jobs.values():
            if facts.selection == "SNAPSHOT":
                facts.gone.add(thing)

    @precondition(lambda self: any(self.auditor.state.members.values()))
    @rule(data=st.data())
    def leave(self, data) -> None:
        members = self.auditor.state.members
        group = data.draw(st.sampled_from([group for group in sorted(members) if members[group]]))
        self.take_out(data.draw(st.sampled_from(sorted(members[group]))), group)

    @precondition(lambda self: any(row.status == "IN_PROGRESS" for row in self.rows()))
    @rule(data=st.data())
    def leave_all_while_running(self, data) -> None:
        running = {row.thing for row in self.rows() if row.status == "IN_PROGRESS"}
        thing = data.draw(st.sampled_from(sorted(running)))
        for group in [group for group, members in self.auditor.state.members.items() if thing in members]:
            self.take_out(thing, group)

    @rule(group=groups)
    def empty_group(self, group) -> None:
        """As when it is deleted."""

        def apply(batch):
            self.engine.continuous.group_deleted(batch, group)
            self.engine.store._writer.execute("DELETE FROM group_members WHERE group_name = ?", (group,))

        left = self.auditor.state.members[group]
        assert self.act("leave", self.engine.committer.change(apply))
        for facts in self.auditor.jobs.values():
            if facts.selection == "SNAPSHOT":
                facts.gone |= left

    @rule(thing=things)
    def replace_thing(self, thing) -> None:
        assert self.act("delete_thing", self.engine.delete_thing(thing))
        self.engine.things(thing, watch=False)
        self.auditor.state.things.add(thing)
        for facts in self.auditor.jobs.values():
            facts.gone.add(thing)

    @precondition(lambda self: self.auditor.jobs)
    @rule(data=st.data(), aims=st.lists(groups, min_size=1, max_size=2, unique=True))
    def associate(self, data, aims) -> None:
        name = self.a_job(data)
        facts = self.auditor.jobs[name]
        was = list(facts.aims)
        facts.aims += [aim for aim in aims if aim not in facts.aims]
        targets = [Target(position=0, kind="thinggroup", name=aim) for aim in aims]
        if not self.act("associate", self.engine.changes.associate(name, targets, None)):
            facts.aims = was

    @precondition(lambda self: self.auditor.jobs)
    @rule(data=st.data(), force=st.booleans())
    def delete(self, data, force) -> None:
        name = self.a_job(data)
        facts = self.auditor.jobs[name]
        was, status = facts.fate, self.status(name)
        facts.fate = "DELETED"
        if not self.act("delete", self.engine.changes.delete(name, force=force)):
            facts.fate = was
            assert status is None or status == "DELETION_IN_PROGRESS" or (status in ACTIVE and not force)


@pytest.mark.timeout(0 if EXAMPLES > 200 else 240)
@pytest.mark.parametrize("machine", [RolloutMachine, DeviceMachine, MembershipMachine])
def test_the_rules_hold_through_random_lives(machine, engines, monkeypatch):
    monkeypatch.setattr("outfitter_server.services.rollout.CHANGED_ROWS_MAX", 2)
    monkeypatch.setattr("outfitter_server.services.jobs.FIRST_ROWS_MAX", 2)
    monkeypatch.setattr("outfitter_server.services.timers.DUE_ROWS_MAX", 2)
    if machine is DeviceMachine:
        # Pending lists that are longer than what a batch loads of them.
        monkeypatch.setattr("outfitter_server.services.workspace.PENDING_SHOWN", 1)
        monkeypatch.setattr("outfitter_server.services.device_plane.PENDING_SHOWN", 1)
        monkeypatch.setattr("outfitter_server.services.workspace._LOADED", 3)
    JobsMachine.engines = staticmethod(engines)
    JobsMachine.lives = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
