"""The connections of MQTT clients: GetConnection, DeleteConnection, ListSubscriptions of ``iot-data``, GetThingConnectivityData of ``iot``."""

from collections.abc import Callable
from typing import Any, Final

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.base.pages import decode_token, encode_token
from outfitter_server.base.refusals import NotFound
from outfitter_server.services.connections import Board, ClientState
from outfitter_server.services.thing_connectivity import ThingConnectivity

_PAGE: Final = 20
_KNOWN_MS: Final = 30 * 60 * 1000  # how long it is told that a client left, as on AWS


class ConnectionOperations:
    """Handlers of ``iot-data``."""

    def __init__(self, board: Board, clock: Callable[[], int]) -> None:
        """``board`` knows the connections; ``clock`` gives milliseconds since the epoch."""
        self._board = board
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "GetConnection": self._get,
            "DeleteConnection": self._delete,
            "ListSubscriptions": self._subscriptions,
        }

    async def _get(self, call: Call) -> dict[str, Any]:
        client_id = call.parameters["clientId"]
        found = self._board.find(client_id)
        left = found is not None and found.expiry_seconds is None and not found.connected
        if found is None or (left and (found.since or 0) < self._clock() - _KNOWN_MS):
            raise _unknown(client_id)
        return {
            "clientId": found.client_id,
            "connected": found.connected,
            "thingName": found.thing or None,
            "connectedSince": found.since if found.connected else None,
            "disconnectedSince": None if found.connected else found.since,
            "disconnectReason": found.reason,
            **_details(found, sockets=bool(call.parameters.get("includeSocketInformation"))),
        }

    async def _delete(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        done = await self._board.disconnect(
            given["clientId"],
            clean=bool(given.get("cleanSession")),
            with_will=not given.get("preventWillMessage"),
        )
        if not done:
            raise _unknown(given["clientId"])
        return {}

    async def _subscriptions(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        found = self._board.subscriptions(given["clientId"])
        if found is None:
            raise _unknown(given["clientId"])
        position = decode_token(given.get("nextToken"), str)
        after = str(position[0]) if position else ""
        rest = [(name, qos) for name, qos in found if name > after]
        page = rest[: given.get("maxResults", _PAGE)]
        return {
            "subscriptions": [{"topicFilter": name, "qos": qos} for name, qos in page],
            "nextToken": encode_token([page[-1][0]]) if len(page) < len(rest) else None,
        }


class ThingConnectivityOperations:
    """Handlers of ``iot``."""

    def __init__(self, connectivity: ThingConnectivity) -> None:
        """``connectivity`` knows which things are connected."""
        self._connectivity = connectivity

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"GetThingConnectivityData": self._get}

    async def _get(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        found = self._connectivity.of(given["thingName"])
        return {
            "thingName": given["thingName"],
            "connected": found.connected,
            "timestamp": None if found.since is None else found.since / 1000,
            "disconnectReason": found.reason,
            "clientId": found.client_id if found.since is not None else None,
            **_details(found, sockets=bool(given.get("includeSocketInformation"))),
        }


def _details(found: ClientState, *, sockets: bool) -> dict[str, Any]:
    socket = found.socket if sockets else None
    return {
        "cleanSession": None if found.expiry_seconds is None else not found.expiry_seconds,
        "sessionExpiry": found.expiry_seconds,
        "keepAliveDuration": found.keep_alive_seconds,
        "sourceIp": None if socket is None else socket.source_ip,
        "sourcePort": None if socket is None else socket.source_port,
        "targetIp": None if socket is None else socket.target_ip,
        "targetPort": None if socket is None else socket.target_port,
    }


def _unknown(client_id: str) -> NotFound:
    return NotFound(f"no client {client_id!r} is connected, has a session, or left in the last half hour")
