"""One device's connection: bytes in, packets to where they belong, bytes out in the right order.

Order is first in, first out: each PUBLISH takes a slot, and its PUBACK and answer go out when every slot before it has
been settled. What is written in one turn of the loop goes to the transport in one piece.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from outfitter_server.base.refusals import Refusal
from outfitter_server.gateway import admission, aliases, jobs_wire, subscribing
from outfitter_server.gateway.departures import CLIENT_ERROR, CONNECTION_LOST, DEPARTURES
from outfitter_server.gateway.limits import (
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    IN_FLIGHT_MAX,
    PAYLOAD_BYTES_MAX,
    ROUTES_MAX,
    TOPIC_ALIASES_MAX,
)
from outfitter_server.gateway.link import ANSWERING, COMMITTING
from outfitter_server.gateway.outgoing import OVERHEAD_BYTES, Outgoing
from outfitter_server.gateway.permits import PUBLISH, RETAIN_PUBLISH
from outfitter_server.gateway.provisioning_wire import Reply
from outfitter_server.gateway.routes import Destination, Route
from outfitter_server.gateway.slots import Slot
from outfitter_server.mqtt.encode import PINGRESP, encode, encode_puback, encode_publish
from outfitter_server.mqtt.packets import (
    MQTT_5,
    NO_PROPERTIES,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.mqtt.sessions import Kind, Message, Session
from outfitter_server.mqtt.topics import valid_topic
from outfitter_server.services.callers import Caller
from outfitter_server.services.fleet_provisioning import Asker
from outfitter_server.services.messages import Published

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway

_log = logging.getLogger(__name__)


class Connection(Outgoing):
    """The protocol of one connection.

    Attributes:
        plain: without TLS, hence without certificates.
        caller: whose signature opened it, None where a certificate or nothing did.
        certificate_id: "" on a plain listener, and of a caller.
        departure: why it ends, in AWS's words (disconnectReason).
        heard_at: the second in which bytes came last.
        will: published unless the client says goodbye.
    """

    __slots__ = (
        "_gateway",
        "_named",
        "_routes",
        "_slots",
        "caller",
        "certificate_id",
        "departure",
        "heard_at",
        "keep_alive_seconds",
        "plain",
        "will",
    )

    def __init__(self, gateway: "Gateway", *, plain: bool, caller: Caller | None = None) -> None:
        """Wait for the transport, and for CONNECT."""
        super().__init__(gateway)
        self._gateway = gateway
        self.plain = plain
        self.caller = caller
        self.certificate_id = ""
        self.departure = CONNECTION_LOST
        self.heard_at = gateway.second
        self.keep_alive_seconds = CONNECT_SECONDS
        self.will: Will | None = None
        self._slots: deque[Slot] = deque()
        self._routes: dict[str, Route] = {}
        self._named: dict[int, str] = {}  # topics by the client's aliases

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for CONNECT, unless there are too many connections."""
        super().connection_made(transport)
        if not self._gateway.opened(self):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave the session to its expiry and publish the will."""
        self.closing = True
        self._out.clear()
        self.end(with_will=True)
        self._gateway.closed(self)

    def data_received(self, data: bytes) -> None:
        """Handle every complete packet, then see whether the client has to wait."""
        if self.closing:
            return
        if self.session is not None:
            # The bytes of a CONNECT that is never whole are no sign of life.
            self.heard_at = self._gateway.second
        if not self._handle(self._decoder.feed(data)):
            return
        failure = self._decoder.failure
        if failure is not None:
            _log.info("connection of %s closed: %s", self.name, failure.message)
            admission.refuse_stream(self, failure.reason)
        elif self._slots:
            if len(self._slots) >= IN_FLIGHT_MAX:
                self.pause(ANSWERING)
            if self._gateway.committer.full:
                self.pause(COMMITTING)
                self._gateway.wait_for_room(self)

    def _handle(self, packets: Sequence[Packet]) -> bool:
        """Handle packets in order; False when one of them ended the connection."""
        for packet in packets:
            kind = type(packet)
            if self.session is None:
                self._first(packet)
            elif kind is Publish:
                self._publish(cast("Publish", packet))
            elif kind is PubAck:
                self.acknowledged(cast("PubAck", packet).packet_id)
            else:
                self._other(packet)
            if self.closing:
                return False
        return True

    @property
    def waiting(self) -> int:
        """How many answers are still under way."""
        return len(self._slots)

    def accepted(self, session: Session, packet: Connect) -> None:
        """The CONNECT is granted."""
        self.session = session
        self.heard_at = self._gateway.second
        self.will = packet.will
        if packet.version == MQTT_5:
            self._block = b"\0"
            self._packet_bytes_max = packet.properties.maximum_packet_bytes or self._packet_bytes_max
            self._aliases_max = min(packet.properties.topic_alias_maximum or 0, TOPIC_ALIASES_MAX)

    def resumed(self) -> None:
        """Send what waited for the session's client."""
        self.send_queued()
        self._gateway.notices.online(self)

    def check(self, second: int) -> None:
        """Called every few seconds: is the client alive, is something to be sent again?"""
        if self.closing:
            if second - self.heard_at > CLOSE_SECONDS:
                self._transport.abort()
            return
        if self._pauses & (ANSWERING | COMMITTING):
            self.heard_at = second
        if second - self.heard_at > self.keep_alive_seconds:
            self.close(Reason.KEEP_ALIVE_TIMEOUT)
        else:
            self.send_again(second)

    def end(self, *, with_will: bool) -> None:
        """Leave the session; the transport may take a moment longer to go."""
        self._slots.clear()
        if self.session is not None:
            self.keep_retained(self.session)
            (session, self.session), (will, self.will) = (self.session, None), (self.will, None)
            self._gateway.left(self, session, will if with_will else None)

    def close(self, reason: Reason | None = None, *, with_will: bool = True) -> None:
        """Close; an MQTT 5 client is told why."""
        if self.closing:
            return
        if reason is not None:
            self.departure = DEPARTURES.get(reason, CLIENT_ERROR)
        if reason is not None and self.session is not None:
            _log.info("connection of %s closed: %s", self.name, reason.name)
            if self.version == MQTT_5:
                self.send(Disconnect(reason))
        self.shut()
        self.end(with_will=with_will)

    def judged_anew(self) -> None:
        """The permit changed: what was decided for a topic counts no more."""
        self._routes.clear()

    # Packets

    def _first(self, packet: Packet) -> None:
        if isinstance(packet, Connect):
            admission.admit(self._gateway, self, packet)
        else:
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
        if packet.properties.topic_alias is not None:
            packet = aliases.resolve(self, self._named, packet, packet.properties.topic_alias)
        if not self._publishable(packet):
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
            if not done.kept:
                reason = Reason.QUOTA_EXCEEDED
            else:
                reason = Reason.SUCCESS if done.reached else Reason.NO_MATCHING_SUBSCRIBERS
            self._settled(packet.packet_id, reason, done.under_way)

    def _publishable(self, packet: Publish) -> bool:
        """Close unless the message is one that this server takes, whatever its topic."""
        if len(packet.payload) > PAYLOAD_BYTES_MAX:
            self.close(Reason.PACKET_TOO_LARGE)
        elif len(self._slots) >= IN_FLIGHT_MAX and self.version == MQTT_5 and self._too_many():
            self.close(Reason.RECEIVE_MAXIMUM_EXCEEDED)
        elif packet.properties is not NO_PROPERTIES:
            properties = packet.properties
            if properties.subscription_ids or not valid_topic(properties.response_topic or "/"):
                self.close(Reason.PROTOCOL_ERROR)
        return not self.closing

    def _too_many(self) -> bool:
        return sum(1 for slot in self._slots if slot.packet_id) >= IN_FLIGHT_MAX

    def _new_route(self, topic: str) -> Route:
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        route = self._routes[topic] = Route(topic)
        if route.destination is Destination.UNKNOWN_JOBS and not self.permit.is_thing(route.thing):
            route.destination = Destination.RESERVED
        if route.destination not in {Destination.RESERVED, Destination.INVALID}:
            route.allowed = self.permit.allows(PUBLISH, topic)
        return route

    def _refuse(self, packet: Publish, route: Route) -> None:
        named = route.destination in {Destination.RESERVED, Destination.INVALID}
        reason = Reason.TOPIC_NAME_INVALID if named else Reason.NOT_AUTHORIZED
        if self.version == MQTT_5 and packet.packet_id:
            self._settled(packet.packet_id, reason)
        else:
            _log.info("connection of %s closed: it may not publish to %r", self.name, packet.topic)
            self.close(reason)

    def _settled(
        self, packet_id: int, reason: Reason, under_way: "asyncio.Future[None] | None" = None
    ) -> None:
        """Acknowledge, after everything that waits, and after what must be on disk before."""
        if reason is Reason.SUCCESS or self.version != MQTT_5:
            frame = encode_puback(packet_id)
        else:
            frame = encode(PubAck(packet_id, reason), MQTT_5)
        self.respond(frame, under_way, packet_id)

    def respond(self, frame: bytes, under_way: "asyncio.Future[None] | None", packet_id: int = 0) -> None:
        """Write an acknowledgement in its order; ``packet_id`` is a PUBLISH's, which counts against its window."""
        if under_way is None and not self._slots:
            self.write(frame)
            return
        slot = Slot(self, packet_id)
        self._slots.append(slot)
        if under_way is None:
            slot.outcome = frame
        else:
            under_way.add_done_callback(lambda _: slot.reply(frame))

    # The services

    def _apply(self, packet: Publish, route: Route) -> None:
        """A device without an identity asks for one."""
        desk, request = self._gateway.provisioning, route.provisioning
        if desk is None or request is None or self.session is None:
            self._refuse(packet, route)
            return
        slot = Slot(self, packet.packet_id, route)
        self._slots.append(slot)
        asker = Asker(certificate_id=self.certificate_id, client_id=self.session.client_id)
        desk.submit(request, packet.payload, asker, slot.reply)

    def _ask(self, packet: Publish, route: Route) -> None:
        assert route.request is not None  # noqa: S101 - the caller looked
        decoded = jobs_wire.decode(route.request, packet.payload)
        slot = Slot(self, packet.packet_id, route)
        slot.token = decoded.client_token
        self._slots.append(slot)
        if route.destination is Destination.UNKNOWN_JOBS:
            slot.reply(jobs_wire.InvalidTopic(f"{route.topic} is no request of the jobs service"))
        elif isinstance(decoded.request, Refusal):
            slot.reply(decoded.request)
        else:
            self._gateway.plane.submit(decoded.request, slot.reply)

    def settle(self, slot: Slot) -> None:
        """A slot has its outcome; write what is in order now."""
        slots = self._slots
        if not slots or slots[0] is not slot:
            return
        while slots and slots[0].outcome is not None:
            first = slots.popleft()
            if first.route is None:
                self.write(first.outcome)
            else:
                self._answer(first, first.route)
        if self._pauses & ANSWERING and len(slots) < IN_FLIGHT_MAX // 2:
            self.resume(ANSWERING)

    def _answer(self, slot: Slot, route: Route) -> None:
        if isinstance(slot.outcome, Reply):
            self._reply(slot, route, slot.outcome.suffix, slot.outcome.payload)
            if slot.outcome.closes:
                self.close(Reason.NOT_AUTHORIZED)
            return
        if route.request is None:
            return
        try:
            suffix, payload = jobs_wire.answer(
                route.request, slot.outcome, slot.token, self._gateway.clock(), self.fill
            )
        except Exception as error:  # noqa: BLE001 - told to the device as the service's own fault, and logged
            _log.exception("a request to %r could not be answered", route.topic)
            suffix, payload = jobs_wire.answer(
                route.request, error, slot.token, self._gateway.clock(), self.fill
            )
        self._reply(slot, route, suffix, payload)

    def _reply(self, slot: Slot, route: Route, suffix: str, payload: bytes) -> None:
        """Acknowledge, and answer when there is something to say."""
        session, packet_id = self.session, slot.packet_id
        if session is None:
            return
        if packet_id:
            self.write(encode_puback(packet_id))
        head = route.answer_topic(suffix)
        if not suffix or len(head) + len(payload) + OVERHEAD_BYTES > self._packet_bytes_max:
            return
        if packet_id:
            packet_id = session.offer(Message(head, payload, Kind.ANSWER), self._gateway.second)
            if not packet_id:
                return
        self.write(encode_publish(head, payload, packet_id, self._block))

    # Messages of other clients
