"""Thing types of the ``iot`` model."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, refuse_left_out, seconds, tag_map
from outfitter_server.base.installation import Installation
from outfitter_server.services.thing_types import ThingTypes
from outfitter_server.things.values import ThingType


class ThingTypeOperations:
    """Handlers of the operations on thing types."""

    def __init__(self, types: ThingTypes, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._types = types
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateThingType": self._create,
            "DescribeThingType": self._describe,
            "DeprecateThingType": self._deprecate,
            "DeleteThingType": self._delete,
            "ListThingTypes": self._list,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        properties = given.get("thingTypeProperties") or {}
        refuse_left_out(properties, "mqtt5Configuration")
        found = await self._types.create(
            given["thingTypeName"],
            properties.get("thingTypeDescription"),
            properties.get("searchableAttributes") or [],
            tag_map(given),
        )
        return {"thingTypeName": found.name, "thingTypeArn": self._arn(found), "thingTypeId": found.id}

    async def _describe(self, call: Call) -> dict[str, Any]:
        found = self._types.describe(call.parameters["thingTypeName"])
        return {"thingTypeId": found.id, **self._shown(found)}

    async def _deprecate(self, call: Call) -> dict[str, Any]:
        await self._types.deprecate(
            call.parameters["thingTypeName"], undo=call.parameters.get("undoDeprecate", False)
        )
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._types.delete(call.parameters["thingTypeName"])
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._types.page(
            name=given.get("thingTypeName"), token=given.get("nextToken"), limit=page_size(given)
        )
        return {"thingTypes": [self._shown(found) for found in page.items], "nextToken": page.next_token}

    def _shown(self, found: ThingType) -> dict[str, Any]:
        return {
            "thingTypeName": found.name,
            "thingTypeArn": self._arn(found),
            "thingTypeProperties": {
                "thingTypeDescription": found.description,
                "searchableAttributes": list(found.searchable_attributes),
            },
            "thingTypeMetadata": {
                "deprecated": found.deprecated_at is not None,
                "deprecationDate": seconds(found.deprecated_at),
                "creationDate": seconds(found.created_at),
            },
        }

    def _arn(self, found: ThingType) -> str:
        return self._installation.iot_arn("thingtype", found.name)
