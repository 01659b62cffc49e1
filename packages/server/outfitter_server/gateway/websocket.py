"""Connections that come over WebSocket: the https door has answered the upgrade, and gives bytes without their frames."""

import logging
from typing import TYPE_CHECKING

from outfitter_server.base.refusals import Forbidden
from outfitter_server.gateway.connection import Connection
from outfitter_server.gateway.limits import FRAMES_OF_A_PACKET, SHARE_PACKETS, WEBSOCKET_SECONDS_MAX
from outfitter_server.gateway.turns import Reader
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.services.callers import Caller

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway

_log = logging.getLogger(__name__)


class WebSocketConnection(Connection):
    """As any other, with AWS's limit of its life: a signature is looked at once, and must not count for ever."""

    __slots__ = ("_ends_at", "_frames")

    def __init__(self, gateway: "Gateway", caller: Caller | None) -> None:
        """``caller`` signed the upgrade; None: the certificate of the TLS connection decides."""
        super().__init__(gateway, plain=False, caller=caller)
        self._ends_at = gateway.second + WEBSOCKET_SECONDS_MAX
        self._frames = 0  # that do not make a packet yet

    @property
    def listener(self) -> str:
        """Which listener it came by."""
        return "websocket"

    @property
    def patient(self) -> bool:
        """Whether its frames wait for their turn, however few they are."""
        if self._gateway.second != self._counted_at:
            self._drain(self._gateway.second)
        return self._taken >= SHARE_PACKETS or (self.session is None and self._gateway.strangers.many)

    def frames_came(self, count: int) -> None:
        """Frames cost something as well, and need not hold a packet."""
        packets, self._frames = divmod(self._frames + count, FRAMES_OF_A_PACKET)
        self._taken += packets

    def pinged(self, count: int) -> None:
        """A pong has to be read as well."""
        self._ignored(count)

    def wait_for_turn(self, frames: Reader) -> None:
        """Take frames off by turns."""
        self._gateway.turns.join(frames)

    def check(self, second: int) -> None:
        """As ever, and end it when its time is over."""
        if not self.closing and second >= self._ends_at:
            self.close(Reason.MAXIMUM_CONNECT_TIME)
        else:
            super().check(second)


def accept(
    gateway: "Gateway", caller: Caller | None, certificate: bytes | None
) -> WebSocketConnection | None:
    """The protocol of a connection more; None when there is no room for it.

    Raises:
        Forbidden: no caller, and a certificate that may not connect. It is asked again at the CONNECT.
    """
    if gateway.full:
        return None
    if caller is None:
        _check(gateway, certificate or b"")
    return WebSocketConnection(gateway, caller)


def _check(gateway: "Gateway", certificate: bytes) -> None:
    identity = gateway.devices.identify(certificate)
    if identity is not None and identity.active:
        return
    gateway.meters.refused["NOT_AUTHORIZED"] += 1
    if gateway.provisioning is not None and gateway.provisioning.meet(certificate):
        why = "the certificate is being registered: come again in a moment"
    elif identity is None:
        why = "the certificate is not registered here"
    else:
        why = f"the certificate is {identity.status}; only ACTIVE ones may connect"
    _log.info("upgrade to MQTT over WebSocket refused: %s", why)
    raise Forbidden(why)
