"""What MQTT demands of a server from CONNECT to DISCONNECT, by raw packets on a socket."""

import asyncio
import re
from pathlib import Path

import pytest
from outfitter_server.gateway import limits, words
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import (
    ConnAck,
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


def kept(version, **more):
    """What a CONNECT says for a session that waits for its client."""
    properties = Properties(session_expiry_seconds=100) if version == 5 else Properties()
    return {"version": version, "clean_start": False, "properties": properties, **more}


async def subscribed(client, *filters, qos=1):
    client.send(Subscribe(1, tuple(FilterRequest(name, qos) for name in filters)))
    assert await client.packet() == SubAck(1, (qos,) * len(filters))
    return client


async def left(world, client, name):
    """Break the connection, and wait until the gateway noticed."""
    client.close()
    while name in world.gateway._connections:  # noqa: ASYNC110 - a turn of the loop or two
        await asyncio.sleep(0.001)


async def told(world, topic, payload=b"x", **more):
    mouth = await world.client("mouth", 5)
    mouth.send(Publish(topic, payload, 1, 1, **more))
    assert (await mouth.packet()).packet_id == 1


def connect(version, flags, *fields, will_properties=b""):
    """A CONNECT by hand: flags, and the fields of its payload after the client id ``a``."""
    head = b"\0\4MQTT" + bytes((version, flags)) + b"\0\x3c" + (b"\0" if version == 5 else b"")
    body = head + text(b"a") + will_properties + b"".join(map(text, fields))
    return b"\x10" + bytes((len(body),)) + body


def text(value):
    return len(value).to_bytes(2, "big") + value


# The order of things


@VERSIONS
async def test_the_answer_to_a_connect_comes_before_everything_else_and_once(world, version):
    await left(world, await subscribed(await world.client("ear", **kept(version)), "a"), "ear")
    await told(world, "a")
    client = await world.open(world.port, version)
    hello = Connect(client_id="ear", **kept(version))
    client.send(hello, PingReq(), Subscribe(2, (FilterRequest("b"),)), PingReq())
    found = [type(await client.packet()) for _ in range(5)]
    assert found[0] is ConnAck
    assert sorted(kind.__name__ for kind in found[1:]) == ["PingResp", "PingResp", "Publish", "SubAck"]


@VERSIONS
async def test_a_second_connect_ends_the_connection_and_lets_the_will_be_published(world, version):
    ear = await subscribed(await world.client("ear"), "wills")
    for second in (connect(version, 2), connect(6, 2)):
        client = await world.client("dev", version, will=Will(topic="wills", payload=b"gone"))
        client.writer.write(second)
        if version == 5:
            assert await client.packet() == Disconnect(Reason.PROTOCOL_ERROR)
        assert await client.ended()
        assert (await ear.packet()).payload == b"gone"


@VERSIONS
async def test_what_follows_a_refused_connect_is_not_looked_at(world, version):
    ear = await subscribed(await world.client("ear"), "#")
    client = await world.open(world.port, version)
    client.send(Connect(version=version, client_id="x" * 129), Publish("a", b"smuggled", 1, 1, retain=True))
    assert (await client.packet()).code in {2, Reason.CLIENT_IDENTIFIER_NOT_VALID}
    assert await client.ended()
    assert await ear.silent()
    assert not world.gateway.retained.count


async def test_before_its_connect_nobody_gets_a_disconnect(world):
    for first in (PingReq(), Disconnect(), Publish("a", b"")):
        client = await world.open(world.port, 5)
        client.send(first)
        assert await client.ended()
    assert world.gateway.meters.refused == {"NO_CONNECT": 3}


@VERSIONS
async def test_a_refusal_says_that_no_session_is_there_and_ends_the_connection(world, version):
    await left(world, await world.client("dev", **kept(version)), "dev")
    will = Will(topic="$no", payload=b"")
    client = await world.client("dev", **kept(version, will=will))
    if version == 5:
        assert (client.connack.code, client.connack.session_present) == (Reason.TOPIC_NAME_INVALID, False)
        assert await client.ended()
    else:
        assert client.connack is None
    refused = await world.client("x" * 129, **kept(version))
    assert not refused.connack.session_present
    assert await refused.ended()


async def test_a_connack_begins_with_a_flag_and_seven_zeros(world):
    for _ in range(2):
        client = await world.open(world.port, 5)
        client.send(Connect(client_id="dev", **kept(5)))
        head = await client.reader.readexactly(4)
        assert head[0] == 0x20
        assert head[2] in {0, 1}
        await left(world, client, "dev")
    assert head[2] == 1


# What a CONNECT looks like

ILL_FORMED = {
    "reserved flag": (0x03, (), b""),
    "will without its fields": (0x06, (), b""),
    "will without its message": (0x06, (b"wills",), b"\0"),
    "will QoS 3": (0x1E, (b"wills", b"x"), b"\0"),
    "QoS without a will": (0x0A, (), b""),
    "retain without a will": (0x22, (), b""),
    "will fields without the flag": (0x02, (b"wills", b"x"), b"\0"),
    "user name flag without a name": (0x82, (), b""),
    "name without the flag": (0x02, (b"name",), b""),
    "password flag without a password": (0xC2, (b"name",), b""),
    "password without the flag": (0x82, (b"name", b"word"), b""),
}


@VERSIONS
@pytest.mark.parametrize("case", ILL_FORMED)
async def test_a_connect_whose_flags_and_fields_differ_is_refused(world, version, case):
    flags, fields, properties = ILL_FORMED[case]
    client = await world.open(world.port, version)
    client.writer.write(connect(version, flags, *fields, will_properties=properties * (version == 5)))
    if version == 5:
        packet = await client.packet()
        assert (packet.code, packet.session_present) == (Reason.MALFORMED_PACKET, False)
    assert await client.ended()


@VERSIONS
async def test_the_fields_of_a_connect_are_read_in_their_order(world, version):
    ear = await subscribed(await world.client("ear"), "wills")
    client = await world.open(world.port, version)
    client.writer.write(
        connect(version, 0xC6, b"wills", b"gone", b"name", b"word", will_properties=b"\0" * (version == 5))
    )
    assert (await client.packet()).code == 0
    assert list(world.gateway.clients()) == ["ear", "a"]
    client.close()
    assert (await ear.packet()).payload == b"gone"


@pytest.mark.parametrize(
    ("version", "level", "name", "answer"),
    [(4, 3, b"MQTT", 1), (4, 6, b"MQTT", 1), (4, 0x84, b"MQTT", 1), (4, 3, b"MQIsdp", 1), (4, 4, b"HTTP", 1)],
)
async def test_other_protocols_are_refused(world, version, level, name, answer):
    client = await world.open(world.port, version)
    body = len(name).to_bytes(2, "big") + name + bytes((level, 2, 0, 60)) + b"\0\1a"
    client.writer.write(b"\x10" + bytes((len(body),)) + body)
    assert (await client.packet()).code == answer
    assert await client.ended()


# Client ids and sessions


@VERSIONS
async def test_client_ids_of_letters_and_digits_are_taken_and_name_a_session_each(world, version):
    names = ["0", "abcdefghijklmnopqrstuvw", "ABCDEFGHIJKLMNOPQRSTUVW", "XYZxyz0123456789", "aA", "Aa"]
    for number, name in enumerate(names):
        client = await subscribed(await world.client(name, **kept(version)), f"of/{number}")
        assert not client.connack.session_present
        await left(world, client, name)
    for number, name in enumerate(names):
        assert set(world.gateway.broker.sessions[name].subscriptions) == {f"of/{number}"}
        assert (await world.client(name, **kept(version))).connack.session_present


@VERSIONS
async def test_who_has_no_client_id_is_given_one_that_nobody_has(world, version):
    clients = [await world.client("", version) for _ in range(3)]
    assert len(set(world.gateway.clients())) == 3
    if version == 5:
        assigned = [client.connack.properties.assigned_client_id for client in clients]
        assert set(assigned) == set(world.gateway.clients())
        again = await world.client(assigned[0], 5)
        assert await clients[0].packet() == Disconnect(Reason.SESSION_TAKEN_OVER)
        assert await again.silent()
    assert await clients[1].silent()
    assert await clients[2].silent()


@VERSIONS
async def test_a_session_is_made_resumed_or_discarded_as_the_connect_says(world, version):
    first = await subscribed(await world.client("dev", **kept(version)), "a")
    assert not first.connack.session_present
    await left(world, first, "dev")
    second = await world.client("dev", **kept(version))
    assert second.connack.session_present
    await told(world, "a", b"1")
    assert (await second.packet()).payload == b"1"
    await left(world, second, "dev")
    await told(world, "a", b"2")
    third = await world.client("dev", version, clean_start=True)
    assert not third.connack.session_present
    await told(world, "a", b"3")
    assert await third.silent()
    await left(world, third, "dev")
    assert not (await world.client("dev", **kept(version))).connack.session_present


async def test_a_session_lasts_as_long_as_its_connection(world):
    client = await subscribed(
        await world.client(
            "dev", 5, keep_alive_seconds=1_200, properties=Properties(session_expiry_seconds=1)
        ),
        "a",
    )
    world.gateway.pass_to((world.gateway.second // 5 + 100) * 5)
    await told(world, "a")
    assert (await client.packet()).payload == b"x"


# Wills


@pytest.mark.parametrize("reason", [0x04, 0x80, 0x83])
async def test_a_goodbye_with_another_reason_than_0_leaves_the_will(world, reason):
    ear = await subscribed(await world.client("ear"), "wills")
    client = await world.client("dev", 5, will=Will(topic="wills", payload=b"gone"))
    client.send(Disconnect(reason))
    assert await client.ended()
    assert (await ear.packet()).payload == b"gone"


@VERSIONS
async def test_a_will_is_published_once_and_belongs_to_one_connection(world, version):
    ear = await subscribed(await world.client("ear"), "wills")
    will = Will(topic="wills", payload=b"gone")
    await left(world, await world.client("dev", **kept(version, will=will)), "dev")
    assert (await ear.packet()).payload == b"gone"
    await left(world, await world.client("dev", **kept(version)), "dev")
    goodbye = await world.client("dev", **kept(version, will=will))
    goodbye.send(Disconnect())
    assert await goodbye.ended()
    await left(world, await world.client("dev", **kept(version)), "dev")
    world.gateway.pass_to((world.gateway.second // 5 + 100) * 5)
    assert await ear.silent()


@pytest.mark.parametrize("retain", [False, True])
async def test_the_retain_flag_of_a_will_decides_whether_it_is_kept(world, retain):
    ear = await subscribed(await world.client("ear"), "wills")
    client = await world.client("dev", will=Will(topic="wills", payload=b"gone", retain=retain))
    await left(world, client, "dev")
    assert (await ear.packet()).retain is False
    assert world.gateway.retained.count == retain


async def test_the_properties_of_a_will_are_published_in_their_order(world):
    ear = await subscribed(await world.client("ear", 5), "wills")
    said = Properties(user=(("b", "1"), ("a", "2"), ("b", "3")), content_type="t", correlation_data=b"\0")
    await left(
        world, await world.client("dev", 5, will=Will(topic="wills", payload=b"", properties=said)), "dev"
    )
    assert (await ear.packet()).properties == said


# What the client asks of the server's packets


async def test_the_clients_keep_alive_counts_unless_the_server_names_another(world):
    client = await world.client("dev", 5, keep_alive_seconds=40)
    assert client.connack.properties.server_keep_alive_seconds is None
    start = world.gateway.second
    for second in range(start, start + 60):
        world.gateway.pass_to(second)
    assert world.gateway.connected == 1
    for second in range(start + 60, start + 70):
        world.gateway.pass_to(second)
    assert await client.packet() == Disconnect(Reason.KEEP_ALIVE_TIMEOUT)


@pytest.mark.parametrize("asked", [None, 0, 1])
async def test_no_response_information_is_given(world, asked):
    client = await world.client("dev", 5, properties=Properties(request_response_information=asked))
    assert client.connack.properties.response_information is None


async def refusals(client):
    """One refusal in each kind of answer, with its words."""
    found = []
    for packet in (
        Publish("$no", b"", 1, 1),
        Subscribe(2, (FilterRequest("a/#/b"),)),
        Unsubscribe(3, ("nothing",)),
        Publish("$no", b""),
    ):
        client.send(packet)
        answer = await client.packet()
        assert getattr(answer, "code", 0) >= 0x80 or answer.codes[0] >= Reason.NO_SUBSCRIPTION_EXISTED
        assert answer.properties == Properties()  # neither user properties nor an expiry, words taken out
        found.append((type(answer), client.why))
    return found


async def test_refusals_are_told_in_words_where_the_client_wants_them_and_has_room(world):
    wanting = await refusals(await world.client("a", 5))
    assert [kind for kind, why in wanting if why] == [PubAck, SubAck, Disconnect]
    assert all("topic" in why for _, why in wanting if why)
    plain = await world.client("b", 5, properties=Properties(request_problem_information=0))
    assert [kind for kind, why in await refusals(plain) if why] == [Disconnect]
    small = await world.client("c", 5, properties=Properties(maximum_packet_bytes=100))
    assert [why for _, why in await refusals(small)] == [None] * 4
    assert [kind for kind, _ in wanting] == [PubAck, SubAck, UnsubAck, Disconnect]


def test_every_reason_to_close_has_words():
    sources = Path(words.__file__).parent.glob("*.py")
    found = {
        name
        for path in sources
        for name in re.findall(r"close\(Reason\.(\w+)(?:\)|, with_will)", path.read_text())
    }
    assert len(found) >= 8
    assert found <= {reason.name for reason in words.WORDS}


async def test_a_refused_connect_is_told_in_words_that_fit(world):
    client = await world.client("x" * 129, 5)
    assert "128 bytes" in client.why
    client = await world.client("x" * 129, 5, properties=Properties(maximum_packet_bytes=20))
    assert (client.connack.code, client.why) == (Reason.CLIENT_IDENTIFIER_NOT_VALID, None)
    malformed = await world.open(world.port, 5)
    malformed.writer.write(connect(5, 3))
    assert (await malformed.packet()).code == Reason.MALFORMED_PACKET
    assert "reserved flag" in malformed.why


async def test_who_takes_no_connack_is_not_let_in(world):
    client = await world.client("dev", 5, properties=Properties(maximum_packet_bytes=10))
    assert (client.connack.code, client.connack.properties) == (Reason.PACKET_TOO_LARGE, Properties())
    assert await client.ended()
    mute = await world.client("dev", 5, properties=Properties(maximum_packet_bytes=4))
    assert mute.connack is None
    assert world.gateway.connected == 0


async def test_nothing_larger_than_the_client_takes_is_sent_and_counts_as_sent(world):
    asked = Properties(maximum_packet_bytes=40, receive_maximum=1)
    ear = await subscribed(await world.client("ear", 5, properties=asked), "a")
    mouth = await world.client("mouth", 5)
    for number, size in enumerate((100, 10, 100, 20), 1):
        mouth.send(Publish("a", b"x" * size, 1, number))
        assert await mouth.packet() == PubAck(number)
    found = []
    for _ in range(2):
        message = await ear.packet()
        assert len(encode(message, 5)) <= 40
        found.append(len(message.payload))
        ear.send(PubAck(message.packet_id))
    assert found == [10, 20]
    ear.send(Unsubscribe(2, tuple(f"none/{number}" for number in range(40))))
    assert await ear.packet() == Disconnect(Reason.PACKET_TOO_LARGE)
    assert await ear.ended()


async def test_what_is_not_publish_goes_on_when_the_receive_maximum_is_reached(world):
    ear = await subscribed(await world.client("ear", 5, properties=Properties(receive_maximum=1)), "a")
    await told(world, "a", b"1")
    await told(world, "a", b"2")
    first = await ear.packet()
    ear.send(PingReq(), Subscribe(2, (FilterRequest("b"),)), Publish("c", b"", 1, 7), Unsubscribe(3, ("b",)))
    assert await ear.packet() == PingResp()
    assert await ear.packet() == SubAck(2, (0,))
    assert await ear.packet() == PubAck(7, Reason.NO_MATCHING_SUBSCRIBERS)
    assert await ear.packet() == UnsubAck(3, (0,))
    ear.send(PubAck(first.packet_id))
    assert (await ear.packet()).payload == b"2"


async def test_without_an_authentication_method_nobody_speaks_of_authentication(world):
    client = await world.client("dev", 5)
    assert client.connack.properties.authentication_method is None
    client.writer.write(b"\xf0\x00")
    assert await client.packet() == Disconnect(Reason.PROTOCOL_ERROR)
    assert await client.ended()


# 3.1.2.11.10, which has no number among the statements
async def test_authentication_data_without_a_method_is_refused(world):
    client = await world.client("dev", 5, properties=Properties(authentication_data=b"secret"))
    assert client.connack.code == Reason.PROTOCOL_ERROR
    assert client.why == "a CONNECT has authentication data and no authentication method"
    assert await client.ended()
    assert world.gateway.meters.refused == {"PROTOCOL_ERROR": 1}


async def test_more_than_the_packet_maximum_of_the_server_is_refused(world):
    client = await world.client("dev", 5)
    maximum = client.connack.properties.maximum_packet_bytes
    assert maximum == limits.PACKET_BYTES_MAX
    client.writer.write(
        b"\x30" + bytes(((maximum & 0x7F) | 0x80, (maximum >> 7 & 0x7F) | 0x80, maximum >> 14))
    )
    assert await client.packet() == Disconnect(Reason.PACKET_TOO_LARGE)
    assert f"{maximum:,}" in client.why
    assert await client.ended()
