"""Presence and subscription events: who came, who left and why, who listens to what.

    $aws/events/presence/{connected|disconnected}/{clientId}
    $aws/events/subscriptions/{subscribed|unsubscribed}/{clientId}

Source: AWS IoT developer guide, "Lifecycle events"; they cannot be switched off there either. They go the way of any other
message, so that rules see them and policies decide who gets them. While nobody listens and no rule is there they are not made.
A storm of connections is told a few events a turn of the loop, as fast as its listeners read, and at most ``EVENTS_MAX`` wait.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from outfitter_server.gateway.departures import CLIENT_LEFT
from outfitter_server.gateway.limits import EVENTS_MAX, EVENTS_PER_TURN
from outfitter_server.jobs.events import PREFIX
from outfitter_server.mqtt.sessions import Session
from outfitter_server.services.messages import Published

if TYPE_CHECKING:
    from outfitter_server.gateway.connection import Connection
    from outfitter_server.gateway.server import Gateway

_PRESENCE: Final = f"{PREFIX}presence/"
_SUBSCRIPTIONS: Final = f"{PREFIX}subscriptions/"
_QOS: Final = 1
_PATIENCE_SECONDS: Final = 5.0  # with listeners that are behind
_LOOK_SECONDS: Final = 0.01

_encode: Final = msgspec.json.Encoder().encode
_Event = tuple[str, dict[str, object]]


class Presence:
    """The events of one gateway's clients. Client ids with a wildcard in them have none, as no topic could be of theirs."""

    def __init__(self, gateway: "Gateway") -> None:
        """Nobody is there."""
        self._gateway = gateway
        self._events: deque[_Event] = deque()
        self._under_way = False
        self._version = 0
        self._patient_until: float | None = None
        self._closed = False

    def close(self) -> None:
        """Tell nothing more: the listeners go with the server."""
        self._closed = True
        self._events.clear()

    def came(self, connection: "Connection", session: Session) -> None:
        """A client has its session."""
        topic = self._topic(_PRESENCE, "connected", session)
        if topic:
            members = self._members("connected", connection, session)
            peer = connection.transport.get_extra_info("peername")
            members["ipAddress"] = peer[0] if isinstance(peer, tuple) else ""
            members["versionNumber"] = self._next_version()
            self._note(topic, members)

    def left(self, connection: "Connection", session: Session) -> None:
        """A client's connection is gone."""
        topic = self._topic(_PRESENCE, "disconnected", session)
        if topic:
            members = self._members("disconnected", connection, session)
            members["clientInitiatedDisconnect"] = connection.departure == CLIENT_LEFT
            members["disconnectReason"] = connection.departure
            members["versionNumber"] = self._next_version()
            self._note(topic, members)

    def subscribed(self, connection: "Connection", session: Session, filters: Sequence[str]) -> None:
        """A client was granted these filters."""
        self._listens("subscribed", connection, session, filters)

    def unsubscribed(self, connection: "Connection", session: Session, filters: Sequence[str]) -> None:
        """A client gave these filters back."""
        self._listens("unsubscribed", connection, session, filters)

    def _listens(self, kind: str, connection: "Connection", session: Session, filters: Sequence[str]) -> None:
        topic = self._topic(_SUBSCRIPTIONS, kind, session) if filters else ""
        if topic:
            self._note(topic, {**self._members(kind, connection, session), "topics": list(filters)})

    def _topic(self, prefix: str, kind: str, session: Session) -> str:
        """Where it is told; "" when it is not."""
        client_id = session.client_id
        if self._closed or "#" in client_id or "+" in client_id:
            return ""
        topic = f"{prefix}{kind}/{client_id}"
        gateway = self._gateway
        return topic if gateway.rules.active or gateway.broker.has_subscribers(topic) else ""

    def _members(self, kind: str, connection: "Connection", session: Session) -> dict[str, object]:
        if not session.identifier:
            session.identifier = str(uuid.uuid4())
        caller = connection.caller
        return {
            "clientId": session.client_id,
            "timestamp": self._gateway.clock(),
            "eventType": kind,
            "sessionIdentifier": session.identifier,
            "principalIdentifier": connection.certificate_id if caller is None else caller.access_key_id,
        }

    def _next_version(self) -> int:
        """Rises with each event, across restarts too; a count for each client would have to be kept for that."""
        self._version = max(self._version + 1, self._gateway.clock())
        return self._version

    def _note(self, topic: str, members: dict[str, object]) -> None:
        if len(self._events) >= EVENTS_MAX:
            self._events.popleft()
            self._gateway.meters.dropped["events"] += 1
        self._events.append((topic, members))
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        gateway, loop = self._gateway, asyncio.get_running_loop()
        if self._must_wait(loop.time()):
            loop.call_later(_LOOK_SECONDS, self._tell)
            return
        for _ in range(min(EVENTS_PER_TURN, len(self._events))):
            topic, members = self._events.popleft()
            gateway.meters.events += 1
            gateway.publish(Published(topic, _encode(members), _QOS))
        self._under_way = bool(self._events)
        if self._under_way:
            loop.call_soon(self._tell)

    def _must_wait(self, now: float) -> bool:
        """Whether listeners that read should be given the time to; one that stays behind is not waited for again."""
        if not self._events or not self._gateway.broker.is_behind([self._events[0][0]]):
            self._patient_until = None
            return False
        if self._patient_until is None:
            self._patient_until = now + _PATIENCE_SECONDS
        return now < self._patient_until
