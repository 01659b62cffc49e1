"""Packets into bytes. PUBLISH and PUBACK have fast paths that join their parts once."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from outfitter_server.mqtt.packets import (
    MQTT_5,
    NO_PROPERTIES,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    FilterRequest,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from outfitter_server.mqtt.properties import binary, text, varint, write_properties

PINGRESP: Final = b"\xd0\x00"
_ONE_DIGIT: Final = 1 << 7  # remaining lengths below this take one byte, those below the next two
_TWO_DIGITS: Final = 1 << 14


def encode(packet: Packet, version: int) -> bytes:
    """The bytes of a packet for a connection of this protocol version (4 or 5)."""
    return _ENCODERS[type(packet)](packet, version)


def encode_puback(packet_id: int) -> bytes:
    """A PUBACK of success, the same in both versions."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def encode_publish(
    topic: bytes, payload: bytes, packet_id: int, block: bytes, flags: int = 0, before: bytes = b""
) -> bytes:
    """A PUBLISH; QoS 1 when ``packet_id`` is not 0.

    Args:
        topic: the topic with its two-byte length (``properties.text``), so that hot topics are written once.
        payload: the payload.
        packet_id: the packet identifier, 0 for QoS 0.
        block: the property block: ``b""`` in MQTT 3.1.1, one zero byte in MQTT 5 without properties.
        flags: the retain (1) and duplicate (8) flags.
        before: packets that go out in front of it, joined with it in one step.
    """
    if packet_id:
        head = _head(0x32 | flags, len(topic) + 2 + len(block) + len(payload))
        return b"".join((before, head, topic, packet_id.to_bytes(2, "big"), block, payload))
    head = _head(0x30 | flags, len(topic) + len(block) + len(payload))
    return b"".join((before, head, topic, block, payload))


@lru_cache(maxsize=1_024)
def _head(first: int, length: int) -> bytes:
    if length < _ONE_DIGIT:
        return b"%c%c" % (first, length)
    if length < _TWO_DIGITS:
        return b"%c%c%c" % (first, length & 0x7F | 0x80, length >> 7)
    return bytes((first,)) + varint(length)


def _frame(head: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _head(head, len(body)) + body


def _publish(packet: Publish, version: int) -> bytes:
    flags = packet.retain | packet.dup << 3
    return encode_publish(
        text(packet.topic), packet.payload, packet.packet_id, _block(packet.properties, version), flags
    )


def _block(properties: Properties, version: int) -> bytes:
    return write_properties(properties) if version == MQTT_5 else b""


def _connect(packet: Connect, version: int) -> bytes:
    flags, parts = packet.clean_start << 1, [text(packet.client_id)]
    will = packet.will
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        parts += (_block(will.properties, version), text(will.topic), binary(will.payload))
    if packet.username is not None:
        flags |= 0x80
        parts.append(text(packet.username))
    if packet.password is not None:
        flags |= 0x40
        parts.append(binary(packet.password))
    head = b"\0\4MQTT" + bytes((packet.version, flags)) + packet.keep_alive_seconds.to_bytes(2, "big")
    return _frame(0x10, head, _block(packet.properties, version), *parts)


def _connack(packet: ConnAck, version: int) -> bytes:
    return _frame(0x20, bytes((packet.session_present, packet.code)), _block(packet.properties, version))


def _code_and_block(code: int, properties: Properties, version: int) -> bytes:
    if version != MQTT_5 or (not code and properties == NO_PROPERTIES):
        return b""
    return bytes((code,)) + (b"" if properties == NO_PROPERTIES else write_properties(properties))


def _puback(packet: PubAck, version: int) -> bytes:
    return _frame(
        0x40, packet.packet_id.to_bytes(2, "big"), _code_and_block(packet.code, packet.properties, version)
    )


def _filter(request: FilterRequest, version: int) -> bytes:
    options = request.qos
    if version == MQTT_5:
        options |= request.no_local << 2 | request.retain_as_published << 3 | request.retain_handling << 4
    return text(request.filter) + bytes((options,))


def _subscribe(packet: Subscribe, version: int) -> bytes:
    filters = [_filter(request, version) for request in packet.filters]
    return _frame(0x82, packet.packet_id.to_bytes(2, "big"), _block(packet.properties, version), *filters)


def _unsubscribe(packet: Unsubscribe, version: int) -> bytes:
    filters = [text(topic_filter) for topic_filter in packet.filters]
    return _frame(0xA2, packet.packet_id.to_bytes(2, "big"), _block(packet.properties, version), *filters)


def _suback(packet: SubAck, version: int) -> bytes:
    return _frame(
        0x90, packet.packet_id.to_bytes(2, "big"), _block(packet.properties, version), bytes(packet.codes)
    )


def _unsuback(packet: UnsubAck, version: int) -> bytes:
    codes = bytes(packet.codes) if version == MQTT_5 else b""
    return _frame(0xB0, packet.packet_id.to_bytes(2, "big"), _block(packet.properties, version), codes)


def _disconnect(packet: Disconnect, version: int) -> bytes:
    return _frame(0xE0, _code_and_block(packet.code, packet.properties, version))


def _auth(packet: Auth, version: int) -> bytes:
    return _frame(0xF0, _code_and_block(packet.code, packet.properties, version))


_ENCODERS: Final[dict[type, Callable[[Any, int], bytes]]] = {
    Connect: _connect,
    ConnAck: _connack,
    Publish: _publish,
    PubAck: _puback,
    Subscribe: _subscribe,
    SubAck: _suback,
    Unsubscribe: _unsubscribe,
    UnsubAck: _unsuback,
    PingReq: lambda _packet, _version: b"\xc0\x00",
    PingResp: lambda _packet, _version: PINGRESP,
    Disconnect: _disconnect,
    Auth: _auth,
}
