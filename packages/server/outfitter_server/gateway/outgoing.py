"""What a connection is sent that it did not ask for: messages of other clients, notices, repetitions."""

import logging
from collections.abc import Callable
from typing import Final, Protocol

from outfitter_server.gateway.broker import Delivered
from outfitter_server.gateway.jobs_wire import Filler
from outfitter_server.gateway.limits import (
    PACKET_BYTES_MAX,
    RESEND_SECONDS,
)
from outfitter_server.gateway.link import WRITING, Link, Writes
from outfitter_server.gateway.notices import Listener
from outfitter_server.gateway.permits import RECEIVE, Permit
from outfitter_server.gateway.retaining import Leftovers, RetainedWalks, Retains, Walk, message_of
from outfitter_server.gateway.turns import Turns
from outfitter_server.gateway.words import Told, explained
from outfitter_server.mqtt.encode import encode, encode_publish
from outfitter_server.mqtt.packets import (
    MQTT_5,
    NO_PROPERTIES,
    ConnAck,
    Disconnect,
    Packet,
)
from outfitter_server.mqtt.properties import publish_block, text
from outfitter_server.mqtt.sessions import Kind, Message, Notice, Session, Subscription
from outfitter_server.mqtt.stream import Decoder

_NO_TOPIC: Final = b"\0\0"  # the alias says which
_NO_ALIASES: Final[dict[bytes, int]] = {}  # of all clients that take none
OVERHEAD_BYTES: Final = 16  # of a PUBLISH besides topic, properties and payload

_log = logging.getLogger(__name__)


class CatchesUp(Protocol):
    """Who computes the notices that a session is due."""

    def catch_up(self, listener: Listener) -> None:
        """Tell what is due, from the state as it is now."""


class Station(Writes, Protocol):
    """What sending needs of the gateway."""

    second: int
    clock: Callable[[], int]
    turns: Turns
    leftovers: Leftovers

    @property
    def retained(self) -> Retains:
        """The retained messages."""

    @property
    def notices(self) -> CatchesUp:
        """The notifications of the job service."""


