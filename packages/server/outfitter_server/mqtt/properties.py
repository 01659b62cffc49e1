"""The property blocks of MQTT 5: one table says what each identifier is called, how it is written, where it may stand."""

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Any, Final

import msgspec

from outfitter_server.mqtt.packets import NO_PROPERTIES, Properties
from outfitter_server.mqtt.reader import Reader
from outfitter_server.mqtt.reasons import PacketRefused, Reason


class Kind(IntEnum):
    """The packet types by number; WILL stands for the properties of a will."""

    WILL = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Form(Enum):
    """How a property's value is written."""

    FLAG = "a byte, 0 or 1"
    U16 = "two bytes"
    U32 = "four bytes"
    VARINT = "a variable byte integer, may come again in PUBLISH"
    TEXT = "a string"
    BINARY = "binary data"
    PAIR = "two strings, may come again"


_K = Kind
_MESSAGE = frozenset({_K.PUBLISH, _K.WILL})
_BOTH = frozenset({_K.CONNECT, _K.CONNACK})
_ACK = frozenset({_K.CONNACK})
_LOGIN = frozenset({_K.CONNECT, _K.CONNACK, _K.AUTH})
_REASONS = frozenset({_K.CONNACK, _K.PUBACK, _K.SUBACK, _K.UNSUBACK, _K.DISCONNECT, _K.AUTH})

# OASIS MQTT 5.0, table 2-4
TABLE: Final[dict[int, tuple[str, Form, frozenset[Kind]]]] = {
    0x01: ("payload_format", Form.FLAG, _MESSAGE),
    0x02: ("message_expiry_seconds", Form.U32, _MESSAGE),
    0x03: ("content_type", Form.TEXT, _MESSAGE),
    0x08: ("response_topic", Form.TEXT, _MESSAGE),
    0x09: ("correlation_data", Form.BINARY, _MESSAGE),
    0x0B: ("subscription_ids", Form.VARINT, frozenset({_K.PUBLISH, _K.SUBSCRIBE})),
    0x11: ("session_expiry_seconds", Form.U32, frozenset({_K.CONNECT, _K.CONNACK, _K.DISCONNECT})),
    0x12: ("assigned_client_id", Form.TEXT, _ACK),
    0x13: ("server_keep_alive_seconds", Form.U16, _ACK),
    0x15: ("authentication_method", Form.TEXT, _LOGIN),
    0x16: ("authentication_data", Form.BINARY, _LOGIN),
    0x17: ("request_problem_information", Form.FLAG, frozenset({_K.CONNECT})),
    0x18: ("will_delay_seconds", Form.U32, frozenset({_K.WILL})),
    0x19: ("request_response_information", Form.FLAG, frozenset({_K.CONNECT})),
    0x1A: ("response_information", Form.TEXT, _ACK),
    0x1C: ("server_reference", Form.TEXT, frozenset({_K.CONNACK, _K.DISCONNECT})),
    0x1F: ("reason_string", Form.TEXT, _REASONS),
    0x21: ("receive_maximum", Form.U16, _BOTH),
    0x22: ("topic_alias_maximum", Form.U16, _BOTH),
    0x23: ("topic_alias", Form.U16, frozenset({_K.PUBLISH})),
    0x24: ("maximum_qos", Form.FLAG, _ACK),
    0x25: ("retain_available", Form.FLAG, _ACK),
    0x26: ("user", Form.PAIR, frozenset(Kind)),
    0x27: ("maximum_packet_bytes", Form.U32, _BOTH),
    0x28: ("wildcard_available", Form.FLAG, _ACK),
    0x29: ("subscription_ids_available", Form.FLAG, _ACK),
    0x2A: ("shared_available", Form.FLAG, _ACK),
}
PROPERTIES_BYTES_MAX: Final = 18 * 1024  # what AWS's largest packet leaves beside its largest payload
_NEVER_ZERO = frozenset({"receive_maximum", "maximum_packet_bytes", "topic_alias", "subscription_ids"})


def _flag(reader: Reader) -> int:
    value = reader.byte()
    if value > 1:
        raise PacketRefused("a property that is 0 or 1 holds another number", Reason.PROTOCOL_ERROR)
    return value


_READ: Final[dict[Form, Callable[[Reader], Any]]] = {
    Form.FLAG: _flag,
    Form.U16: Reader.u16,
    Form.U32: Reader.u32,
    Form.VARINT: Reader.varint,
    Form.TEXT: Reader.text,
    Form.BINARY: Reader.binary,
    Form.PAIR: lambda reader: (reader.text(), reader.text()),
}


