import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_server.mqtt import packets as p
from outfitter_server.mqtt.encode import encode, encode_puback, encode_publish
from outfitter_server.mqtt.properties import PROPERTIES_BYTES_MAX, TABLE, Form, Kind, text, write_properties
from outfitter_server.mqtt.reasons import PacketRefused, Reason
from outfitter_server.mqtt.stream import Decoder

LIMIT = 1 << 21

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
blobs = st.binary(max_size=200)
ids = st.integers(1, 0xFFFF)
codes = st.integers(0, 255)

VALUES = {
    Form.FLAG: st.integers(0, 1),
    Form.U16: st.integers(1, 0xFFFF),
    Form.U32: st.integers(1, 0xFFFF_FFFF),
    Form.TEXT: texts,
    Form.BINARY: blobs,
}


@st.composite
def properties(draw, kind, version):
    if version != p.MQTT_5:
        return p.NO_PROPERTIES
    values = {}
    for name, form, kinds in TABLE.values():
        if kind not in kinds or not draw(st.booleans()):
            continue
        if form is Form.PAIR:
            values[name] = tuple(draw(st.lists(st.tuples(texts, texts), max_size=3)))
        elif form is Form.VARINT:
            most = 3 if kind is Kind.PUBLISH else 1
            values[name] = tuple(draw(st.lists(st.integers(1, 268_435_455), max_size=most)))
        else:
            values[name] = draw(VALUES[form])
    return p.Properties(**values)


@st.composite
def publishes(draw, version):
    qos = draw(st.integers(0, 1))
    return p.Publish(
        draw(texts),
        draw(blobs),
        qos,
        draw(ids) if qos else 0,
        draw(st.booleans()),
        bool(qos) and draw(st.booleans()),
        draw(properties(Kind.PUBLISH, version)),
    )


@st.composite
def connects(draw, version):
    will = None
    if draw(st.booleans()):
        will = p.Will(
            topic=draw(texts),
            payload=draw(blobs),
            qos=draw(st.integers(0, 2)),
            retain=draw(st.booleans()),
            properties=draw(properties(Kind.WILL, version)),
        )
    username = draw(st.none() | texts)
    return p.Connect(
        version=version,
        client_id=draw(texts),
        clean_start=draw(st.booleans()),
        keep_alive_seconds=draw(st.integers(0, 0xFFFF)),
        username=username,
        password=draw(st.none() | blobs) if username is not None or version == p.MQTT_5 else None,
        will=will,
        properties=draw(properties(Kind.CONNECT, version)),
    )


@st.composite
def filter_requests(draw, version):
    return p.FilterRequest(
        draw(texts),
        draw(st.integers(0, 2)),
        *((draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 2))) if version == p.MQTT_5 else ()),
    )


def several(values):
    return st.lists(values, min_size=1, max_size=4).map(tuple)


def packets(version):
    five = version == p.MQTT_5
    code = codes if five else st.just(0)

    def block(kind):
        return properties(kind, version)

    kinds = [
        connects(version),
        st.builds(p.ConnAck, session_present=st.booleans(), code=codes, properties=block(Kind.CONNACK)),
        publishes(version),
        st.builds(p.PubAck, ids, code, block(Kind.PUBACK)),
        st.builds(p.Subscribe, ids, several(filter_requests(version)), block(Kind.SUBSCRIBE)),
        st.builds(p.SubAck, ids, several(codes), block(Kind.SUBACK)),
        st.builds(p.Unsubscribe, ids, several(texts), block(Kind.UNSUBSCRIBE)),
        st.builds(p.UnsubAck, ids, several(codes) if five else st.just(()), block(Kind.UNSUBACK)),
        st.builds(p.PingReq),
        st.builds(p.PingResp),
        st.builds(p.Disconnect, code, block(Kind.DISCONNECT)),
    ]
    return st.one_of(*kinds, *([st.builds(p.Auth, code, block(Kind.AUTH))] if five else []))


