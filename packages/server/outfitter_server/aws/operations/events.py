"""Which lifecycle events are published, of the ``iot`` model."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import seconds
from outfitter_server.services.events import EventConfigurations, EventType


class EventOperations:
    """Handlers of the operations on event configurations."""

    def __init__(self, configurations: EventConfigurations) -> None:
        """``configurations`` keeps the switches."""
        self._configurations = configurations

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "DescribeEventConfigurations": self._describe,
            "UpdateEventConfigurations": self._update,
        }

    async def _describe(self, call: Call) -> dict[str, Any]:  # noqa: ARG002 - the handler's signature
        switches = self._configurations.get()
        return {
            "eventConfigurations": {kind.value: {"Enabled": switches.enabled(kind)} for kind in EventType},
            "creationDate": seconds(switches.created_at),
            "lastModifiedDate": seconds(switches.modified_at),
        }

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters.get("eventConfigurations") or {}
        # A type that is given without Enabled stays as it is, like one that is not given.
        wanted = {EventType(name): value["Enabled"] for name, value in given.items() if "Enabled" in value}
        await self._configurations.update(wanted)
        return {}
