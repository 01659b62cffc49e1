"""The publisher of lifecycle events: from the outbox to the broker and its topic rules, in order, at least once.

A row leaves the outbox after it was published and what rules made of it is on disk; a server that ends in between publishes
it again. Most listeners' sessions end with the server, so after a start the rows that are left wait a moment for them to come back.
Listeners that read are waited for, so that the end of a large job overflows nobody's queue.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Final

from outfitter_server.services.background import Background
from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import EventsWaiting
from outfitter_server.services.messages import Publish, Published
from outfitter_server.services.ports import Row, Transaction

AT_ONCE_MAX: Final = 100
AT_ONCE_BYTES: Final = 256 * 1024
PATIENCE_SECONDS: Final = (
    5.0  # for listeners that are behind; one that stays so is not waited for until it has caught up
)
RETURN_SECONDS: Final = 5.0  # for listeners to connect again, when a start finds events of the run before
_LOOK_SECONDS: Final = 0.01
_QOS: Final = 1

Behind = Callable[[Collection[str]], bool]


class EventPublisher:
    """Construct it, ``start`` it; ``close`` leaves what is not yet published in the outbox."""

    def __init__(
        self,
        committer: Committer,
        publish: Publish,
        is_behind: Behind,
        *,
        return_seconds: float = RETURN_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Listens to the committer.

        ``publish`` routes a message to subscribers and rules; ``is_behind`` tells whether a listener to one of these topics
        has more than it can take now.
        """
        self._committer = committer
        self._publish = publish
        self._is_behind = is_behind
        self._return_seconds = return_seconds
        self._patience_seconds = patience_seconds
        self._patient = True
        self._returned = False
        self.published = 0
        self._background = Background(
            committer, EventsWaiting, self._publish_waiting, trouble="lifecycle events wait"
        )

    @property
    def waiting(self) -> int:
        """How many events are in the outbox, at most."""
        span = self._committer.read(lambda tx: tx.one("event_outbox_span"))
        if span is None or span["first"] is None:
            return 0
        return int(span["last"] - span["first"] + 1)

    def start(self) -> None:
        """Begin, with whatever the outbox holds from before."""
        self._background.start()

    async def close(self) -> None:
        """Stop."""
        await self._background.close()

    async def _publish_waiting(self) -> None:
        if not self._returned:
            self._returned = True
            if self._committer.read(_first):
                await asyncio.sleep(self._return_seconds)
        while rows := self._committer.read(_first):
            await self._wait_for_listeners({row["topic"] for row in rows})
            await self._publish_rows(rows)

    async def _wait_for_listeners(self, topics: Collection[str]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._patience_seconds if self._patient else 0.0)
        while self._is_behind(topics):
            if loop.time() >= deadline:
                self._patient = False
                return
            await asyncio.sleep(_LOOK_SECONDS)
        self._patient = True

    async def _publish_rows(self, rows: Sequence[Row]) -> None:
        published = [self._publish(Published(row["topic"], row["payload"], _QOS)) for row in rows]
        self.published += len(rows)
        under_way = [each.under_way for each in published if each.under_way is not None]
        if under_way:
            await asyncio.wait(under_way)
        last: int = rows[-1]["id"]  # ids rise, and none is free again while a row before it is there
        await self._committer.change(lambda batch: batch.tx.run("event_outbox_delete", last=last))


def _first(tx: Transaction) -> list[Row]:
    rows = tx.all("event_outbox_first", after=0, limit=AT_ONCE_MAX)
    sizes = itertools.accumulate(len(row["payload"]) for row in rows)
    fitting = sum(1 for size in sizes if size <= AT_ONCE_BYTES)
    return rows[: max(1, fitting)]