@st.composite
def conversations(draw):
    version = draw(st.sampled_from([p.MQTT_311, p.MQTT_5]))
    return version, draw(st.lists(packets(version), min_size=1, max_size=6))


@given(conversations(), st.data())
@settings(max_examples=120, deadline=None)
def test_any_packets_in_any_pieces_come_back(conversation, data):
    version, sent = conversation
    stream = b"".join(encode(packet, version) for packet in sent)
    decoder, received, position = Decoder(LIMIT, version), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, len(stream) - position))
        received += decoder.feed(stream[position : position + size])
        position += size
    assert decoder.failure is None
    assert received == sent


@given(st.binary(max_size=80), st.sampled_from([0, p.MQTT_311, p.MQTT_5]))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_nothing(data, version):
    decoder = Decoder(LIMIT, version)
    decoder.feed(data)
    assert decoder.failure is None or isinstance(decoder.failure, PacketRefused)


@given(conversations(), st.data())
@settings(max_examples=120, deadline=None)
def test_damaged_packets_raise_nothing(conversation, data):
    version, sent = conversation
    stream = bytearray(b"".join(encode(packet, version) for packet in sent))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    decoder = Decoder(LIMIT, version)
    decoder.feed(bytes(stream))
    assert decoder.failure is None or isinstance(decoder.failure, PacketRefused)


@given(publishes(p.MQTT_5))
def test_fast_publish_equals_the_general_one(packet):
    block = write_properties(packet.properties)
    flags = packet.retain | packet.dup << 3
    fast = encode_publish(text(packet.topic), packet.payload, packet.packet_id, block, flags)
    assert fast == encode(packet, p.MQTT_5)
    if packet.packet_id:
        assert encode_puback(packet.packet_id) == encode(p.PubAck(packet.packet_id), p.MQTT_5)


