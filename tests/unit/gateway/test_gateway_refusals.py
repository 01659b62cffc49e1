import asyncio
import contextlib
import json
import logging
import ssl

import pytest
from outfitter_server.access.certificates import Status
from outfitter_server.base.refusals import Unavailable
from outfitter_server.gateway import limits
from outfitter_server.gateway.keeping import Keeping
from outfitter_server.mqtt.packets import (
    Connect,
    Disconnect,
    FilterRequest,
    PingReq,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Will,
)
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import PrincipalChanged
from outfitter_server.services.session_book import SessionBook
from outfitter_server.stores.sqlite.store import SqliteStore

JOBS = "$aws/things/dev/jobs"


async def tls_client(world, pki, name, *, version=4, client_id=None, policy=None, **connect):
    """A raw client with a certificate; its CONNACK, or None when the connection ended without one."""
    certificate, key, der = pki.device(name)
    certificate_id = world.devices.add(der, name, **({"policy": policy} if policy else {}))
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    client = await world.open(world.tls_port, version, ssl=context, server_hostname="localhost")
    client.send(Connect(version=version, client_id=name if client_id is None else client_id, **connect))
    client.connack = await client.packet()
    client.certificate_id = certificate_id
    return client


# Before CONNACK


async def test_mqtt_31_gets_return_code_1(world):
    client = await world.open(world.port)
    client.writer.write(b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a")
    assert (await client.packet()).code == 1
    assert await client.ended()


async def test_malformed_connect_of_5_gets_0x81_and_of_311_nothing(world):
    for level, answer in ((5, Reason.MALFORMED_PACKET), (4, None)):
        client = await world.open(world.port, level)
        client.writer.write(b"\x10\x0e\x00\x04MQTT" + bytes([level]) + b"\x03\x00\x3c\x00\x00\x01a")
        packet = await client.packet()
        assert (packet and packet.code) == answer
        if packet:
            assert await client.ended()


async def test_first_packet_must_be_connect(world):
    client = await world.open(world.port)
    client.send(PingReq())
    assert await client.ended()


@pytest.mark.parametrize(("version", "code"), [(4, 2), (5, Reason.CLIENT_IDENTIFIER_NOT_VALID)])
async def test_client_id_of_129_bytes(world, version, code):
    client = await world.client("x" * 129, version)
    assert client.connack.code == code
    assert await client.ended()


async def test_empty_client_id(world):
    assert (await world.client("", 4, clean_start=False)).connack.code == 2
    assert (await world.client("", 4, clean_start=True)).connack.code == 0
    five = await world.client("", 5)
    assert len(five.connack.properties.assigned_client_id) == 32


async def test_connack_of_5_says_what_is_not_here(world):
    properties = (await world.client("dev", 5, keep_alive_seconds=5)).connack.properties
    assert properties.maximum_qos == 1
    assert properties.retain_available is None
    assert properties.shared_available is None
    assert properties.receive_maximum == 100
    assert properties.maximum_packet_bytes == limits.PACKET_BYTES_MAX
    assert properties.server_keep_alive_seconds == 30
    assert properties.topic_alias_maximum == 8


async def test_enhanced_authentication_is_refused(world):
    client = await world.client("dev", 5, properties=Properties(authentication_method="SCRAM"))
    assert client.connack.code == Reason.BAD_AUTHENTICATION_METHOD


@pytest.mark.parametrize(
    ("will", "code"),
    [
        (Will(topic="a", payload=b"", qos=2), Reason.QOS_NOT_SUPPORTED),
        (Will(topic="a/#", payload=b""), Reason.TOPIC_NAME_INVALID),
        (Will(topic="$aws/x", payload=b""), Reason.TOPIC_NAME_INVALID),
    ],
)
async def test_refused_wills(world, will, code):
    assert (await world.client("dev", 5, will=will)).connack.code == code
    assert (await world.client("dev", 4, will=will)).connack is None


async def test_too_many_connections_are_closed(world):
    world.gateway._connections_max = 1
    await world.client("one")
    assert await (await world.open(world.port)).ended()


# After it


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00", Reason.MALFORMED_PACKET),
        (b"\x34\x06\x00\x01a\x00\x01\x00", Reason.QOS_NOT_SUPPORTED),
        (b"\x30\xff\xff\xff\x7f", Reason.PACKET_TOO_LARGE),
        (b"\x20\x03\x00\x00\x00", Reason.PROTOCOL_ERROR),
        (b"\x30\x07\x00\x01a\x03\x23\x00\x09", Reason.TOPIC_ALIAS_INVALID),
        (b"\x30\x06\x00\x00\x03\x23\x00\x01", Reason.PROTOCOL_ERROR),
        (b"\x30\x06\x00\x01a\x02\x0b\x01", Reason.PROTOCOL_ERROR),
        (b"\x30\x03\x00\x00\x00", Reason.TOPIC_NAME_INVALID),
        (b"\xf0\x00", Reason.PROTOCOL_ERROR),
    ],
)
async def test_breaches_disconnect_with_the_reason(world, data, reason):
    client = await world.client("dev", 5)
    client.writer.write(data)
    assert await client.packet() == Disconnect(reason)
    assert await client.ended()


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x34\x05\x00\x01a\x00\x01"])
async def test_breaches_of_311_are_closed(world, data):
    client = await world.client("dev", 4)
    client.writer.write(data)
    assert await client.ended()


