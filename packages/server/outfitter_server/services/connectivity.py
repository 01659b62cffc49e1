"""Who came and who left, told to the fleet index: groups that ask for connectivity follow, and departures are recorded.

Nothing is done for a client that comes while no dynamic group asks for connectivity. What happens while a transaction is
under way is gathered, the newest state of each client, and written in the next one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import Effect, IndexChanged
from outfitter_server.services.fleet_index import CONNECTIVITY_FIELDS, FleetIndex, concerned
from outfitter_server.services.index_documents import read_indexing
from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.ports import Value
from outfitter_server.things.indexing import ConnectivityIndexing, ThingIndexing

CLIENTS_A_CHANGE: Final = 200
_RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)

# A client that left: when (milliseconds since the epoch) and why; None for one that came.
_Departure = tuple[int, str] | None


class ConnectivityFeed:
    """Construct it and ``start`` it; ``close`` before the gateway lets its clients go, and ``record`` after.

    Groups do not follow a stop of the server: it says nothing of its clients but when it was.
    """

    def __init__(self, committer: Committer, live: LiveClients, index: FleetIndex) -> None:
        """Listens to both for what concerns it."""
        self._committer = committer
        self._index = index
        self._waiting: dict[str, _Departure] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._recording = False
        self._asked = False
        committer.listen(self._hear)
        live.listen(self._changed)

    def start(self) -> None:
        """Read what is to be done."""
        indexing, groups = self._committer.read(
            lambda tx: (read_indexing(tx), concerned(tx, CONNECTIVITY_FIELDS))
        )
        self._recording = (
            indexing.things is not ThingIndexing.OFF and indexing.connectivity is ConnectivityIndexing.STATUS
        )
        self._asked = bool(groups)

    async def close(self) -> None:
        """Follow no more; write what waits."""
        self._closed = True
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def record(self) -> None:
        """Write who left since, all at once."""
        rows: list[Mapping[str, Value]] = [
            {"thing": client, "at": departure[0], "reason": departure[1]}
            for client, departure in self._waiting.items()
            if departure is not None and self._recording
        ]
        if not rows:
            return
        try:
            await self._committer.change(
                lambda batch: batch.tx.run_many("disconnection_upsert", rows), weight=len(rows)
            )
        except Exception:  # noqa: BLE001 - whatever it is, the rest of the server is to stop in order
            _log.exception("who was connected until the stop is not recorded")

    def _hear(self, effects: Sequence[Effect]) -> None:
        if any(isinstance(effect, IndexChanged) for effect in effects):
            self.start()

    def _changed(self, client: str, reason: str | None) -> None:
        if not (self._asked or (self._recording and reason is not None)):
            return
        self._waiting[client] = None if reason is None else (self._committer.now(), reason)
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            names = list(self._waiting)[:CLIENTS_A_CHANGE]
            taken = {name: self._waiting.pop(name) for name in names}
            try:
                await self._committer.change(partial(self._apply, changes=taken), weight=len(taken))
            except Exception:  # noqa: BLE001 - whatever it is, it must be told later
                _log.exception("who came and left waits to be told")
                self._waiting = taken | self._waiting
                if self._closed:
                    break
                await asyncio.sleep(_RETRY_SECONDS)
        self._task = None

    def _apply(self, batch: Batch, changes: dict[str, _Departure]) -> None:
        for client, departure in changes.items():
            if departure is not None and self._recording:
                at, reason = departure
                batch.tx.run("disconnection_upsert", thing=client, at=at, reason=reason)
            if self._asked:
                self._index.changed(batch, client, CONNECTIVITY_FIELDS)
