"""The book of sessions that outlive their connections, and of wills: what each is to find when the server starts again.

Sessions live in memory (gateway); the book is written behind them, and read once. Times are milliseconds since the epoch.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from outfitter_server.services.behind import Behind
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.ports import Row, Transaction

_PAGE: Final = 1_000


class StoredSubscription(msgspec.Struct, frozen=True, gc=False):
    """A granted filter; ``revision`` is the newest that was acknowledged of notifications that are computed."""

    filter: str
    qos: int
    identifier: int
    as_published: bool
    revision: int | None = None


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of QoS 1 without its PUBACK; ``packet_id`` is 0 for one that was not sent, ``properties`` a block of MQTT 5."""

    sequence: int
    packet_id: int
    topic: str
    payload: bytes
    retain: bool
    properties: bytes
    expires_at: int | None = None


class StoredSession(msgspec.Struct, frozen=True):
    """What the book has of a session; ``left_at`` is None when the server ended while its client was connected."""

    client_id: str
    expiry_seconds: int
    left_at: int | None
    identifier: str
    subscriptions: tuple[StoredSubscription, ...]
    messages: tuple[StoredMessage, ...]


class StoredWill(msgspec.Struct, frozen=True):
    """What is published when a client is lost, ``delay_seconds`` after; ``due_at`` is None while it is connected."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes
    delay_seconds: int
    due_at: int | None


class _Page:
    """What changed of one client's session and will since the last transaction; None stands for what is gone.

    ``will`` is empty when nothing is new of it, whatever becomes of the session.
    """

    __slots__ = ("filters", "messages", "revisions", "sent", "session", "will", "wiped")

    def __init__(self) -> None:
        self.wiped = False
        self.session: tuple[int, int | None, str] | None = None
        self.filters: dict[str, StoredSubscription | None] = {}
        self.messages: dict[int, StoredMessage | None] = {}
        self.sent: dict[int, int] = {}
        self.revisions: dict[str, int] = {}
        self.will: tuple[StoredWill | None, ...] = ()

    def after(self, older: "_Page") -> "_Page":
        """Both, this one the later."""
        self.will = self.will or older.will
        if not self.wiped:
            self.wiped = older.wiped
            self.session = self.session or older.session
            self.filters = older.filters | self.filters
            self.messages = older.messages | self.messages
            self.sent = older.sent | self.sent
            self.revisions = older.revisions | self.revisions
        return self


_Notes = dict[str, _Page]


class SessionBook:
    """Use it on the event loop's thread.

    Attributes:
        noted_bytes: payloads that the next transaction has to write.
    """

    def __init__(self, committer: Committer) -> None:
        """Nothing is noted yet."""
        self._committer = committer
        self._behind = Behind(committer, self)
        self._pages: _Notes = {}
        self.noted_bytes = 0

    def sessions(self) -> list[StoredSession]:
        """Every session, as of the last transaction."""
        return self._committer.read(lambda tx: list(_sessions(tx)))

    def wills(self) -> list[tuple[str, StoredWill]]:
        """Every will with its client id, as of the last transaction."""
        return self._committer.read(lambda tx: list(_wills(tx)))

    def written(self) -> "asyncio.Future[None]":
        """Done when everything noted so far is on disk."""
        return self._behind.written()

    # Notes

    def kept(self, client_id: str, expiry_seconds: int, left_at: int | None, identifier: str) -> None:
        """A session is there, how long it waits once its client has left, and what it is called in events."""
        self._page(client_id).session = (expiry_seconds, left_at, identifier)

    def ended(self, client_id: str) -> None:
        """Nothing of a session stays."""
        older = self._pages.get(client_id)
        page = self._pages[client_id] = _Page()
        page.wiped = True
        if older is not None:
            page.will = older.will
        self._behind.noted()

    def subscribed(self, client_id: str, subscription: StoredSubscription) -> None:
        """A filter is granted."""
        page = self._page(client_id)
        page.filters[subscription.filter] = subscription
        page.revisions.pop(subscription.filter, None)

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        """A filter is taken back."""
        self._page(client_id).filters[topic_filter] = None

    def told(self, client_id: str, topic_filter: str, revision: int) -> None:
        """A notification was acknowledged."""
        self._page(client_id).revisions[topic_filter] = revision

    def added(self, client_id: str, message: StoredMessage) -> None:
        """A message waits for its PUBACK."""
        self._page(client_id).messages[message.sequence] = message
        self.noted_bytes += len(message.payload)

    def sent(self, client_id: str, sequence: int, packet_id: int) -> None:
        """A message was sent with this packet identifier."""
        self._page(client_id).sent[sequence] = packet_id

    def gone(self, client_id: str, sequence: int) -> None:
        """A message is acknowledged, dropped or expired."""
        page = self._page(client_id)
        page.sent.pop(sequence, None)
        if page.messages.get(sequence) is not None:
            del page.messages[sequence]  # it was never written
        else:
            page.messages[sequence] = None

    def will(self, client_id: str, will: StoredWill | None) -> None:
        """A client's will, in place of any other; None when there is nothing to be published any more."""
        self._page(client_id).will = (will,)
        self.noted_bytes += 0 if will is None else len(will.payload)

    def _page(self, client_id: str) -> _Page:
        page = self._pages.get(client_id)
        if page is None:
            page = self._pages[client_id] = _Page()
            self._behind.noted()
        return page

    # For the writer behind

    def take(self) -> _Notes:
        """What changed since the last time."""
        pages, self._pages = self._pages, {}
        self.noted_bytes = 0
        return pages

    def give_back(self, notes: _Notes) -> None:
        """What could not be written."""
        newer, self._pages = self._pages, notes
        for client_id, page in newer.items():
            older = notes.get(client_id)
            notes[client_id] = page if older is None else page.after(older)

    def write(self, batch: Batch, notes: _Notes) -> None:
        """Write changes: what ended first, for the id may have a new session."""
        run, each = batch.tx.run_many, list(notes.items())
        wiped = [{"client_id": client_id} for client_id, page in each if page.wiped]
        for statement in ("mqtt_session_delete", "mqtt_subscriptions_delete", "mqtt_messages_delete"):
            run(statement, wiped)
        run("mqtt_session_upsert", [_session(*item) for item in each if item[1].session is not None])
        run("mqtt_subscription_delete", _rows(each, lambda page: page.filters, "filter", None))
        run("mqtt_subscription_upsert", _rows(each, lambda page: page.filters))
        run("mqtt_subscription_told", _rows(each, lambda page: page.revisions, "filter", "revision"))
        run("mqtt_message_delete", _rows(each, lambda page: page.messages, "sequence", None))
        run("mqtt_message_insert", _rows(each, lambda page: page.messages))
        run("mqtt_message_sent", _rows(each, lambda page: page.sent, "sequence", "packet_id"))
        wills = [(client_id, will) for client_id, page in each for will in page.will]
        run("mqtt_will_delete", [{"client_id": client_id} for client_id, will in wills if will is None])
        run(
            "mqtt_will_upsert",
            [{"client_id": client_id, **msgspec.structs.asdict(will)} for client_id, will in wills if will],
        )


