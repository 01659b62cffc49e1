import ssl

from outfitter_server.gateway import limits, retaining
from outfitter_server.mqtt.packets import (
    Connect,
    FilterRequest,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.retained import RetainedMessages


async def retain(client, topic, payload, qos=1, **more):
    client.send(Publish(topic, payload, qos, 1 if qos else 0, retain=True, **more))
    if qos:
        assert (await client.packet()).code in {0, Reason.NO_MATCHING_SUBSCRIBERS}


async def heard(client, topic_filter, qos=1, **options):
    """Subscribe; what comes before anything else."""
    client.send(Subscribe(1, (FilterRequest(topic_filter, qos, **options),)))
    assert await client.packet() == SubAck(1, (qos,))
    client.writer.write(b"\xc0\x00")
    found = []
    while isinstance(packet := await client.packet(), Publish):
        found.append(packet)
        if packet.packet_id:
            client.send(PubAck(packet.packet_id))
    return found


async def test_a_subscriber_is_sent_the_newest_of_each_topic(world):
    mouth = await world.client("mouth", 5)
    properties = Properties(content_type="text/plain", user=(("colour", "blue"), ("colour", "red")))
    await retain(mouth, "a/1", b"old")
    await retain(mouth, "a/1", b"new", properties=properties)
    await retain(mouth, "a%2F1", b"percent")
    await retain(mouth, "b", b"zero", qos=0)
    ear = await world.client("ear", 5)
    (found,) = await heard(ear, "a/+")
    assert (found.payload, found.qos, found.retain, found.properties) == (b"new", 1, True, properties)
    assert [message.payload for message in await heard(ear, "a%2F1")] == [b"percent"]
    (zero,) = await heard(ear, "b")
    assert (zero.qos, zero.retain) == (0, True)
    assert [message.qos for message in await heard(ear, "a/1", qos=0)] == [0]


async def test_an_empty_payload_clears(world):
    mouth, ear = await world.client("mouth"), await world.client("ear")
    await retain(mouth, "a", b"x")
    assert await heard(ear, "a")
    await retain(mouth, "a", b"")
    gone = await ear.packet()
    assert (gone.payload, gone.retain) == (b"", False)
    assert not await heard(await world.client("late"), "#")
    assert not world.gateway.retained.count


async def test_retain_handling_and_retain_as_published(world):
    mouth, ear = await world.client("mouth", 5), await world.client("ear", 5)
    await retain(mouth, "a", b"x")
    assert not await heard(ear, "a", retain_handling=2)
    assert not await heard(ear, "a", retain_handling=1)
    assert len(await heard(ear, "a", retain_handling=0)) == 1
    fresh = await world.client("fresh", 5)
    assert len(await heard(fresh, "a", retain_handling=1, retain_as_published=True)) == 1
    await retain(mouth, "a", b"y")
    flags = {}
    for name, client in (("ear", ear), ("fresh", fresh)):
        flags[name] = (await client.packet()).retain
    assert flags == {"ear": False, "fresh": True}


async def test_an_expired_message_is_gone_and_others_count_down(world):
    mouth = await world.client("mouth", 5)
    now = [7_000]
    world.gateway.retained._clock = world.gateway.clock = lambda: now[0]
    await retain(mouth, "a", b"x", properties=Properties(message_expiry_seconds=10))
    now[0] += 4_000
    ear = await world.client("ear", 5)
    (found,) = await heard(ear, "a")
    assert found.properties.message_expiry_seconds == 6
    now[0] += 6_000
    assert not await heard(ear, "a")
    assert world.gateway.retained.count == 1
    world.gateway.pass_to((world.gateway.second // 5 + 1) * 5)
    assert world.gateway.retained.count == 0


async def test_more_than_a_window_comes_as_the_window_opens(world):
    mouth = await world.client("mouth")
    for number in range(250):
        await retain(mouth, f"a/{number}", b"x")
    ear = await world.client("ear", 5, properties=Properties(receive_maximum=3))
    ear.send(Subscribe(1, (FilterRequest("a/#", 1),)))
    await ear.packet()
    topics = set()
    for _ in range(250):
        message = await ear.packet()
        topics.add(message.topic)
        ear.send(PubAck(message.packet_id))
    assert len(topics) == 250
    assert await ear.silent()
    zero = await world.client("zero")
    zero.send(Subscribe(1, (FilterRequest("a/#", 0),)))
    await zero.packet()
    assert len({(await zero.packet()).topic for _ in range(250)}) == 250


async def test_a_lost_connection_keeps_what_was_not_sent_in_its_session(world):
    mouth = await world.client("mouth")
    for number in range(5):
        await retain(mouth, f"a/{number}", b"x")
    keep = {"clean_start": False, "properties": Properties(session_expiry_seconds=60, receive_maximum=1)}
    ear = await world.client("ear", 5, **keep)
    ear.send(Subscribe(1, (FilterRequest("a/#", 1),)))
    await ear.packet()
    topics = {(await ear.packet()).topic}
    ear.close()
    ear = await world.client("ear", 5, **keep)
    assert ear.connack.session_present
    ear.send(PubAck(1))
    for _ in range(4):
        message = await ear.packet()
        topics.add(message.topic)
        ear.send(PubAck(message.packet_id))
    assert len(topics) == 5


async def test_there_is_room_for_so_many(world):
    world.gateway.retained = RetainedMessages(world.gateway.clock, messages_max=2, bytes_max=1_000)
    mouth, ear = await world.client("mouth", 5), await world.client("ear")
    await heard(ear, "#")
    for name in ("a", "b"):
        await retain(mouth, name, b"1")
        assert (await ear.packet()).payload == b"1"
    mouth.send(Publish("c", b"2", 1, 9, retain=True))
    assert await mouth.packet() == PubAck(9, Reason.QUOTA_EXCEEDED)
    assert (await ear.packet()).payload == b"2"
    mouth.send(Publish("a", b"x" * 2_000, 1, 9, retain=True))
    assert await mouth.packet() == PubAck(9, Reason.QUOTA_EXCEEDED)
    properties = Properties(
        user=(("k", "v" * 10),) * 50
    )  # a payload no larger than before, and far more to keep
    mouth.send(Publish("a", b"3", 1, 10, retain=True, properties=properties))
    assert await mouth.packet() == PubAck(10, Reason.QUOTA_EXCEEDED)
    assert {m.payload for m in await heard(await world.client("late"), "#")} == {b"1"}


async def test_a_will_is_retained(world):
    will = Will(topic="wills", payload=b"gone", qos=1, retain=True)
    dev = await world.client("dev", will=will)
    ear = await world.client("ear")
    assert not await heard(ear, "wills")
    dev.close()
    assert (await ear.packet()).payload == b"gone"
    (found,) = await heard(await world.client("late"), "wills")
    assert found.retain


async def test_retaining_needs_a_permission_of_its_own(tls_world, pki):
    certificate, key, der = pki.device("dev")
    tls_world.devices.add(der, "dev")
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    client = await tls_world.open(tls_world.tls_port, 5, ssl=context, server_hostname="localhost")
    client.send(Connect(version=5, client_id="dev"))
    assert (await client.packet()).code == 0
    client.send(Publish("free/a", b"x", 1, 1, retain=True))
    assert await client.packet() == PubAck(1, Reason.NOT_AUTHORIZED)
    client.send(Publish("free/a", b"x", 1, 2))
    assert await client.packet() == PubAck(2, Reason.NO_MATCHING_SUBSCRIBERS)
    assert not tls_world.gateway.retained.count


KEEP = {"clean_start": False, "properties": Properties(session_expiry_seconds=60, receive_maximum=1)}


async def test_what_is_retained_for_a_filter_stops_with_the_filter(world):
    mouth = await world.client("mouth")
    for number in range(5):
        await retain(mouth, f"a/{number}", b"x")
    await retain(mouth, "b", b"x")
    ear = await world.client("ear", 5, **KEEP)
    ear.send(Subscribe(1, (FilterRequest("a/#", 1), FilterRequest("b", 1))))
    await ear.packet()
    first = await ear.packet()
    ear.send(Unsubscribe(2, ("a/#",)), PubAck(first.packet_id))
    assert await ear.packet() == UnsubAck(2, (0,))
    other = await ear.packet()
    assert other.topic == "b"
    ear.send(PubAck(other.packet_id))
    assert await ear.silent()
    ear.send(Subscribe(3, (FilterRequest("a/#", 1),)))
    await ear.packet()
    last = await ear.packet()
    ear.send(Unsubscribe(4, ("a/#",)))
    await ear.packet()
    ear.close()
    ear = await world.client("ear", 5, **KEEP)
    ear.send(PubAck(last.packet_id))
    assert await ear.silent()


async def test_the_end_of_a_connection_looks_at_a_few_topics_and_the_rest_follows(world):
    mouth = await world.client("mouth")
    for number in range(3_000):
        await retain(mouth, f"a/{number}", b"x", qos=0)
        if number % 2:
            await retain(mouth, f"a/{number}", b"x")
    ear = await world.client("ear", 5, **KEEP)
    ear.send(Subscribe(1, (FilterRequest("a/#", 1),)))
    await ear.packet()
    await ear.packet()
    session = world.gateway.broker.sessions["ear"]
    world.gateway._connections["ear"].close()
    assert session.queued <= limits.RETAINED_STEPS_AT_ONCE / 10
    while world.gateway.leftovers:
        await mouth.silent()
    assert session.queued == limits.QUEUE_MESSAGES_MAX


async def test_who_comes_back_at_once_gets_the_rest(world):
    mouth = await world.client("mouth")
    for number in range(300):
        await retain(mouth, f"a/{number}", b"x")
    ear = await world.client("ear", 5, **KEEP)
    ear.send(Subscribe(1, (FilterRequest("a/#", 1),)))
    await ear.packet()
    await ear.packet()
    ear = await world.client("ear", 5, **KEEP)
    assert world.gateway.broker.sessions["ear"].queued < 200
    ear.send(PubAck(1))
    topics = set()
    while len(topics) < 299:
        message = await ear.packet()
        topics.add(message.topic)
        ear.send(PubAck(message.packet_id))
    assert await ear.silent()


async def test_so_many_are_followed_and_none_whose_session_is_over(world, monkeypatch):
    monkeypatch.setattr(retaining, "RETAINED_LEFT_MAX", 2)
    mouth = await world.client("mouth")
    for number in range(300):
        await retain(mouth, f"a/{number}", b"x")
    for name in "abcd":
        ear = await world.client(name, 5, **KEEP)
        ear.send(Subscribe(1, (FilterRequest("a/#", 1),)))
        await ear.packet()
    sessions = dict(world.gateway.broker.sessions)
    for name in "abcd":
        world.gateway._connections[name].close()
    assert len(world.gateway.leftovers) == 2
    world.gateway.discard(sessions["d"])
    assert len(world.gateway.leftovers) == 1
    while world.gateway.leftovers:
        await mouth.silent()
    assert [sessions[name].queued for name in "cd"] == [299, 0]
    assert max(sessions[name].queued for name in "ab") < 100
