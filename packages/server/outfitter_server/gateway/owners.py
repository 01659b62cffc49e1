"""Whose connections are open: by the certificates that they came with, for their bounds and for what becomes of a certificate."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from outfitter_server.gateway.limits import CONNECTIONS_OF_A_CERTIFICATE, REJUDGED_PER_TURN
from outfitter_server.gateway.permits import PolicyPermit
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.devices import Devices
from outfitter_server.services.effects import Effect, PrincipalChanged

if TYPE_CHECKING:
    from outfitter_server.gateway.connection import Connection

_log = logging.getLogger(__name__)


class Owners:
    """The connections with a session, by certificate."""

    def __init__(self, devices: Devices) -> None:
        """Nobody is there; ``devices`` tells what a certificate may do."""
        self._devices = devices
        self._connections: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        """How many certificates have connections."""
        return len(self._connections)

    def has_room(self, certificate_id: str) -> bool:
        """Whether a certificate may have one more connection."""
        return len(self._connections.get(certificate_id, ())) < CONNECTIONS_OF_A_CERTIFICATE

    def add(self, connection: "Connection") -> None:
        """A connection has its session."""
        if connection.certificate_id:
            self._connections.setdefault(connection.certificate_id, set()).add(connection)

    def remove(self, connection: "Connection") -> None:
        """A connection leaves its session."""
        same = self._connections.get(connection.certificate_id)
        if same is not None:
            same.discard(connection)
            if not same:
                del self._connections[connection.certificate_id]

    def hear(self, effects: Sequence[Effect]) -> None:
        """Certificates or policies changed: judge their connections anew."""
        changed = [effect.certificate_id for effect in effects if isinstance(effect, PrincipalChanged)]
        if changed:
            everyone = None in changed
            self._judge(list(self._connections if everyone else dict.fromkeys(filter(None, changed))))

    def _judge(self, certificates: list[str]) -> None:
        """Judge the connections of these certificates anew, so many a turn."""
        for certificate_id in certificates[:REJUDGED_PER_TURN]:
            connections = self._connections.get(certificate_id)
            if not connections:
                continue
            identity = self._devices.identify_id(certificate_id)
            for connection in list(connections):
                if identity is None or not identity.active:
                    _log.info("connection of %s closed: its certificate is not active", connection.name)
                    connection.close(Reason.NOT_AUTHORIZED)
                elif isinstance(connection.permit, PolicyPermit):
                    connection.permit.renew(identity)
                    connection.judged_anew()
        rest = certificates[REJUDGED_PER_TURN:]
        if rest:
            asyncio.get_running_loop().call_soon(self._judge, rest)
