"""kill -9 of the server amid rollouts to thousands of things: whatever it had answered is there afterwards."""

import asyncio
import collections
import json
import ssl
import types
import urllib.request

import pytest
from outfitter_fleet.load import packets
from outfitter_fleet.load.provision import Api, create_members

THINGS = [f"thing-{number:04}" for number in range(3_000)]
REPORTING = THINGS[::50]
SECONDS = 40


class Reporter(asyncio.Protocol):
    """A device that succeeds at every job, and notes what the server has acknowledged."""

    def __init__(self, thing, ledger):
        self.thing = thing
        self.ledger = ledger
        self.prefix = f"$aws/things/{thing}/jobs/"
        self.left = b""
        self.number = 0
        self.busy = False

    def connection_made(self, transport):
        self.transport = transport
        transport.write(packets.connect(self.thing))

    def connection_lost(self, exc):
        self.ledger.lost += 1

    def data_received(self, data):
        found, self.left = packets.split(self.left + data)
        for first, body in found:
            kind = first & 0xF0
            if kind == packets.CONNACK:
                self.transport.write(packets.subscribe(1, f"{self.prefix}notify-next"))
            elif kind == packets.SUBACK:
                # Asking counts as busy: a notification that crosses the question must not ask a second time.
                self.busy = True
                self.publish("start-next", {})
            elif kind == packets.PUBLISH:
                topic, packet_id, payload = packets.published(first, body)
                if packet_id:
                    self.transport.write(packets.puback(packet_id))
                self.told(topic.decode().removeprefix(self.prefix), json.loads(payload))

    def told(self, topic, body):
        execution = body.get("execution")
        if topic == "start-next/accepted":
            self.busy = execution is not None
            if self.busy:
                report = {"status": "SUCCEEDED", "expectedVersion": execution["versionNumber"]}
                self.publish(f"{execution['jobId']}/update", report)
        elif topic.endswith("/update/accepted"):
            self.ledger.note(self.thing, topic.partition("/")[0])
            self.publish("start-next", {})
        elif topic == "notify-next":
            if execution is not None and not self.busy:
                self.busy = True
                self.publish("start-next", {})
        else:
            self.ledger.surprises.append((self.thing, topic, body))

    def publish(self, name, body):
        self.number = self.number % 0xFFFF + 1
        self.transport.write(packets.publish(self.number, self.prefix + name, json.dumps(body).encode()))


class Ledger:
    """What the server has said to have taken in."""

    def __init__(self):
        self.acknowledged = set()
        self.surprises = []
        self.lost = 0
        self.awaited = None

    def note(self, thing, job):
        self.acknowledged.add((thing, job))
        if self.awaited is not None and len(self.acknowledged) >= self.awaited[0]:
            self.awaited[1].set()

    async def reach(self, number):
        """Wait until so many reports have been acknowledged."""
        event = asyncio.Event()
        self.awaited = (number, event)
        if len(self.acknowledged) < number:
            await asyncio.wait_for(event.wait(), SECONDS)


async def connect(server, ledger):
    loop = asyncio.get_running_loop()
    where = ("127.0.0.1", server.port("mqtt"))
    return [(await loop.create_connection(lambda t=t: Reporter(t, ledger), *where))[0] for t in REPORTING]


@pytest.fixture
def fleet(own_server, make_fleet, tmp_path):
    made = make_fleet(own_server, tmp_path)
    yield made
    made.close()


def executions(fleet, job):
    """The number of executions in each status, one by one, named as jobProcessDetails names them."""
    pages = fleet.iot.get_paginator("list_job_executions_for_job").paginate(jobId=job)
    statuses = [
        entry["jobExecutionSummary"]["status"] for page in pages for entry in page["executionSummaries"]
    ]
    return {status.title().replace("_", ""): count for status, count in collections.Counter(statuses).items()}


def succeeded(fleet, job):
    """The things that have succeeded at a job."""
    pages = fleet.iot.get_paginator("list_job_executions_for_job").paginate(jobId=job, status="SUCCEEDED")
    return [entry["thingArn"].rpartition("/")[2] for page in pages for entry in page["executionSummaries"]]


