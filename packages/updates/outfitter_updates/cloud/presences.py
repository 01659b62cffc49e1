"""Who is connected: asked of each device, or of the fleet index where they are many."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from outfitter_updates.catalogue.devices import Presence
from outfitter_updates.catalogue.problems import CloudRefused, NotFound
from outfitter_updates.cloud.connection import Connection

ASKED_MAX: Final = 20
"""Devices that are asked for one by one: AWS takes ten such requests a second."""
_PAGE_SIZE: Final = 250


class Presences:
    """What the service knows of connections. A service that cannot tell is no problem: then nothing is known."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, names: Sequence[str]) -> Mapping[str, Presence]:
        """By device; those that nothing is known of are left out."""
        try:
            return self._searched(set(names)) if len(names) > ASKED_MAX else self._asked(names)
        except (CloudRefused, NotFound):
            return {}

    def _asked(self, names: Sequence[str]) -> Mapping[str, Presence]:
        found = {}
        for name in names:
            told = self._connection.iot.find("get_thing_connectivity_data", thingName=name)
            if told is not None:
                found[name] = Presence(
                    connected=told.get("connected", False),
                    since=told.get("timestamp"),
                    reason=told.get("disconnectReason"),
                )
        return found

    def _searched(self, names: set[str]) -> Mapping[str, Presence]:
        found: dict[str, Presence] = {}
        token: str | None = None
        while True:
            told = self._connection.iot.call(
                "search_index", queryString="thingName:*", nextToken=token, maxResults=_PAGE_SIZE
            )
            for thing in told.get("things", ()):
                if thing["thingName"] in names and "connectivity" in thing:
                    found[thing["thingName"]] = _presence(thing["connectivity"])
            token = told.get("nextToken")
            if not token or len(found) == len(names):
                return found


def _presence(told: Mapping[str, Any]) -> Presence:
    at = told.get("timestamp")
    return Presence(
        connected=told.get("connected", False),
        since=datetime.fromtimestamp(at / 1000, UTC) if at else None,
        reason=told.get("disconnectReason"),
    )
