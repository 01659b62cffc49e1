"""An engine on a real store: rules, committer, pacer; the clock is the test's."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from outfitter_server.base.installation import Installation
from outfitter_server.jobs.configs import NO_CONFIGS, Configs
from outfitter_server.jobs.targets import parse_targets
from outfitter_server.jobs.values import (
    Describe,
    Described,
    DeviceRequest,
    GetPending,
    Job,
    NewJob,
    Notification,
    StartNext,
    TargetSelection,
    Update,
)
from outfitter_server.services import engine as engine_module
from outfitter_server.services.committer import Committer
from outfitter_server.services.continuous import ContinuousJobs
from outfitter_server.services.device_plane import DevicePlane
from outfitter_server.services.effects import PendingChanged
from outfitter_server.services.events import Events
from outfitter_server.services.executions import Executions
from outfitter_server.services.job_changes import JobChanges
from outfitter_server.services.jobs import Jobs
from outfitter_server.services.pacer import Pacer
from outfitter_server.services.rollout import Steps
from outfitter_server.services.timers import Timers
from outfitter_server.services.watched import Watched
from outfitter_server.stores.sqlite.store import SqliteStore


async def no_object(bucket: str, key: str, limit: int) -> str:
    raise AssertionError("no document source in these tests")


@dataclass
class Engine:
    store: SqliteStore
    committer: Committer
    plane: DevicePlane
    jobs: Jobs
    changes: JobChanges
    executions: Executions
    continuous: ContinuousJobs
    watched: Watched
    steps: Steps
    timers: Timers
    clock: list[int]
    heard: list[Notification] = field(default_factory=list)
    installation: Installation = field(default_factory=Installation)

    def things(self, *names: str, watch: bool = True) -> None:
        with self.store.write():
            self.store._writer.executemany(
                "INSERT INTO things (name, id, attributes, version, created_at) VALUES (?, ?, '{}', 1, 0)",
                [(name, name) for name in names],
            )
        for name in names if watch else ():
            self.watched.add(name)

    def group(self, name: str, members: Iterable[str] = (), parent: str | None = None) -> None:
        with self.store.write():
            writer = self.store._writer
            writer.execute(
                "INSERT INTO thing_groups (name, id, parent, root, depth, attributes, tags, version, created_at)"
                " VALUES (?, ?, ?, ?, 1, '{}', '[]', 1, 0)",
                (name, name, parent, parent or name),
            )
            writer.execute("INSERT INTO group_tree VALUES (?, ?)", (name, name))
            writer.execute(
                "INSERT INTO group_tree SELECT ancestor, ? FROM group_tree WHERE descendant = ?",
                (name, parent),
            )
            writer.executemany(
                "INSERT INTO group_members VALUES (?, ?, 0)", [(name, member) for member in members]
            )

    async def join(self, thing: str, group: str) -> None:
        def apply(batch):
            self.store._writer.execute(
                "INSERT INTO group_members SELECT ?, ?, number FROM snapshots_taken", (group, thing)
            )
            self.continuous.joined(batch, thing, group)

        await self.committer.change(apply)

    async def leave(self, thing: str, group: str) -> None:
        def apply(batch):
            self.store._writer.execute(
                "DELETE FROM group_members WHERE group_name = ? AND thing = ?", (group, thing)
            )
            self.continuous.left(batch, thing, group)

        await self.committer.change(apply)

    async def delete_thing(self, thing: str) -> None:
        def apply(batch):
            self.continuous.thing_deleted(batch, thing)
            self.store._writer.execute("DELETE FROM group_members WHERE thing = ?", (thing,))
            self.store._writer.execute("DELETE FROM things WHERE name = ?", (thing,))

        await self.committer.change(apply)

    async def job(
        self,
        name: str,
        *targets: str,
        continuous: bool = False,
        document: str = '{"operation":"x"}',
        configs: Configs = NO_CONFIGS,
    ) -> Job:
        arns = [self.installation.iot_arn(*target.split(":")) for target in targets]
        new = NewJob(
            id=name,
            targets=tuple(parse_targets(arns, self.installation)),
            stored=document,
            selection=TargetSelection.CONTINUOUS if continuous else TargetSelection.SNAPSHOT,
            configs=configs,
        )
        job = await self.jobs.create(new)
        await self.settle()
        return job

    async def ask(self, request: DeviceRequest):
        return await self.plane.ask(request)

    async def start(self, thing: str, **details: str):
        return await self.ask(StartNext(thing=thing, details=details or None))

    async def report(self, thing: str, job: str, status: str, **members):
        return await self.ask(Update(thing=thing, job=job, status=status, **members))

    async def peek(self, thing: str):
        return (await self.ask(Describe(thing=thing, job="$next"))).execution

    async def pending(self, thing: str) -> list[tuple[str, str]]:
        answer = await self.ask(GetPending(thing))
        return [(entry.job, entry.status.value) for entry in (*answer.in_progress, *answer.queued)]

    async def known_agrees(self, things: Iterable[str]) -> None:
        """What is remembered of these things is what the store says; afterwards everything is remembered."""
        for thing in things:
            current = self.plane.current(thing)
            known = self.plane.known(GetPending(thing))
            if known is not None:
                assert (*known.in_progress, *known.queued) == current.pending
                following = self.plane.known(Describe(thing=thing, job="$next"))
                assert following in (None, Described(execution=current.pending[0], head=current.head))
        await asyncio.gather(*(self.ask(GetPending(thing)) for thing in things), return_exceptions=True)

    async def pass_time(self, minutes: float) -> None:
        """The clock goes on, and what is due then fires."""
        self.clock[0] += round(minutes * 60_000)
        while await self.committer.change(self.timers.fire):
            pass
        await self.settle()

    async def settle(self) -> None:
        """Return when no background work is left."""
        while self.committer.read(lambda tx: tx.all("jobs_with_work", after=0, limit=1)):  # noqa: ASYNC110 - the work is in the store
            await asyncio.sleep(0)
        await self.committer.drain()

    def told(self) -> list[tuple[str, bool, bool]]:
        """What was notified since the last call: (thing, notify, notify-next)."""
        heard = [(n.thing, n.pending_changed, n.next_changed) for n in self.heard]
        self.heard.clear()
        return heard


@asynccontextmanager
async def open_engine(folder: Path, *, paced: bool = True) -> AsyncIterator[Engine]:
    store = SqliteStore(folder)
    clock = [1_700_000_000_000]
    committer = Committer(store, lambda: clock[0])
    events = Events(Installation(), lambda: str(uuid.uuid4()))
    shared = engine_module.Engine(events=events)
    steps = Steps(shared)
    pacer = Pacer(committer, steps)
    made = Engine(
        store=store,
        committer=committer,
        plane=DevicePlane(committer, shared),
        jobs=Jobs(committer, Installation(), shared, steps, no_object),
        changes=JobChanges(committer, Installation(), shared, steps),
        executions=Executions(committer, shared),
        continuous=ContinuousJobs(shared),
        watched=shared.watched,
        steps=steps,
        timers=Timers(shared),
        clock=clock,
    )
    committer.listen(
        lambda effects: made.heard.extend(e.notification for e in effects if isinstance(e, PendingChanged))
    )
    if paced:
        pacer.start()
    yield made
    await pacer.close()
    await committer.drain()
    store.close()


@pytest.fixture
def count(engine: Engine):
    def counts(job: str) -> dict[str, int]:
        found = engine.jobs.get(job).counts
        return {name: getattr(found, name) for name in found.__struct_fields__ if getattr(found, name)}

    return counts


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with open_engine(tmp_path) as made:
        yield made


@pytest.fixture
def engines():
    """Opens engines outside of a running loop: ``engines(folder)`` is an async context manager."""
    return open_engine
