"""Events from the batch that decides them to the broker: switches, refusals, crashes."""

import asyncio
import itertools
import json

import pytest
import pytest_asyncio
from outfitter_contract.execution import Status
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Conflict, InvalidRequest
from outfitter_server.jobs.values import Execution, Job, JobStatus, TargetSelection, Work
from outfitter_server.services import event_publisher
from outfitter_server.services.committer import Committer
from outfitter_server.services.event_publisher import EventPublisher
from outfitter_server.services.events import EventConfigurations, Events, EventType
from outfitter_server.services.messages import Publication
from outfitter_server.stores.sqlite.store import SqliteStore

TARGET = "arn:aws:iot:us-east-1:000000000000:thing/pump"


class World:
    """A store with everything that writes and publishes events; ``crash`` forgets all but the store."""

    def __init__(self, folder):
        self.clock = 1_700_000_000_000
        self.ids = map(str, itertools.count(1))
        self.published = []
        self.arrived = asyncio.Event()
        self.under_way = None
        self.publisher = None
        self.behind = False
        self.folder = folder
        self.open()

    def open(self):
        self.store = SqliteStore(self.folder)
        self.committer = Committer(self.store, lambda: self.clock)
        self.events = Events(Installation(), lambda: next(self.ids))
        self.configurations = EventConfigurations(self.committer, self.events)

    async def crash(self):
        await self.close()
        self.open()

    def publish(self, message):
        self.published.append(message)
        self.arrived.set()
        return Publication(0, self.under_way)

    def start(self, return_seconds=0.0, patience_seconds=600):
        self.publisher = EventPublisher(
            self.committer,
            self.publish,
            lambda _topics: self.behind,
            return_seconds=return_seconds,
            patience_seconds=patience_seconds,
        )
        self.publisher.start()

    async def has(self, number):
        while len(self.published) < number:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 10)

    def waiting(self):
        return self.committer.read(lambda tx: len(tx.all("event_outbox_first", after=0, limit=10_000)))

    async def end(self, *things, refuse=False):
        def apply(batch):
            for thing in things:
                self.events.execution_ended(batch, execution(thing))
            if refuse:
                raise Conflict("no")

        await self.committer.change(apply)

    async def close(self):
        if self.publisher is not None:
            await self.publisher.close()
            self.publisher = None
        await self.committer.drain()
        self.store.close()


@pytest_asyncio.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def eventful(world):
    await world.configurations.update({EventType.JOB: True, EventType.JOB_EXECUTION: True})
    return world


def execution(thing):
    return Execution(id=1, thing=thing, job="j", number=1, status=Status.SUCCEEDED, queued_at=1, updated_at=2)


def job(status, work=None):
    return Job(
        seq=1,
        id="j",
        status=status,
        selection=TargetSelection.SNAPSHOT,
        created_at=1,
        updated_at=2,
        work=work,
    )


async def test_nothing_is_written_until_it_is_switched_on(world):
    asked = []

    def apply(batch):
        world.events.execution_ended(batch, execution("pump"))
        world.events.execution_deleted(batch, execution("pump"))
        world.events.job_changed(batch, job(JobStatus.IN_PROGRESS), None, lambda: asked.append(1) or [])
        return list(batch.effects)

    assert await world.committer.change(apply) == []
    assert not world.waiting()
    assert not asked


async def test_a_change_without_an_event_asks_for_no_targets(eventful):
    def apply(batch):
        same = job(JobStatus.IN_PROGRESS)
        eventful.events.job_changed(batch, same, same, lambda: pytest.fail("targets were read"))

    await eventful.committer.change(apply)
    assert not eventful.waiting()


async def test_each_type_has_its_own_switch(world):
    await world.configurations.update({EventType.JOB: True})
    await world.end("pump")
    assert not world.waiting()
    await world.configurations.update({EventType.JOB_EXECUTION: True, EventType.JOB: False})
    await world.end("pump")
    assert world.waiting() == 1
    switches = world.configurations.get()
    assert [kind.value for kind in EventType if switches.enabled(kind)] == ["JOB_EXECUTION"]


async def test_switches_tell_when_they_were_first_and_last_changed(world):
    assert world.configurations.get().created_at is None
    for _ in range(2):
        world.clock += 1000
        await world.configurations.update({EventType.JOB: True})
    switches = world.configurations.get()
    assert (switches.created_at, switches.modified_at) == (world.clock - 1000, world.clock)


