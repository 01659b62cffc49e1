"""What MQTT demands of a server about messages and subscriptions, by raw packets on a socket."""

import asyncio

import pytest
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import (
    Connect,
    Disconnect,
    FilterRequest,
    PingReq,
    PingResp,
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

VERSIONS = pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
KEPT = {"clean_start": False, "properties": Properties(session_expiry_seconds=1_000)}


async def subscribed(client, *filters, qos=1, **options):
    client.send(Subscribe(1, tuple(FilterRequest(name, qos, **options) for name in filters)))
    assert await client.packet() == SubAck(1, (min(qos, 1),) * len(filters))
    return client


async def left(world, client, name):
    """Break the connection, and wait until the gateway noticed."""
    client.close()
    while name in world.gateway._connections:  # noqa: ASYNC110 - a turn of the loop or two
        await asyncio.sleep(0.001)


def pass_seconds(world, count):
    """Every one of them, so that each connection is looked at."""
    start = world.gateway.second
    for second in range(start + 1, start + count + 1):
        world.gateway.pass_to(second)


async def say(client, topic, payload=b"x", number=1, **more):
    client.send(Publish(topic, payload, 1, number, **more))
    answer = await client.packet()
    assert answer.packet_id == number
    return answer


async def taken(client):
    """Everything that came, acknowledged."""
    client.writer.write(b"\xc0\x00")
    found = []
    while isinstance(packet := await client.packet(), Publish):
        found.append(packet)
        if packet.packet_id:
            client.send(PubAck(packet.packet_id))
    return found


async def closed(client, version, *reasons):
    """The connection ends; in MQTT 5 after a DISCONNECT with one of these reasons."""
    if version == 5:
        packet = await client.packet()
        assert type(packet) is Disconnect
        assert packet.code in reasons
    assert await client.ended()


# The form of packets


@VERSIONS
@pytest.mark.parametrize(
    "data",
    [
        b"\x41\x02\x00\x01",
        b"\x80\x06\x00\x01\x00\x01a\x00",
        b"\x8a\x06\x00\x01\x00\x01a\x00",
        b"\xa0\x05\x00\x01\x00\x01a",
        b"\xa6\x05\x00\x01\x00\x01a",
        b"\xc1\x00",
        b"\xe2\x00",
        b"\xf1\x00",
        b"\x60\x02\x00\x01",
        b"\x11\x00",
    ],
    ids=lambda data: f"{data[0]:#x}",
)
async def test_flags_that_are_reserved_end_the_connection(world, version, data):
    client = await world.client("dev", version)
    client.writer.write(data)
    await closed(client, version, Reason.MALFORMED_PACKET)


BAD_TEXTS = {
    "surrogate": b"a\xed\xa0\x80",
    "no UTF-8": b"a\xff",
    "too long a form": b"\xc0\x80",
    "U+0000": b"a\0",
}


def text(value):
    return len(value).to_bytes(2, "big") + value


def frame(head, *parts):
    body = b"".join(parts)
    return bytes((head, len(body))) + body


def block(version, *parts):
    """A property block, which MQTT 3.1.1 has not."""
    body = b"".join(parts)
    return bytes((len(body),)) + body if version == 5 else b""


def hello(version, client_id, flags, *fields):
    head = b"\0\4MQTT" + bytes((version, 0x02 | flags)) + b"\0\x3c" + block(version)
    return frame(0x10, head, text(client_id), *fields)


PLACES = {
    "client id": (True, lambda version, bad: hello(version, bad, 0)),
    "will topic": (True, lambda version, bad: hello(version, b"a", 4, block(version), text(bad), text(b""))),
    "user name": (True, lambda version, bad: hello(version, b"a", 0x80, text(bad))),
    "topic": (False, lambda version, bad: frame(0x30, text(bad), block(version))),
    "filter": (False, lambda version, bad: frame(0x82, b"\0\1", block(version), text(bad), b"\0")),
    "filter to take back": (False, lambda version, bad: frame(0xA2, b"\0\1", block(version), text(bad))),
}


@VERSIONS
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", BAD_TEXTS)
async def test_texts_that_are_not_utf_8_or_hold_a_null_end_the_connection(world, version, place, kind):
    first, make = PLACES[place]
    client = await world.open(world.port, version)
    if not first:
        client.send(Connect(version=version, client_id="dev"))
        assert (await client.packet()).code == 0
    client.writer.write(make(version, BAD_TEXTS[kind]))
    if first and version == 5:
        assert (await client.packet()).code == Reason.MALFORMED_PACKET
        assert await client.ended()
    elif first:
        assert await client.ended()
    else:
        await closed(client, version, Reason.MALFORMED_PACKET)


@pytest.mark.parametrize("kind", BAD_TEXTS)
@pytest.mark.parametrize(
    "number", [b"\x03", b"\x08", b"\x26name", b"\x26"], ids=["type", "response", "value", "key"]
)
async def test_texts_of_properties_are_utf_8(world, kind, number):
    pair = text(number[1:]) if len(number) > 1 else b""
    bad = number[:1] + pair + text(BAD_TEXTS[kind]) + (text(b"v") if number == b"\x26" else b"")
    client = await world.client("dev", 5)
    client.writer.write(frame(0x30, text(b"a"), block(5, bad)))
    await closed(client, 5, Reason.MALFORMED_PACKET)


@VERSIONS
async def test_a_mark_of_byte_order_is_a_character_like_any_other(world, version):
    ear = await subscribed(await world.client("ear", version), "\ufeffa")
    mouth = await world.client("mouth", version)
    await say(mouth, "a")
    await say(mouth, "\ufeffa", number=2)
    assert [message.topic for message in await taken(ear)] == ["\ufeffa"]


async def test_packets_without_properties_say_so(world):
    client = await world.client("dev", 5)
    client.send(Subscribe(5, (FilterRequest("a"),)), Unsubscribe(6, ("b",)), Publish("a", b"x"))
    assert await client.reader.readexactly(6) == b"\x90\x04\x00\x05\x00\x00"
    assert await client.reader.readexactly(6) == b"\xb0\x04\x00\x06\x00\x11"
    assert await client.reader.readexactly(7) == b"\x30\x05\x00\x01a\x00x"


@VERSIONS
async def test_a_packet_identifier_of_0_ends_the_connection(world, version):
    for data in (
        frame(0x32, text(b"a"), b"\0\0", block(version)),
        frame(0x82, b"\0\0", block(version), text(b"a"), b"\0"),
        frame(0xA2, b"\0\0", block(version), text(b"a")),
    ):
        client = await world.client("dev", version)
        client.writer.write(data)
        await closed(client, version, Reason.PROTOCOL_ERROR)


@VERSIONS
async def test_answers_have_the_identifier_of_what_they_answer(world, version):
    client = await world.client("dev", version)
    for number in (1, 7, 0x1234, 0xFFFF):
        assert (await say(client, "a", number=number)).packet_id == number
        client.send(Subscribe(number, (FilterRequest("b"),)), Unsubscribe(number, ("b", "c")))
        assert (await client.packet()).packet_id == number
        answer = await client.packet()
        assert (type(answer), answer.packet_id) == (UnsubAck, number)
        client.send(PingReq())
        assert await client.packet() == PingResp()


@VERSIONS
async def test_qos_2_is_refused(world, version):
    for data in (
        frame(0x34, text(b"a"), b"\0\1", block(version)),
        frame(0x50, b"\0\1"),
        frame(0x62, b"\0\1"),
        frame(0x70, b"\0\1"),
    ):
        client = await world.client("dev", version)
        client.writer.write(data)
        await closed(client, version, Reason.QOS_NOT_SUPPORTED, Reason.PROTOCOL_ERROR)
    client = await world.client("dev", version)
    client.writer.write(frame(0x36, text(b"a"), b"\0\1", block(version)))
    await closed(client, version, Reason.MALFORMED_PACKET)


# Messages


@VERSIONS
async def test_the_duplicate_flag_of_a_publisher_goes_no_further(world, version):
    ear = await subscribed(await world.client("ear", version), "a")
    mouth = await world.client("mouth", version)
    await say(mouth, "a", b"1", dup=True)
    mouth.send(Publish("a", b"2"))
    assert await mouth.silent()
    assert [(message.payload, message.qos, message.dup) for message in await taken(ear)] == [
        (b"1", 1, False),
        (b"2", 0, False),
    ]


@VERSIONS
async def test_an_identifier_that_was_acknowledged_is_a_new_message(world, version):
    ear = await subscribed(await world.client("ear", version), "a")
    mouth = await world.client("mouth", version)
    await say(mouth, "a", b"same", 9)
    await say(mouth, "a", b"same", 9, dup=True)
    assert len(await taken(ear)) == 2


@VERSIONS
async def test_messages_of_a_topic_come_in_their_order(world, version):
    ear = await subscribed(await world.client("ear", version), "a/+", "b")
    mouth = await world.client("mouth", version)
    for start in range(0, 240, 60):
        for number in range(start, start + 60):
            mouth.send(Publish(f"a/{number % 3}", b"%d" % number, 1, number + 1))
            mouth.send(Publish("b", b"%d" % number))
        for number in range(start, start + 60):
            assert (await mouth.packet()).packet_id == number + 1
    assert await mouth.silent()
    found = await taken(ear)
    found += await taken(ear)
    found += await taken(ear)
    ones = [int(message.payload) for message in found if message.qos]
    zeros = [int(message.payload) for message in found if not message.qos]
    assert zeros == list(range(240))
    assert ones == list(range(240))


@VERSIONS
async def test_a_message_goes_to_who_is_away_with_a_session_and_to_all_who_are_there(world, version):
    kept = KEPT if version == 5 else {"clean_start": False}
    away = await subscribed(await world.client("away", version, **kept), "a")
    await left(world, away, "away")
    ears = [await subscribed(await world.client(name, version), "a") for name in ("e1", "e2")]
    await say(await world.client("mouth", version), "a")
    assert [len(await taken(ear)) for ear in ears] == [1, 1]
    away = await world.client("away", version, **kept)
    assert len(await taken(away)) == 1


@pytest.mark.parametrize("code", [0x80, 0x97])
async def test_an_acknowledgement_that_refuses_is_one_all_the_same(world, code):
    ear = await subscribed(await world.client("ear", 5, **KEPT), "a", "$share/g/b")
    other = await subscribed(await world.client("other", 5), "$share/g/b")
    mouth = await world.client("mouth", 5)
    await say(mouth, "a")
    await say(mouth, "b", number=2)
    for _ in range(2):
        ear.send(PubAck((await ear.packet()).packet_id, code))
    assert await ear.silent()
    pass_seconds(world, 36)
    assert await ear.silent()
    await left(world, ear, "ear")
    assert await other.silent()
    ear = await world.client("ear", 5, **KEPT)
    assert ear.connack.session_present
    assert await ear.silent()


@VERSIONS
@pytest.mark.parametrize("topic", ["a/#", "+", "a+", "#", ""])
async def test_a_topic_with_a_wildcard_or_without_a_character_is_refused(world, version, topic):
    client = await world.client("dev", version)
    client.send(Publish(topic, b"", 1, 1))
    if version == 5:
        assert await client.packet() == PubAck(1, Reason.TOPIC_NAME_INVALID)
        client.send(Publish(topic, b""))
    await closed(client, version, Reason.TOPIC_NAME_INVALID)


@pytest.mark.parametrize("topic", ["a/#", "+", "a+/b"])
async def test_a_response_topic_has_no_wildcard(world, topic):
    client = await world.client("dev", 5)
    client.send(Publish("a", b"", 1, 1, properties=Properties(response_topic=topic)))
    await closed(client, 5, Reason.PROTOCOL_ERROR)


@VERSIONS
async def test_topics_match_as_they_are_written(world, version):
    names = ["a", "A", "/a", "a/", "a//b", "a/b", "ä", "a\u0308", "a b", "a%20b"]
    ears = {name: await subscribed(await world.client(f"ear {name}", version), name) for name in names}
    mouth = await world.client("mouth", version)
    for number, name in enumerate(names, 1):
        await say(mouth, name, name.encode(), number)
    for name, ear in ears.items():
        assert [message.payload.decode() for message in await taken(ear)] == [name]


# Retained messages


@VERSIONS
async def test_a_message_without_the_retain_flag_leaves_the_retained_one_as_it_is(world, version):
    mouth = await world.client("mouth", version)
    await say(mouth, "a", b"kept", retain=True)
    await say(mouth, "a", b"", 2)
    await say(mouth, "a", b"passing", 3)
    await say(mouth, "b", b"passing", 4)
    ear = await subscribed(await world.client("ear", version), "#")
    assert [(message.topic, message.payload, message.retain) for message in await taken(ear)] == [
        ("a", b"kept", True)
    ]


@VERSIONS
async def test_a_retained_message_of_qos_0_takes_the_place_of_another(world, version):
    mouth = await world.client("mouth", version)
    await say(mouth, "a", b"one", retain=True)
    mouth.send(Publish("a", b"zero", retain=True))
    assert await mouth.silent()
    ear = await subscribed(await world.client("ear", version), "a")
    assert [(message.payload, message.qos) for message in await taken(ear)] == [(b"zero", 0)]


@VERSIONS
async def test_retained_messages_outlive_the_session_that_published_them(world, version):
    mouth = await world.client("mouth", version)
    await say(mouth, "a", b"kept", retain=True)
    await left(world, mouth, "mouth")
    assert not world.gateway.broker.sessions
    ear = await subscribed(await world.client("ear", version), "a")
    assert [message.payload for message in await taken(ear)] == [b"kept"]


@VERSIONS
async def test_a_new_message_has_the_retain_flag_for_nobody_who_was_there(world, version):
    ear = await subscribed(await world.client("ear", version), "a")
    await say(await world.client("mouth", version), "a", retain=True)
    assert [message.retain for message in await taken(ear)] == [False]


# Topic aliases


async def test_aliases_end_with_their_connection_in_both_directions(world):
    asked = Properties(session_expiry_seconds=1_000, topic_alias_maximum=1)
    ear = await subscribed(await world.client("ear", 5, clean_start=False, properties=asked), "a")
    mouth = await world.client("mouth", 5, clean_start=False, properties=Properties(session_expiry_seconds=9))
    await say(mouth, "a", properties=Properties(topic_alias=1))
    assert [(m.topic, m.properties.topic_alias) for m in await taken(ear)] == [("a", 1)]
    await left(world, mouth, "mouth")
    await left(world, ear, "ear")
    ear = await world.client("ear", 5, clean_start=False, properties=asked)
    mouth = await world.client("mouth", 5, clean_start=False)
    assert mouth.connack.session_present
    await say(mouth, "a")
    assert [(m.topic, m.properties.topic_alias) for m in await taken(ear)] == [("a", 1)]
    mouth.send(Publish("", b"", 1, 1, properties=Properties(topic_alias=1)))
    await closed(mouth, 5, Reason.PROTOCOL_ERROR)


@pytest.mark.parametrize("maximum", [None, 0])
async def test_who_takes_no_aliases_gets_none(world, maximum):
    ear = await world.client("ear", 5, properties=Properties(topic_alias_maximum=maximum))
    await subscribed(ear, "a")
    mouth = await world.client("mouth", 5)
    for number in range(1, 4):
        await say(mouth, "a", number=number, properties=Properties(topic_alias=number))
    assert [(m.topic, m.properties.topic_alias) for m in await taken(ear)] == [("a", None)] * 3


async def test_every_alias_up_to_the_servers_maximum_is_taken_and_none_above(world):
    ear = await subscribed(await world.client("ear", 5), "t/+")
    mouth = await world.client("mouth", 5)
    maximum = mouth.connack.properties.topic_alias_maximum
    for alias in range(1, maximum + 1):
        await say(mouth, f"t/{alias}", properties=Properties(topic_alias=alias))
        await say(mouth, "", properties=Properties(topic_alias=alias))
    assert [message.topic for message in await taken(ear)] == [
        f"t/{alias}" for alias in range(1, maximum + 1) for _ in range(2)
    ]
    mouth.send(Publish("t/9", b"", properties=Properties(topic_alias=maximum + 1)))
    await closed(mouth, 5, Reason.TOPIC_ALIAS_INVALID)


# Subscriptions


@VERSIONS
async def test_several_filters_are_answered_together_in_their_order(world, version):
    client = await world.client("dev", version)
    client.send(Subscribe(3, tuple(FilterRequest(name, qos) for name, qos in (("a", 1), ("b", 0), ("c", 2)))))
    assert await client.packet() == SubAck(3, (1, 0, 1))
    client.send(Unsubscribe(4, ("b", "no", "c")))
    codes = (0, Reason.NO_SUBSCRIPTION_EXISTED, 0) if version == 5 else ()
    assert await client.packet() == UnsubAck(4, codes)
    for topic in "abc":
        client.send(Publish(topic, b"", 0))
    assert [message.topic for message in await taken(client)] == ["a"]


@VERSIONS
async def test_a_message_comes_with_the_lower_qos_of_publisher_and_subscription(world, version):
    ears = {qos: await world.client(f"ear {qos}", version) for qos in (0, 1, 2)}
    for qos, ear in ears.items():
        await subscribed(ear, "a", qos=qos)
    mouth = await world.client("mouth", version)
    await say(mouth, "a")
    mouth.send(Publish("a", b"x"))
    assert await mouth.silent()
    found = {qos: [message.qos for message in await taken(ear)] for qos, ear in ears.items()}
    assert found == {0: [0, 0], 1: [1, 0], 2: [1, 0]}


@VERSIONS
async def test_the_same_filter_again_replaces_the_subscription_and_loses_nothing(world, version):
    mouth = await world.client("mouth", version)
    await say(mouth, "a", b"kept", retain=True)
    ear = await subscribed(await world.client("ear", version), "a")
    assert [message.payload for message in await taken(ear)] == [b"kept"]
    for number in range(1, 20):
        mouth.send(Publish("a", b"%d" % number, 1, number))
        if number == 10:
            ear.send(Subscribe(2, (FilterRequest("a", 0),)))
    for number in range(1, 20):
        assert (await mouth.packet()).packet_id == number
    found, answers = [], []
    ear.send(PingReq())
    while (packet := await ear.packet()) != PingResp():
        (found if isinstance(packet, Publish) else answers).append(packet)
    assert answers == [SubAck(2, (0,))]
    assert [message.payload for message in found if message.retain] == [b"kept"]
    assert [int(message.payload) for message in found if not message.retain] == list(range(1, 20))
    await say(mouth, "a", b"once")
    assert [(message.payload, message.qos) for message in await taken(ear)] == [(b"once", 0)]


async def test_the_same_filter_again_replaces_its_options(world):
    ear = await world.client("ear", 5)
    ear.send(
        Subscribe(1, (FilterRequest("a", 1, retain_as_published=True),), Properties(subscription_ids=(7,)))
    )
    ear.send(Subscribe(2, (FilterRequest("a", 1),), Properties(subscription_ids=(8,))))
    ear.send(Subscribe(3, (FilterRequest("b", 1),)))
    assert [(await ear.packet()).packet_id for _ in range(3)] == [1, 2, 3]
    mouth = await world.client("mouth", 5)
    await say(mouth, "a", retain=True)
    await say(mouth, "b")
    found = [(m.topic, m.properties.subscription_ids, m.retain) for m in await taken(ear)]
    assert found == [("a", (8,), False), ("b", (), False)]


@VERSIONS
async def test_a_filter_is_taken_back_by_its_exact_text_and_what_was_sent_is_finished(world, version):
    kept = KEPT if version == 5 else {"clean_start": False}
    ear = await subscribed(await world.client("ear", version, **kept), "a/+")
    mouth = await world.client("mouth", version)
    await say(mouth, "a/b", b"1")
    sent = await ear.packet()
    ear.send(Unsubscribe(2, ("a/b", "a/#", "A/+")))
    assert (await ear.packet()).packet_id == 2
    await say(mouth, "a/b", b"2")
    assert (await ear.packet()).payload == b"2"
    ear.send(Unsubscribe(3, ("a/+",)))
    assert (await ear.packet()).packet_id == 3
    await say(mouth, "a/b", b"3")
    assert await ear.silent()
    pass_seconds(world, 36)
    again = [await ear.packet(), await ear.packet()]
    assert [message.payload for message in again] == [b"1", b"2"]
    assert again[0].packet_id == sent.packet_id


@VERSIONS
@pytest.mark.parametrize("options", [0x03, 0x40, 0x80, 0x30])
async def test_reserved_bits_of_subscription_options_end_the_connection(world, version, options):
    client = await world.client("dev", version)
    client.writer.write(frame(0x82, b"\0\1", block(version), text(b"a"), bytes((options,))))
    await closed(client, version, Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@VERSIONS
@pytest.mark.parametrize("head", [0x82, 0xA2])
async def test_a_request_without_a_filter_ends_the_connection(world, version, head):
    client = await world.client("dev", version)
    client.writer.write(frame(head, b"\0\1", block(version)))
    await closed(client, version, Reason.PROTOCOL_ERROR)


async def test_the_names_of_groups_that_share(world):
    client = await world.client("dev", 5)
    for name in ("$share", "$share/", "$share/g", "$share//a", "$share/+/a", "$share/g#/a", "$share/g/"):
        client.send(Subscribe(1, (FilterRequest(name, 1),)))
        assert await client.packet() == SubAck(1, (Reason.TOPIC_FILTER_INVALID,)), name
    await subscribed(client, "$share/g/a")


async def test_who_shares_gets_the_qos_that_was_granted_to_it(world):
    one = await subscribed(await world.client("one", 5), "$share/g/a", qos=1)
    zero = await subscribed(await world.client("zero", 5), "$share/g/a", qos=0)
    mouth = await world.client("mouth", 5)
    for number in range(1, 5):
        await say(mouth, "a", number=number)
    assert [message.qos for message in await taken(one)] == [1, 1]
    assert [message.qos for message in await taken(zero)] == [0, 0]


@VERSIONS
async def test_wildcards_at_the_front_do_not_match_reserved_topics(world, version):
    ear = await subscribed(await world.client("ear", version), "#", "+/events/job/j/created")
    world.gateway.publish(world.event("$aws/events/job/j/created"))
    assert await ear.silent()
    await subscribed(ear, "$aws/events/job/#")
    world.gateway.publish(world.event("$aws/events/job/j/created"))
    assert (await ear.packet()).topic == "$aws/events/job/j/created"


async def test_what_expired_is_not_delivered(world):
    ear = await subscribed(await world.client("ear", 5, **KEPT), "a")
    await left(world, ear, "ear")
    mouth = await world.client("mouth", 5)
    await say(mouth, "a", b"short", properties=Properties(message_expiry_seconds=5))
    await say(mouth, "a", b"long", 2, properties=Properties(message_expiry_seconds=50))
    world.gateway.pass_to(world.gateway.second + 10)
    found = await taken(await world.client("ear", 5, **KEPT))
    assert [(m.payload, m.properties.message_expiry_seconds) for m in found] == [(b"long", 40)]


async def test_properties_go_on_as_they_are_to_everyone_and_for_wills_too(world):
    said = Properties(
        payload_format=1,
        content_type="",
        response_topic="back/here",
        correlation_data=b"",
        user=(("b", "1"), ("a", ""), ("", "2"), ("b", "1")),
    )
    kept = await subscribed(await world.client("kept", 5, **KEPT), "a")
    await left(world, kept, "kept")
    ears = [
        await subscribed(await world.client(name, 5), "a", qos=qos) for name, qos in (("e0", 0), ("e1", 1))
    ]
    old = await subscribed(await world.client("old", 4), "a")
    await say(await world.client("mouth", 5), "a", properties=said)
    dev = await world.client("dev", 5, will=Will(topic="a", payload=b"w", qos=1, properties=said))
    dev.close()
    ears.append(await world.client("kept", 5, **KEPT))
    for ear in ears:
        messages = [await ear.packet(), await ear.packet()]
        assert [message.properties for message in messages] == [said, said]
        assert encode(messages[0], 5).count(b"back/here") == 1
    assert (await old.packet()).payload == b"x"
