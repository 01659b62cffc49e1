"""One packet out of its bytes. Whatever is not exactly a packet raises PacketRefused, and nothing else is raised."""

from collections.abc import Callable, Sized
from typing import Final

from outfitter_server.mqtt.packets import (
    MQTT_5,
    MQTT_311,
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
    Will,
)
from outfitter_server.mqtt.properties import Kind, read_properties
from outfitter_server.mqtt.reader import Reader
from outfitter_server.mqtt.reasons import PacketRefused, Reason

_QOS_MAX: Final = 2
_WILL_FLAG, _WILL_RETAIN, _PASSWORD_FLAG, _USERNAME_FLAG = 0x04, 0x20, 0x40, 0x80

FILTERS_MAX: Final = 100  # of one packet


def decode(head: int, data: bytes, start: int, end: int, version: int) -> Packet:
    """The packet whose first byte is ``head`` and whose body is ``data[start:end]``.

    Raises:
        PacketRefused: the bytes are no such packet.
    """
    if head & 0xF0 == 0x30:  # noqa: PLR2004 - PUBLISH
        return decode_publish(head, data, start, end, version)
    entry = _DECODERS.get(head)
    if entry is None:
        raise PacketRefused(f"no packet of this server begins with 0x{head:02x}", _unknown_head(head))
    reader = Reader(data, start, end)
    packet = entry(reader, version)
    reader.finish()
    return packet


def _unknown_head(head: int) -> Reason:
    # PUBREC, PUBREL and PUBCOMP are well-formed and belong to QoS 2, which no CONNACK here offers.
    return Reason.PROTOCOL_ERROR if head in (0x50, 0x62, 0x70) else Reason.MALFORMED_PACKET


def decode_publish(  # noqa: C901 - the hottest path of the server, kept in one frame
    head: int, data: bytes, start: int, end: int, version: int
) -> Publish:
    """A PUBLISH; the fast path reads no properties and copies nothing but topic and payload."""
    qos = head >> 1 & 3
    position = start + 2
    if position > end:
        raise PacketRefused("a PUBLISH ends before its topic")
    topic_end = position + (data[start] << 8 | data[start + 1])
    position, packet_id = topic_end, 0
    if qos:
        if qos > 1:
            raise PacketRefused(
                "QoS 2 is not supported", Reason.QOS_NOT_SUPPORTED if qos == _QOS_MAX else _MALFORMED
            )
        position += 2
    elif head & 8:
        raise PacketRefused("a PUBLISH of QoS 0 is marked as a duplicate")
    if position > end:
        raise PacketRefused("a PUBLISH ends before its payload")
    if qos:
        packet_id = data[topic_end] << 8 | data[topic_end + 1]
        if not packet_id:
            raise PacketRefused("packet identifier 0 is not valid", Reason.PROTOCOL_ERROR)
    try:
        topic = str(data[start + 2 : topic_end], "utf-8")
    except UnicodeDecodeError as error:
        raise PacketRefused("a topic is not UTF-8") from error
    if "\0" in topic:
        raise PacketRefused("a topic holds U+0000")
    if version != MQTT_5 or (position < end and not data[position]):
        if version == MQTT_5:
            position += 1
        if head & 9:
            return Publish(topic, data[position:end], qos, packet_id, bool(head & 1), bool(head & 8))
        return Publish(topic, data[position:end], qos, packet_id)
    reader = Reader(data, position, end)
    properties = read_properties(reader, Kind.PUBLISH)
    return Publish(topic, reader.rest(), qos, packet_id, bool(head & 1), bool(head & 8), properties)


_MALFORMED: Final = Reason.MALFORMED_PACKET


def protocol_level(data: bytes, start: int, end: int) -> int:
    """The protocol level that a CONNECT names: 4, 5, or 0 for one that this server does not speak.

    Raises:
        PacketRefused: the body does not begin as a CONNECT does.
    """
    reader = Reader(data, start, end)
    name = reader.binary()
    level = reader.byte()
    if name == b"MQTT" and level in (MQTT_311, MQTT_5):
        return level
    if name in (b"MQTT", b"MQIsdp"):
        return 0
    raise PacketRefused("a CONNECT does not begin with the name MQTT", Reason.UNSUPPORTED_PROTOCOL)


def _connect(reader: Reader, _version: int) -> Connect:
    version = protocol_level(reader.data, reader.position, reader.end)
    if not version:
        raise PacketRefused("this server speaks MQTT 3.1.1 and 5", Reason.UNSUPPORTED_PROTOCOL)
    reader.take(7)
    flags = reader.byte()
    keep_alive = reader.u16()
    properties = read_properties(reader, Kind.CONNECT) if version == MQTT_5 else NO_PROPERTIES
    if flags & 1:
        raise PacketRefused("the reserved flag of CONNECT is set")
    client_id = reader.text()
    will = _will(reader, flags, version)
    if flags & _PASSWORD_FLAG and not flags & _USERNAME_FLAG and version == MQTT_311:
        raise PacketRefused("a CONNECT has a password and no user name")
    return Connect(
        version=version,
        client_id=client_id,
        clean_start=bool(flags & 2),
        keep_alive_seconds=keep_alive,
        will=will,
        username=reader.text() if flags & _USERNAME_FLAG else None,
        password=reader.binary() if flags & _PASSWORD_FLAG else None,
        properties=properties,
    )


