"""The control packets of MQTT 3.1.1 and 5 as values. QoS 2 is not spoken here: its packets are refused by the codec.

Values are msgspec structures because several are made for every message. ``properties`` is ``NO_PROPERTIES`` in every
packet of MQTT 3.1.1. Packets that hold no references to each other opt out of the garbage collector.
"""

from typing import Final

import msgspec

MQTT_311: Final = 4
MQTT_5: Final = 5


class Properties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The property block of an MQTT 5 packet; None or () where a property is absent (OASIS MQTT 5.0, 2.2.2.2)."""

    payload_format: int | None = None
    message_expiry_seconds: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_ids: tuple[int, ...] = ()
    session_expiry_seconds: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_seconds: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_seconds: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user: tuple[tuple[str, str], ...] = ()
    maximum_packet_bytes: int | None = None
    wildcard_available: int | None = None
    subscription_ids_available: int | None = None
    shared_available: int | None = None


NO_PROPERTIES: Final = Properties()


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """What the server publishes when the connection ends without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = NO_PROPERTIES


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """CONNECT; ``version`` is 4 (MQTT 3.1.1) or 5, ``clean_start`` is 3.1.1's clean session."""

    version: int
    client_id: str
    clean_start: bool = True
    keep_alive_seconds: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = NO_PROPERTIES


class ConnAck(msgspec.Struct, frozen=True, kw_only=True):
    """CONNACK; ``code`` is a return code (3.1.1) or a reason code (5)."""

    session_present: bool = False
    code: int = 0
    properties: Properties = NO_PROPERTIES


class Publish(msgspec.Struct, frozen=True, gc=False):
    """PUBLISH of QoS 0 or 1; ``packet_id`` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False
    properties: Properties = NO_PROPERTIES


class PubAck(msgspec.Struct, frozen=True, gc=False):
    """PUBACK; ``code`` is 0 in MQTT 3.1.1."""

    packet_id: int
    code: int = 0
    properties: Properties = NO_PROPERTIES


class FilterRequest(msgspec.Struct, frozen=True):
    """One topic filter of a SUBSCRIBE; the last three are MQTT 5's subscription options."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True):
    """SUBSCRIBE with at least one filter."""

    packet_id: int
    filters: tuple[FilterRequest, ...]
    properties: Properties = NO_PROPERTIES


class SubAck(msgspec.Struct, frozen=True):
    """SUBACK; one code a filter: the granted QoS, or why not (0x80 is all that 3.1.1 knows)."""

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = NO_PROPERTIES


class Unsubscribe(msgspec.Struct, frozen=True):
    """UNSUBSCRIBE with at least one filter."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = NO_PROPERTIES


class UnsubAck(msgspec.Struct, frozen=True):
    """UNSUBACK; ``codes`` is empty in MQTT 3.1.1."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = NO_PROPERTIES


class PingReq(msgspec.Struct, frozen=True):
    """PINGREQ."""


class PingResp(msgspec.Struct, frozen=True):
    """PINGRESP."""


class Disconnect(msgspec.Struct, frozen=True):
    """DISCONNECT; ``code`` is 0 in MQTT 3.1.1."""

    code: int = 0
    properties: Properties = NO_PROPERTIES


class Auth(msgspec.Struct, frozen=True):
    """AUTH of MQTT 5."""

    code: int = 0
    properties: Properties = NO_PROPERTIES


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)
