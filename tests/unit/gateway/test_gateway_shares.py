import ssl

import pytest
from outfitter_server.mqtt.packets import (
    Connect,
    Disconnect,
    FilterRequest,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Unsubscribe,
)
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.mqtt.sessions import EXPIRY_NEVER


async def member(world, name, topic_filter="$share/g/work/#", qos=1, version=5, **connect):
    client = await world.client(name, version, **connect)
    client.send(Subscribe(1, (FilterRequest(topic_filter, qos),)))
    assert await client.packet() == SubAck(1, (qos,))
    return client


async def say(mouth, number, topic="work/1", qos=1):
    mouth.send(Publish(topic, b"%d" % number, qos, number if qos else 0))
    if qos:
        assert (await mouth.packet()).packet_id == number


async def taken(client):
    """Everything that came, acknowledged."""
    client.writer.write(b"\xc0\x00")
    found = []
    while isinstance(packet := await client.packet(), Publish):
        found.append(int(packet.payload))
        if packet.packet_id:
            client.send(PubAck(packet.packet_id))
    return found


@pytest.mark.parametrize("version", [4, 5])
async def test_members_take_turns_and_other_subscribers_get_everything(world, version):
    mouth = await world.client("mouth", version)
    members = [await member(world, name, version=version) for name in "abc"]
    other = await member(world, "other", "$share/h/work/1", version=version)
    alone = await member(world, "alone", "work/#", version=version)
    for number in range(1, 10):
        await say(mouth, number)
    assert [await taken(each) for each in members] == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]
    assert await taken(other) == await taken(alone) == list(range(1, 10))


async def test_who_is_full_or_gone_is_passed_over(world):
    mouth = await world.client("mouth")
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=EXPIRY_NEVER)}
    full = await member(world, "full", properties=Properties(receive_maximum=1))
    gone = await member(world, "gone", **keep)
    free = await member(world, "free")
    gone.close()
    while "gone" in world.gateway._connections:
        await free.silent()
    for number in range(1, 7):
        await say(mouth, number)
    assert await taken(free) == [2, 3, 4, 5, 6]
    assert (await full.packet()).payload == b"1"


async def test_nobody_there_makes_one_of_those_who_are_away_keep_it(world):
    mouth = await world.client("mouth", 5)
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=100)}
    for name in "ab":
        client = await member(world, name, **keep)
        client.close()
        while name in world.gateway._connections:
            await mouth.silent()
    for number in range(1, 5):
        await say(mouth, number)
    await say(mouth, 9, qos=0)
    found = [await taken(await world.client(name, 5, **keep)) for name in "ab"]
    assert found == [[1, 3], [2, 4]]


async def test_leaving(world):
    mouth = await world.client("mouth", 5)
    a, b = await member(world, "a"), await member(world, "b")
    a.send(Unsubscribe(2, ("$share/g/work/#", "$share/g/none")))
    assert (await a.packet()).codes == (0, Reason.NO_SUBSCRIPTION_EXISTED)
    for number in (1, 2):
        await say(mouth, number)
    assert (await taken(a), await taken(b)) == ([], [1, 2])
    b.close()
    while "b" in world.gateway.broker.sessions:
        await mouth.silent()
    mouth.send(Publish("work/1", b"3", 1, 3))
    assert await mouth.packet() == PubAck(3, Reason.NO_MATCHING_SUBSCRIBERS)
    assert not world.gateway.broker._shares


async def test_what_is_retained_is_not_shared_and_no_local_is_refused(world):
    mouth = await world.client("mouth", 5)
    mouth.send(Publish("work/1", b"1", 1, 1, retain=True))
    await mouth.packet()
    assert await taken(await member(world, "a")) == []
    mouth.send(Subscribe(2, (FilterRequest("$share/g/work", 1, no_local=True),)))
    assert await mouth.packet() == Disconnect(Reason.PROTOCOL_ERROR)


async def test_policies_decide_about_the_filter_that_is_shared(tls_world, pki):
    certificate, key, der = pki.device("dev")
    tls_world.devices.add(der, "dev")
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    client = await tls_world.open(tls_world.tls_port, 5, ssl=context, server_hostname="localhost")
    client.send(Connect(version=5, client_id="dev"))
    await client.packet()
    client.send(Subscribe(1, (FilterRequest("$share/g/free/a", 1), FilterRequest("$share/g/other/a", 1))))
    assert await client.packet() == SubAck(1, (1, Reason.NOT_AUTHORIZED))


async def test_however_many_are_away_those_who_are_there_are_served(world):
    mouth = await world.client("mouth")
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=EXPIRY_NEVER)}
    for number in range(70):
        (await member(world, f"gone-{number}", **keep)).close()
    there = await member(world, "there", properties=Properties(receive_maximum=1))
    while len(world.gateway._connections) > 2:
        await there.silent()
    for number in range(1, 6):
        await say(mouth, number, qos=0)
    assert await mouth.silent()
    assert await taken(there) == [1, 2, 3, 4, 5]
    for number in range(1, 6):
        await say(mouth, number)
    found = []
    while len(found) < 5:
        found += await taken(there)
    assert found == [1, 2, 3, 4, 5]


async def test_who_comes_back_is_served_again_and_who_leaves_is_not(world):
    mouth = await world.client("mouth", 5)
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=100)}
    a, b = await member(world, "a", **keep), await member(world, "b", **keep)
    a.close()
    while "a" in world.gateway._connections:
        await mouth.silent()
    await say(mouth, 1)
    assert await taken(b) == [1]
    a = await world.client("a", 5, **keep)
    b.close()
    while "b" in world.gateway._connections:
        await mouth.silent()
    await say(mouth, 2)
    await say(mouth, 3)
    assert await taken(a) == [2, 3]


async def test_members_that_may_not_be_told_are_passed_over_in_the_end(world):
    mouth = await world.client("mouth")
    for number in range(70):
        await member(world, f"deaf-{number}")
        world.gateway._connections[f"deaf-{number}"].permit = Deaf()
    there = await member(world, "there")
    for number in range(1, 5):
        await say(mouth, number)
    assert await taken(there) == [2, 4]


class Deaf:
    def allows(self, action, resource):
        return False
