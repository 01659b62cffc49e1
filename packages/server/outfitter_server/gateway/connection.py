"""One device's connection: bytes in, packets to where they belong, bytes out in the right order.

Order is first in, first out: each PUBLISH takes a slot, and its PUBACK and answer go out when every slot before it has
been settled. What is written in one turn of the loop goes to the transport in one piece.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from outfitter_server.base.throttle import Bucket
from outfitter_server.gateway import admission, aliases, subscribing
from outfitter_server.gateway.departures import CLIENT_ERROR, CONNECTION_LOST, DEPARTURES
from outfitter_server.gateway.limits import (
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    IN_FLIGHT_MAX,
    PAYLOAD_BYTES_MAX,
    ROUTES_MAX,
    TOPIC_ALIASES_MAX,
    UNREAD_SECONDS_MAX,
)
from outfitter_server.gateway.link import ANSWERING, COMMITTING, ENTERING, TURN, WRITING
from outfitter_server.gateway.permits import PUBLISH, RETAIN_PUBLISH
from outfitter_server.gateway.reading import Reading
from outfitter_server.gateway.routes import Destination, Route
from outfitter_server.gateway.words import NO_ROOM_TO_RETAIN, TOO_OFTEN, WORDS
from outfitter_server.mqtt.encode import PINGRESP
from outfitter_server.mqtt.packets import (
    MQTT_5,
    NO_PROPERTIES,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    Properties,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from outfitter_server.mqtt.reasons import PacketRefused, Reason
from outfitter_server.mqtt.sessions import Session
from outfitter_server.mqtt.topics import valid_topic
from outfitter_server.services.callers import Caller
from outfitter_server.services.messages import Published

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway

_log = logging.getLogger(__name__)


class Connection(Reading):
    """The protocol of one connection.

    Attributes:
        plain: without TLS, hence without certificates.
        caller: whose signature opened it, None where a certificate or nothing did.
        departure: why it ends, in AWS's words (disconnectReason).
        will: published unless the client says goodbye.
    """

    __slots__ = (
        "_early",
        "_named",
        "_publishes",
        "_read_at",
        "_routes",
        "caller",
        "departure",
        "keep_alive_seconds",
        "plain",
        "will",
    )

    def __init__(self, gateway: "Gateway", *, plain: bool, caller: Caller | None = None) -> None:
        """Wait for the transport, and for CONNECT."""
        super().__init__(gateway)
        self.plain = plain
        self.caller = caller
        self.departure = CONNECTION_LOST
        self.keep_alive_seconds = CONNECT_SECONDS
        self.will: Will | None = None
        self._routes: dict[str, Route] = {}
        self._early: list[Packet] | None = None  # what came after a CONNECT that is still to be granted
        self._read_at = gateway.second  # when little was to be read
        self._named: dict[int, str] | None = None  # topics by the client's aliases
        rate = gateway.publishes_per_second
        self._publishes = None if rate is None else Bucket(rate)

    @property
    def listener(self) -> str:
        """Which listener it came by."""
        return "mqtt" if self.plain else "mqtts"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for CONNECT, unless there are too many connections."""
        super().connection_made(transport)
        if not self._gateway.opened(self):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave the session to its expiry and publish the will."""
        self.closing = True
        self._forget()
        self._let_go()
        self.end(with_will=True)
        self._gateway.closed(self)

    def _broken(self, failure: PacketRefused) -> None:
        _log.info("connection of %s closed: %s", self.name, failure.message)
        admission.refuse_stream(self, failure)

    def _handle(self, packets: Sequence[Packet]) -> bool:
        """Handle packets in order; False when one of them ended the connection."""
        for packet in packets:
            if self.session is None:
                self._first(packet)
            elif type(packet) is Publish:
                self._publish(packet)
            elif type(packet) is PubAck:
                self.acknowledged(packet.packet_id)
            else:
                self._other(packet)
            if self.closing:
                return False
        return True

    def introduced(self, packet: Connect) -> None:
        """A CONNECT came: what the client takes of answers to it, refusals included."""
        self._packet_bytes_max = packet.properties.maximum_packet_bytes or self._packet_bytes_max
        self._wants_words = packet.properties.request_problem_information != 0

    def hold(self) -> None:
        """The CONNECT is granted in a moment; what follows it waits."""
        self._early = []
        self.pause(ENTERING)

    def let_in(self, enter: Callable[[], None]) -> None:
        """The moment has come."""
        early, self._early = self._early or [], None
        if not self.closing:
            self.resume(ENTERING)
            enter()
            if self.session is not None and self._handle(early):
                self.data_received(b"")

    def accepted(self, session: Session, packet: Connect) -> None:
        """The CONNECT is granted."""
        self.session = session
        self.heard_at = self._gateway.second
        self.will = packet.will
        if packet.version == MQTT_5:
            self._block = b"\0"
            self._aliases_max = min(packet.properties.topic_alias_maximum or 0, TOPIC_ALIASES_MAX)
            if self._aliases_max:
                self._aliases = {}

    def resumed(self) -> None:
        """Send what waited for the session's client."""
        self.send_queued()
        self._gateway.notices.online(self)
        if self.session is not None:
            self.take_retained(self.session)

    def check(self, second: int) -> None:
        """Called every few seconds: is the client alive, is something to be sent again?"""
        if self.closing:
            if second - self.heard_at > CLOSE_SECONDS:
                self._transport.abort()
            return
        if self._pauses & (ANSWERING | COMMITTING | TURN):
            self.heard_at = second
        if not self._pauses & WRITING:
            self._read_at = second
        elif second - self._read_at > UNREAD_SECONDS_MAX:
            self.cut_off()
            return
        if second - self.heard_at > self.keep_alive_seconds:
            if self.session is None:
                self._turn_away("SILENT", "no CONNECT came in time")
            else:
                self.close(Reason.KEEP_ALIVE_TIMEOUT)
        else:
            self.send_again(second)

    def end(self, *, with_will: bool) -> None:
        """Leave the session; the transport may take a moment longer to go."""
        self._slots.clear()
        if self.session is not None:
            self.keep_retained(self.session)
            (session, self.session), (will, self.will) = (self.session, None), (self.will, None)
            if will is not None and not with_will:
                self._gateway.wills.drop(session.client_id, will)
            self._gateway.left(self, session, will if with_will else None)

    def close(self, reason: Reason | None = None, why: str = "", *, with_will: bool = True) -> None:
        """Close; an MQTT 5 client is told why, in words of their own where ``reason`` alone says too little."""
        if self.closing:
            return
        if reason is not None:
            self.departure = DEPARTURES.get(reason, CLIENT_ERROR)
        if reason is not None and self.session is not None:
            _log.info("connection of %s closed: %s", self.name, reason.name)
            if self.version == MQTT_5:
                self.tell(Disconnect(reason), why or WORDS.get(reason, ""))
        self.shut()
        self.end(with_will=with_will)

    def judged_anew(self) -> None:
        """The permit changed: what was decided for a topic counts no more."""
        self._routes.clear()

    # Packets

    def _first(self, packet: Packet) -> None:
        if self._early is not None:
            self._early.append(packet)
        elif isinstance(packet, Connect):
            admission.admit(self._gateway, self, packet)
        else:
            self._turn_away("NO_CONNECT", "its first packet was no CONNECT")

    def _turn_away(self, kind: str, why: str) -> None:
        """Close a connection that did not say who it is."""
        self.meters.refused[kind] += 1
        _log.info("connection from %s closed: %s", self.name, why)
        self.close()

    def _other(self, packet: Packet) -> None:
        match packet:
            case PingReq():
                self.write(PINGRESP)
            case Subscribe():
                subscribing.subscribe(self._gateway, self, packet)
            case Unsubscribe():
                subscribing.unsubscribe(self._gateway, self, packet)
            case Disconnect():
                admission.farewell(self, packet)
            case _:
                self.close(Reason.PROTOCOL_ERROR)

    def _publish(self, packet: Publish) -> None:
        self._gateway.meters.messages_in[packet.qos] += 1
        if packet.properties is not NO_PROPERTIES:
            packet = self._unfolded(packet, packet.properties)
        if len(packet.payload) > PAYLOAD_BYTES_MAX:
            self.close(Reason.PACKET_TOO_LARGE)
        elif self._slots and self._too_many():
            self.close(Reason.RECEIVE_MAXIMUM_EXCEEDED)
        if self.closing:
            return
        if self._publishes is not None and not self._publishes.take(self._gateway.clock()):
            self._throttle(packet)
            return
        route = self._routes.get(packet.topic) or self._new_route(packet.topic)
        if not route.allowed:
            self._refuse(packet, route)
        elif route.request is not None:
            self._ask(packet, route)
        elif route.provisioning is not None:
            self._apply(packet, route)
        else:
            self._hand_on(packet, route)

    def _throttle(self, packet: Publish) -> None:
        """One message too many, as on AWS: the connection stays, and nothing of MQTT 3.1.1 would say no."""
        self._gateway.meters.dropped["throttled"] += 1
        if packet.packet_id and self.version == MQTT_5:
            self._settled(packet.packet_id, Reason.QUOTA_EXCEEDED, why=TOO_OFTEN)

    def _hand_on(self, packet: Publish, route: Route) -> None:
        client_id = "" if self.session is None else self.session.client_id
        retain = packet.retain and route.destination is Destination.FREE
        message = Published(
            packet.topic, packet.payload, packet.qos, client_id, packet.properties, retain=retain
        )
        if retain and not self.permit.allows(RETAIN_PUBLISH, packet.topic):
            self._refuse(packet, route)
            return
        done = self._gateway.publish(message)
        if packet.packet_id:
            reason = Reason.SUCCESS if done.reached else Reason.NO_MATCHING_SUBSCRIBERS
            why = "" if done.kept else NO_ROOM_TO_RETAIN
            self._settled(packet.packet_id, Reason.QUOTA_EXCEEDED if why else reason, done.under_way, why=why)

    def _unfolded(self, packet: Publish, properties: Properties) -> Publish:
        """The message with the topic that its alias stands for; closes when its properties are not a publisher's."""
        if properties.subscription_ids:
            self.close(Reason.PROTOCOL_ERROR, "clients publish without subscription identifiers")
        elif not valid_topic(properties.response_topic or "/"):
            self.close(Reason.PROTOCOL_ERROR, "the response topic is no topic that can be published to")
        elif properties.topic_alias is not None:
            if self._named is None:
                self._named = {}
            return aliases.resolve(self, self._named, packet, properties.topic_alias)
        return packet

    def _too_many(self) -> bool:
        """Whether a client of MQTT 5 goes beyond its receive maximum."""
        if len(self._slots) < IN_FLIGHT_MAX or self.version != MQTT_5:
            return False
        return sum(1 for slot in self._slots if slot.packet_id) >= IN_FLIGHT_MAX

    def _new_route(self, topic: str) -> Route:
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        route = Route(topic)
        if route.destination is not Destination.INVALID:
            self._routes[topic] = route  # what is no topic may be of any length
        if route.destination is Destination.UNKNOWN_JOBS and not self.permit.is_thing(route.thing):
            route.destination = Destination.RESERVED
        if route.destination not in {Destination.RESERVED, Destination.INVALID}:
            route.allowed = self.permit.allows(PUBLISH, topic)
        return route
