"""A storm of comers and goers: told as fast as listeners read, bounded, and not at all when nobody listens."""

import asyncio

import msgspec
import pytest
from outfitter_server.gateway import presence
from outfitter_server.mqtt.packets import FilterRequest, PubAck, Publish, SubAck, Subscribe
from outfitter_server.mqtt.sessions import Session

STORM = 3_000


async def listener(world, name, qos):
    ear = await world.client(name)
    ear.send(Subscribe(1, (FilterRequest("$aws/events/presence/#", qos),)))
    assert isinstance(await ear.packet(), SubAck)
    return ear


def storm(world, count):
    """So many clients leave in one turn of the loop."""
    connection = next(iter(world.gateway.broker.online.values()))
    for number in range(count):
        session = Session(f"c{number}", presence_bounds(world), world.gateway.broker.queues)
        world.gateway.presence.left(connection, session)


def presence_bounds(world):
    return next(iter(world.gateway.broker.sessions.values()))._bounds


async def test_a_listener_that_reads_is_told_of_everyone_in_order(world):
    ear = await listener(world, "ear", 1)
    storm(world, STORM)
    names = []
    while len(names) < STORM:
        packet = await ear.packet()
        assert isinstance(packet, Publish)
        ear.send(PubAck(packet.packet_id))
        names.append(msgspec.json.decode(packet.payload)["clientId"])
    assert names == [f"c{number}" for number in range(STORM)]
    assert not world.gateway.meters.dropped


async def test_others_are_served_between(world):
    await listener(world, "ear", 0)
    other = await world.client("other")
    storm(world, STORM)
    assert await other.silent()  # an answer to a ping
    assert world.gateway.presence._events


async def test_what_waits_is_bounded_and_the_oldest_goes(world, monkeypatch):
    monkeypatch.setattr(presence, "EVENTS_MAX", 100)
    ear = await listener(world, "ear", 0)
    storm(world, 250)
    first = await ear.packet()
    assert msgspec.json.decode(first.payload)["clientId"] == "c150"
    assert world.gateway.meters.dropped["events"] == 150


@pytest.mark.parametrize("stopped", [False, True])
async def test_nothing_is_made_when_nobody_listens(world, stopped):
    if stopped:
        await listener(world, "ear", 1)
        world.gateway.presence.close()
    else:
        await world.client("somebody")
    storm(world, 10)
    await asyncio.sleep(0)
    assert not world.gateway.presence._events
    assert not world.gateway.meters.events
