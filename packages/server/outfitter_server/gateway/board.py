"""The gateway's connections as others ask for them; see services/connections.py."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from outfitter_server.gateway.connection import Connection
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.connections import ClientState, Socket
from outfitter_server.services.live_clients import LiveClients

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway


class GatewayBoard:
    """Knows nothing until main sets ``gateway``."""

    gateway: "Gateway"

    def __init__(self, live: LiveClients) -> None:
        """``live`` knows since when clients are there, and when and why they left."""
        self._live = live

    def find(self, client_id: str) -> ClientState | None:
        """What is known of a client."""
        session = self.gateway.broker.sessions.get(client_id)
        expiry = None if session is None else session.expiry_seconds
        connection = self._connection(client_id)
        if connection is not None:
            return ClientState(
                client_id=client_id,
                connected=True,
                since=self._live.since(client_id),
                thing=client_id if connection.permit.is_thing(client_id) else "",
                expiry_seconds=expiry,
                keep_alive_seconds=(connection.keep_alive_seconds * 2 + 2) // 3,
                socket=_socket(connection),
            )
        left = self._live.departure(client_id)
        if left is None and session is None:
            return None
        at, reason = left or (None, None)
        return ClientState(
            client_id=client_id, connected=False, since=at, reason=reason, expiry_seconds=expiry
        )

    def subscriptions(self, client_id: str) -> Sequence[tuple[str, int]] | None:
        """The filters of a client's session."""
        session = self.gateway.broker.sessions.get(client_id)
        if session is None:
            return None
        return sorted((name, subscription.qos) for name, subscription in session.subscriptions.items())

    async def disconnect(self, client_id: str, *, clean: bool, with_will: bool) -> bool:
        """End a client's connection, and its session when that is asked for; done when that is off the disk."""
        gateway = self.gateway
        session = gateway.broker.sessions.get(client_id)
        connection = self._connection(client_id)
        if session is None or not (connection or clean):
            return False
        kept = session.journal is not None
        if clean:
            session.expiry_seconds = 0
        if connection is not None:
            connection.close(Reason.ADMINISTRATIVE_ACTION, with_will=with_will)
        else:
            if not with_will:
                gateway.wills.came_back(client_id)
            gateway.discard(session)
        under_way = gateway.keeping.written() if clean and kept else None
        if under_way is not None:
            await under_way
        return True

    def _connection(self, client_id: str) -> Connection | None:
        return cast("Connection | None", self.gateway.broker.online.get(client_id))


def _socket(connection: Connection) -> Socket | None:
    peer = connection.transport.get_extra_info("peername")
    local = connection.transport.get_extra_info("sockname")
    if not isinstance(peer, tuple) or not isinstance(local, tuple):
        return None
    return Socket(source_ip=peer[0], source_port=peer[1], target_ip=local[0], target_port=local[1])
