"""The few MQTT 3.1.1 packets that a load generator needs, made once and taken apart quickly.

This is no client library: it sends only what the benchmark sends and trusts the server's framing as far as the length.
"""

from typing import Final

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
SUBACK: Final = 0x90
DISCONNECT: Final = b"\xe0\x00"

_PROTOCOL: Final = b"\x00\x04MQTT\x04"
_CLEAN_SESSION: Final = 0x02
_QOS_1: Final = 0x02
_FIXED_HEADER_MIN: Final = 2
_REMAINING_BYTES_MAX: Final = 4


class BadFrame(Exception):  # noqa: N818 - what was received
    """The bytes are no MQTT packet."""


def connect(client_id: str, keep_alive_seconds: int = 60, *, clean: bool = True) -> bytes:
    """CONNECT with no will, and a clean session unless it is to outlive the connection."""
    flags = bytes((_CLEAN_SESSION if clean else 0,))
    body = _PROTOCOL + flags + keep_alive_seconds.to_bytes(2) + _text(client_id)
    return _framed(0x10, body)


def subscribe(packet_id: int, *topic_filters: str, qos: int = 1) -> bytes:
    """SUBSCRIBE to filters."""
    body = b"".join(_text(topic_filter) + bytes((qos,)) for topic_filter in topic_filters)
    return _framed(0x82, packet_id.to_bytes(2) + body)


def publish(packet_id: int, topic: str, payload: bytes, *, qos: int = 1) -> bytes:
    """PUBLISH, with its packet id at QoS 1."""
    if qos:
        return publish_raw(packet_id, topic.encode(), payload)
    return _framed(PUBLISH, _text(topic) + payload)


def publish_raw(packet_id: int, topic: bytes, payload: bytes) -> bytes:
    """PUBLISH at QoS 1."""
    return _framed(PUBLISH | _QOS_1, len(topic).to_bytes(2) + topic + packet_id.to_bytes(2) + payload)


def puback(packet_id: bytes) -> bytes:
    """PUBACK for the two bytes of a packet id."""
    return b"\x40\x02" + packet_id


def split(buffer: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole packets at the start of ``buffer`` as (first byte, body), and what is left of it.

    Raises:
        BadFrame: a length of more than four bytes.
    """
    packets: list[tuple[int, bytes]] = []
    position, size = 0, len(buffer)
    while size - position >= _FIXED_HEADER_MIN:
        length, at = buffer[position + 1], position + 2
        if length & 0x80:
            length, at = _long_length(buffer, position + 1)
            if at == 0:
                break
        if at + length > size:
            break
        packets.append((buffer[position], buffer[at : at + length]))
        position = at + length
    return packets, buffer[position:]


def published(first: int, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Topic, packet id (empty at QoS 0) and payload of a PUBLISH."""
    end = 2 + int.from_bytes(body[:2])
    if first & 0x06:
        return body[2:end], body[end : end + 2], body[end + 2 :]
    return body[2:end], b"", body[end:]


def _long_length(buffer: bytes, position: int) -> tuple[int, int]:
    length = shift = 0
    for at in range(position, min(position + _REMAINING_BYTES_MAX, len(buffer))):
        byte = buffer[at]
        length |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return length, at + 1
        shift += 7
    if len(buffer) - position >= _REMAINING_BYTES_MAX:
        raise BadFrame("the remaining length has more than four bytes")
    return 0, 0


def _framed(first: int, body: bytes) -> bytes:
    length, head = len(body), bytearray((first,))
    while True:
        length, byte = length >> 7, length & 0x7F
        head.append(byte | 0x80 if length else byte)
        if not length:
            return bytes(head) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2) + raw
