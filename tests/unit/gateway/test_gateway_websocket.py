"""What the gateway does of its own for connections that the https door gives it; frames are that door's."""

import asyncio

import pytest
from outfitter_server.gateway.limits import CLOSE_SECONDS, CONNECT_SECONDS, WEBSOCKET_SECONDS_MAX
from outfitter_server.gateway.websocket import accept
from outfitter_server.mqtt.packets import ConnAck, Connect, Disconnect, FilterRequest, Publish, Subscribe
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.callers import Caller

CALLER = Caller(account="000000000000", access_key_id="AKIA", arn="arn:aws:iam::000000000000:root")


@pytest.fixture
async def port(world):
    listener = await asyncio.get_running_loop().create_server(
        lambda: accept(world.gateway, CALLER), "127.0.0.1", 0
    )
    yield listener.sockets[0].getsockname()[1]
    listener.close()


async def signed(world, port, client_id="operator"):
    client = await world.open(port, 5)
    client.send(Connect(version=5, client_id=client_id, keep_alive_seconds=1_200))
    client.connack = await client.packet()
    return client


def to_its_turn(gateway, second):
    """Time passes, and each connection is looked after once."""
    for each in range(second, second + 5):
        gateway.pass_to(each)


async def test_a_caller_is_nobodys_thing_and_may_what_is_not_the_services(world, port):
    client = await signed(world, port)
    assert client.connack.code == 0
    client.send(Subscribe(1, (FilterRequest("$aws/things/any/jobs/notify", 1), FilterRequest("$SYS/x", 1))))
    assert (await client.packet()).codes == (1, Reason.TOPIC_FILTER_INVALID)
    client.send(Publish(topic="$aws/things/operator/jobs/nonsense", payload=b"", qos=1, packet_id=2))
    assert (await client.packet()).code == Reason.TOPIC_NAME_INVALID


async def test_who_says_nothing_after_the_upgrade_is_closed(world, port):
    client = await world.open(port, 5)
    client.writer.write(b"\x10")
    await client.writer.drain()
    other = await signed(world, port)
    began = world.gateway.second
    to_its_turn(world.gateway, began + CONNECT_SECONDS - 5)
    assert await other.silent()
    to_its_turn(world.gateway, began + CONNECT_SECONDS + CLOSE_SECONDS)
    assert await client.ended()
    assert await other.silent()


async def test_a_connection_ends_after_a_day_in_awss_words(world, port):
    left = []
    world.gateway._live.listen(lambda client, reason: left.append((client, reason)))
    client = await signed(world, port)
    assert isinstance(client.connack, ConnAck)
    began = world.gateway.second
    connection = world.gateway._connections["operator"]
    connection.heard_at = began + WEBSOCKET_SECONDS_MAX - 1
    connection.check(began + WEBSOCKET_SECONDS_MAX - 1)
    assert await client.silent()
    connection.check(began + WEBSOCKET_SECONDS_MAX)
    assert await client.packet() == Disconnect(Reason.MAXIMUM_CONNECT_TIME)
    assert await client.ended()
    assert ("operator", "WEBSOCKET_TTL_EXPIRATION") in left


async def test_there_is_no_room_where_the_listeners_have_none(world):
    world.gateway._connections_max = 1
    assert accept(world.gateway, CALLER) is not None
    await world.client("the only one")
    assert accept(world.gateway, CALLER) is None