MALFORMED = Reason.MALFORMED_PACKET
PROTOCOL = Reason.PROTOCOL_ERROR
REFUSED = [
    ("reserved packet type", 4, b"\x00\x00", MALFORMED),
    ("flags of SUBSCRIBE", 4, b"\x80\x06\x00\x01\x00\x01a\x00", MALFORMED),
    ("flags of PINGREQ", 4, b"\xc1\x00", MALFORMED),
    ("PINGREQ with a body", 4, b"\xc0\x01\x00", MALFORMED),
    ("length of five bytes", 4, b"\x30\x80\x80\x80\x80\x01", MALFORMED),
    ("length with needless digits", 4, b"\x30\x85\x00", MALFORMED),
    ("topic runs past the packet", 4, b"\x30\x04\x00\x09ab", MALFORMED),
    ("publish without topic", 4, b"\x30\x01\x00", MALFORMED),
    ("packet id runs past the packet", 4, b"\x32\x04\x00\x01a\x00", MALFORMED),
    ("packet id 0", 4, b"\x32\x05\x00\x01a\x00\x00", PROTOCOL),
    ("QoS 2", 5, b"\x34\x06\x00\x01a\x00\x01\x00", Reason.QOS_NOT_SUPPORTED),
    ("QoS 3", 5, b"\x36\x06\x00\x01a\x00\x01\x00", MALFORMED),
    ("DUP of QoS 0", 4, b"\x38\x03\x00\x01a", MALFORMED),
    ("PUBREL", 4, b"\x62\x02\x00\x01", PROTOCOL),
    ("topic with U+0000", 4, b"\x30\x03\x00\x01\x00", MALFORMED),
    ("topic with a surrogate", 4, b"\x30\x05\x00\x03\xed\xa0\x80", MALFORMED),
    ("overlong UTF-8", 4, b"\x30\x04\x00\x02\xc0\x80", MALFORMED),
    ("properties run past the packet", 5, b"\x30\x08\x00\x01a\x7f\x01\x00hi", MALFORMED),
    ("property value runs past the block", 5, b"\x30\x09\x00\x01a\x02\x02\x00hi!", MALFORMED),
    ("property given twice", 5, b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", PROTOCOL),
    ("property of another packet", 5, b"\x30\x07\x00\x01a\x03\x21\x00\x01", MALFORMED),
    ("unknown property", 5, b"\x30\x06\x00\x01a\x02\x7e\x00", MALFORMED),
    ("flag property of 2", 5, b"\x30\x06\x00\x01a\x02\x01\x02", PROTOCOL),
    ("subscribe without filter", 4, b"\x82\x02\x00\x01", PROTOCOL),
    ("subscribe QoS 3", 4, b"\x82\x06\x00\x01\x00\x01a\x03", MALFORMED),
    ("subscribe options of 5 in 3.1.1", 4, b"\x82\x06\x00\x01\x00\x01a\x04", MALFORMED),
    ("unsubscribe without filter", 4, b"\xa2\x02\x00\x01", PROTOCOL),
    ("AUTH in 3.1.1", 4, b"\xf0\x00", PROTOCOL),
    ("DISCONNECT with a body in 3.1.1", 4, b"\xe0\x01\x00", MALFORMED),
    ("MQTT 3.1", 0, b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a", Reason.UNSUPPORTED_PROTOCOL),
    ("level 6", 0, b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01a", Reason.UNSUPPORTED_PROTOCOL),
    ("other protocol", 0, b"\x10\x0d\x00\x04HTTP\x04\x02\x00\x3c\x00\x01a", Reason.UNSUPPORTED_PROTOCOL),
    ("reserved connect flag", 0, b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a", MALFORMED),
    ("will flags without will", 0, b"\x10\x0d\x00\x04MQTT\x04\x0a\x00\x3c\x00\x01a", MALFORMED),
    ("password without name", 0, b"\x10\x10\x00\x04MQTT\x04\x42\x00\x3c\x00\x01a\x00\x01p", MALFORMED),
    ("connect with a tail", 0, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01aX", MALFORMED),
]


@pytest.mark.parametrize(("version", "data", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused_packets(version, data, reason):
    decoder = Decoder(LIMIT, version)
    assert decoder.feed(data) == []
    assert decoder.failure is not None
    assert decoder.failure.reason == reason


def test_what_came_before_the_breach_still_counts_and_nothing_after_it():
    decoder = Decoder(LIMIT, 4)
    assert decoder.feed(b"\xc0\x00\x00\x00\xc0\x00") == [p.PingReq()]
    assert decoder.failure is not None
    assert decoder.feed(b"\xc0\x00") == []


def test_too_large_a_packet_is_refused_by_its_head():
    decoder = Decoder(1_000, 4)
    decoder.feed(b"\x30\xff\x7f")
    assert decoder.failure is not None
    assert decoder.failure.reason == Reason.PACKET_TOO_LARGE


def test_a_malformed_connect_of_5_leaves_the_version_known():
    decoder = Decoder(LIMIT)
    decoder.feed(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x7f\x00\x01a")
    assert decoder.version == 5
    assert decoder.failure is not None


def test_a_packet_that_drips_is_copied_once():
    packet = p.Publish("a", b"x" * 100_000, 0)
    stream = encode(packet, 4)
    decoder, received = Decoder(LIMIT, 4), []
    for index in range(0, len(stream), 7):
        received += decoder.feed(stream[index : index + 7])
    assert received == [packet]


def test_properties_are_bounded_before_they_are_read():
    pair = ("", "")
    within, beyond = (
        encode(p.Publish("a", b"", 0, 0, properties=p.Properties(user=(pair,) * count)), 5)
        for count in (PROPERTIES_BYTES_MAX // 5, PROPERTIES_BYTES_MAX // 5 + 1)
    )
    decoder = Decoder(LIMIT, 5)
    assert len(decoder.feed(within)) == 1
    assert decoder.feed(beyond) == []
    assert decoder.failure is not None
    assert decoder.failure.reason is Reason.PACKET_TOO_LARGE
