"""The state of one session: subscriptions, the QoS 1 messages under way, the queue behind them, computed notices.

Pure: ``now`` is in whole seconds, and what is to be sent is returned. A session outlives its connection when its expiry
is not 0. Three kinds of messages differ in what a lost connection does to them: ordinary ones stay, answers go (they
belong to the connection that asked), notices go and are computed afresh.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, Protocol

import msgspec

PACKET_ID_MAX: Final = 0xFFFF
EXPIRY_NEVER: Final = 0xFFFF_FFFF
MESSAGE_BYTES: Final = 288  # what a message takes besides its bytes, with its place in a queue or under way

_EMPTY: Final[deque["Message"]] = deque(maxlen=0)  # shared: an empty deque of one's own is half a kilobyte


class Kind(IntEnum):
    """What becomes of a message when the connection is lost."""

    ORDINARY = 0
    ANSWER = 1
    NOTICE = 2


# Bound once: Python 3.11 takes as long to look a member of an enum up as to call a function.
_ORDINARY: Final = Kind.ORDINARY


class Message(msgspec.Struct, frozen=True, gc=False):
    """An outgoing QoS 1 message.

    Attributes:
        topic: with its two-byte length, as it goes out.
        properties: written, as all receivers get them (``properties.travelling``).
        identifiers: of the subscriptions that it is sent for.
        expires_at: the second after which it is not worth sending; None for never.
        notice: the name of the notice it tells, "" for others.
        retain: goes out with the retain flag.
        sequence: its number in the journal of its session, 0 where there is none.
    """

    topic: bytes
    payload: bytes
    kind: Kind = Kind.ORDINARY
    properties: bytes = b""
    identifiers: tuple[int, ...] = ()
    expires_at: int | None = None
    notice: str = ""
    retain: bool = False
    sequence: int = 0

    def size(self) -> int:
        """The bytes that count against a session's bounds."""
        return MESSAGE_BYTES + len(self.topic) + len(self.payload) + len(self.properties)


class Flight(msgspec.Struct, gc=False):
    """A message that waits for its PUBACK, the second in which it was last sent, and what it counts."""

    message: Message
    sent_at: int
    size: int


