"""Requests that the job service can answer at once, from what it remembers."""

import json
import weakref

from outfitter_server.gateway.jobs_wire import Filler
from outfitter_server.jobs.values import GetPending, PendingList
from outfitter_server.mqtt.packets import PubAck, Publish

JOBS = "$aws/things/dev/jobs"
NOTHING = PendingList(in_progress=(), queued=())  # what a device is told at once; asked for, it is told job-1


async def test_what_is_known_is_told_at_once_and_in_order(world):
    world.plane.remembered[GetPending("dev")] = NOTHING
    client = await world.client("dev")
    client.send(
        Publish(f"{JOBS}/get", b'{"clientToken":"a"}', 1, 1),
        Publish(f"{JOBS}/get", b"", 0),
        Publish("free", b"", 1, 2),
    )
    seen = [await client.packet() for _ in range(4)]
    assert [getattr(packet, "topic", packet) for packet in seen] == [
        PubAck(1),
        f"{JOBS}/get/accepted",
        f"{JOBS}/get/accepted",
        PubAck(2),
    ]
    assert [packet.qos for packet in seen[1:3]] == [1, 0]
    first, second = (json.loads(packet.payload) for packet in seen[1:3])
    assert (first.pop("clientToken"), first.pop("timestamp"), second.pop("timestamp")) == (
        "a",
        world.gateway.clock() // 1000,
        world.gateway.clock() // 1000,
    )
    assert first == second == {"inProgressJobs": [], "queuedJobs": []}
    assert not world.plane.requests


async def test_who_waits_for_an_earlier_answer_is_told_what_is_so_after_it(world):
    world.plane.remembered[GetPending("dev")] = NOTHING
    world.plane.held = []
    client = await world.client("dev")
    client.send(
        Publish(f"{JOBS}/job-1/update", b'{"status":"IN_PROGRESS"}', 1, 1), Publish(f"{JOBS}/get", b"", 1, 2)
    )
    assert await client.silent()
    world.plane.release()
    seen = [await client.packet() for _ in range(4)]
    assert seen[0] == PubAck(1)
    assert seen[2] == PubAck(2)
    assert [one["jobId"] for one in json.loads(seen[3].payload)["queuedJobs"]] == ["job-1"]


async def test_refused_requests_and_no_requests_are_not_asked_for(world):
    world.plane.remembered[GetPending("dev")] = NOTHING
    client = await world.client("dev")
    client.send(Publish(f"{JOBS}/get", b"[]", 1, 1), Publish(f"{JOBS}/wrong", b"", 1, 2))
    seen = [await client.packet() for _ in range(4)]
    assert [seen[1].topic, seen[3].topic] == [f"{JOBS}/get/rejected", f"{JOBS}/wrong/rejected"]
    assert [json.loads(packet.payload)["code"] for packet in seen[1::2]] == ["InvalidJson", "InvalidTopic"]


async def test_lists_are_written_anew_when_they_are_others(world):
    client = await world.client("dev")
    told = []
    for _ in range(2):
        client.send(Publish(f"{JOBS}/get", b"", 0))
        told.append(json.loads((await client.packet()).payload)["queuedJobs"])
        world.plane.remembered[GetPending("dev")] = NOTHING
    assert [len(jobs) for jobs in told] == [1, 0]


def test_what_a_connection_was_told_is_not_kept_for_it():
    fill = Filler(None, None, None)
    pending = PendingList(in_progress=(), queued=())
    assert fill.lists(pending) is fill.lists(pending)
    gone = weakref.ref(pending)
    del pending
    assert gone() is None
