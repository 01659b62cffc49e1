"""Dynamic thing groups of the ``iot`` model."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import tag_map
from outfitter_server.aws.operations.search import check_query_version
from outfitter_server.aws.operations.things import attribute_change
from outfitter_server.base.installation import Installation
from outfitter_server.services.dynamic_groups import DynamicGroups
from outfitter_server.things.indexing import INDEX, QUERY_VERSION


class DynamicGroupOperations:
    """Handlers of the operations that make, change and delete dynamic groups; all others are those of groups."""

    def __init__(self, groups: DynamicGroups, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._groups = groups
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateDynamicThingGroup": self._create,
            "UpdateDynamicThingGroup": self._update,
            "DeleteDynamicThingGroup": self._delete,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        check_query_version(given)
        properties = given.get("thingGroupProperties") or {}
        group = await self._groups.create(
            given["thingGroupName"],
            given["queryString"],
            properties.get("thingGroupDescription"),
            attribute_change(properties.get("attributePayload")),
            tag_map(given),
            index=given.get("indexName"),
        )
        return {
            "thingGroupName": group.name,
            "thingGroupArn": self._installation.iot_arn("thinggroup", group.name),
            "thingGroupId": group.id,
            **query_members(given["queryString"]),
        }

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        check_query_version(given)
        properties = given["thingGroupProperties"]
        group = await self._groups.update(
            given["thingGroupName"],
            properties.get("thingGroupDescription"),
            attribute_change(properties.get("attributePayload")),
            given.get("expectedVersion"),
            query=given.get("queryString"),
            index=given.get("indexName"),
        )
        return {"version": group.version}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._groups.delete(call.parameters["thingGroupName"], call.parameters.get("expectedVersion"))
        return {}


def query_members(query: str) -> dict[str, Any]:
    """The members of an answer that tell a group's query."""
    return {"indexName": INDEX, "queryString": query, "queryVersion": QUERY_VERSION}