class Outgoing(Link):
    """The sending half of a connection.

    Attributes:
        session: None before CONNECT and after the end.
        permit: what the client may do.
        fill: makes documents for this client.
    """

    __slots__ = (
        "_aliases",
        "_aliases_max",
        "_block",
        "_decoder",
        "_notices_due",
        "_packet_bytes_max",
        "_retained",
        "_station",
        "_wants_words",
        "fill",
        "permit",
        "session",
    )

    permit: Permit
    fill: Filler

    def __init__(self, station: Station) -> None:
        """No session yet."""
        super().__init__(station)
        self.session: Session | None = None
        self._station = station
        self._decoder = Decoder(PACKET_BYTES_MAX)
        self._block = b""  # the property block of a message without properties
        self._packet_bytes_max = PACKET_BYTES_MAX * 2
        self._aliases = _NO_ALIASES  # of topics as they go out
        self._aliases_max = 0
        self._notices_due = False
        self._wants_words = True  # reason strings with acknowledgements
        self._retained: RetainedWalks | None = None

    @property
    def version(self) -> int:
        """4, 5, or 0 before CONNECT."""
        return self._decoder.version

    @property
    def name(self) -> str:
        """Who the client is, for the log: quoted, as clients choose their ids and a log has one line for each event."""
        return repr(self.session.client_id) if self.session is not None else super().name

    def send(self, packet: Packet) -> None:
        """Encode and write a packet."""
        self.write(encode(packet, self._decoder.version))

    def frame(self, packet: Told, why: str = "") -> bytes:
        """The bytes of an answer, in MQTT 5 with the reason in words; b"" when it is larger than the client takes."""
        if self.version != MQTT_5:
            return encode(packet, self._decoder.version)
        if not (self._wants_words or isinstance(packet, ConnAck | Disconnect)):
            why = ""
        return explained(packet, why, self._packet_bytes_max)

    def tell(self, packet: Told, why: str) -> None:
        """Send an answer with the reason in words, unless it is larger than the client takes."""
        frame = self.frame(packet, why)
        if frame:
            self.write(frame)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._pauses & WRITING:
            return  # what was held back is as much as it takes
        if self.session is not None and self.session.queued:
            self.send_queued()
        if self._notices_due:
            self._catch_up()
        if self._retained:
            self._retained.go_on()

    def deliver(self, message: Delivered, qos: int, identifiers: tuple[int, ...], *, retain: bool) -> bool:
        """Send, queue or drop another client's message; False when it was dropped."""
        session = self.session
        if session is None or not self.permit.allows(RECEIVE, message.topic):
            return False
        if not qos:
            if self._pauses & WRITING:
                self._station.meters.dropped["slow_reader"] += 1
                return False
            # MQTT 3.1.1 has no properties: its block is empty, and so everybody's frame is the same.
            if not self._block or (
                message.properties is NO_PROPERTIES and not identifiers and not self._aliases_max
            ):
                frame = message.frame(self._block, retain=retain)
                if len(frame) <= self._packet_bytes_max:
                    self._station.meters.messages_out[0] += 1
                    self.write(frame)
                else:
                    self._station.meters.dropped["too_large"] += 1
            else:
                self._send(0, message.queued(identifiers, retain=retain))
            return True
        kept = message.queued(identifiers, retain=retain)
        packet_id = session.offer(kept, self._station.second)
        if packet_id:
            self._send(packet_id, kept)
        return True

    def notify(self, name: str, notice: Notice, revision: int, payload: Callable[[], bytes]) -> None:
        """Send a notice, or mark it due when there is no room for it."""
        session = self.session
        if session is None or not self.permit.allows(RECEIVE, name):
            return
        if self._pauses & WRITING if not notice.qos else session.queued or not session.has_room:
            notice.due = self._notices_due = True
            return
        try:
            body = payload()
        except Exception:  # noqa: BLE001 - one document that cannot be filled in must not silence the other listeners
            _log.exception("a notification to %r could not be made", name)
            return
        head, packet_id = text(name), 0
        notice.sent, notice.due = revision, False
        if notice.qos:
            packet_id = session.offer(Message(head, body, Kind.NOTICE, notice=name), self._station.second)
            notice.in_flight = packet_id
        else:
            notice.acknowledged = revision
        self._station.meters.notifications += 1
        self._write_publish(packet_id, head, body, self._block)

    def acknowledged(self, packet_id: int) -> None:
        """A PUBACK came: what waited for room goes out, to a client that reads."""
        session = self.session
        if session is not None and session.acknowledge(packet_id) and not self._pauses & WRITING:
            if session.resting:
                self.send_again(self._station.second)
            if session.queue:
                self.send_queued()
            if self._notices_due and not session.queue:
                self._catch_up()
            if self._retained:
                self._retained.go_on()

    def send_retained(self, topic_filter: str, walk: Walk, subscription: Subscription) -> None:
        """Send what is retained for a subscription, as fast as there is room for it."""
        if self.session is None:
            return
        if self._retained is None:
            self._retained = RetainedWalks(self._station.turns, self._send_retained)
        self._retained.add(topic_filter, walk, subscription)
        self._retained.go_on()
        if not self._retained:
            self._retained = None

    def _send_retained(self, topic: str, subscription: Subscription) -> bool:
        session = self.session
        if session is None or self._pauses & WRITING:
            return False
        found = self._station.retained.find(topic)
        if found is not None and self.permit.allows(RECEIVE, topic):
            packet_id, message = 0, message_of(self._station, found, subscription)
            if found.qos and subscription.qos:
                if session.queued or not session.has_room:
                    return False
                packet_id = session.offer(message, self._station.second)
                if not packet_id:
                    return True  # it gave way: all sessions together hold too much
            self._send(packet_id, message)
        return True

    def forget_retained(self, session: Session) -> None:
        """Filters were taken back: what is retained for them is not sent any more."""
        if self._retained:
            self._retained.keep_only(session.subscriptions)

    def keep_retained(self, session: Session) -> None:
        """The connection ends: what it was not sent of QoS 1 is for its session, when that stays."""
        waiting, self._retained = self._retained, None
        if waiting and session.expiry_seconds:
            self._station.leftovers.keep(session, waiting)

    def take_retained(self, session: Session) -> None:
        """The session is back: go on with what was not sent before."""
        self._retained = self._station.leftovers.take(session.client_id)
        if self._retained is not None:
            self.forget_retained(session)
            self._retained.hand_over(self._send_retained)

    def send_queued(self) -> None:
        """Send what waits, as far as the window lets it."""
        session = self.session
        if session is None:
            return
        for packet_id, message in session.next_queued(self._station.second):
            self._send_kept(session, packet_id, message)

    def send_again(self, second: int) -> None:
        """Repeat what was not acknowledged for RESEND_SECONDS: same packet identifier, no duplicate flag, as AWS does."""
        session = self.session
        if session is not None and session.under_way and not self._pauses & WRITING:
            for packet_id, message in list(session.unacknowledged(second, RESEND_SECONDS)):
                self._send_kept(session, packet_id, message)

    def _send_kept(self, session: Session, packet_id: int, message: Message) -> None:
        """Send unless the client, which may have other rights than when the message came, may not have it now."""
        if message.kind is Kind.ORDINARY and not self.permit.allows(RECEIVE, message.topic[2:].decode()):
            session.acknowledge(packet_id)
        else:
            self._send(packet_id, message)

    def _catch_up(self) -> None:
        self._notices_due = False
        self._station.notices.catch_up(self)

    def _send(self, packet_id: int, message: Message) -> None:
        block, topic = self._block, message.topic
        if self.version == MQTT_5 and (
            message.properties or message.identifiers or message.expires_at is not None or self._aliases_max
        ):
            expiry = None
            if message.expires_at is not None:
                expiry = max(1, message.expires_at - self._station.second)
            known = topic in self._aliases
            alias = self._alias(topic)
            block = publish_block(message.properties, expiry, message.identifiers, alias)
            if known:
                topic = _NO_TOPIC
            elif alias is not None:
                if self._write_publish(packet_id, topic, message.payload, block, message.retain):
                    self._aliases[topic] = alias
                return
        self._write_publish(packet_id, topic, message.payload, block, message.retain)

    def _alias(self, topic: bytes) -> int | None:
        """The number that stands for a topic, or may from now on."""
        known = self._aliases.get(topic)
        if known is None and len(self._aliases) < self._aliases_max:
            return len(self._aliases) + 1
        return known

    def _write_publish(
        self, packet_id: int, topic: bytes, payload: bytes, block: bytes, flags: int = 0
    ) -> bool:
        frame = encode_publish(topic, payload, packet_id, block, flags)
        if len(frame) <= self._packet_bytes_max:
            self._station.meters.messages_out[1 if packet_id else 0] += 1
            self.write(frame)
            return True
        self._station.meters.dropped["too_large"] += 1
        if packet_id and self.session is not None:
            # Larger than the client takes: MQTT 5 has it that the message counts as sent.
            self.session.acknowledge(packet_id)
        return False