async def test_payload_above_128_kib(world):
    client = await world.client("dev", 5)
    client.send(Publish("a", b"x" * 131_072, 1, 1), Publish("a", b"x" * 131_073, 1, 2))
    assert (await client.packet()).packet_id == 1
    assert await client.packet() == Disconnect(Reason.PACKET_TOO_LARGE)


RESERVED = [
    f"{JOBS}/job-1/update/accepted",
    f"{JOBS}/notify",
    f"{JOBS}/notify-next",
    "$aws/things/dev/shadow/update",
    "$aws/events/x",
    "$other/x",
    "$aws/things/other/jobs/what",
    "1/2/3/4/5/6/7/8/9",
]


@pytest.mark.parametrize("topic", RESERVED)
async def test_reserved_topics(world, topic):
    five = await world.client("dev", 5)
    five.send(Publish(topic, b"", 1, 1))
    assert await five.packet() == PubAck(1, Reason.TOPIC_NAME_INVALID)
    five.send(Publish(topic, b"", 0))
    assert await five.packet() == Disconnect(Reason.TOPIC_NAME_INVALID)
    three = await world.client("dev", 4)
    three.send(Publish(topic, b"", 1, 1))
    assert await three.ended()


@pytest.mark.parametrize(
    ("topic_filter", "code", "code_311"),
    [
        ("$share/g", Reason.TOPIC_FILTER_INVALID, None),
        ("$share/+/a", Reason.TOPIC_FILTER_INVALID, None),
        ("$share/g/$aws/things/dev/jobs/notify", Reason.TOPIC_FILTER_INVALID, None),
        ("$aws/unknown/#", Reason.TOPIC_FILTER_INVALID, None),
        ("$SYS/#", Reason.TOPIC_FILTER_INVALID, None),
        ("a/#/b", Reason.TOPIC_FILTER_INVALID, None),
        ("1/2/3/4/5/6/7/8/9", Reason.TOPIC_FILTER_INVALID, None),
        ("$aws/things/other/jobs/notify", Reason.NOT_AUTHORIZED, None),
        ("$aws/things/+/jobs/notify", Reason.NOT_AUTHORIZED, None),
    ],
)
async def test_refused_filters(world, topic_filter, code, code_311):
    five = await world.client("dev", 5)
    five.send(Subscribe(1, (FilterRequest(topic_filter, 1), FilterRequest("a", 2))))
    assert await five.packet() == SubAck(1, (code, 1))
    assert await five.silent()
    three = await world.client("dev", 4)
    three.send(Subscribe(1, (FilterRequest(topic_filter, 1),)))
    packet = await three.packet()
    assert packet == (SubAck(1, (code_311,)) if code_311 else None)


async def test_limits_of_filters(world):
    client = await world.client("dev", 5)
    client.send(Subscribe(1, tuple(FilterRequest(f"a/{n}") for n in range(9))))
    assert set((await client.packet()).codes) == {Reason.QUOTA_EXCEEDED}
    for start in range(0, 56, 8):
        client.send(Subscribe(1, tuple(FilterRequest(f"a/{n}") for n in range(start, start + 8))))
        codes = (await client.packet()).codes
    assert codes == (0, 0) + (Reason.QUOTA_EXCEEDED,) * 6


async def test_receive_maximum_counts_requests_without_an_answer(world):
    world.plane.held = []
    client = await world.client("dev", 5)
    client.send(*(Publish(f"{JOBS}/get", b"", 1, n) for n in range(1, 102)))
    assert await client.packet() == Disconnect(Reason.RECEIVE_MAXIMUM_EXCEEDED)


async def test_unknown_topic_in_the_own_namespace_is_rejected(world):
    client = await world.client("dev", 4)
    client.send(Publish(f"{JOBS}/what/ever", b'{"clientToken":"t"}', 1, 9))
    assert await client.packet() == PubAck(9)
    rejected = await client.packet()
    assert rejected.topic == f"{JOBS}/what/ever/rejected"
    body = json.loads(rejected.payload)
    assert (body["code"], body["clientToken"]) == ("InvalidTopic", "t")


ANYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


async def test_basic_ingest_is_acknowledged(tls_world, pki):
    client = await tls_client(tls_world, pki, "dev", version=5, policy=ANYTHING)
    client.send(Publish("$aws/rules/r/a/b", b"", 1, 3))
    assert await client.packet() == PubAck(3, Reason.NO_MATCHING_SUBSCRIBERS)


# Certificates and policies


@pytest.mark.parametrize(("version", "code"), [(4, 5), (5, Reason.NOT_AUTHORIZED)])
@pytest.mark.parametrize("status", [None, Status.INACTIVE, Status.REVOKED, Status.PENDING_ACTIVATION])
async def test_certificates_that_may_not_connect(tls_world, pki, version, code, status):
    certificate, key, der = pki.device("dev")
    if status is not None:
        tls_world.devices.add(der, "dev", status=status)
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    client = await tls_world.open(tls_world.tls_port, version, ssl=context, server_hostname="localhost")
    client.send(Connect(version=version, client_id="dev"))
    assert (await client.packet()).code == code
    assert await client.ended()


async def test_connect_refused_by_policy(tls_world, pki):
    five = await tls_client(tls_world, pki, "dev", version=5, client_id="another")
    assert five.connack.code == Reason.NOT_AUTHORIZED
    four = await tls_client(tls_world, pki, "dev", client_id="another")
    assert four.connack is None


async def test_publish_refused_by_policy(tls_world, pki):
    five = await tls_client(tls_world, pki, "dev", version=5)
    five.send(Publish("$aws/things/other/jobs/get", b"", 1, 1), Publish("secret", b"", 1, 2))
    assert await five.packet() == PubAck(1, Reason.NOT_AUTHORIZED)
    assert await five.packet() == PubAck(2, Reason.NOT_AUTHORIZED)
    five.send(Publish("secret", b"", 0))
    assert await five.packet() == Disconnect(Reason.NOT_AUTHORIZED)
    four = await tls_client(tls_world, pki, "dev")
    four.send(Publish("$aws/things/other/jobs/get", b"", 1, 1))
    assert await four.ended()
    assert tls_world.plane.requests == []


async def test_subscribe_refused_by_policy(tls_world, pki):
    five = await tls_client(tls_world, pki, "dev", version=5)
    five.send(Subscribe(1, (FilterRequest("#"), FilterRequest("free/a"))))
    assert await five.packet() == SubAck(1, (Reason.NOT_AUTHORIZED, 0))
    four = await tls_client(tls_world, pki, "dev")
    four.send(Subscribe(1, (FilterRequest("#"),)))
    assert await four.ended()


async def test_will_refused_by_policy(tls_world, pki):
    client = await tls_client(tls_world, pki, "dev", version=5, will=Will(topic="secret", payload=b""))
    assert client.connack.code == Reason.NOT_AUTHORIZED


async def test_receive_decides_about_delivery(tls_world, pki):
    deny = '{"Effect":"Deny","Action":"iot:Receive","Resource":"arn:aws:iot:us-east-1:000000000000:topic/free/secret"}'
    policy = ANYTHING.replace("[", f"[{deny},")
    client = await tls_client(tls_world, pki, "dev", policy=policy)
    client.send(Subscribe(1, (FilterRequest("free/#", 1),)))
    await client.packet()
    client.send(Publish("free/secret", b"1"), Publish("free/open", b"2"))
    assert (await client.packet()).payload == b"2"


async def test_a_session_that_another_certificate_resumes_gives_it_only_what_it_may_have(tls_world, pki):
    wish = {"client_id": "shared", "clean_start": False}
    first = await tls_client(tls_world, pki, "dev", policy=ANYTHING, **wish)
    first.send(Subscribe(1, (FilterRequest("free/#", 1),)), Publish("free/secret", b"1", 1, 1))
    assert [type(await first.packet()).__name__ for _ in range(3)] == ["SubAck", "Publish", "PubAck"]
    deny = '{"Effect":"Deny","Action":"iot:Receive","Resource":"*"}'
    second = await tls_client(tls_world, pki, "dev2", policy=ANYTHING.replace("[", f"[{deny},"), **wish)
    assert second.connack.session_present
    start = tls_world.gateway.second
    for later in range(start, start + 36):
        tls_world.gateway.pass_to(later)
    assert await second.silent()


