"""The queue of events on a real store, with a sandbox whose outcomes a test sets."""

import asyncio
from dataclasses import dataclass, field

import pytest
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import NotFound, Throttled
from outfitter_server.blobs.files import FileBlobs
from outfitter_server.functions.outcomes import Outcome
from outfitter_server.functions.permissions import INVOKE, Permission
from outfitter_server.functions.settings import FunctionSettings
from outfitter_server.services.committer import Committer
from outfitter_server.services.event_queue import AT_ONCE_MAX, EventQueue
from outfitter_server.services.function_permissions import FunctionPermissions
from outfitter_server.services.functions import CodeSource, Functions
from outfitter_server.services.invocations import Invocations, RequestContentInvalid, RequestTooLarge
from outfitter_server.services.objects import Objects
from outfitter_server.stores.sqlite.store import SqliteStore

GOOD = Outcome(payload=b"null")
BAD = Outcome(payload=b"{}", error="Unhandled")
RULE = "arn:aws:iot:us-east-1:000000000000:rule/alarm"


@dataclass
class ScriptedSandbox:
    """The port, with outcomes by request in order; the last one stays. ``gate`` holds every call back."""

    script: list = field(default_factory=lambda: [GOOD])
    calls: list = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most: int = 0
    retired: list = field(default_factory=list)

    async def prepare(self, code_sha256, code_blob):
        pass

    async def invoke(self, function, request_id, payload, client_context=None):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.calls.append((function.name, request_id, payload))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def retire(self, name):
        self.retired.append(name)


class House:
    def __init__(self, folder):
        self.now = 1_795_450_000_000
        self.store = SqliteStore(folder)
        self.committer = Committer(self.store, lambda: self.now)
        self.sandbox = ScriptedSandbox()
        self.sandbox.gate.set()
        blobs = FileBlobs(folder / "blobs")
        installation = Installation()
        ids = iter(f"id-{number}" for number in range(1000))
        objects = Objects(self.committer, blobs)
        self.functions = Functions(
            self.committer,
            blobs,
            objects,
            self.sandbox,
            installation,
            lambda: next(ids),
            memory_mb_max=512,
        )
        self.permissions = FunctionPermissions(self.committer, installation)
        self.invocations = Invocations(
            self.committer, self.functions, self.permissions, self.sandbox, installation, lambda: next(ids)
        )
        self.queue = EventQueue(self.committer, self.functions, self.sandbox, (5, 10))
        self.queue.start()

    async def create(self, name="f"):
        settings = FunctionSettings(
            runtime="python3.11", handler="a.b", role="arn:aws:iam::000000000000:role/r"
        )
        await self.functions.create(name, settings, CodeSource(inline=b"zip"))

    def waiting(self):
        span = self.committer.read(lambda tx: tx.one("function_events_span"))
        return 0 if span["first"] is None else span["last"] - span["first"] + 1

    async def until(self, check):
        for _ in range(1000):
            self.now += 1
            if check():
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"never became true: {check}")


@pytest.fixture
async def house(tmp_path):
    made = House(tmp_path)
    await made.create()
    yield made
    await made.queue.close()
    await made.committer.drain()
    made.store.close()


async def test_an_event_runs_once(house):
    result = await house.invocations.queue("f", b'{"a":1}')
    assert result.status == 202
    await house.until(lambda: house.waiting() == 0)
    assert house.sandbox.calls == [("f", result.request_id, b'{"a":1}')]


async def test_a_failure_is_tried_twice_more_with_the_same_id(house):
    house.sandbox.script = [BAD]
    result = await house.invocations.queue("f", b"1")
    await house.until(lambda: house.waiting() == 0)
    assert house.sandbox.calls == [("f", result.request_id, b"1")] * 3


async def test_a_later_success_ends_it(house):
    house.sandbox.script = [BAD, GOOD]
    await house.invocations.queue("f", b"1")
    await house.until(lambda: house.waiting() == 0)
    assert len(house.sandbox.calls) == 2