def _session(client_id: str, page: _Page) -> dict[str, Any]:
    expiry_seconds, left_at, identifier = page.session or (0, None, "")
    return {
        "client_id": client_id,
        "expiry_seconds": expiry_seconds,
        "left_at": left_at,
        "identifier": identifier,
    }


def _rows(
    pages: list[tuple[str, _Page]],
    of: Callable[[_Page], dict[Any, Any]],
    key: str | None = None,
    value: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of one kind: whole values; with a ``key`` alone what is gone; with both, pairs."""
    rows: list[dict[str, Any]] = []
    for client_id, page in pages:
        for name, found in of(page).items():
            if key is None:
                if found is not None:
                    rows.append({"client_id": client_id, **msgspec.structs.asdict(found)})
            elif value is not None:
                rows.append({"client_id": client_id, key: name, value: found})
            elif found is None:
                rows.append({"client_id": client_id, key: name})
    return rows


def _sessions(tx: Transaction) -> Iterator[StoredSession]:
    after = ""
    while rows := tx.all("mqtt_sessions_page", after=after, limit=_PAGE):
        for row in rows:
            yield _stored(tx, row)
        after = rows[-1]["client_id"]


def _wills(tx: Transaction) -> Iterator[tuple[str, StoredWill]]:
    after = ""
    while rows := tx.all("mqtt_wills_page", after=after, limit=_PAGE):
        for row in rows:
            yield (
                row["client_id"],
                StoredWill(
                    row["topic"],
                    row["payload"],
                    row["qos"],
                    bool(row["retain"]),
                    row["properties"],
                    row["delay_seconds"],
                    row["due_at"],
                ),
            )
        after = rows[-1]["client_id"]


def _stored(tx: Transaction, row: Row) -> StoredSession:
    client_id = row["client_id"]
    return StoredSession(
        client_id,
        row["expiry_seconds"],
        row["left_at"],
        row["identifier"],
        tuple(
            StoredSubscription(
                found["filter"],
                found["qos"],
                found["identifier"],
                bool(found["as_published"]),
                found["revision"],
            )
            for found in tx.all("mqtt_subscriptions_of", client_id=client_id)
        ),
        tuple(
            StoredMessage(
                found["sequence"],
                found["packet_id"],
                found["topic"],
                found["payload"],
                bool(found["retain"]),
                found["properties"],
                found["expires_at"],
            )
            for found in tx.all("mqtt_messages_of", client_id=client_id)
        ),
    )
