"""Sessions and the messages between them: an ordinary broker of QoS 0 and 1 for everything outside ``$aws/``.

Sessions live in memory, those with an expiry in the book as well (keeping.py), and are bounded: beyond ``OFFLINE_SESSIONS_MAX`` the one that went offline first gives way.
"""

from collections.abc import Collection
from typing import Protocol

import msgspec

from outfitter_server.gateway.limits import (
    IN_FLIGHT_MAX,
    OFFLINE_SESSIONS_MAX,
    QUEUE_BYTES_KEPT,
    QUEUE_BYTES_MAX,
    QUEUE_MESSAGES_MAX,
    QUEUES_BYTES_MAX,
    SESSIONS_OF_A_CERTIFICATE,
)
from outfitter_server.gateway.routes import Interest
from outfitter_server.gateway.waiting import Waiting
from outfitter_server.mqtt.encode import encode_publish
from outfitter_server.mqtt.packets import NO_PROPERTIES, Properties
from outfitter_server.mqtt.properties import text, travelling
from outfitter_server.mqtt.sessions import EXPIRY_NEVER, Bounds, Budget, Message, Session, Subscription
from outfitter_server.mqtt.shares import Share, parse_share
from outfitter_server.mqtt.topics import SubscriptionTrie, filter_bytes
from outfitter_server.services.messages import Published, lifetime_seconds

_BOUNDS = Bounds(
    window_messages=IN_FLIGHT_MAX,
    queue_messages=QUEUE_MESSAGES_MAX,
    queue_bytes=QUEUE_BYTES_MAX,
    queue_bytes_kept=QUEUE_BYTES_KEPT,
)


class Delivered(msgspec.Struct):
    """A message on its way to subscribers: ``qos`` as published, ``head`` its topic with two bytes of length.

    ``properties`` are the publisher's; what travels on of them is written when the first needs it, for all.
    """

    topic: str
    head: bytes
    payload: bytes
    qos: int
    properties: Properties = NO_PROPERTIES
    expires_at: int | None = None
    retain: bool = False
    pairs: bytes | None = None
    frames: dict[tuple[bytes, bool], bytes] = msgspec.field(default_factory=dict)

    def frame(self, block: bytes, *, retain: bool) -> bytes:
        """The message of QoS 0 with this property block as it goes out, made once for all who get the same."""
        frame = self.frames.get((block, retain))
        if frame is None:
            frame = self.frames[block, retain] = encode_publish(self.head, self.payload, 0, block, retain)
        return frame

    def queued(self, identifiers: tuple[int, ...], *, retain: bool) -> Message:
        """The message as a session of QoS 1 keeps it."""
        if self.pairs is None:
            self.pairs = travelling(self.properties)
        return Message(
            self.head,
            self.payload,
            properties=self.pairs,
            identifiers=identifiers,
            expires_at=self.expires_at,
            retain=retain,
        )


class Receiver(Protocol):
    """The live connection of a session."""

    def deliver(self, message: Delivered, qos: int, identifiers: tuple[int, ...], *, retain: bool) -> bool:
        """Send, queue or drop a message; the connection's policies and bounds decide. False when it was dropped."""


