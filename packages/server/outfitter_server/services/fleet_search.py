"""Searching the fleet index: an index narrows the things down, and each that is left is asked the query.

A call looks at a bounded number of things and lets other requests in between; when nothing narrows the query, a page may
have fewer things than wanted, or none, although more follow: its token goes on.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.committer import Committer
from outfitter_server.services.index_documents import Documents, parsed, read_indexing
from outfitter_server.services.index_pages import BEGINNING, Placed, Position, is_last, page_of
from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.ports import Transaction
from outfitter_server.things.indexing import Indexing, check_fields, check_index
from outfitter_server.things.query import EVERY_FIELD, Document, Query, fields, matches
from outfitter_server.things.query_plan import Source, WithNumber, source_of

LOOKED_AT_MAX: Final = 100_000  # things in one call
THINGS_A_TURN: Final = 250  # between two turns of the loop


@dataclass(slots=True)
class _Walk:
    """Where a search is."""

    query: Query
    source: Source
    position: Position
    ended: bool = False


class FleetSearch:
    """Finds things."""

    def __init__(self, committer: Committer, documents: Documents, live: LiveClients) -> None:
        """``live`` knows who is connected."""
        self._committer = committer
        self._documents = documents
        self._live = live

    async def find(
        self, text: str, *, index: str | None = None, token: str | None = None, limit: int
    ) -> Page[Document]:
        """Things that match a query, whole, in the order of the index that was walked.

        Raises:
            InvalidQuery: the query cannot be read, or asks for what is not indexed.
            NotFound: there is no such index.
            InvalidRequest: the token is not of this search.
        """
        query = parsed(text)
        indexing = self._committer.read(read_indexing)
        check_index(index, indexing)
        check_fields(fields(query), indexing)
        walk = _Walk(query, source := source_of(query), _position(source, token))
        found: list[Document] = []
        looked_at = 0
        while len(found) < limit and not walk.ended and looked_at < LOOKED_AT_MAX:
            if looked_at:
                await asyncio.sleep(0)
            seen, more = self._committer.read(
                lambda tx: self._turn(tx, walk, indexing, limit - len(found))  # noqa: B023 - asked at once
            )
            looked_at += seen
            found += more
        return Page(found, None if walk.ended else encode_token(walk.position))

    def _turn(
        self, tx: Transaction, walk: _Walk, indexing: Indexing, room: int
    ) -> tuple[int, list[Document]]:
        placed = page_of(tx, walk.source, walk.position, THINGS_A_TURN, self._live)
        things = [thing for _, thing in placed]
        documents = self._documents.of(tx, things, fields(walk.query), indexing)
        found: list[Placed] = []
        for at, document in zip(placed, documents, strict=True):
            if not matches(walk.query, document):
                continue
            if len(found) == room:
                walk.position = found[-1][0]
                break
            found.append(at)
        else:
            walk.ended = is_last(walk.source, placed, THINGS_A_TURN)
            walk.position = placed[-1][0] if placed else walk.position
        whole = self._documents.of(tx, [thing for _, thing in found], (EVERY_FIELD,), indexing)
        return len(placed), whole


def _position(source: Source, token: str | None) -> Position:
    decoded = decode_token(token, str, str)
    if decoded is None:
        return BEGINNING
    position = (str(decoded[0]), str(decoded[1]))
    if isinstance(source, WithNumber) and position != BEGINNING:
        try:
            float(position[0])
        except ValueError as error:
            raise InvalidRequest("nextToken is not one that this search returned") from error
    return position
