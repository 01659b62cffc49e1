"""Sessions that outlive their connections, kept in the book and brought back when the server starts.

Only sessions with an expiry have a journal; for all others nothing is noted and nobody waits. Messages of QoS 1 are in the
book before their publisher gets its PUBACK, subscriptions before their SUBACK. Answers are never kept, and of computed
notifications only the revision that was acknowledged.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Protocol

from outfitter_server.gateway.broker import Broker
from outfitter_server.gateway.limits import NOTED_BYTES_CROWD
from outfitter_server.gateway.routes import Interest, interest
from outfitter_server.mqtt.packets import NO_PROPERTIES, Properties, Will
from outfitter_server.mqtt.properties import (
    Kind,
    publish_block,
    read_properties,
    text,
    travelling,
    without_connection_properties,
    write_properties,
)
from outfitter_server.mqtt.reader import Reader
from outfitter_server.mqtt.sessions import Message, Session, Subscription
from outfitter_server.services.session_book import (
    SessionBook,
    StoredMessage,
    StoredSession,
    StoredSubscription,
    StoredWill,
)


class Time(Protocol):
    """The gateway's two clocks."""

    second: int
    clock: Callable[[], int]


class Watches(Protocol):
    """Who computes notifications."""

    def restored(self, session: Session, topic_filter: str, qos: int, revision: int | None) -> None:
        """A filter of a session that is back from before a restart."""