async def test_types_that_are_not_published_can_only_be_disabled(world):
    with pytest.raises(InvalidRequest, match=r"CERTIFICATE, THING: this server publishes no events"):
        await world.configurations.update(
            {EventType.THING: True, EventType.CERTIFICATE: True, EventType.JOB: True}
        )
    await world.configurations.update({EventType.THING: False})
    assert not world.configurations.get().job


async def test_a_switch_that_was_undone_with_its_batch_does_not_stay_in_memory(world):
    async def broken():
        def apply(batch):
            world.events.execution_ended(batch, execution("pump"))
            raise RuntimeError("a fault")

        with pytest.raises(RuntimeError):
            await world.committer.change(apply)

    await asyncio.gather(world.configurations.update({EventType.JOB_EXECUTION: True}), broken())
    await world.end("pump")
    assert world.waiting() == 1


async def test_a_refused_request_leaves_no_event_and_harms_no_other(eventful):
    eventful.start()
    outcomes = await asyncio.gather(eventful.end("a", refuse=True), eventful.end("b"), return_exceptions=True)
    assert isinstance(outcomes[0], Conflict)
    await eventful.has(1)
    (message,) = eventful.published
    assert json.loads(message.payload)["thingArn"].endswith("thing/b")


async def test_events_are_published_in_order_at_qos_1_and_leave_the_outbox(eventful):
    eventful.start()

    def apply(batch):
        steps = [
            job(JobStatus.IN_PROGRESS),
            job(JobStatus.CANCELED, Work.CANCEL),
            job(JobStatus.CANCELED),
            job(JobStatus.DELETION_IN_PROGRESS),
            None,
        ]
        for before, after in itertools.pairwise(steps):
            eventful.events.job_changed(batch, before, after, lambda: [TARGET])

    await eventful.committer.change(apply)
    await eventful.has(4)
    names = [message.topic.removeprefix("$aws/events/job/j/") for message in eventful.published]
    assert names == ["cancellation_in_progress", "canceled", "deletion_in_progress", "deleted"]
    assert {message.qos for message in eventful.published} == {1}
    ids = {json.loads(message.payload)["eventId"] for message in eventful.published}
    assert len(ids) == 4
    await eventful.committer.drain()
    assert not eventful.waiting()


async def test_more_events_than_one_step_takes_all_go_out_once(eventful):
    eventful.start()
    names = [f"t{number}" for number in range(350)]
    await eventful.end(*names)
    await eventful.has(350)
    told = [json.loads(message.payload)["thingArn"].rpartition("/")[2] for message in eventful.published]
    assert told == names


async def test_listeners_that_read_are_waited_for(eventful):
    eventful.start()
    eventful.behind = True
    await eventful.end("a")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not eventful.published
    eventful.behind = False
    await eventful.has(1)


async def test_a_listener_that_does_not_read_is_waited_for_once(eventful):
    eventful.start(patience_seconds=0.05)
    eventful.behind = True
    await eventful.end("a")
    await eventful.has(1)
    eventful.publisher._patience_seconds = 600  # another wait would be noticed
    await eventful.end("b")
    await eventful.has(2)


async def test_large_events_go_out_a_few_at_once(eventful, monkeypatch):
    monkeypatch.setattr(event_publisher, "AT_ONCE_BYTES", 1_000)
    await eventful.end(*"abcdefghij")
    first = eventful.committer.read(event_publisher._first)
    assert 1 < len(first) < 10
    monkeypatch.setattr(event_publisher, "AT_ONCE_BYTES", 1)
    assert len(eventful.committer.read(event_publisher._first)) == 1
    eventful.start()
    await eventful.has(10)


async def test_what_a_crash_left_is_published_at_the_next_start(eventful):
    await eventful.end("a", "b")
    await eventful.crash()
    eventful.start()
    await eventful.has(2)
    await eventful.end("c")
    await eventful.has(3)


async def test_what_a_crash_left_waits_for_its_listeners_to_return(eventful):
    await eventful.end("a")
    await eventful.crash()
    eventful.start(return_seconds=600)
    await eventful.end("b")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not eventful.published
    assert eventful.waiting() == 2


async def test_a_crash_while_rules_write_down_what_they_do_publishes_again(eventful):
    eventful.start()
    eventful.under_way = asyncio.get_running_loop().create_future()
    await eventful.end("a")
    await eventful.has(1)
    assert eventful.waiting() == 1
    await eventful.crash()
    eventful.under_way = None
    eventful.start()
    await eventful.has(2)
    assert eventful.published[0] == eventful.published[1]
