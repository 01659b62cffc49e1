"""Tags of the ``iot`` model."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import tag_map
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.tags import Tags


class TagOperations:
    """Handlers of the operations on tags."""

    def __init__(self, tags: Tags) -> None:
        """All of them are calls of one service."""
        self._tags = tags

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list,
        }

    async def _tag(self, call: Call) -> dict[str, Any]:
        await self._tags.add(call.parameters["resourceArn"], tag_map(call.parameters))
        return {}

    async def _untag(self, call: Call) -> dict[str, Any]:
        await self._tags.remove(call.parameters["resourceArn"], call.parameters["tagKeys"])
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        if call.parameters.get("nextToken"):
            # A resource's tags fit on one page, so no token was ever given out.
            raise InvalidRequest("nextToken is not one that this listing returned")
        found = self._tags.get(call.parameters["resourceArn"])
        return {"tags": [{"Key": key, "Value": value} for key, value in found.items()]}
