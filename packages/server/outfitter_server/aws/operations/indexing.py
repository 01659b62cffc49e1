"""The configuration of the fleet index in the ``iot`` model, and what there is to search in."""

from typing import Any, Final

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import refuse_left_out
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.index_settings import IndexSettings
from outfitter_server.things.indexing import (
    INDEX,
    ConnectivityIndexing,
    Indexing,
    NamedShadowIndexing,
    ThingIndexing,
    check_index,
)

_REGISTRY_FIELDS: Final = (
    ("thingName", "String"),
    ("thingId", "String"),
    ("registry.thingTypeName", "String"),
    ("registry.thingGroupNames", "String"),
    ("registry.version", "Number"),
)
_CONNECTIVITY_FIELDS: Final = (
    ("connectivity.connected", "Boolean"),
    ("connectivity.timestamp", "Number"),
    ("connectivity.disconnectReason", "String"),
)


class IndexingOperations:
    """Handlers of the index's configuration."""

    def __init__(self, settings: IndexSettings) -> None:
        """``settings`` keep it."""
        self._settings = settings

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "GetIndexingConfiguration": self._get,
            "UpdateIndexingConfiguration": self._update,
            "DescribeIndex": self._describe,
            "ListIndices": self._list,
        }

    async def _get(self, call: Call) -> dict[str, Any]:  # noqa: ARG002 - a handler's signature
        return {
            "thingIndexingConfiguration": _shown(self._settings.current()),
            "thingGroupIndexingConfiguration": {"thingGroupIndexingMode": "OFF"},
        }

    async def _update(self, call: Call) -> dict[str, Any]:
        groups = call.parameters.get("thingGroupIndexingConfiguration") or {}
        if groups.get("thingGroupIndexingMode", "OFF") != "OFF":
            raise InvalidRequest(
                "thing groups are not indexed by this service: leave thingGroupIndexingMode OFF"
            )
        refuse_left_out(groups, "customFields")
        things = call.parameters.get("thingIndexingConfiguration")
        if things is not None:
            await self._settings.change(_configuration(things))
        return {}

    async def _describe(self, call: Call) -> dict[str, Any]:
        indexing = self._settings.current()
        check_index(call.parameters["indexName"], indexing)
        return {"indexName": INDEX, "indexStatus": "ACTIVE", "schema": indexing.schema}

    async def _list(self, call: Call) -> dict[str, Any]:  # noqa: ARG002 - a handler's signature
        there = self._settings.current().things is not ThingIndexing.OFF
        return {"indexNames": [INDEX] if there else []}


def _configuration(given: dict[str, Any]) -> Indexing:
    """The configuration as a whole: what is not given is off, as in AWS."""
    if given.get("deviceDefenderIndexingMode", "OFF") != "OFF":
        raise InvalidRequest(
            "violations of Device Defender are not known here: leave deviceDefenderIndexingMode OFF"
        )
    refuse_left_out(given, "customFields")
    chosen = given.get("filter") or {}
    refuse_left_out(chosen, "geoLocations", "connectivity")
    return Indexing(
        things=ThingIndexing(given["thingIndexingMode"]),
        connectivity=ConnectivityIndexing(given.get("thingConnectivityIndexingMode", "OFF")),
        named_shadows=NamedShadowIndexing(given.get("namedShadowIndexingMode", "OFF")),
        shadow_names=tuple(dict.fromkeys(chosen.get("namedShadowNames") or ())),
    )


def _shown(indexing: Indexing) -> dict[str, Any]:
    managed = [] if indexing.things is ThingIndexing.OFF else [*_REGISTRY_FIELDS]
    if indexing.connectivity is ConnectivityIndexing.STATUS:
        managed += _CONNECTIVITY_FIELDS
    return {
        "thingIndexingMode": str(indexing.things),
        "thingConnectivityIndexingMode": str(indexing.connectivity),
        "deviceDefenderIndexingMode": "OFF",
        "namedShadowIndexingMode": str(indexing.named_shadows),
        "managedFields": [{"name": name, "type": kind} for name, kind in managed],
        "customFields": [],
        "filter": {"namedShadowNames": list(indexing.shadow_names)},
    }
