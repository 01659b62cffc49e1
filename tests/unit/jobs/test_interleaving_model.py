"""Rollouts, cancellations and deletions in steps of a row or two, with everything else in between them.

Where a step leaves off is the engine's own affair, so the state in between is held to what must hold at any moment
(counters, pending lists, notifications agree with the executions), and the state at rest to what was asked for.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from outfitter_server.base.refusals import Refusal
from outfitter_server.jobs.values import NewJob, Target, TargetSelection

THINGS = [f"t{number}" for number in range(6)]
PARENTS = {"a": None, "b": None, "low": "a", "zlow": "a"}
STATUSES = ["in_progress", "queued", "succeeded", "failed", "rejected", "timed_out", "removed", "canceled"]
PENDING = (0, 1)

things = st.sampled_from(THINGS)
groups = st.sampled_from(sorted(PARENTS))
force = st.booleans()


class InterleavingMachine(RuleBasedStateMachine):
    engines = None

    @initialize(data=st.data())
    def open(self, data) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        opening = InterleavingMachine.engines(self.folder, paced=False)
        self.engine = self.runner.run(self.stack.enter_async_context(opening))
        self.engine.things(*THINGS)
        self.members = {
            group: set(data.draw(st.lists(things, max_size=6, unique=True), label=group)) for group in PARENTS
        }
        for group, parent in PARENTS.items():
            self.engine.group(group, sorted(self.members[group]), parent=parent)
        self.jobs = {}
        self.names = 0
        self.fronts = {}

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)

    # What the store says

    def rows(self):
        columns = "id, thing, job, number, status"
        return self.engine.store._writer.execute(f"SELECT {columns} FROM executions").fetchall()

    def pending(self):
        lists = {thing: [] for thing in THINGS}
        for row in self.rows():
            if row["status"] in PENDING:
                lists[row["thing"]].append((row["status"], row["id"], row["job"], row["number"]))
        return {thing: [entry[1:] for entry in sorted(listed)] for thing, listed in lists.items()}

    def work(self):
        return [
            row["id"]
            for row in self.engine.committer.read(lambda tx: tx.all("jobs_with_work", after=0, limit=99))
        ]

    def reached(self, job):
        found = set()
        for aim in job["aims"]:
            below = [group for group in PARENTS if aim in (group, PARENTS[group])]
            found.update({aim} if aim in THINGS else set().union(*(self.members[group] for group in below)))
        return found

    # What is done; each request is checked to tell exactly what it changed

    def act(self, coroutine) -> bool:
        before = self.pending()
        try:
            self.runner.run(coroutine)
            done = True
        except Refusal:
            done = False
        after = self.pending()
        expected = set()
        for thing in THINGS:
            flags = (set(before[thing]) != set(after[thing]), before[thing][:1] != after[thing][:1])
            if any(flags):
                expected.add((thing, *flags))
        told = self.engine.told()
        assert sorted(told) == sorted(expected)
        self.runner.run(self.engine.known_agrees(THINGS))
        return done

    async def step_once(self, job, rows):
        step = partial(self.engine.steps.step, job_id=job, rows_max=rows)
        await self.engine.committer.change(step, heavy=True)

    @rule(
        aims=st.lists(st.sampled_from([*THINGS[:2], *sorted(PARENTS)]), min_size=1, max_size=3, unique=True),
        continuous=st.booleans(),
    )
    def create(self, aims, continuous) -> None:
        name = f"j{self.names}"
        self.names += 1
        targets = [
            Target(position=index, kind="thing" if aim in THINGS else "thinggroup", name=aim)
            for index, aim in enumerate(aims)
        ]
        new = NewJob(
            id=name,
            targets=tuple(targets),
            stored="{}",
            selection=TargetSelection("CONTINUOUS" if continuous else "SNAPSHOT"),
        )
        assert self.act(self.engine.jobs.create(new))
        job = {"aims": aims, "continuous": continuous, "canceled": False, "forced": False, "deleted": False}
        # Things of which everything is known: there from the beginning, and untouched but by their devices.
        job["sure"] = self.reached(job)
        job["ever"] = set(job["sure"])
        self.jobs[name] = job

    @precondition(lambda self: self.work())
    @rule(data=st.data(), rows=st.integers(1, 3))
    def step(self, data, rows) -> None:
        assert self.act(self.step_once(data.draw(st.sampled_from(self.work())), rows))

    @rule(thing=things)
    def start(self, thing) -> None:
        assert self.act(self.engine.start(thing))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), thing=things, status=st.sampled_from(["IN_PROGRESS", "SUCCEEDED", "FAILED"]))
    def report(self, data, thing, status) -> None:
        self.act(self.engine.report(thing, data.draw(st.sampled_from(sorted(self.jobs))), status))

    @rule(thing=things, group=groups)
    def join(self, thing, group) -> None:
        if thing not in self.members[group]:
            self.members[group].add(thing)
            assert self.act(self.engine.join(thing, group))
            for job in self.jobs.values():
                if {group, PARENTS[group]} & set(job["aims"]):
                    job["ever"].add(thing)
                    if job["continuous"] and not job["canceled"]:
                        job["sure"].add(thing)

    @rule(thing=things, group=groups)
    def leave(self, thing, group) -> None:
        if thing in self.members[group]:
            self.members[group].discard(thing)
            assert self.act(self.engine.leave(thing, group))
            for job in self.jobs.values():
                job["sure"] &= self.reached(job)

    @rule(thing=things)
    def replace_thing(self, thing) -> None:
        self.act(self.engine.delete_thing(thing))
        self.engine.things(thing, watch=False)
        for members in self.members.values():
            members.discard(thing)
        for job in self.jobs.values():
            job["sure"].discard(thing)

    @precondition(lambda self: self.rows())
    @rule(data=st.data(), force=force)
    def cancel_execution(self, data, force) -> None:
        row = data.draw(st.sampled_from(self.rows()))
        cancel = self.engine.executions.cancel
        self.act(cancel(row["thing"], row["job"], force=force, expected_version=None, details=None))

    @precondition(lambda self: self.rows())
    @rule(data=st.data(), force=force)
    def delete_execution(self, data, force) -> None:
        row = data.draw(st.sampled_from(self.rows()))
        if self.act(self.engine.executions.delete(row["thing"], row["job"], row["number"], force=force)):
            self.jobs[row["job"]]["sure"].discard(row["thing"])

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), force=force)
    def cancel(self, data, force) -> None:
        name = data.draw(st.sampled_from(sorted(self.jobs)))
        if self.act(self.engine.changes.cancel(name, force=force, comment=None, reason_code=None)):
            self.jobs[name]["canceled"] = True
            self.jobs[name]["forced"] |= force

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), force=force)
    def delete(self, data, force) -> None:
        name = data.draw(st.sampled_from(sorted(self.jobs)))
        if self.act(self.engine.changes.delete(name, force=force)):
            self.jobs[name]["deleted"] = True

    @rule()
    def come_to_rest(self) -> None:
        for _ in range(200):
            work = self.work()
            if not work:
                break
            for job in work:
                assert self.act(self.step_once(job, 2))
        assert not self.work()
        for name in [name for name, job in self.jobs.items() if job["deleted"]]:
            del self.jobs[name]
        rows = self.rows()
        assert {row["job"] for row in rows} <= set(self.jobs)
        for name, job in self.jobs.items():
            mine = [row for row in rows if row["job"] == name]
            reached = {row["thing"] for row in mine}
            assert reached <= job["ever"]
            statuses = {row["status"] for row in mine}
            if job["canceled"]:
                assert not statuses & ({0, 1} if job["forced"] else {1})
            else:
                assert job["sure"] <= reached
            kept = self.engine.jobs.get(name)
            assert all(target.done for target in self.engine.jobs.describe(name)[1])
            if job["canceled"]:
                assert kept.status == "CANCELED"
            elif job["continuous"] or statuses & {0, 1}:
                assert kept.status == "IN_PROGRESS"
            else:
                assert kept.status == "COMPLETED"

    # What holds at any moment

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        rows = self.rows()
        for job, _ in self.engine.jobs.page(
            status=None, selection=None, group=None, limit=250, token=None
        ).items:
            counted = Counter(STATUSES[row["status"]] for row in rows if row["job"] == job.id)
            kept = {name: getattr(job.counts, name) for name in STATUSES}
            assert {name: number for name, number in kept.items() if number} == dict(counted)

    @invariant()
    def pending_lists_agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        waiting = Counter((row["thing"], row["job"]) for row in self.rows() if row["status"] in PENDING)
        assert set(waiting.values()) <= {1}, "a job waits once for a thing"
        for thing, listed in self.pending().items():
            shown = self.engine.plane.current(thing)
            assert [(entry.id, entry.job, entry.number) for entry in shown.pending] == listed[:10]
            seen = self.fronts.get(thing)
            if seen is not None and seen[1] != listed[:1]:
                assert shown.next_revision > seen[0]
            self.fronts[thing] = (shown.next_revision, listed[:1])


def test_background_work_in_tiny_steps_among_everything_else(engines, monkeypatch):
    monkeypatch.setattr("outfitter_server.services.rollout.CHANGED_ROWS_MAX", 2)
    monkeypatch.setattr("outfitter_server.services.jobs.FIRST_ROWS_MAX", 1)
    InterleavingMachine.engines = staticmethod(engines)
    run_state_machine_as_test(
        InterleavingMachine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
