"""Refusals in words: clients of MQTT 5 are told what is wrong and what to do, as far as they have room for it."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from outfitter_server.gateway.limits import (
    FILTERS_PER_SUBSCRIBE_MAX,
    IN_FLIGHT_MAX,
    PAYLOAD_BYTES_MAX,
    REASON_STRING_BYTES_MAX,
    SUBSCRIPTIONS_MAX,
    TOPIC_ALIASES_MAX,
)
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import MQTT_5, ConnAck, Disconnect, PubAck, SubAck, UnsubAck
from outfitter_server.mqtt.reasons import Reason

Told = ConnAck | PubAck | SubAck | UnsubAck | Disconnect

TOO_MANY_FILTERS: Final = f"a SUBSCRIBE may have {FILTERS_PER_SUBSCRIBE_MAX} topic filters, and a session {SUBSCRIPTIONS_MAX} subscriptions"
BAD_TOPIC: Final = (
    "messages can be published to topics of at most 256 bytes and 7 slashes, without wildcards;"
    " of those that begin with $, only to requests of jobs and provisioning, and to $aws/rules/"
)
BAD_FILTER: Final = (
    "topic filters have at most 256 bytes and 7 slashes, # at their end and + as a whole level;"
    " of the topics that begin with $, those of jobs, provisioning and events can be subscribed to"
)
NO_ROOM_TO_RETAIN: Final = "there is no room for another retained message; clear some with an empty payload"
TOO_OFTEN: Final = "the connection publishes more often than it may; publish it again later"

# What a DISCONNECT says when there is nothing more particular to say.
WORDS: Final[Mapping[Reason, str]] = {
    Reason.KEEP_ALIVE_TIMEOUT: "nothing came for one and a half times the keep-alive; send PINGREQ in time",
    Reason.SESSION_TAKEN_OVER: "another connection came with this client id; each device needs one of its own",
    Reason.SERVER_SHUTTING_DOWN: "the server stops; connect again in a moment",
    Reason.NOT_AUTHORIZED: "the certificate is not active any more, or its policies do not allow this",
    Reason.RECEIVE_MAXIMUM_EXCEEDED: f"more than {IN_FLIGHT_MAX} messages of QoS 1 wait for their PUBACK;"
    " keep within the receive maximum of the CONNACK",
    Reason.TOPIC_ALIAS_INVALID: f"topic aliases go from 1 to {TOPIC_ALIASES_MAX}, the maximum of the CONNACK",
    Reason.PACKET_TOO_LARGE: f"a payload may have {PAYLOAD_BYTES_MAX:,} bytes",
    Reason.PROTOCOL_ERROR: "this packet has no place here",
    Reason.TOPIC_NAME_INVALID: BAD_TOPIC,
    Reason.ADMINISTRATIVE_ACTION: "an operator ended the connection",
    Reason.MAXIMUM_CONNECT_TIME: "a connection over WebSocket lasts a day at most; sign anew and connect again",
}


def explained(packet: Told, why: str, packet_bytes_max: int) -> bytes:
    """The bytes of a packet of MQTT 5 with its reason string; without one when that leaves no room, b"" when nothing does."""
    if why:
        words = why.encode()[:REASON_STRING_BYTES_MAX].decode(errors="ignore").replace("\0", "")
        properties = msgspec.structs.replace(packet.properties, reason_string=words)
        frame = encode(msgspec.structs.replace(packet, properties=properties), MQTT_5)
        if len(frame) <= packet_bytes_max:
            return frame
    frame = encode(packet, MQTT_5)
    return frame if len(frame) <= packet_bytes_max else b""


def about_filters(refused: Iterable[tuple[str, Reason]]) -> str:
    """Why these filters were not granted, each reason once."""
    found: dict[str, None] = {}
    for topic_filter, reason in refused:
        match reason:
            case Reason.NOT_AUTHORIZED:
                found[f"no policy allows iot:Subscribe to {topic_filter}"] = None
            case Reason.QUOTA_EXCEEDED:
                found[TOO_MANY_FILTERS] = None
            case _:
                found[BAD_FILTER] = None
    return "; ".join(found)
