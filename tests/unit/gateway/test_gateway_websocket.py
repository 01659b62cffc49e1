"""What the gateway does of its own for connections that the https door gives it; frames are that door's."""

import asyncio
from types import SimpleNamespace

import pytest
from outfitter_server.access.certificates import Status
from outfitter_server.base.refusals import Forbidden
from outfitter_server.gateway.limits import (
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    FRAMES_OF_A_PACKET,
    SHARE_PACKETS,
    STRANGERS_FEW,
    WEBSOCKET_SECONDS_MAX,
)
from outfitter_server.gateway.websocket import accept
from outfitter_server.mqtt.packets import ConnAck, Connect, Disconnect, FilterRequest, Publish, Subscribe
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.callers import Caller
from waiting import until

CALLER = Caller(account="000000000000", access_key_id="AKIA", arn="arn:aws:iam::000000000000:root")


@pytest.fixture
async def port(world):
    listener = await asyncio.get_running_loop().create_server(
        lambda: accept(world.gateway, CALLER, None), "127.0.0.1", 0
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
    assert accept(world.gateway, CALLER, None) is not None
    await world.client("the only one")
    assert accept(world.gateway, CALLER, None) is None


async def test_frames_count_against_the_share_whatever_is_in_them(world):
    connection = accept(world.gateway, CALLER, None)
    for _ in range(SHARE_PACKETS * FRAMES_OF_A_PACKET - 1):
        connection.frames_came(1)
    assert not connection.patient
    connection.frames_came(1)
    assert connection.patient
    world.gateway.second += 1
    assert not connection.patient


async def test_in_a_storm_frames_of_strangers_wait(world, port):
    connection = accept(world.gateway, CALLER, None)
    for _ in range(STRANGERS_FEW + 1):
        await world.open(port, 5)
    await until(lambda: world.gateway.strangers.many)
    assert connection.patient


@pytest.mark.parametrize("status", [Status.REVOKED, Status.INACTIVE, Status.PENDING_ACTIVATION])
async def test_a_certificate_that_may_not_connect_gets_no_upgrade(world, status):
    world.devices.add(b"active")
    world.devices.add(b"another", status=status)
    assert accept(world.gateway, None, b"active") is not None
    assert accept(world.gateway, CALLER, b"another") is not None, "a signature counts more"
    with pytest.raises(Forbidden, match=status):
        accept(world.gateway, None, b"another")
    with pytest.raises(Forbidden, match="not registered"):
        accept(world.gateway, None, b"unknown")
    assert world.gateway.meters.refused == {"NOT_AUTHORIZED": 2}


async def test_a_certificate_that_registers_itself_is_told_to_come_again(world):
    met = []
    world.gateway.provisioning = SimpleNamespace(meet=lambda der: met.append(der) or True)
    with pytest.raises(Forbidden, match="being registered"):
        accept(world.gateway, None, b"newcomer")
    assert met == [b"newcomer"]
