"""SUBSCRIBE and UNSUBSCRIBE."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from outfitter_server.gateway.limits import (
    ALL_FILTERS_BYTES_MAX,
    FILTERS_PER_SUBSCRIBE_MAX,
    SUBSCRIPTIONS_MAX,
)
from outfitter_server.gateway.permits import SUBSCRIBE
from outfitter_server.gateway.routes import Interest, interest
from outfitter_server.gateway.words import about_filters
from outfitter_server.mqtt.packets import (
    MQTT_5,
    FilterRequest,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.mqtt.sessions import Session, Subscription
from outfitter_server.mqtt.shares import parse_share
from outfitter_server.mqtt.topics import filter_bytes

if TYPE_CHECKING:
    from outfitter_server.gateway.connection import Connection
    from outfitter_server.gateway.server import Gateway

_FAILURE_311: Final = 0x80
_IF_NEW: Final = 1  # of Retain Handling
# These close a connection of MQTT 3.1.1, as AWS does; the others are a failure code in its SUBACK.
_CLOSING_311: Final = frozenset({Reason.TOPIC_FILTER_INVALID, Reason.NOT_AUTHORIZED})
_BY_NAME: Final = {
    Interest.INVALID: Reason.TOPIC_FILTER_INVALID,
    Interest.RESERVED: Reason.TOPIC_FILTER_INVALID,
}

_log = logging.getLogger(__name__)


def subscribe(gateway: "Gateway", connection: "Connection", packet: Subscribe) -> None:
    """Grant each filter the QoS asked for, at most 1, or refuse it."""
    session = connection.session
    if session is None:
        return
    if any(request.no_local and parse_share(request.filter) for request in packet.filters):
        connection.close(
            Reason.PROTOCOL_ERROR, "No Local does not go with a shared subscription"
        )  # MQTT-3.8.3-4
        return
    codes: list[int] = []
    room = SUBSCRIPTIONS_MAX - len(session.subscriptions)
    room_bytes = ALL_FILTERS_BYTES_MAX - gateway.broker.filter_bytes
    for request in packet.filters:
        refused = _refusal(connection, packet, request)
        if refused is None and request.filter not in session.subscriptions:
            room, room_bytes = room - 1, room_bytes - filter_bytes(request.filter)
            refused = Reason.QUOTA_EXCEEDED if min(room, room_bytes) < 0 else None
        codes.append(min(request.qos, 1) if refused is None else refused)
        if refused in _CLOSING_311 and connection.version != MQTT_5:
            _log.info("connection of %s closed: it may not subscribe to %r", connection.name, request.filter)
            connection.close()
            return
    retained = _grant(gateway, connection, session, packet, codes)
    why = ""
    if connection.version != MQTT_5:
        codes = [code if code <= 1 else _FAILURE_311 for code in codes]
    elif max(codes) > 1:
        each = zip(packet.filters, codes, strict=True)
        why = about_filters((request.filter, Reason(code)) for request, code in each if code > 1)
    granted = [request.filter for request, code in zip(packet.filters, codes, strict=True) if code <= 1]
    gateway.presence.subscribed(connection, session, granted)
    under_way = gateway.keeping.written(session)
    _acknowledge(connection, SubAck(packet.packet_id, tuple(codes)), under_way, why)
    if not retained:
        return
    if under_way is None:
        _send_retained(gateway, connection, retained)
    else:
        under_way.add_done_callback(lambda _: _send_retained(gateway, connection, retained))


def _acknowledge(
    connection: "Connection",
    packet: SubAck | UnsubAck,
    under_way: "asyncio.Future[None] | None",
    why: str = "",
) -> None:
    """In its order: at once, or when a session that is kept has it on disk."""
    frame = connection.frame(packet, why)
    if not frame:
        connection.close(
            Reason.PACKET_TOO_LARGE, "the answer is larger than the maximum packet size of the CONNECT"
        )
    elif under_way is None:
        connection.write(frame)
    else:
        connection.respond(frame, under_way)


def _send_retained(
    gateway: "Gateway", connection: "Connection", wanted: list[tuple[str, Subscription]]
) -> None:
    session = connection.session
    for topic_filter, subscription in wanted:
        if session is None or topic_filter not in session.subscriptions:
            continue  # it was taken back before it was on disk
        connection.send_retained(topic_filter, gateway.retained.walk(topic_filter), subscription)


def _grant(
    gateway: "Gateway", connection: "Connection", session: Session, packet: Subscribe, codes: list[int]
) -> list[tuple[str, Subscription]]:
    """Enter what is granted; the filters that are to be told what is retained."""
    retained: list[tuple[str, Subscription]] = []
    identifier = (packet.properties.subscription_ids or (0,))[0]
    for request, code in zip(packet.filters, codes, strict=True):
        if code > 1:
            continue
        wish, thing = interest(request.filter)
        subscription = Subscription(code, identifier, request.retain_as_published)
        if wish is Interest.FREE and _wants_retained(request, session):
            retained.append((request.filter, subscription))
        gateway.notices.subscribed(connection, request.filter, wish, thing, code)
        gateway.broker.subscribe(session, request.filter, wish, subscription)
    return retained


def _wants_retained(request: FilterRequest, session: Session) -> bool:
    """Retain Handling: at every subscribe, at the first, or never."""
    return not request.retain_handling or (
        request.retain_handling == _IF_NEW and request.filter not in session.subscriptions
    )


def _refusal(connection: "Connection", packet: Subscribe, request: FilterRequest) -> Reason | None:
    if len(packet.filters) > FILTERS_PER_SUBSCRIBE_MAX:
        return Reason.QUOTA_EXCEEDED
    wish, _thing = interest(request.filter)
    if wish in _BY_NAME:
        return _BY_NAME[wish]
    return None if _allowed(connection, request.filter) else Reason.NOT_AUTHORIZED


def _allowed(connection: "Connection", topic_filter: str) -> bool:
    """Policies decide about the filter that is shared; the group's name is nobody's business."""
    parsed = parse_share(topic_filter)
    return connection.permit.allows(SUBSCRIBE, topic_filter if parsed is None else parsed[1])


def unsubscribe(gateway: "Gateway", connection: "Connection", packet: Unsubscribe) -> None:
    """Take filters back."""
    session = connection.session
    if session is None:
        return
    codes = [_drop(gateway, session, topic_filter) for topic_filter in packet.filters]
    connection.forget_retained(session)
    existed = [name for name, code in zip(packet.filters, codes, strict=True) if code is Reason.SUCCESS]
    gateway.presence.unsubscribed(connection, session, existed)
    _acknowledge(connection, UnsubAck(packet.packet_id, tuple(codes)), gateway.keeping.written(session))


def _drop(gateway: "Gateway", session: Session, topic_filter: str) -> Reason:
    gateway.notices.unsubscribed(session, topic_filter)
    existed = gateway.broker.unsubscribe(session, topic_filter)
    return Reason.SUCCESS if existed else Reason.NO_SUBSCRIPTION_EXISTED


def judge_again(gateway: "Gateway", connection: "Connection", session: Session) -> None:
    """A session is resumed, perhaps with another certificate: filters that it may not have any more are dropped."""
    for topic_filter in list(session.subscriptions):
        if not _allowed(connection, topic_filter):
            _drop(gateway, session, topic_filter)
