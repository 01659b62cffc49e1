"""There and back at the edges: each length that takes another digit, each number at its ends, every property at once."""

import pytest
from outfitter_server.mqtt import packets as p
from outfitter_server.mqtt.decode import FILTERS_MAX
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.properties import _NEVER_ZERO, PROPERTIES_BYTES_MAX, TABLE, Form, Kind
from outfitter_server.mqtt.reasons import PacketRefused
from outfitter_server.mqtt.stream import Decoder

VERSIONS = (p.MQTT_311, p.MQTT_5)
LIMIT = 1 << 22
TEXT_MAX = 65_535
LENGTHS = (
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2_097_151,
    2_097_152,
)  # a remaining length gets another digit between

LEAST = {
    Form.FLAG: 0,
    Form.U16: 0,
    Form.U32: 0,
    Form.VARINT: (1,),
    Form.TEXT: "",
    Form.BINARY: b"",
    Form.PAIR: (("", ""),),
}
MOST = {
    Form.FLAG: 1,
    Form.U16: 0xFFFF,
    Form.U32: 0xFFFF_FFFF,
    Form.VARINT: (268_435_455,),
    Form.TEXT: "\U0010ffff" * 100,
    Form.BINARY: bytes(range(256)) * 4,
    Form.PAIR: (("b", "1"), ("a", "2"), ("b", "1")),
}
KINDS = {
    Kind.CONNECT: lambda block: p.Connect(version=5, client_id="c", properties=block),
    Kind.WILL: lambda block: p.Connect(
        version=5, client_id="c", will=p.Will(topic="t", payload=b"w", qos=1, properties=block)
    ),
    Kind.CONNACK: lambda block: p.ConnAck(code=0, properties=block),
    Kind.PUBLISH: lambda block: p.Publish("t", b"payload", 1, 1, properties=block),
    Kind.PUBACK: lambda block: p.PubAck(1, 0, block),
    Kind.SUBSCRIBE: lambda block: p.Subscribe(1, (p.FilterRequest("f"),), block),
    Kind.SUBACK: lambda block: p.SubAck(1, (0,), block),
    Kind.UNSUBSCRIBE: lambda block: p.Unsubscribe(1, ("f",), block),
    Kind.UNSUBACK: lambda block: p.UnsubAck(1, (0,), block),
    Kind.DISCONNECT: lambda block: p.Disconnect(0, block),
    Kind.AUTH: lambda block: p.Auth(0, block),
}


def there_and_back(packet, version):
    """What a decoder makes of the packet between two others, in pieces that end within every field."""
    written = encode(packet, version)
    stream = b"\xd0\x00" + written + b"\xd0\x00"
    for size in (1, 2, 3, 7, len(stream)) if len(stream) < 5_000 else (len(stream) // 3, len(stream)):
        decoder, received = Decoder(LIMIT, version), []
        for start in range(0, len(stream), size):
            received += decoder.feed(stream[start : start + size])
        assert decoder.failure is None, decoder.failure
        assert received == [p.PingResp(), packet, p.PingResp()]
    return written


def test_every_kind_of_block_is_here():
    assert KINDS.keys() == {kind for _name, _form, kinds in TABLE.values() for kind in kinds} - {
        Kind.PINGREQ,
        Kind.PINGRESP,
    }


@pytest.mark.parametrize("values", [LEAST, MOST], ids=["least", "most"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_property_at_once_and_by_itself(kind, values):
    found = {
        name: 1 if name in _NEVER_ZERO and not values[form] else values[form]
        for name, form, kinds in TABLE.values()
        if kind in kinds
    }
    for properties in ({}, found, *({name: value} for name, value in found.items())):
        there_and_back(KINDS[kind](p.Properties(**properties)), p.MQTT_5)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("packet_id", [0, 1, 0xFFFF])
def test_remaining_lengths_with_one_digit_more(version, length, packet_id):
    around = (
        2 + 1 + (2 if packet_id else 0) + (version == p.MQTT_5)
    )  # topic, packet identifier, property block
    payload = b"x" * max(0, length - around)
    written = there_and_back(p.Publish("t", payload, int(bool(packet_id)), packet_id), version)
    if length >= around:
        digits = 1 + sum(length >= edge for edge in (128, 16_384, 2_097_152))
        assert len(written) == 1 + digits + length


@pytest.mark.parametrize("version", VERSIONS)
def test_the_longest_texts(version):
    text, blob = "x" * TEXT_MAX, b"\0" * TEXT_MAX
    will = p.Will(topic=text, payload=blob, qos=2, retain=True)
    for packet in (
        p.Connect(
            version=version,
            client_id=text,
            keep_alive_seconds=0xFFFF,
            username=text,
            password=blob,
            will=will,
        ),
        p.Publish(text, b"", 1, 0xFFFF, retain=True, dup=True),
        p.Subscribe(0xFFFF, (p.FilterRequest(text, 2),) * 3),
        p.Unsubscribe(0xFFFF, (text,) * 3),
    ):
        there_and_back(packet, version)
        with pytest.raises(PacketRefused):
            encode(p.Publish(text + "x", b""), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_as_many_filters_and_codes_as_there_may_be(version):
    there_and_back(
        p.Subscribe(1, tuple(p.FilterRequest(f"f/{n}", n % 3) for n in range(FILTERS_MAX))), version
    )
    there_and_back(p.SubAck(1, tuple(n % 256 for n in range(FILTERS_MAX))), version)
    there_and_back(p.Unsubscribe(1, tuple(f"f/{n}" for n in range(FILTERS_MAX))), version)


@pytest.mark.parametrize("length", [0, 125, 126, 16_381, 16_382, PROPERTIES_BYTES_MAX - 3])
def test_property_blocks_whose_length_takes_another_digit(length):
    properties = p.Properties(correlation_data=b"c" * length)
    there_and_back(p.Publish("t", b"payload", properties=properties), p.MQTT_5)


@pytest.mark.parametrize("code", [0, 1, 128, 255])
def test_codes_with_and_without_properties(code):
    for block in (p.NO_PROPERTIES, p.Properties(reason_string="why")):
        for packet in (p.PubAck(1, code, block), p.Disconnect(code, block), p.Auth(code, block)):
            there_and_back(packet, p.MQTT_5)
