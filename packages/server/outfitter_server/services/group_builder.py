"""The group builder: finds the members of dynamic groups among the things that are there, step by step.

What is left to do is in the store, so a restart goes on where the last commit left off. While a group is built, things that
change are looked at by services/fleet_index.py as ever, so it does not matter on which side of the walk they are. A step is
one transaction in the worker thread, and bounded; requests are served between two of them.
"""

from functools import partial
from typing import Final

import msgspec

from outfitter_server.services.background import Background
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import IndexChanged
from outfitter_server.services.fleet_index import DynamicGroup, FleetIndex, dynamic_groups, read_group
from outfitter_server.services.index_documents import Documents, read_indexing
from outfitter_server.services.index_pages import BEGINNING, Position, is_last, page_of
from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.things import read_thing
from outfitter_server.things.query import CONNECTIVITY, EVERY_FIELD, fields, matches
from outfitter_server.things.query_plan import source_of

THINGS_A_STEP: Final = 1_000
HEARD_THINGS_A_STEP: Final = (
    300  # of a group that jobs target: joining and leaving then is told to them, thing by thing
)


class GroupBuilder:
    """Construct it, ``start`` it; ``close`` stops it after the step under way."""

    def __init__(
        self, committer: Committer, index: FleetIndex, documents: Documents, live: LiveClients
    ) -> None:
        """Listens to the committer for groups to build."""
        self._committer = committer
        self._index = index
        self._documents = documents
        self._live = live
        self._connections_forgotten = False
        self._background = Background(
            committer, IndexChanged, self._round, trouble="dynamic groups wait to be built"
        )

    def start(self) -> None:
        """Begin: groups that ask for connectivity are looked through first, because nobody is connected any more."""
        self._background.start()

    async def close(self) -> None:
        """Stop; what is left stays in the store."""
        await self._background.close()

    def _forget_connections(self, batch: Batch) -> None:
        for group in dynamic_groups(batch.tx):
            if any(name == EVERY_FIELD or name.startswith(CONNECTIVITY) for name in fields(group.query)):
                self._index.rebuild(batch, group.name, group.text)

    async def _round(self) -> None:
        """A step of each group in turn, until none has anything left."""
        if not self._connections_forgotten:
            await self._committer.change(self._forget_connections)
            self._connections_forgotten = True
        while True:
            rows = self._committer.read(lambda tx: tx.all("dynamic_groups_with_work"))
            if not rows:
                return
            for row in rows:
                await self._committer.change(partial(self.step, name=row["name"]), heavy=True)

    def step(self, batch: Batch, name: str, things_max: int | None = None) -> None:
        """One chunk of what a group has left."""
        row = batch.tx.one("dynamic_group_by_name", name=name)
        if row is None or row["phase"] is None:
            return
        group = read_group(row)
        if things_max is None:
            heard = batch.tx.one("group_is_target", group=name) is not None
            things_max = HEARD_THINGS_A_STEP if heard else THINGS_A_STEP
        if group.phase == "MEMBERS":
            self._check_members(batch, group, things_max)
        else:
            self._find_members(batch, group, things_max)

    def _check_members(self, batch: Batch, group: DynamicGroup, limit: int) -> None:
        rows = batch.tx.all("things_of_group_page", key=group.name, after=group.cursor or "", limit=limit)
        things = [read_thing(row) for row in rows]
        documents = self._documents.of(batch.tx, things, fields(group.query), read_indexing(batch.tx))
        gone = [document.name for document in documents if not matches(group.query, document)]
        self._index.leave_all(batch, group, gone)
        if len(rows) < limit:
            self._progress(batch, group, "THINGS", None)
        else:
            self._progress(batch, group, "MEMBERS", things[-1].name)

    def _find_members(self, batch: Batch, group: DynamicGroup, limit: int) -> None:
        source = source_of(group.query)
        position: Position = (
            BEGINNING if group.cursor is None else msgspec.json.decode(group.cursor, type=tuple[str, str])
        )
        placed = page_of(batch.tx, source, position, limit, self._live)
        documents = self._documents.of(
            batch.tx, [thing for _, thing in placed], fields(group.query), read_indexing(batch.tx)
        )
        found = [document for document in documents if matches(group.query, document)]
        if found:
            self._index.join_all(batch, group, found)
        if is_last(source, placed, limit):
            self._progress(batch, group, None, None)
        else:
            self._progress(batch, group, "THINGS", msgspec.json.encode(placed[-1][0]).decode())

    def _progress(self, batch: Batch, group: DynamicGroup, phase: str | None, cursor: str | None) -> None:
        status = "ACTIVE" if phase is None else group.status
        batch.tx.run("dynamic_group_progress", name=group.name, status=status, phase=phase, cursor=cursor)
