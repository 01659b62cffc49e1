"""What a connection is to be sent of what is retained: looked for and sent in small steps, by turns with others."""

from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Final, Protocol

from outfitter_server.gateway.limits import RETAINED_LEFT_MAX, RETAINED_STEPS_AT_ONCE, RETAINED_WALKS_MAX
from outfitter_server.gateway.turns import Reader
from outfitter_server.mqtt.properties import text
from outfitter_server.mqtt.retained import Retained
from outfitter_server.mqtt.sessions import Message, Session, Subscription

_STEPS_OF_A_MESSAGE: Final = 10  # it costs as much as looking at so many topics

Walk = Iterator[str | None]  # topics as they are found, None for a step that found nothing
Send = Callable[
    [str, Subscription], bool
]  # sends what is retained of a topic; False when there is no room now


class Line(Protocol):
    """Where to wait for a turn."""

    def join(self, reader: Reader) -> None:
        """Wait for a turn."""


class Retains(Protocol):
    """Who has the retained messages."""

    def find(self, topic: str) -> Retained | None:
        """The message of a topic, unless it has expired."""


class Store(Protocol):
    """What the gateway knows of messages and of time."""

    second: int
    clock: Callable[[], int]

    @property
    def retained(self) -> Retains:
        """The retained messages."""


def message_of(store: Store, found: Retained, subscription: Subscription) -> Message:
    """A retained message as a subscription gets it."""
    identifiers = (subscription.identifier,) if subscription.identifier else ()
    expires_at = None
    if found.expires_at is not None:
        expires_at = store.second + (found.expires_at - store.clock() + 999) // 1000
    return Message(
        text(found.topic),
        found.payload,
        properties=found.properties,
        identifiers=identifiers,
        expires_at=expires_at,
        retain=True,
    )


class RetainedWalks:
    """The filters of one connection that are still to be served, first come first served."""

    __slots__ = ("_done", "_found", "_line", "_send", "_waits", "_walks")

    def __init__(self, line: Line, send: Send) -> None:
        """Nothing is to be served yet."""
        self._line = line
        self._send = send
        self._done: Callable[[], object] | None = None
        self._walks: dict[str, tuple[Walk, Subscription]] = {}
        self._found: tuple[str, str, Subscription] | None = None  # filter and topic: there was no room for it
        self._waits = False

    def __bool__(self) -> bool:
        """Whether something is left."""
        return bool(self._walks) or self._found is not None

    def add(self, topic_filter: str, walk: Walk, subscription: Subscription) -> None:
        """Serve a filter; one that is being served begins anew, and beyond ``RETAINED_WALKS_MAX`` the oldest gives way."""
        self._walks.pop(topic_filter, None)
        self._walks[topic_filter] = (walk, subscription)
        if len(self._walks) > RETAINED_WALKS_MAX:
            del self._walks[next(iter(self._walks))]

    def keep_only(self, filters: Container[str]) -> None:
        """Serve none but these."""
        for topic_filter in [name for name in self._walks if name not in filters]:
            del self._walks[topic_filter]
        if self._found is not None and self._found[0] not in filters:
            self._found = None

    def end(self) -> None:
        """Serve nothing more, and tell nobody."""
        self._done = None
        self.keep_only(())

    def hand_over(self, send: Send, done: Callable[[], object] | None = None) -> None:
        """Go on for somebody else, who is told when nothing is left."""
        self._send, self._done = send, done
        self.go_on()

    def go_on(self) -> None:
        """Send a little now, and wait for a turn with the rest."""
        if not self._waits and self.take_turn():
            self._line.join(self)

    def take_turn(self) -> bool:
        """Send a little; whether more could be sent now."""
        self._waits = self._send_some()
        if self._done is not None and not self:
            self._done()
        return self._waits

    def _send_some(self) -> bool:
        left = RETAINED_STEPS_AT_ONCE
        while left > 0 and self:
            if self._found is None:
                self._found = self._next()
                left -= 1
            if self._found is not None:
                _, topic, subscription = self._found
                if not self._send(topic, subscription):
                    return False
                self._found = None
                left -= _STEPS_OF_A_MESSAGE
        return bool(self)

    def hold_back(self) -> None:
        """Its socket has nothing to do with it."""

    def abort(self) -> None:
        """Look for nothing more."""
        self.keep_only(())
        self._waits = False
        if self._done is not None:
            self._done()

    def _next(self) -> tuple[str, str, Subscription] | None:
        topic_filter, (walk, subscription) = next(iter(self._walks.items()))
        try:
            topic = next(walk)
        except StopIteration:
            del self._walks[topic_filter]
            return None
        return None if topic is None else (topic_filter, topic, subscription)


class Leftovers:
    """What was not sent when its connection ended follows into the queue of its session, by turns, until that is full."""

    def __init__(self, store: Store) -> None:
        """Nothing is left."""
        self._store = store
        self._walks: dict[str, RetainedWalks] = {}  # by client id; the oldest first

    def __len__(self) -> int:
        """How many sessions are still followed."""
        return len(self._walks)

    def keep(self, session: Session, walks: RetainedWalks) -> None:
        """A connection ended; with ``RETAINED_LEFT_MAX`` others the oldest gives way."""
        self._walks[session.client_id] = walks
        if len(self._walks) > RETAINED_LEFT_MAX:
            self.give_up(next(iter(self._walks)))
        walks.hand_over(partial(self._enqueue, session), partial(self._walks.pop, session.client_id, None))

    def take(self, client_id: str) -> RetainedWalks | None:
        """The client is back: the rest is its connection's."""
        return self._walks.pop(client_id, None)

    def give_up(self, client_id: str) -> None:
        """The session is over, or others need the room."""
        walks = self._walks.pop(client_id, None)
        if walks is not None:
            walks.end()

    def _enqueue(self, session: Session, topic: str, subscription: Subscription) -> bool:
        found = self._store.retained.find(topic)
        if found is not None and found.qos and subscription.qos:
            dropped = session.dropped
            session.enqueue(message_of(self._store, found, subscription))
            if session.dropped != dropped:
                self.give_up(session.client_id)  # more would only drive out what waits
        return True