async def test_a_clock_that_was_set_back_makes_no_event_wait_until_it_is_that_time_again(house):
    house.sandbox.script = [BAD, GOOD]
    await house.invocations.queue("f", b"1")
    await house.until(lambda: house.sandbox.calls and not house.queue._busy)
    house.now -= 86_400_000
    await house.invocations.queue("f", b"2")
    await house.until(lambda: house.waiting() == 0)
    assert sorted(payload for _, _, payload in house.sandbox.calls) == [b"1", b"1", b"2"]


async def test_refusals_are_no_tries(house):
    busy = Throttled("all workers are busy")
    house.sandbox.script = [busy, BAD, RuntimeError("broken"), BAD, BAD]
    await house.invocations.queue("f", b"1")

    def step():
        house.now += 60_000
        house.queue._work.set()
        return house.waiting() == 0

    await house.until(step)
    assert len(house.sandbox.calls) == 5


async def test_an_event_whose_code_was_replaced_while_it_waited_runs_again(house):
    house.sandbox.script = [NotFound("the blob is gone"), GOOD]
    await house.invocations.queue("f", b"1")

    def step():
        house.now += 60_000
        house.queue._work.set()
        return house.waiting() == 0

    await house.until(step)
    assert len(house.sandbox.calls) == 2


async def test_few_run_at_once(house):
    house.sandbox.gate.clear()
    for number in range(AT_ONCE_MAX * 3):
        await house.invocations.queue("f", b"%d" % number)
    await house.until(lambda: house.sandbox.running == AT_ONCE_MAX)
    house.sandbox.gate.set()
    await house.until(lambda: house.waiting() == 0)
    assert house.sandbox.most == AT_ONCE_MAX
    assert sorted(int(payload) for _, _, payload in house.sandbox.calls) == list(range(AT_ONCE_MAX * 3))


async def test_what_is_under_way_stays_until_it_ended(house):
    house.sandbox.gate.clear()
    await house.invocations.queue("f", b"1")
    await house.until(lambda: house.sandbox.running == 1)
    await house.queue.close()
    assert house.waiting() == 1
    house.sandbox.gate.set()
    again = EventQueue(house.committer, house.functions, house.sandbox, (5, 10))
    again.start()
    await house.until(lambda: house.waiting() == 0)
    await again.close()
    assert len(house.sandbox.calls) == 1


async def test_deleting_a_function_deletes_its_events_and_retires_its_workers(house):
    house.sandbox.gate.clear()
    for _ in range(10):
        await house.invocations.queue("f", b"1")
    await house.functions.delete("f")
    assert house.waiting() == 0
    assert house.sandbox.retired[-1] == "f"
    house.sandbox.gate.set()
    with pytest.raises(NotFound):
        await house.invocations.queue("f", b"1")


async def test_payloads_are_checked(house):
    with pytest.raises(RequestContentInvalid):
        await house.invocations.queue("f", b"{")
    with pytest.raises(RequestTooLarge):
        await house.invocations.queue("f", b'"' + b"x" * (1 << 20) + b'"')
    assert house.waiting() == 0


async def test_a_rule_needs_a_permission(house):
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    with pytest.raises(Exception, match="does not let"):
        await house.invocations.queue_for_rule(arn, b"1", RULE)
    await house.permissions.add(
        "f", Permission(id="s", action=INVOKE, principal="iot.amazonaws.com", source_arn=RULE)
    )
    await house.invocations.queue_for_rule(arn, b"1", RULE)
    with pytest.raises(Exception, match="does not let"):
        await house.invocations.queue_for_rule(arn, b"1", f"{RULE}-other")
    with pytest.raises(NotFound):
        await house.invocations.queue_for_rule("g", b"1", RULE)
    await house.until(lambda: house.waiting() == 0)
