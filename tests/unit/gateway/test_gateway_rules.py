"""What the gateway hands to topic rules, and what a publisher waits for."""

import asyncio

from outfitter_server.mqtt.packets import FilterRequest, PubAck, Publish, SubAck, Subscribe, Will
from outfitter_server.services.messages import Published


async def test_messages_of_clients_go_to_rules_and_requests_of_jobs_do_not(world):
    client = await world.client("dev", 5)
    world.rules.active = True
    client.send(
        Publish("$aws/things/dev/jobs/get", b"{}", 1, 1),
        Publish("free/a", b"one", 1, 2),
        Publish("$aws/rules/r/x", b"two", 1, 3),
    )
    seen = [await client.packet() for _ in range(4)]
    assert [packet.packet_id for packet in seen if isinstance(packet, PubAck)] == [1, 2, 3]
    assert [(one.topic, one.payload, one.client_id) for one in world.rules.taken] == [
        ("free/a", b"one", "dev"),
        ("$aws/rules/r/x", b"two", "dev"),
    ]


async def test_nothing_is_asked_when_there_are_no_rules(world):
    client = await world.client("dev")
    client.send(Publish("free/a", b"one", 1, 2))
    assert isinstance(await client.packet(), PubAck)
    assert not world.rules.taken


async def test_the_acknowledgement_waits_for_what_must_be_on_disk_and_keeps_its_place(world):
    client = await world.client("dev")
    world.rules.active = True
    world.rules.under_way = waited = asyncio.get_running_loop().create_future()
    client.send(Publish("free/a", b"one", 1, 1))
    assert await client.silent()
    world.rules.under_way = None
    client.send(Publish("free/a", b"two", 1, 2))
    assert await client.silent()
    waited.set_result(None)
    assert [(await client.packet()).packet_id for _ in range(2)] == [1, 2]


async def test_a_connection_that_is_gone_does_not_mind_a_late_outcome(world):
    client = await world.client("dev")
    world.rules.active = True
    world.rules.under_way = waited = asyncio.get_running_loop().create_future()
    client.send(Publish("free/a", b"one", 1, 1))
    assert await client.silent()
    client.close()
    other = await world.client("dev")
    waited.set_result(None)
    assert await other.silent()


async def test_a_will_goes_to_rules_with_its_clients_id(world):
    world.rules.active = True
    watcher = await world.client("watcher")
    watcher.send(Subscribe(1, (FilterRequest("free/#", 0),)))
    assert isinstance(await watcher.packet(), SubAck)
    dying = await world.client("dev", will=Will(topic="free/gone", payload=b"bye"))
    dying.writer.transport.abort()
    assert (await watcher.packet()).payload == b"bye"
    free = [(one.topic, one.client_id) for one in world.rules.taken if one.topic.startswith("free/")]
    assert free == [("free/gone", "dev")]


async def test_what_rules_and_functions_publish_reaches_subscribers(world):
    client = await world.client("dev")
    client.send(Subscribe(1, (FilterRequest("free/#", 1),)))
    assert isinstance(await client.packet(), SubAck)
    done = world.gateway.publish(Published("free/x", b"for you", 1))
    assert done.reached == 1
    assert (await client.packet()).payload == b"for you"
    assert world.gateway.publish(Published("$aws/rules/r/x", b"not for you")).reached == 0
    assert await client.silent()
