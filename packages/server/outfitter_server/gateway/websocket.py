"""Connections that come over WebSocket: the https door has answered the upgrade, and gives bytes without their frames."""

import asyncio
from typing import TYPE_CHECKING

from outfitter_server.gateway.connection import Connection
from outfitter_server.gateway.limits import WEBSOCKET_SECONDS_MAX
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.callers import Caller

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway


class WebSocketConnection(Connection):
    """As any other, with AWS's limit of its life: a signature is looked at once, and must not count for ever."""

    __slots__ = ("_ends_at",)

    def __init__(self, gateway: "Gateway", caller: Caller | None) -> None:
        """``caller`` signed the upgrade; None: the certificate of the TLS connection decides."""
        super().__init__(gateway, plain=False, caller=caller)
        self._ends_at = gateway.second + WEBSOCKET_SECONDS_MAX

    @property
    def listener(self) -> str:
        """Which listener it came by."""
        return "websocket"

    def check(self, second: int) -> None:
        """As ever, and end it when its time is over."""
        if not self.closing and second >= self._ends_at:
            self.close(Reason.MAXIMUM_CONNECT_TIME)
        else:
            super().check(second)


def accept(gateway: "Gateway", caller: Caller | None) -> asyncio.Protocol | None:
    """The protocol of a connection more; None when there is no room for it."""
    return None if gateway.full else WebSocketConnection(gateway, caller)
