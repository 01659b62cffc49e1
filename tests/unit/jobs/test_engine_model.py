"""The engine against a plain model of itself: dictionaries and loops where the engine has indexes and counters."""

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
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

THINGS = ["t0", "t1", "t2", "t3"]
GROUPS = ["g0", "g1", "low"]
PARENTS = {"low": "g0"}
ENDS = {"SUCCEEDED", "FAILED", "REJECTED", "CANCELED", "REMOVED"}

things = st.sampled_from(THINGS)
groups = st.sampled_from(GROUPS)


class Model:
    """What should be true; an execution is [job, thing, number, status, version, order]."""

    def __init__(self) -> None:
        self.members = {group: set() for group in GROUPS}
        self.jobs = {}
        self.executions = []
        self.order = 0

    def queue(self, job, thing, number) -> None:
        self.order += 1
        self.executions.append([job, thing, number, "QUEUED", 1, self.order])

    def newest(self, job, thing):
        found = [entry for entry in self.executions if entry[:2] == [job, thing]]
        return max(found, key=lambda entry: entry[2], default=None)

    def pending(self, thing):
        waiting = [entry for entry in self.executions if entry[1] == thing and entry[3] not in ENDS]
        return sorted(waiting, key=lambda entry: (entry[3] != "IN_PROGRESS", entry[5]))

    def reached(self, aim):
        """The things that a target stands for."""
        if aim in THINGS:
            return {aim}
        below = [group for group in GROUPS if aim in (group, PARENTS.get(group))]
        return set().union(*(self.members[group] for group in below))

    def joinable(self, group):
        """The jobs that a thing meets when it joins a group, or loses when it leaves."""
        for name, job in self.jobs.items():
            above = {group, PARENTS.get(group)} & set(job["aims"])
            if above and job["continuous"] and job["status"] == "IN_PROGRESS":
                yield name, job

    def settle(self) -> None:
        for name, job in self.jobs.items():
            busy = any(entry[0] == name and entry[3] not in ENDS for entry in self.executions)
            if job["status"] == "IN_PROGRESS" and not job["continuous"] and not busy:
                job["status"] = "COMPLETED"