class Keeping:
    """The journal of all sessions that are kept.

    Attributes:
        touched: set by every message that is noted; whoever routes one clears it before.
    """

    def __init__(self, book: SessionBook | None, time: Time) -> None:
        """Without a book every session ends with the process."""
        self._book = book
        self._time = time
        self.touched = False

    def attached(self, session: Session) -> None:
        """A connection took a session over: is it to be kept?"""
        if self._book is None:
            return
        if session.expiry_seconds:
            session.journal = self
            session.identifier = session.identifier or str(uuid.uuid4())
            self._book.kept(session.client_id, session.expiry_seconds, None, session.identifier)
        elif session.journal is not None:
            self.ended(session)

    def left(self, session: Session) -> None:
        """A session lost its connection."""
        if session.journal is not None and self._book is not None:
            now = self._time.clock()
            self._book.kept(session.client_id, session.expiry_seconds, now, session.identifier)

    def ended(self, session: Session) -> None:
        """A session is over."""
        if session.journal is not None and self._book is not None:
            session.journal = None
            self._book.ended(session.client_id)

    def written(self, session: Session | None = None) -> "asyncio.Future[None] | None":
        """Done when what was noted is on disk; None when nothing need be waited for, such as for a session that is not kept."""
        if self._book is None or (session is not None and session.journal is None):
            return None
        return self._book.written()

    @property
    def crowded(self) -> bool:
        """Whether the next transaction has enough to write."""
        return self._book is not None and self._book.noted_bytes >= NOTED_BYTES_CROWD

    # The journal

    def subscribed(self, session: Session, topic_filter: str, subscription: Subscription) -> None:
        """A filter is granted."""
        notice = session.notices.get(topic_filter)
        if self._book is not None:
            self._book.subscribed(
                session.client_id,
                StoredSubscription(
                    topic_filter,
                    subscription.qos,
                    subscription.identifier,
                    subscription.as_published,
                    None if notice is None else notice.acknowledged,
                ),
            )

    def unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A filter is taken back."""
        if self._book is not None:
            self._book.unsubscribed(session.client_id, topic_filter)

    def told(self, session: Session, name: str, revision: int) -> None:
        """A notification was acknowledged."""
        if self._book is not None:
            self._book.told(session.client_id, name, revision)

    def added(self, session: Session, message: Message) -> None:
        """A message waits to be sent and acknowledged."""
        self.touched = True
        expires_at = message.expires_at
        if expires_at is not None:
            expires_at = self._time.clock() + (expires_at - self._time.second) * 1000
        if self._book is not None:
            self._book.added(
                session.client_id,
                StoredMessage(
                    message.sequence,
                    0,
                    message.topic[2:].decode(),
                    message.payload,
                    message.retain,
                    publish_block(message.properties, None, message.identifiers, None),
                    expires_at,
                ),
            )

    def sent(self, session: Session, sequence: int, packet_id: int) -> None:
        """A message goes out with this packet identifier."""
        if self._book is not None:
            self._book.sent(session.client_id, sequence, packet_id)

    def gone(self, session: Session, sequence: int) -> None:
        """A message need not be sent any more."""
        if self._book is not None:
            self._book.gone(session.client_id, sequence)

    # Wills

    def will_kept(self, client_id: str, will: Will, delay_seconds: int, due_in_seconds: int | None) -> bool:
        """A client has a will, which is due when it is lost or, when it is, in so many seconds; whether that is noted."""
        if self._book is None:
            return False
        due_at = None if due_in_seconds is None else self._time.clock() + due_in_seconds * 1000
        properties = write_properties(without_connection_properties(will.properties))
        stored = StoredWill(
            will.topic, will.payload, will.qos, will.retain, properties, delay_seconds, due_at
        )
        self._book.will(client_id, stored)
        return True

    def will_gone(self, client_id: str) -> None:
        """Nothing is to be published for a client any more."""
        if self._book is not None:
            self._book.will(client_id, None)

    def wills(self) -> Iterator[tuple[str, Will, int]]:
        """After a start: every will, with its client id and in how many seconds it is due."""
        now = self._time.clock()
        for client_id, found in [] if self._book is None else self._book.wills():
            will = Will(
                topic=found.topic,
                payload=found.payload,
                qos=found.qos,
                retain=found.retain,
                properties=_properties(found.properties),
            )
            left = found.delay_seconds if found.due_at is None else (found.due_at - now + 999) // 1000
            yield client_id, will, left

    # After a start

    def restore(self, broker: Broker, watches: Watches) -> None:
        """Bring back every session whose time is not over; one that was connected when the server ended leaves now."""
        if self._book is None:
            return
        now = self._time.clock()
        stored = self._book.sessions()
        for found in sorted(stored, key=lambda each: now if each.left_at is None else each.left_at):
            away = 0 if found.left_at is None else max(0, now - found.left_at) // 1000
            if away >= found.expiry_seconds:
                self._book.ended(found.client_id)
            else:
                session = broker.open(found.client_id)
                session.identifier = found.identifier
                self._fill(broker, watches, session, found, now)
                broker.leave(session, self._time.second - away)
                session.journal = self
                if found.left_at is None:
                    self.left(session)

    def _fill(
        self, broker: Broker, watches: Watches, session: Session, found: StoredSession, now: int
    ) -> None:
        session.expiry_seconds = found.expiry_seconds
        for each in found.subscriptions:
            wish, _thing = interest(each.filter)
            if wish in {Interest.NOTICE, Interest.NOTICES}:
                watches.restored(session, each.filter, each.qos, each.revision)
            broker.subscribe(
                session, each.filter, wish, Subscription(each.qos, each.identifier, each.as_published)
            )
        session.restore(
            [(each.packet_id, self._message(each, now)) for each in found.messages], self._time.second
        )

    def _message(self, found: StoredMessage, now: int) -> Message:
        expires_at, properties = None, _properties(found.properties)
        if found.expires_at is not None:
            expires_at = self._time.second + (found.expires_at - now + 999) // 1000
        return Message(
            text(found.topic),
            found.payload,
            properties=travelling(properties),  # stores of version 0.1 have the expiry there as well
            identifiers=properties.subscription_ids,
            expires_at=expires_at,
            retain=found.retain,
            sequence=found.sequence,
        )


def _properties(block: bytes) -> Properties:
    return NO_PROPERTIES if block == b"\0" else read_properties(Reader(block, 0, len(block)), Kind.PUBLISH)
