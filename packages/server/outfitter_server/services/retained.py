"""Retained messages: in memory for the subscribers of today, in the store for those after a restart."""

import asyncio
import heapq
from collections.abc import Callable, Iterator
from typing import Final

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import NotFound
from outfitter_server.mqtt.properties import publish_block, travelling
from outfitter_server.mqtt.reader import Reader
from outfitter_server.mqtt.retained import Retained, RetainedTopics
from outfitter_server.services.behind import Behind
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.messages import Published, lifetime_seconds
from outfitter_server.services.ports import Row, Transaction

MESSAGES_MAX: Final = 50_000
BYTES_MAX: Final = 64 * 1024 * 1024
_PAGE: Final = 1_000
_STALE_EXPIRIES_MAX: Final = 1_000

_Notes = dict[str, Retained | None]  # by topic; None for one that is gone


class RetainedMessages:
    """The retained messages of the installation, bounded in number and bytes. Use it on the event loop's thread."""

    def __init__(
        self,
        clock: Callable[[], int],
        committer: Committer | None = None,
        *,
        messages_max: int = MESSAGES_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """Load what was kept. Without a committer nothing outlives the process. ``clock`` gives milliseconds since the epoch."""
        self._clock = clock
        self._topics = RetainedTopics()
        self._expiries: list[tuple[int, str]] = []
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._notes: _Notes = {}
        self._behind = Behind(committer, self) if committer is not None else None
        if committer is not None:
            committer.read(self._load)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._topics)

    @property
    def held(self) -> int:
        """The bytes of all of them."""
        return self._topics.held

    def keep(self, message: Published) -> bool:
        """Keep a message as its topic's newest, or none any more when it is empty; False when there is no room for it."""
        if not message.payload:
            self._forget(message.topic)
            return True
        now = self._clock()
        seconds = lifetime_seconds(message.properties)
        retained = Retained(
            message.topic,
            message.payload,
            message.qos,
            now,
            travelling(message.properties),
            None if seconds is None else now + seconds * 1000,
        )
        if not self._has_room(retained):
            return False
        self._put(retained)
        self._note(message.topic, retained)
        return True

    def _has_room(self, new: Retained) -> bool:
        """Whether a message may be kept: a new topic takes a place, a larger message, properties and all, takes bytes."""
        old = self._topics.get(new.topic)
        more = new.size() - (old.size() if old is not None else 0)
        places = len(self._topics) + (old is None)
        return places <= self._messages_max and (more <= 0 or self._topics.held + more <= self._bytes_max)

    def find(self, topic: str) -> Retained | None:
        """The message of exactly this topic, unless it has expired."""
        message = self._topics.get(topic)
        return message if message is not None and message.lives(self._clock()) else None

    def walk(self, topic_filter: str) -> Iterator[str | None]:
        """Topics with a message that the filter matches, None for a step that finds none; ask ``find`` when one is to be sent."""
        return self._topics.walk(topic_filter)

    def expire(self) -> None:
        """Forget what has expired; for now and then."""
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            _, topic = heapq.heappop(self._expiries)
            message = self._topics.get(topic)
            if message is not None and not message.lives(now):
                self._forget(topic)

    def written(self) -> "asyncio.Future[None] | None":
        """Done when everything kept so far is on disk; None when nothing waits."""
        return self._behind.written() if self._behind is not None and self._notes else None

    # For callers over HTTP

    def message(self, topic: str) -> Retained:
        """The message of a topic.

        Raises:
            NotFound: none is retained there.
        """
        found = self.find(topic)
        if found is None:
            raise NotFound(f"no message is retained on topic '{topic[:300]}'")
        return found

    def page(self, *, token: str | None = None, limit: int) -> Page[Retained]:
        """Messages by topic.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, str)
        after, now = str(position[0]) if position else "", self._clock()
        names = heapq.nsmallest(limit + 1, (topic for topic in self._topics.match("#") if topic > after))
        more = encode_token([names[limit - 1]]) if len(names) > limit else None
        found = [self._topics.get(topic) for topic in names[:limit]]
        return Page([message for message in found if message is not None and message.lives(now)], more)

    # For the writer behind

    def take(self) -> _Notes:
        """What changed since the last time."""
        notes, self._notes = self._notes, {}
        return notes

    def give_back(self, notes: _Notes) -> None:
        """What could not be written."""
        self._notes = notes | self._notes

    def write(self, batch: Batch, notes: _Notes) -> None:
        """Write changes."""
        batch.tx.run_many(
            "retained_delete", [{"topic": topic} for topic, message in notes.items() if message is None]
        )
        batch.tx.run_many(
            "retained_upsert",
            [
                {
                    "topic": message.topic,
                    "payload": message.payload,
                    "qos": message.qos,
                    "properties": publish_block(message.properties, None, (), None),
                    "stored_at": message.stored_at,
                    "expires_at": message.expires_at,
                }
                for message in notes.values()
                if message is not None
            ],
        )

    def _load(self, tx: Transaction) -> None:
        after = ""
        while rows := tx.all("retained_page", after=after, limit=_PAGE):
            for row in rows:
                self._put(_retained(row))
            after = rows[-1]["topic"]

    def _put(self, message: Retained) -> None:
        self._topics.put(message)
        if message.expires_at is not None:
            heapq.heappush(self._expiries, (message.expires_at, message.topic))
            if len(self._expiries) > 2 * len(self._topics) + _STALE_EXPIRIES_MAX:
                # Messages that took another's place leave its moment behind.
                found = (self._topics.get(topic) for topic in self._topics.match("#"))
                self._expiries = [
                    (m.expires_at, m.topic) for m in found if m is not None and m.expires_at is not None
                ]
                heapq.heapify(self._expiries)

    def _forget(self, topic: str) -> None:
        if self._topics.remove(topic):
            self._note(topic, None)

    def _note(self, topic: str, message: Retained | None) -> None:
        if self._behind is not None:
            self._notes[topic] = message
            self._behind.noted()


def _retained(row: Row) -> Retained:
    block = Reader(row["properties"], 0, len(row["properties"]))
    block.varint()  # its length
    return Retained(
        row["topic"],
        row["payload"],
        row["qos"],
        row["stored_at"],
        block.rest(),
        row["expires_at"],
    )