class Broker:
    """Who is subscribed to what, online or not.

    Attributes:
        queues: what all sessions together keep for their clients.
        subscriptions: how many there are.
        filter_bytes: what they take.
    """

    def __init__(self) -> None:
        """No sessions yet."""
        self.sessions: dict[str, Session] = {}
        self.queues = Budget(QUEUES_BYTES_MAX)
        self.subscriptions = 0
        self.filter_bytes = 0
        self.online: dict[str, Receiver] = {}
        self._offline = Waiting()
        self._away: dict[str, dict[str, None]] = {}  # by certificate, first gone first
        self._subscriptions: SubscriptionTrie[Session, Subscription] = SubscriptionTrie()
        self._shared: SubscriptionTrie[str, Share] = SubscriptionTrie()
        self._shares: dict[str, Share] = {}  # by the whole filter, $share/GROUP/filter

    def open(self, client_id: str) -> Session:
        """A new session in place of any other of this client id."""
        session = self.sessions[client_id] = Session(client_id, _BOUNDS, self.queues)
        return session

    def resume(self, client_id: str, now: int) -> Session | None:
        """The session that waits for this client id, unless it has expired."""
        expires_at = self._offline.come(client_id)
        self._come(client_id)
        return self.sessions.get(client_id) if expires_at is None or expires_at > now else None

    def subscribe(
        self, session: Session, topic_filter: str, wish: Interest, subscription: Subscription
    ) -> None:
        """Route what the filter matches to the session. Topics that the service answers on need no routing."""
        if topic_filter not in session.subscriptions:
            self.subscriptions += 1
            self.filter_bytes += filter_bytes(topic_filter)
        session.subscriptions[topic_filter] = subscription
        if wish in {Interest.FREE, Interest.NOTICES}:
            self._subscriptions.add(topic_filter, session, subscription)
        elif wish is Interest.SHARED:
            self._share(topic_filter).join(session, subscription, connected=session.client_id in self.online)
        if session.journal is not None:
            session.journal.subscribed(session, topic_filter, subscription)

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Take a subscription back; whether there was one."""
        self._withdraw(session, topic_filter)
        if session.journal is not None:
            session.journal.unsubscribed(session, topic_filter)
        existed = session.subscriptions.pop(topic_filter, None) is not None
        if existed:
            self.subscriptions -= 1
            self.filter_bytes -= filter_bytes(topic_filter)
        return existed

    def come(self, session: Session, receiver: Receiver) -> None:
        """The session has a connection."""
        self.online[session.client_id] = receiver
        self._move(session, connected=True)

    def gone(self, session: Session) -> None:
        """The session has no connection any more."""
        del self.online[session.client_id]
        self._move(session, connected=False)

    def _move(self, session: Session, *, connected: bool) -> None:
        for topic_filter in session.subscriptions if self._shares else ():
            share = self._shares.get(topic_filter)
            if share is not None:
                share.move(session, connected=connected)

    def leave(self, session: Session, now: int) -> Session | None:
        """The session goes offline; it waits for its client for ``session.expiry_seconds``.

        Returns:
            The one that has to end for it, when its certificate has too many.
        """
        expiry = session.expiry_seconds
        self._offline.leave(session.client_id, now + expiry if expiry != EXPIRY_NEVER else EXPIRY_NEVER)
        if not session.owner:
            return None
        away = self._away.setdefault(session.owner, {})
        away[session.client_id] = None
        return self.sessions[next(iter(away))] if len(away) > SESSIONS_OF_A_CERTIFICATE else None

    def _come(self, client_id: str) -> None:
        session = self.sessions.get(client_id)
        away = None if session is None else self._away.get(session.owner)
        if session is not None and away is not None:
            away.pop(client_id, None)
            if not away:
                del self._away[session.owner]

    def expired(self, now: int) -> list[Session]:
        """The sessions whose wait is over, and those that are too many: whoever asks has to end them."""
        return [self.sessions[client_id] for client_id in self._offline.take(now, OFFLINE_SESSIONS_MAX)]

    def discard(self, session: Session) -> None:
        """The session ends: nothing of it stays."""
        for topic_filter in session.subscriptions:
            self._withdraw(session, topic_filter)
            self.filter_bytes -= filter_bytes(topic_filter)
        self.subscriptions -= len(session.subscriptions)
        session.subscriptions.clear()
        session.clear()
        if self.sessions.get(session.client_id) is session:
            self._come(session.client_id)
            del self.sessions[session.client_id]
            self._offline.come(session.client_id)

    def publish(self, message: Published, now: int) -> int:
        """Route a message; the number of sessions that it reached."""
        seconds = lifetime_seconds(message.properties)
        return self.route(
            Delivered(
                message.topic,
                text(message.topic),
                message.payload,
                message.qos,
                message.properties,
                None if seconds is None else now + seconds,
                message.retain,
            )
        )

    def has_subscribers(self, topic: str) -> bool:
        """Whether a message to this topic would be routed to anybody."""
        found = any(True for _ in self._subscriptions.match(topic))
        return found or any(True for _ in self._shared.match(topic))

    def is_behind(self, topics: Collection[str]) -> bool:
        """Whether a connected listener to one of these topics has messages of QoS 1 waiting that it has no room for."""
        return any(
            session.queued and session.client_id in self.online
            for topic in topics
            for session, _ in self._subscriptions.match(topic)
        )

    def route(self, message: Delivered) -> int:
        """Hand a message to every session with a matching filter, once each, at the best QoS granted."""
        receivers: dict[Session, Subscription] = {}
        identifiers: dict[Session, tuple[int, ...]] = {}
        for session, subscription in self._subscriptions.match(message.topic):
            other = receivers.get(session)
            if subscription.identifier:
                identifiers[session] = (*identifiers.get(session, ()), subscription.identifier)
            receivers[session] = subscription if other is None else _best(other, subscription)
        for session, subscription in receivers.items():
            if message.topic not in session.notices:
                self._hand(session, message, subscription, identifiers.get(session, ()))
        return len(receivers) + (self._route_shared(message) if self._shares else 0)

    def _route_shared(self, message: Delivered) -> int:
        """Hand a message to one session of each group that shares it: one that can take it now, or else one that keeps it."""
        return sum(self._serve(share, message) for _, share in self._shared.match(message.topic))

    def _serve(self, share: Share, message: Delivered) -> bool:
        connected = share.turn(connected=True)
        for ready in (True, False):
            for session, subscription in connected:
                qos = min(subscription.qos, message.qos)
                can = not qos or (session.has_room and not session.queued)
                if can is ready and self._serve_one(share, session, message, subscription):
                    return True
        for session, _ in connected:
            share.served(session)  # nobody behind them is to wait for those who cannot be served
        away = share.turn(connected=False) if message.qos else ()
        for session, subscription in away:
            if subscription.qos and self._serve_one(share, session, message, subscription):
                return True
        for session, _ in away:
            share.served(session)
        return False

    def _serve_one(
        self, share: Share, session: Session, message: Delivered, subscription: Subscription
    ) -> bool:
        identifiers = (subscription.identifier,) if subscription.identifier else ()
        if not self._hand(session, message, subscription, identifiers):
            return False
        share.served(session)
        return True

    def _share(self, topic_filter: str) -> Share:
        share = self._shares.get(topic_filter)
        if share is None:
            share = self._shares[topic_filter] = Share()
            self._shared.add(_shared_filter(topic_filter), topic_filter, share)
        return share

    def _withdraw(self, session: Session, topic_filter: str) -> None:
        share = self._shares.get(topic_filter)
        if share is None:
            self._subscriptions.remove(topic_filter, session)
        elif share.leave(session):
            del self._shares[topic_filter]
            self._shared.remove(_shared_filter(topic_filter), topic_filter)

    def _hand(
        self, session: Session, message: Delivered, subscription: Subscription, identifiers: tuple[int, ...]
    ) -> bool:
        """Send or queue it; False when the client may not have it, or it was of QoS 0 and there was no room."""
        qos, retain = min(subscription.qos, message.qos), message.retain and subscription.as_published
        receiver = self.online.get(session.client_id)
        if receiver is not None:
            return receiver.deliver(message, qos, identifiers, retain=retain)
        if qos:
            session.enqueue(message.queued(identifiers, retain=retain))
        return bool(qos)


def _shared_filter(topic_filter: str) -> str:
    parsed = parse_share(topic_filter)
    return topic_filter if parsed is None else parsed[1]


def _best(one: Subscription, other: Subscription) -> Subscription:
    """What two filters of one session that match the same message come to."""
    return Subscription(max(one.qos, other.qos), as_published=one.as_published or other.as_published)
