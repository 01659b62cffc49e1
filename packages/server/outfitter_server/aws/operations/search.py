"""SearchIndex of the ``iot`` model."""

import json
from collections.abc import Mapping
from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.fleet_search import FleetSearch
from outfitter_server.things.indexing import QUERY_VERSION, RESULTS_MAX
from outfitter_server.things.query import Connectivity, Document


class SearchOperations:
    """Handlers of the searches in the fleet index."""

    def __init__(self, search: FleetSearch) -> None:
        """``search`` finds things."""
        self._search = search

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"SearchIndex": self._find}

    async def _find(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        check_query_version(given)
        page = await self._search.find(
            given["queryString"],
            index=given.get("indexName"),
            token=given.get("nextToken"),
            limit=min(page_size(given, largest=RESULTS_MAX), RESULTS_MAX),
        )
        return {"things": [_shown(document) for document in page.items], "nextToken": page.next_token}


def check_query_version(given: Mapping[str, Any]) -> None:
    """Refuse a version of the language that there is not.

    Raises:
        InvalidRequest: another one than AWS's only one.
    """
    if given.get("queryVersion", QUERY_VERSION) != QUERY_VERSION:
        raise InvalidRequest(
            f"there is no queryVersion {given['queryVersion']!r}: leave it out, or write {QUERY_VERSION}"
        )


def _shown(document: Document) -> dict[str, Any]:
    return {
        "thingName": document.name,
        "thingId": document.id,
        "thingTypeName": document.type,
        "thingGroupNames": list(document.groups) or None,
        "attributes": dict(document.attributes),
        "shadow": _shadow(document.packages),
        "connectivity": _connectivity(document.connectivity),
    }


def _shadow(packages: Mapping[str, str]) -> str | None:
    if not packages:
        return None
    reported = {package: {"version": version} for package, version in sorted(packages.items())}
    return json.dumps({"name": {"$package": {"reported": reported}}}, separators=(",", ":"))


def _connectivity(known: Connectivity | None) -> dict[str, Any] | None:
    if known is None:
        return None
    return {"connected": known.connected, "timestamp": known.since, "disconnectReason": known.reason}