class EngineMachine(RuleBasedStateMachine):
    engines = None

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.engine = self.runner.run(self.stack.enter_async_context(EngineMachine.engines(self.folder)))
        self.engine.things(*THINGS)
        for group in GROUPS:
            self.engine.group(group, parent=PARENTS.get(group))
        self.model = Model()
        self.names = 0

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)

    def act(self, coroutine):
        """Run one request; its refusal's name, or None. Checks that exactly the right notifications were told."""
        before = {thing: [(e[0], e[2]) for e in self.model.pending(thing)] for thing in THINGS}
        self.before = before
        try:
            self.runner.run(coroutine)
            refused = None
        except Refusal as refusal:
            refused = type(refusal).__name__
        self.runner.run(self.engine.settle())
        return refused

    def check_told(self) -> None:
        self.model.settle()
        expected = set()
        for thing in THINGS:
            now = [(e[0], e[2]) for e in self.model.pending(thing)]
            before = self.before[thing]
            changed = (set(now) != set(before), now[:1] != before[:1])
            if any(changed):
                expected.add((thing, *changed))
        assert set(self.engine.told()) == expected

    @rule(
        aims=st.lists(st.sampled_from([*THINGS, *GROUPS]), min_size=1, max_size=3, unique=True),
        continuous=st.booleans(),
    )
    def create(self, aims, continuous) -> None:
        name = f"j{self.names}"
        self.names += 1
        targets = [f"{'thing' if aim in THINGS else 'thinggroup'}:{aim}" for aim in aims]
        assert self.act(self.engine.job(name, *targets, continuous=continuous)) is None
        self.model.jobs[name] = {"status": "IN_PROGRESS", "continuous": continuous, "aims": aims}
        for thing in sorted(set().union(*map(self.model.reached, aims))):
            self.model.queue(name, thing, 1)
        self.check_told()

    @rule(thing=things)
    def start_next(self, thing) -> None:
        assert self.act(self.engine.start(thing)) is None
        waiting = self.model.pending(thing)
        if waiting and waiting[0][3] == "QUEUED":
            waiting[0][3] = "IN_PROGRESS"
            waiting[0][4] += 1
        self.check_told()

    @precondition(lambda self: self.model.jobs)
    @rule(
        data=st.data(),
        thing=things,
        status=st.sampled_from(["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "CANCELED"]),
    )
    def report(self, data, thing, status) -> None:
        job = data.draw(st.sampled_from(sorted(self.model.jobs)))
        entry = self.model.newest(job, thing)
        expected_version = data.draw(st.sampled_from([None, 1, entry[4] if entry else 2]))
        refused = self.act(self.engine.report(thing, job, status, expected_version=expected_version))
        if status == "CANCELED":
            assert refused == "InvalidStateTransition"
        elif entry is None:
            assert refused == "NotFound"
        elif expected_version not in (None, entry[4]):
            assert refused == "VersionConflict"
        elif entry[3] in ENDS:
            assert refused == "InvalidStateTransition"
        else:
            assert refused is None
            entry[3] = status
            entry[4] += 1
        self.check_told()

    @rule(thing=things, group=groups)
    def join(self, thing, group) -> None:
        if thing in self.model.members[group]:
            return
        self.act(self.engine.join(thing, group))
        self.model.members[group].add(thing)
        for name, _ in self.model.joinable(group):
            newest = self.model.newest(name, thing)
            if newest is None or newest[3] in ENDS:
                self.model.queue(name, thing, newest[2] + 1 if newest else 1)
        self.check_told()

    @rule(thing=things, group=groups)
    def leave(self, thing, group) -> None:
        if thing not in self.model.members[group]:
            return
        self.act(self.engine.leave(thing, group))
        self.model.members[group].discard(thing)
        for name, job in self.model.joinable(group):
            newest = self.model.newest(name, thing)
            stays = any(thing in self.model.reached(aim) for aim in job["aims"])
            if newest and newest[3] == "QUEUED" and not stays:
                newest[3] = "REMOVED"
                newest[4] += 1
        self.check_told()

    @precondition(lambda self: self.model.executions)
    @rule(data=st.data(), force=st.booleans())
    def cancel_execution(self, data, force) -> None:
        some = data.draw(st.sampled_from(self.model.executions))
        entry = self.model.newest(*some[:2])
        expected = data.draw(st.sampled_from([None, 1, entry[4]]))
        refused = self.act(
            self.engine.executions.cancel(
                entry[1], entry[0], force=force, expected_version=expected, details=None
            )
        )
        if expected not in (None, entry[4]):
            assert refused == "VersionConflict"
        elif entry[3] in ENDS or (entry[3] == "IN_PROGRESS" and not force):
            assert refused == "InvalidStateTransition"
        else:
            assert refused is None
            entry[3] = "CANCELED"
            entry[4] += 1
        self.check_told()

    @precondition(lambda self: self.model.executions)
    @rule(data=st.data(), force=st.booleans())
    def delete_execution(self, data, force) -> None:
        entry = data.draw(st.sampled_from(self.model.executions))
        refused = self.act(self.engine.executions.delete(entry[1], entry[0], entry[2], force=force))
        if entry[3] == "IN_PROGRESS" and not force:
            assert refused == "InvalidStateTransition"
        else:
            assert refused is None
            self.model.executions.remove(entry)
        self.check_told()

    @rule(thing=things)
    def replace_thing(self, thing) -> None:
        """Deleted, and another registered under the name: it has no history and is in no group."""
        self.act(self.engine.delete_thing(thing))
        self.engine.things(thing, watch=False)
        self.model.executions = [entry for entry in self.model.executions if entry[1] != thing]
        for members in self.model.members.values():
            members.discard(thing)
        self.check_told()

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), force=st.booleans())
    def cancel(self, data, force) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.jobs)))
        refused = self.act(self.engine.changes.cancel(name, force=force, comment=None, reason_code=None))
        job = self.model.jobs[name]
        assert refused == ("InvalidRequest" if job["status"] == "COMPLETED" else None)
        if refused is None:
            job["forced"] = job.get("forced", False) or force
            job["status"] = "CANCELED"
            for entry in self.model.executions:
                if entry[0] == name and (entry[3] == "QUEUED" or (entry[3] == "IN_PROGRESS" and force)):
                    entry[3] = "CANCELED"
                    entry[4] += 1
        self.check_told()

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), force=st.booleans())
    def delete(self, data, force) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.jobs)))
        refused = self.act(self.engine.changes.delete(name, force=force))
        allowed = force or self.model.jobs[name]["status"] != "IN_PROGRESS"
        assert refused == (None if allowed else "InvalidStateTransition")
        if allowed:
            del self.model.jobs[name]
            self.model.executions = [entry for entry in self.model.executions if entry[0] != name]
        self.check_told()

    @invariant()
    def same_jobs(self) -> None:
        if not hasattr(self, "engine"):
            return
        listed = self.engine.jobs.page(status=None, selection=None, group=None, limit=250, token=None).items
        assert {job.id: job.status.value for job, _ in listed} == {
            n: j["status"] for n, j in self.model.jobs.items()
        }
        for job, _ in listed:
            counted = Counter(entry[3].lower() for entry in self.model.executions if entry[0] == job.id)
            kept = {name: getattr(job.counts, name) for name in job.counts.__struct_fields__}
            assert {name: number for name, number in kept.items() if number} == dict(counted)

    @invariant()
    def same_pending_lists(self) -> None:
        if not hasattr(self, "engine"):
            return
        for thing in THINGS:
            listed = [
                (e.job, e.number, e.status.value, e.version) for e in self.engine.plane.current(thing).pending
            ]
            assert listed == [(e[0], e[2], e[3], e[4]) for e in self.model.pending(thing)[:10]]


def test_the_engine_agrees_with_a_plain_model(engines):
    EngineMachine.engines = staticmethod(engines)
    run_state_machine_as_test(
        EngineMachine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
