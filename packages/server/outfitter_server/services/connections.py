"""What is known of the connections of MQTT clients, for callers over HTTP, and how one of them is ended."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """The two ends of a connection."""

    source_ip: str
    source_port: int
    target_ip: str
    target_port: int


class ClientState(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is connected, or whose session waits for it, or that left not long ago.

    Attributes:
        since: when it came or left, milliseconds since the epoch; None when that is not known any more.
        reason: why it left (disconnectReason).
        thing: the thing that it is, "" when it is none.
        expiry_seconds: how long its session outlives its connection; None without a session.
        keep_alive_seconds, socket: of a connection.
    """

    client_id: str
    connected: bool
    since: int | None = None
    reason: str | None = None
    thing: str = ""
    expiry_seconds: int | None = None
    keep_alive_seconds: int | None = None
    socket: Socket | None = None


class Board(Protocol):
    """Who knows the connections of this server."""

    def find(self, client_id: str) -> ClientState | None:
        """What is known of a client; None for nothing."""

    def subscriptions(self, client_id: str) -> Sequence[tuple[str, int]] | None:
        """The filters of a client's session and their QoS, by filter; None without a session."""

    async def disconnect(self, client_id: str, *, clean: bool, with_will: bool) -> bool:
        """End a client's connection, and its session for good when ``clean``; whether there was anything to end."""
