"""The configuration of the fleet index."""

import msgspec

from outfitter_server.base.refusals import InvalidQuery, InvalidRequest
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import IndexChanged
from outfitter_server.services.fleet_index import FleetIndex, dynamic_groups
from outfitter_server.services.index_documents import read_indexing
from outfitter_server.things.indexing import Indexing, ThingIndexing, check_fields, check_indexing
from outfitter_server.things.query import EVERY_FIELD, fields


class IndexSettings:
    """What is indexed: asked and changed."""

    def __init__(self, committer: Committer, index: FleetIndex) -> None:
        """``index`` has groups found anew whose queries ask for everything."""
        self._committer = committer
        self._index = index

    def current(self) -> Indexing:
        """What is indexed now."""
        return self._committer.read(read_indexing)

    async def change(self, after: Indexing) -> None:
        """Index this from now on.

        Raises:
            InvalidRequest: parts that do not go together, or a dynamic group that needs what would go.
        """
        check_indexing(after)

        def apply(batch: Batch) -> None:
            tx = batch.tx
            for group in dynamic_groups(tx):
                if after.things is ThingIndexing.OFF:
                    raise InvalidRequest(f"dynamic thing group {group.name} needs the index: delete it first")
                try:
                    check_fields(fields(group.query), after)
                except InvalidQuery as refusal:
                    raise InvalidRequest(
                        f"dynamic thing group {group.name} needs what would go: {refusal.message}"
                    ) from refusal
                if EVERY_FIELD in fields(group.query):
                    self._index.rebuild(batch, group.name, group.text)
            tx.run(
                "indexing_update",
                things=after.things,
                connectivity=after.connectivity,
                named_shadows=after.named_shadows,
                shadow_names=msgspec.json.encode(after.shadow_names).decode(),
            )
            batch.emit(IndexChanged())

        await self._committer.change(apply)