def read_properties(reader: Reader, kind: Kind) -> Properties:
    """The property block at the reader's position.

    Raises:
        PacketRefused: the block is too large, runs past the packet, or holds a property that is unknown, misplaced or
            repeated.
    """
    length = reader.varint()
    if not length:
        return NO_PROPERTIES
    if length > PROPERTIES_BYTES_MAX:
        raise PacketRefused(
            f"{length:,} bytes of properties are more than {PROPERTIES_BYTES_MAX:,}", Reason.PACKET_TOO_LARGE
        )
    start = reader.take(length)
    block = Reader(reader.data, start, start + length)
    values: dict[str, Any] = {}
    while block.position < block.end:
        name, form, kinds = TABLE.get(block.varint(), ("", Form.FLAG, frozenset[Kind]()))
        if kind not in kinds:
            raise PacketRefused(
                f"property {name or 'of an unknown identifier'} does not belong in {kind.name}"
            )
        value = _READ[form](block)
        if name in _NEVER_ZERO and not value:
            raise PacketRefused(f"property {name} must not be 0", Reason.PROTOCOL_ERROR)
        if form is Form.PAIR or (form is Form.VARINT and kind is Kind.PUBLISH):
            values.setdefault(name, []).append(value)
        elif name in values:
            raise PacketRefused(f"property {name} is given twice", Reason.PROTOCOL_ERROR)
        else:
            values[name] = [value] if form is Form.VARINT else value
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return Properties(**values)


def varint(value: int) -> bytes:
    """A variable byte integer."""
    digits = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        digits.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(digits)


def text(value: str) -> bytes:
    """A string with its two-byte length."""
    return binary(value.encode())


def binary(value: bytes) -> bytes:
    """Binary data with its two-byte length."""
    if len(value) > 0xFFFF:  # noqa: PLR2004 - two bytes of length
        raise PacketRefused("a string is longer than 65,535 bytes", Reason.PACKET_TOO_LARGE)
    return len(value).to_bytes(2, "big") + value


_WRITE: Final[dict[Form, Callable[[Any], bytes]]] = {
    Form.FLAG: lambda value: bytes((value,)),
    Form.U16: lambda value: value.to_bytes(2, "big"),
    Form.U32: lambda value: value.to_bytes(4, "big"),
    Form.VARINT: varint,
    Form.TEXT: text,
    Form.BINARY: binary,
    Form.PAIR: lambda value: text(value[0]) + text(value[1]),
}
_WRITERS: Final = [(bytes((number,)), name, _WRITE[form]) for number, (name, form, _kinds) in TABLE.items()]


def write_properties(properties: Properties) -> bytes:
    """The property block, its length in front."""
    pairs = write_pairs(properties)
    return varint(len(pairs)) + pairs


def write_pairs(properties: Properties) -> bytes:
    """The property block without its length."""
    parts: list[bytes] = []
    if properties == NO_PROPERTIES:
        return b""
    for number, name, write in _WRITERS:
        value = getattr(properties, name)
        if value is None or value == ():
            continue
        for single in value if isinstance(value, tuple) else (value,):
            parts += (number, write(single))
    return b"".join(parts)


def read_pairs(pairs: bytes) -> Properties:
    """The properties of a message out of what ``write_pairs`` made of them."""
    block = varint(len(pairs)) + pairs
    return read_properties(Reader(block, 0, len(block)), Kind.PUBLISH)


def publish_block(
    pairs: bytes, expiry_seconds: int | None, identifiers: tuple[int, ...], alias: int | None
) -> bytes:
    """The property block of a PUBLISH: what all receivers get, written once, and what each gets besides."""
    parts = [pairs]
    if expiry_seconds is not None:
        parts += (b"\x02", expiry_seconds.to_bytes(4, "big"))
    for identifier in identifiers:
        parts += (b"\x0b", varint(identifier))
    if alias is not None:
        parts += (b"\x23", alias.to_bytes(2, "big"))
    block = b"".join(parts)
    return varint(len(block)) + block


def without_connection_properties(properties: Properties) -> Properties:
    """What travels on with a message to its subscribers: all but topic alias and subscription identifiers."""
    if properties == NO_PROPERTIES:
        return NO_PROPERTIES
    return msgspec.structs.replace(properties, topic_alias=None, subscription_ids=(), will_delay_seconds=None)


def travelling(properties: Properties) -> bytes:
    """The same, written, and without the expiry, which counts down."""
    if properties is NO_PROPERTIES:
        return b""
    left = without_connection_properties(properties)
    return write_pairs(msgspec.structs.replace(left, message_expiry_seconds=None))