def _will(reader: Reader, flags: int, version: int) -> Will | None:
    qos = flags >> 3 & 3
    if not flags & _WILL_FLAG:
        if qos or flags & _WILL_RETAIN:
            raise PacketRefused("a CONNECT has will flags and no will")
        return None
    if qos > _QOS_MAX:
        raise PacketRefused("a will has QoS 3")
    properties = read_properties(reader, Kind.WILL) if version == MQTT_5 else NO_PROPERTIES
    topic = reader.text()
    return Will(
        topic=topic,
        payload=reader.binary(),
        qos=qos,
        retain=bool(flags & _WILL_RETAIN),
        properties=properties,
    )


def _connack(reader: Reader, version: int) -> ConnAck:
    flags, code = reader.byte(), reader.byte()
    if flags > 1:
        raise PacketRefused("a reserved flag of CONNACK is set")
    return ConnAck(session_present=bool(flags), code=code, properties=_block(reader, version, Kind.CONNACK))


def _block(reader: Reader, version: int, kind: Kind) -> Properties:
    return read_properties(reader, kind) if version == MQTT_5 else NO_PROPERTIES


def _code_and_block(reader: Reader, version: int, kind: Kind) -> tuple[int, Properties]:
    """A reason code and properties, both of which may be left out at the end of a packet."""
    if version != MQTT_5 or reader.position == reader.end:
        return 0, NO_PROPERTIES
    code = reader.byte()
    return code, read_properties(reader, kind) if reader.position < reader.end else NO_PROPERTIES


def _puback(reader: Reader, version: int) -> PubAck:
    packet_id = reader.packet_id()
    return PubAck(packet_id, *_code_and_block(reader, version, Kind.PUBACK))


def _subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = reader.packet_id()
    properties = _block(reader, version, Kind.SUBSCRIBE)
    filters = []
    while reader.position < reader.end:
        topic_filter, options = reader.text(), reader.byte()
        qos, handling = options & 3, options >> 4 & 3
        if qos > _QOS_MAX or handling > _QOS_MAX or options & (0xC0 if version == MQTT_5 else 0xFC):
            raise PacketRefused("the options of a topic filter are not valid")
        filters.append(FilterRequest(topic_filter, qos, bool(options & 4), bool(options & 8), handling))
        _bound(filters)
    if not filters:
        raise PacketRefused("a SUBSCRIBE has no topic filter", Reason.PROTOCOL_ERROR)
    return Subscribe(packet_id, tuple(filters), properties)


def _bound(filters: Sized) -> None:
    """Beyond what any client needs, a packet costs its server more than it costs who sends it."""
    if len(filters) > FILTERS_MAX:
        raise PacketRefused(f"a packet has more than {FILTERS_MAX} topic filters", Reason.QUOTA_EXCEEDED)


def _suback(reader: Reader, version: int) -> SubAck:
    packet_id = reader.packet_id()
    properties = _block(reader, version, Kind.SUBACK)
    return SubAck(packet_id, tuple(reader.rest()), properties)


def _unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = reader.packet_id()
    properties = _block(reader, version, Kind.UNSUBSCRIBE)
    filters = []
    while reader.position < reader.end:
        filters.append(reader.text())
        _bound(filters)
    if not filters:
        raise PacketRefused("an UNSUBSCRIBE has no topic filter", Reason.PROTOCOL_ERROR)
    return Unsubscribe(packet_id, tuple(filters), properties)


def _unsuback(reader: Reader, version: int) -> UnsubAck:
    packet_id = reader.packet_id()
    properties = _block(reader, version, Kind.UNSUBACK)
    return UnsubAck(packet_id, tuple(reader.rest()) if version == MQTT_5 else (), properties)


def _disconnect(reader: Reader, version: int) -> Disconnect:
    return Disconnect(*_code_and_block(reader, version, Kind.DISCONNECT))


def _auth(reader: Reader, version: int) -> Auth:
    if version != MQTT_5:
        raise PacketRefused("AUTH belongs to MQTT 5", Reason.PROTOCOL_ERROR)
    return Auth(*_code_and_block(reader, version, Kind.AUTH))


# By first byte: the low half holds flags that each packet type fixes.
_DECODERS: Final[dict[int, Callable[[Reader, int], Packet]]] = {
    0x10: _connect,
    0x20: _connack,
    0x40: _puback,
    0x82: _subscribe,
    0x90: _suback,
    0xA2: _unsubscribe,
    0xB0: _unsuback,
    0xC0: lambda _reader, _version: PingReq(),
    0xD0: lambda _reader, _version: PingResp(),
    0xE0: _disconnect,
    0xF0: _auth,
}
