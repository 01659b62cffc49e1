"""SearchIndex of the ``iot`` model, for what AWS's fleet index alone can tell: which things are connected.

Two queries are answered: ``connectivity.connected:true`` and ``thingName:NAME``. All others are refused.
"""

import re
from typing import Any, Final

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.services.presence import Presence
from outfitter_server.things.values import Thing

INDEX: Final = "AWS_Things"
RESULTS_MAX: Final = 500
_CONNECTED: Final = re.compile(r"\s*connectivity\.connected\s*:\s*true\s*")
_NAMED: Final = re.compile(r'\s*thingName\s*:\s*"?(?P<name>[a-zA-Z0-9:_-]{1,128})"?\s*')


class InvalidQuery(InvalidRequest):
    """A query that this index does not answer."""

    code = "InvalidQueryException"


class SearchOperations:
    """Handlers of the fleet index."""

    def __init__(self, presence: Presence) -> None:
        """``presence`` knows who is connected."""
        self._presence = presence

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"SearchIndex": self._search}

    async def _search(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        if given.get("indexName", INDEX) != INDEX:
            raise NotFound(f"there is no index {given['indexName']}: write {INDEX}")
        query = given["queryString"]
        if _CONNECTED.fullmatch(query):
            limit = min(page_size(given, largest=RESULTS_MAX), RESULTS_MAX)
            page = self._presence.connected(token=given.get("nextToken"), limit=limit)
            return {
                "things": [_document(thing, connected=True) for thing in page.items],
                "nextToken": page.next_token,
            }
        named = _NAMED.fullmatch(query)
        if named is None:
            raise InvalidQuery(
                f"{query[:200]!r} is not answered here: ask connectivity.connected:true or thingName:NAME"
            )
        found = self._presence.find(named["name"])
        return {"things": [] if found is None else [_document(found[0], connected=found[1])]}


def _document(thing: Thing, *, connected: bool) -> dict[str, Any]:
    return {
        "thingName": thing.name,
        "thingId": thing.id,
        "thingTypeName": thing.type,
        "attributes": dict(thing.attributes),
        "connectivity": {"connected": connected},
    }