class Subscription(msgspec.Struct, frozen=True):
    """A granted topic filter; ``identifier`` is MQTT 5's subscription identifier, 0 without one.

    ``as_published`` (Retain As Published) lets the retain flag of a publisher through.
    """

    qos: int
    identifier: int = 0
    as_published: bool = False


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much a session may hold."""

    window_messages: int
    queue_messages: int
    queue_bytes: int
    queue_bytes_kept: int = 0


class Budget:
    """The bytes that all sessions hold together, and may hold, of what waits and of what is under way.

    Attributes:
        messages: how many wait.
        dropped: messages that gave way to others since the start.
        expired: those whose time was over before they could be sent.
    """

    __slots__ = ("bytes_max", "dropped", "expired", "held", "messages")

    def __init__(self, bytes_max: int) -> None:
        """Nothing is held yet."""
        self.bytes_max = bytes_max
        self.held = 0
        self.messages = 0
        self.dropped = 0
        self.expired = 0


class Journal(Protocol):
    """Hears what a session that outlives the process must remember."""

    def subscribed(self, session: "Session", topic_filter: str, subscription: Subscription) -> None:
        """A filter is granted."""

    def unsubscribed(self, session: "Session", topic_filter: str) -> None:
        """A filter is taken back."""

    def added(self, session: "Session", message: Message) -> None:
        """An ordinary message, with its sequence, waits to be sent and acknowledged."""

    def sent(self, session: "Session", sequence: int, packet_id: int) -> None:
        """It goes out with this packet identifier."""

    def gone(self, session: "Session", sequence: int) -> None:
        """It is acknowledged, dropped or expired."""

    def told(self, session: "Session", name: str, revision: int) -> None:
        """A notice was acknowledged."""


class Notice:
    """What a session has been told of one computed topic.

    The server keeps a revision for each such topic; the session needs a message only when the revision is newer than
    ``sent``. ``acknowledged`` is where it falls back to when the connection is lost; ``due`` says that a newer revision
    could not be sent yet.
    """

    __slots__ = ("acknowledged", "due", "in_flight", "qos", "sent")

    def __init__(self, qos: int, revision: int) -> None:
        """Nothing up to ``revision`` is of interest."""
        self.qos = qos
        self.acknowledged = revision
        self.sent = revision
        self.in_flight = 0  # the packet identifier of the last one sent
        self.due = False


class Session:
    """The state of one client identifier.

    Attributes:
        window: how many QoS 1 messages may be under way, at most the client's receive maximum.
        expiry_seconds: how long it outlives its connection.
        identifier: what it is called in events; "" before there was one.
        journal: of a session that outlives the process, None of others.
        owner: the certificate that its client came with last, "" when there was none.
        queue: what waits for the window, oldest first; to be looked at.
        resting: of the messages under way, the packet identifiers of those that went out on an earlier connection only.
    """

    __slots__ = (
        "_bounds",
        "_budget",
        "_flight_bytes",
        "_flights",
        "_last_id",
        "_queue_bytes",
        "_sequence",
        "client_id",
        "dropped",
        "expiry_seconds",
        "identifier",
        "journal",
        "notices",
        "owner",
        "queue",
        "resting",
        "subscriptions",
        "window",
    )

    def __init__(self, client_id: str, bounds: Bounds, budget: Budget) -> None:
        """An empty session that ends with its connection."""
        self.client_id = client_id
        self.subscriptions: dict[str, Subscription] = {}
        self.notices: dict[str, Notice] = {}
        self.expiry_seconds = 0
        self.owner = ""
        self.window = bounds.window_messages
        self.dropped = 0
        self._bounds = bounds
        self._budget = budget
        self._flights: dict[int, Flight] = {}
        self._flight_bytes = 0
        self.queue = _EMPTY
        self._queue_bytes = 0
        self._last_id = 0
        self._sequence = 0
        self.journal: Journal | None = None
        self.identifier = ""
        self.resting: set[int] | None = None  # seldom any: an empty set is a fifth of a kilobyte

    def attach(self, receive_maximum: int, expiry_seconds: int) -> None:
        """A connection took the session over."""
        self.window = min(receive_maximum, self._bounds.window_messages)
        self.expiry_seconds = expiry_seconds
        self.resting = set(self._flights) if self._flights else None

    @property
    def has_room(self) -> bool:
        """Whether a QoS 1 message may be sent now."""
        flights = len(self._flights)
        return not flights or (flights < self.window and self._flight_bytes < self._bounds.queue_bytes)

    @property
    def holds(self) -> int:
        """The bytes of what waits and of what is under way."""
        return self._queue_bytes + self._flight_bytes

    @property
    def under_way(self) -> int:
        """How many messages wait for their PUBACK."""
        return len(self._flights)

    @property
    def queued(self) -> int:
        """How many messages wait for the window."""
        return len(self.queue)

    def offer(self, message: Message, now: int) -> int:
        """Send or queue a message: the packet identifier to send it with, 0 when it was queued or gave way to others."""
        if self.journal is not None and message.kind is _ORDINARY:
            message = self._enter(message, self.journal)
        budget = self._budget
        if (
            (not self._flights or self.has_room)
            and not self.queue
            and (budget.held <= budget.bytes_max or self._goes_anyhow(message))
        ):
            return self._launch(message, now)
        self._append(message)
        return 0

    def enqueue(self, message: Message) -> None:
        """Queue a message; the oldest give way when this queue, or all queues together, hold too much."""
        if self.journal is not None and message.kind is Kind.ORDINARY:
            message = self._enter(message, self.journal)
        self._append(message)

    def restore(self, messages: Iterable[tuple[int, Message]], now: int) -> None:
        """Take back what the journal has, in order: messages under way by their packet identifiers, those of 0 in the queue."""
        for packet_id, message in messages:
            self._sequence = message.sequence
            if packet_id:
                self._fly(packet_id, message, now)
            else:
                self._push(message)

    def _enter(self, message: Message, journal: Journal) -> Message:
        self._sequence += 1
        message = msgspec.structs.replace(message, sequence=self._sequence)
        journal.added(self, message)
        return message

    def _strike(self, message: Message) -> None:
        if message.sequence and self.journal is not None:
            self.journal.gone(self, message.sequence)

    def _push(self, message: Message) -> None:
        if self.queue is _EMPTY:
            self.queue = deque()
        self.queue.append(message)
        self._count(1, message.size())

    def _goes_anyhow(self, message: Message) -> bool:
        """Though all together hold too much: what the client asked for, and what leaves it with little."""
        return (
            message.kind is not Kind.ORDINARY or self.holds + message.size() <= self._bounds.queue_bytes_kept
        )

    def _append(self, message: Message) -> None:
        self._push(message)
        bounds, budget = self._bounds, self._budget
        while self.queue and (
            len(self.queue) > bounds.queue_messages
            or (self._queue_bytes > bounds.queue_bytes and len(self.queue) > 1)
            # Who keeps little does not give way to who keeps much.
            or (budget.held > budget.bytes_max and self.holds > bounds.queue_bytes_kept)
        ):
            oldest = self.queue.popleft()
            self._count(-1, -oldest.size())
            self._strike(oldest)
            self.dropped += 1
            budget.dropped += 1

    def clear(self) -> None:
        """Nothing waits or is under way any more."""
        self._count(-len(self.queue), -self._queue_bytes)
        self.queue.clear()
        self._flights.clear()
        self._land(self._flight_bytes)

    def _fly(self, packet_id: int, message: Message, now: int) -> None:
        size = message.size()
        self._flights[packet_id] = Flight(message, now, size)
        self._flight_bytes += size
        self._budget.held += size
        self._last_id = packet_id

    def _land(self, size: int) -> None:
        self._flight_bytes -= size
        self._budget.held -= size

    def _count(self, messages: int, size: int) -> None:
        self._queue_bytes += size
        self._budget.held += size
        self._budget.messages += messages

    def acknowledge(self, packet_id: int) -> bool:
        """A PUBACK came; whether it was for anything."""
        flight = self._flights.pop(packet_id, None)
        if flight is None:
            return False
        if self.resting:
            self.resting.discard(packet_id)
        message = flight.message
        self._land(flight.size)
        if message.notice:
            notice = self.notices.get(message.notice)
            if notice is not None and notice.in_flight == packet_id:
                notice.acknowledged, notice.in_flight = notice.sent, 0
                if self.journal is not None:
                    self.journal.told(self, message.notice, notice.acknowledged)
        elif message.sequence:
            self._strike(message)
        return True

    def next_queued(self, now: int) -> Iterator[tuple[int, Message]]:
        """The queued messages that the window lets out, with their packet identifiers."""
        while self.queue and self.has_room:
            message = self.queue.popleft()
            self._count(-1, -message.size())
            if message.expires_at is None or message.expires_at > now:
                yield self._launch(message, now), message
            else:
                self._strike(message)
                self._budget.expired += 1

    def notices_due(self) -> list[str]:
        """The computed topics with a revision that the session has not been sent."""
        return [name for name, notice in self.notices.items() if notice.due]

    def unacknowledged(self, now: int, interval_seconds: int) -> Iterator[tuple[int, Message]]:
        """What was sent this long ago and is to be sent again, with its old packet identifier.

        The window counts what this connection was sent, and may be smaller than that of an earlier one.
        """
        resting = self.resting or set()
        for packet_id, flight in self._flights.items():
            if now - flight.sent_at >= interval_seconds:
                if packet_id in resting:
                    if len(self._flights) - len(resting) >= self.window:
                        continue
                    resting.remove(packet_id)
                flight.sent_at = now
                yield packet_id, flight.message

    def detach(self) -> None:
        """The connection is lost: answers go, notices fall back to what was acknowledged, the rest waits."""
        gone = [
            packet_id
            for packet_id, flight in self._flights.items()
            if flight.message.kind is not Kind.ORDINARY
        ]
        for packet_id in gone:
            self._land(self._flights.pop(packet_id).size)
        kept = [message for message in self.queue if message.kind is Kind.ORDINARY]
        self._count(len(kept) - len(self.queue), sum(message.size() for message in kept) - self._queue_bytes)
        self.queue = deque(kept) if kept else _EMPTY
        for notice in self.notices.values():
            notice.sent, notice.in_flight = notice.acknowledged, 0
            notice.due = bool(notice.qos)

    def _launch(self, message: Message, now: int) -> int:
        packet_id = self._last_id
        while True:
            packet_id = packet_id + 1 if packet_id < PACKET_ID_MAX else 1
            if packet_id not in self._flights:
                break
        self._fly(packet_id, message, now)
        if message.sequence and self.journal is not None:
            self.journal.sent(self, message.sequence, packet_id)
        return packet_id