async def test_nothing_acknowledged_is_lost_and_every_rollout_completes(
    own_server, fleet, make_link, eventually
):
    ledger = Ledger()
    keeper_thing = fleet.thing()
    where = types.SimpleNamespace(
        url=own_server.http, access_key_id=own_server.access_key, secret_access_key=own_server.secret_key
    )
    group = fleet.group()
    async with Api(where) as api:
        await create_members(api, group, THINGS)
    keeper = fleet.device(keeper_thing, make_link(4, False), clean=False)
    keeper.subscribe("notify-next")

    jobs = []
    for round_number in range(2):
        transports = await connect(own_server, ledger)
        expected = len(ledger.acknowledged) + len(REPORTING) // 2
        jobs.append(await asyncio.to_thread(fleet.job, group))
        await ledger.reach(expected)
        # Two more rollouts have begun, their first thousand is queued and the rest is not, when the process dies.
        jobs += [await asyncio.to_thread(fleet.job, group) for _ in range(2)]
        own_server.kill()
        assert keeper.closed.wait(SECONDS)
        for transport in transports:
            transport.abort()
        own_server.start()

        for thing, job in sorted(ledger.acknowledged):
            execution = fleet.execution(thing, job)
            assert (execution["status"], execution["versionNumber"]) == ("SUCCEEDED", 3), round_number
        keeper.connect(clean=False)
        assert keeper.session_present is True
        for job in jobs:
            eventually(lambda job=job: sum(fleet.counts(job).values()) == len(THINGS))

    # A report may have been committed and its answer killed on the way: taken in, though nobody was told.
    for job in jobs:
        ledger.acknowledged |= {(thing, job) for thing in succeeded(fleet, job)}
    transports = await connect(own_server, ledger)
    await ledger.reach(len(REPORTING) * len(jobs))
    for transport in transports:
        transport.abort()
    for job in jobs:
        described = fleet.iot.describe_job(jobId=job)["job"]
        assert described["status"] == "IN_PROGRESS"
        assert "processingTargets" not in described["jobProcessDetails"]
        waiting = len(THINGS) - len(REPORTING)
        assert fleet.counts(job) == executions(fleet, job) == {"Succeeded": len(REPORTING), "Queued": waiting}
    # Cancellations and deletions of thousands go on after a kill as well.
    for job in jobs:
        fleet.iot.cancel_job(jobId=job)
    own_server.kill()
    own_server.start()
    ended = {"Succeeded": len(REPORTING), "Canceled": waiting}
    for job in jobs:
        eventually(lambda job=job: fleet.counts(job) == ended)
        assert executions(fleet, job) == ended
        assert fleet.status(job) == "CANCELED"
        fleet.iot.delete_job(jobId=job)
    own_server.kill()
    own_server.start()
    eventually(lambda: fleet.iot.list_jobs()["jobs"] == [])
    assert fleet.iot.list_job_executions_for_thing(thingName=THINGS[0])["executionSummaries"] == []
    assert ledger.surprises == []


def test_a_rollout_that_died_with_its_server_goes_on_without_being_asked(own_server, fleet):
    things = [fleet.thing() for _ in range(5)]
    job = fleet.job(fleet.group(*things))
    fleet.data.start_next_pending_job_execution(thingName=things[0])
    before = fleet.execution(things[0], job)
    own_server.kill()
    own_server.start()
    assert fleet.execution(things[0], job) == before
    for thing in things:
        fleet.data.update_job_execution(jobId=job, thingName=thing, status="SUCCEEDED")
    assert (fleet.status(job), fleet.counts(job)) == ("COMPLETED", {"Succeeded": 5})


def test_identities_objects_and_policies_outlive_the_process(own_server, fleet, make_link):
    thing = fleet.thing()
    device = fleet.device(thing, make_link(5, True))
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="images")
    s3.put_object(Bucket="images", Key="a/b", Body=b"content", Metadata={"version": "1.0"})
    ca = own_server.ca.read_bytes()
    own_server.kill()
    own_server.start()
    assert own_server.ca.read_bytes() == ca
    assert device.closed.wait(SECONDS)
    device.connect()
    job = fleet.job(thing)
    assert device.ask("start-next")["execution"]["jobId"] == job
    stored = s3.get_object(Bucket="images", Key="a/b")
    assert (stored["Body"].read(), stored["Metadata"]) == (b"content", {"version": "1.0"})


def test_a_server_that_is_asked_to_stop_answers_what_it_has_taken_in(own_server, fleet, make_link):
    thing = fleet.thing()
    job = fleet.job(thing)
    device = fleet.device(thing, make_link(5, False))
    device.ask(f"{job}/update", {"status": "SUCCEEDED"})
    assert own_server.stop() == 0
    assert device.closed.wait(SECONDS)
    own_server.start()
    assert fleet.status(job) == "COMPLETED"


@pytest.fixture
def timed_fleet(timed_server, make_fleet, tmp_path):
    made = make_fleet(timed_server, tmp_path)
    yield made
    made.close()


def test_what_became_due_meanwhile_is_told_with_urls_that_lead_to_the_store(
    timed_server, timed_fleet, make_link, monkeypatch
):
    fleet = timed_fleet
    files = timed_server.client("s3")
    files.create_bucket(Bucket="images")
    files.put_object(Bucket="images", Key="a", Body=b"image")
    thing = fleet.thing()
    first = fleet.job(thing, timeoutConfig={"inProgressTimeoutInMinutes": 1})
    fleet.data.start_next_pending_job_execution(thingName=thing)
    second = fleet.job(
        thing,
        document={"url": "${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/images/a}"},
        presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/r"},
    )
    device = fleet.device(thing, make_link(4, False), clean=False)
    device.subscribe(f"$aws/things/{thing}/jobs/#")
    device.disconnect()
    timed_server.stop()
    monkeypatch.setenv("AHEAD_SECONDS", "120")
    timed_server.start()
    assert fleet.execution(thing, first)["status"] == "TIMED_OUT"
    device.connect(clean=False)
    device.take_named("notify")
    told = device.take_named("notify-next")["execution"]
    assert told["jobId"] == second
    trusting = ssl.create_default_context(cafile=str(timed_server.ca))
    with urllib.request.urlopen(told["jobDocument"]["url"], context=trusting) as answer:
        assert answer.read() == b"image"