async def test_a_certificate_that_is_revoked_closes_the_connection_at_once(tls_world, pki):
    client = await tls_client(tls_world, pki, "dev", version=5)
    other = await tls_client(tls_world, pki, "dev2", version=5)
    del tls_world.devices.known[client.certificate_id]
    tls_world.committer.emit(PrincipalChanged(client.certificate_id))
    assert await client.packet() == Disconnect(Reason.NOT_AUTHORIZED)
    assert await client.ended()
    assert await other.silent()
    tls_world.devices.known.clear()
    tls_world.committer.emit(PrincipalChanged(None))
    assert await other.packet() == Disconnect(Reason.NOT_AUTHORIZED)


async def test_a_policy_that_changes_counts_from_then_on(tls_world, pki):
    client = await tls_client(tls_world, pki, "dev", version=5)
    client.send(Publish("free/a", b"", 1, 1))
    assert (await client.packet()).code == Reason.NO_MATCHING_SUBSCRIBERS
    _, _, der = pki.device("unused")
    known = tls_world.devices.known
    key = tls_world.devices.add(
        der, policy='{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}'
    )
    identity = known[client.certificate_id]
    known[client.certificate_id] = type(identity)(
        certificate_id=identity.certificate_id,
        status=identity.status,
        things=identity.things,
        documents=known[key].documents,
        subject=identity.subject,
    )
    tls_world.committer.emit(PrincipalChanged(client.certificate_id))
    client.send(Publish("free/a", b"", 1, 2))
    assert await client.packet() == PubAck(2, Reason.NOT_AUTHORIZED)


async def test_names_that_clients_choose_write_no_log_lines(tls_world, pki, caplog):
    caplog.set_level(logging.INFO)
    for client_id, packet in (
        ("dev\nforged", Publish("$x/\nforged", b"")),
        ("dev\nforged", Subscribe(1, (FilterRequest("$x/\nforged", 0),))),
    ):
        client = await tls_client(tls_world, pki, "dev", client_id=client_id, policy=ANYTHING)
        client.send(packet)
        assert await client.ended()
    refused = await tls_client(tls_world, pki, "dev", client_id="a\nforged")
    assert refused.connack is None
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("outfitter")]
    assert sum("forged" in message for message in messages) >= 3
    assert not any("\n" in message for message in messages)


async def test_without_a_certificate_there_is_no_connection(tls_world, pki):
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    try:
        client = await tls_world.open(tls_world.tls_port, ssl=context, server_hostname="localhost")
        client.send(Connect(version=4, client_id="dev"))
        assert await asyncio.wait_for(client.reader.read(10), 5) == b""
    except (ssl.SSLError, ConnectionError) as refused:
        assert refused  # noqa: PT017 - TLS 1.3 lets the client speak before it hears of the refusal
    assert tls_world.gateway.connected == 0


REVOKED = {"status": Status.REVOKED}
OTHER_POLICY = {
    "policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}'
}


@pytest.mark.parametrize("change", [REVOKED, OTHER_POLICY, {}])
async def test_who_waits_for_an_old_session_to_leave_the_disk_is_judged_when_it_has_left(
    tls_world, pki, store, change
):
    gateway = tls_world.gateway
    gateway.keeping = Keeping(SessionBook(Committer(store, gateway.clock)), gateway)
    keep = Properties(session_expiry_seconds=100)
    old = await tls_client(tls_world, pki, "dev", version=5, clean_start=False, properties=keep)
    old.send(Subscribe(1, (FilterRequest("free/a", 1),)))
    assert await old.packet() == SubAck(1, (1,))
    write, store.write = store.write, full_disk
    certificate, key, der = pki.device("dev2")
    tls_world.devices.add(der, "dev")
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    context.load_cert_chain(certificate, key)
    fresh = await tls_world.open(tls_world.tls_port, 5, ssl=context, server_hostname="localhost")
    fresh.send(
        Connect(version=5, client_id="dev", will=Will(topic="free/will", payload=b"w")),
        Publish("free/a", b"x"),
    )
    other = await tls_world.client("other")
    while "dev" not in gateway._entering:
        await other.silent()
    certificate_id = tls_world.devices.add(der, "dev", **change)
    tls_world.committer.emit(PrincipalChanged(certificate_id))
    store.write = write
    answer = await fresh.packet()
    assert answer.code == (Reason.NOT_AUTHORIZED if change else 0)
    assert gateway.meters.messages_in == [0 if change else 1, 0]
    if change:
        assert await fresh.ended()
        assert list(gateway.clients()) == ["other"]
    await gateway.keeping.written()


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(SqliteStore(tmp_path)) as store:
        yield store


def full_disk():
    raise Unavailable("no space is left")
