"""GetThingShadow of ``iot-data`` for the one shadow that is kept here: ``$package``, what a thing runs.

Devices' own shadows are not kept, and are answered as AWS answers shadows that do not exist.
"""

from typing import Any

import msgspec

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.base.refusals import NotFound
from outfitter_server.services.installed import SHADOW_NAME, Installed, PackageShadow


class ShadowOperations:
    """Handlers of shadows."""

    def __init__(self, installed: Installed) -> None:
        """``installed`` knows what things run."""
        self._installed = installed

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"GetThingShadow": self._get}

    async def _get(self, call: Call) -> dict[str, Any]:
        thing, name = call.parameters["thingName"], call.parameters.get("shadowName")
        found = self._installed.shadow(thing) if name == SHADOW_NAME else None
        if found is None:
            raise NotFound(f"No shadow exists with name: '{thing if name is None else f'{thing}~{name}'}'")
        return {"payload": msgspec.json.encode(_document(found))}


def _document(shadow: PackageShadow) -> dict[str, Any]:
    """As AWS prints a shadow; times are whole seconds."""
    reported = {
        found.package: {"version": found.version, "attributes": dict(found.attributes)}
        for found in shadow.packages
    }
    metadata = {
        found.package: {
            "version": {"timestamp": found.updated_at // 1000},
            "attributes": {key: {"timestamp": found.updated_at // 1000} for key in found.attributes},
        }
        for found in shadow.packages
    }
    return {
        "state": {"reported": reported},
        "metadata": {"reported": metadata},
        "version": shadow.version,
        "timestamp": shadow.updated_at // 1000,
    }
