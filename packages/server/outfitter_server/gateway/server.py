"""The device gateway: listeners, who is connected, time, and what changed elsewhere."""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from outfitter_server.base.installation import Installation
from outfitter_server.gateway import subscribing
from outfitter_server.gateway.broker import Broker
from outfitter_server.gateway.connection import Connection
from outfitter_server.gateway.doorway import Doorway
from outfitter_server.gateway.jobs_wire import Filler
from outfitter_server.gateway.keeping import Keeping
from outfitter_server.gateway.limits import (
    CHECK_SECONDS,
    CLOSE_SECONDS,
    CONNECTIONS_MAX,
)
from outfitter_server.gateway.link import COMMITTING, STOPPING, Link
from outfitter_server.gateway.noise import Noise
from outfitter_server.gateway.notices import Notices
from outfitter_server.gateway.notices import Plane as NoticePlane
from outfitter_server.gateway.owners import Owners
from outfitter_server.gateway.presence import Presence
from outfitter_server.gateway.provisioning import ProvisioningDesk
from outfitter_server.gateway.retaining import Leftovers
from outfitter_server.gateway.strangers import Strangers
from outfitter_server.gateway.turns import Turns
from outfitter_server.gateway.wills import Wills, delay_seconds
from outfitter_server.jobs import events
from outfitter_server.jobs.values import DeviceAnswer, DeviceRequest
from outfitter_server.mqtt.packets import Will
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.mqtt.sessions import Session
from outfitter_server.services.committer import Committer
from outfitter_server.services.delivery import Delivery
from outfitter_server.services.devices import Devices
from outfitter_server.services.effects import Effect
from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.messages import Publication, Published, Rules, together
from outfitter_server.services.meters import Meters
from outfitter_server.services.retained import RetainedMessages
from outfitter_server.services.session_book import SessionBook
from outfitter_server.services.traces import Traces

_log = logging.getLogger(__name__)


class Plane(NoticePlane, Protocol):
    """What the gateway needs of the device plane."""

    def known(self, request: DeviceRequest) -> DeviceAnswer | None:
        """What can be answered at once, from what is committed."""

    def submit(self, request: DeviceRequest, reply: Callable[[DeviceAnswer | Exception], None]) -> None:
        """Queue a request; ``reply`` is called once its outcome is durable."""


class Gateway:
    """All device connections of this process.

    Attributes:
        second: the loop's time in whole seconds, renewed once a second.
        provisioning: set by main: who serves devices that come with a claim.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        plane: Plane,
        committer: Committer,
        delivery: Delivery,
        rules: Rules,
        clock: Callable[[], int],
        installation: Installation,
        traces: Traces | None = None,
        connections_max: int = CONNECTIONS_MAX,
        live: LiveClients | None = None,
        retained: RetainedMessages | None = None,
        book: SessionBook | None = None,
        meters: Meters | None = None,
        publishes_per_second: float | None = None,
    ) -> None:
        """``clock`` gives milliseconds since the epoch; ``connections_max`` is what the process may hold open.

        ``traces`` remembers who was notified; one of its own unless given. ``publishes_per_second`` is for each connection.
        """
        self.publishes_per_second = publishes_per_second
        self.meters = meters or Meters()
        self.devices = devices
        self.plane = plane
        self.committer = committer
        self.delivery = delivery
        self.rules = rules
        self.provisioning: ProvisioningDesk | None = None
        self.clock = clock
        self.installation = installation
        self.retained = retained if retained is not None else RetainedMessages(clock)
        self.broker = Broker()
        self.notices = Notices(plane, self.broker, Filler(delivery, None, None), traces or Traces())
        self.second = 0
        self.held_bytes = 0
        self.keeping = Keeping(book, self)
        self.presence = Presence(self)
        self.leftovers = Leftovers(self)
        self._connections: dict[str, Connection] = {}
        self._entering: dict[str, Connection] = {}
        self.owners = Owners(devices)
        self._open: set[Connection] = set()
        self._connections_max = connections_max
        self._live = live or LiveClients(clock)
        self.doorways: list[Doorway] = []
        self.strangers = Strangers(self.meters.refused)
        self.turns = Turns(self, self.meters)
        self._wheel: list[set[Connection]] = [set() for _ in range(CHECK_SECONDS)]
        self._unwritten: list[Link] = []
        self._without_room: list[Link] = []
        self.wills = Wills(self._publish_will, self.keeping)
        self._stopping = False
        self._noise = Noise()
        self._timer: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Event | None = None
        committer.listen(self._hear)

    def begin(self) -> None:
        """Let time begin, and sessions come back; again is nothing to do. Call it before any client can come."""
        if self._timer is None:
            self._noise.attach()
            self._tick()
            self.keeping.restore(self.broker, self.notices)
            self.wills.restore(self.second)

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> int:
        """Listen; the bound port. Without a context, plain MQTT for trials."""
        self.begin()
        plain = ssl_context is None
        doorway = Doorway(
            lambda: Connection(self, plain=plain), ssl_context, lambda: self.full, self.meters.refused
        )
        bound = await doorway.open(host, port)
        self.doorways.append(doorway)
        return bound

    async def close(self) -> None:
        """Stop listening, let answers that are under way go out, and say goodbye."""
        self._stopping = True
        self.presence.close()
        for doorway in self.doorways:
            doorway.close()
        self._all_gone = asyncio.Event()
        deadline = self.second + CLOSE_SECONDS
        for connection in list(self._open):
            connection.pause(STOPPING)
        while self._waiting() and self.second < deadline:  # noqa: ASYNC110 - bounded; an event would cost every answer
            await asyncio.sleep(0.01)
        self._flush()
        for connection in list(self._open):
            connection.close(Reason.SERVER_SHUTTING_DOWN)
        if self._open:
            try:
                await asyncio.wait_for(self._all_gone.wait(), CLOSE_SECONDS)
            except TimeoutError:
                for connection in list(self._open):
                    connection.abort()
        while self.leftovers and self.second < deadline:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        await self.wills.settled()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._noise.detach()

    @property
    def crowded(self) -> bool:
        """Whether those who ask more than their share should wait."""
        return self.committer.crowded or self.keeping.crowded

    def _waiting(self) -> bool:
        return any(connection.waiting for connection in self._open)

    @property
    def connected(self) -> int:
        """How many clients have a session open."""
        return len(self._connections)

    def listeners(self) -> Mapping[str, int]:
        """How many connections are open, by listener."""
        return Counter(connection.listener for connection in self._open)

    def clients(self) -> Collection[str]:
        """The ids of the clients that have a session open."""
        return self._connections.keys()

    # Connections

    @property
    def full(self) -> bool:
        """Whether no connection more is taken."""
        return self._stopping or len(self._open) >= self._connections_max

    def opened(self, connection: Connection) -> bool:
        """A transport is there; False when there is no room for it."""
        if self.full:
            self.meters.refused["FULL"] += 1
            return False
        self.meters.connections[connection.listener] += 1
        self._open.add(connection)
        self._wheel[self.second % CHECK_SECONDS].add(connection)
        self.strangers.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        """A transport is gone."""
        self._open.discard(connection)
        self.strangers.remove(connection)
        for spoke in self._wheel:
            spoke.discard(connection)
        if self._all_gone is not None and not self._open:
            self._all_gone.set()

    def make_way(
        self, connection: Connection, client_id: str, will: Will | None, expiry_seconds: int, *, clean: bool
    ) -> "asyncio.Future[None] | None":
        """End another connection, and the session when its client starts anew; keep the will.

        Done when what is over is off the disk, and the will on it; None when nothing need be written.
        """
        earlier = self._entering.pop(client_id, None)
        if earlier is not None:
            earlier.close()
        old = self.broker.sessions.get(client_id) if clean else None
        waits = earlier is not None or (old is not None and old.journal is not None)
        other = self._connections.get(client_id)
        if other is not None:
            other.close(Reason.SESSION_TAKEN_OVER)
        if old is not None and self.broker.sessions.get(client_id) is old:
            self.discard(old)
        waits |= self.wills.came_back(client_id)
        if will is not None:
            waits |= self.wills.keep(client_id, will, delay_seconds(will, expiry_seconds))
        if not waits:
            return None
        self._entering[client_id] = connection
        return self.keeping.written()

    def let_in(self, connection: Connection, client_id: str, enter: Callable[[], None]) -> None:
        """The way is free, unless another connection came for the client id."""
        if self._entering.get(client_id) is connection:
            del self._entering[client_id]
        connection.let_in(enter)

    def open_session(self, connection: Connection, client_id: str, *, clean: bool) -> tuple[Session, bool]:
        """The session of a client that comes in, and whether it was there."""
        session = self.broker.resume(client_id, self.second)
        if session is None or clean:
            old = self.broker.sessions.get(client_id)
            if old is not None:
                self.discard(old)
            session, present = self.broker.open(client_id), False
        else:
            present = True
            subscribing.judge_again(self, connection, session)
        self.strangers.remove(connection)
        session.owner = connection.certificate_id
        self._connections[client_id] = connection
        self.broker.come(session, connection)
        self._live.came(client_id)
        self.presence.came(connection, session)
        self.owners.add(connection)
        return session, present

    def left(self, connection: Connection, session: Session, will: Will | None) -> None:
        """A connection leaves its session."""
        self.meters.closed[connection.departure] += 1
        if self._connections.get(session.client_id) is connection:
            del self._connections[session.client_id]
            self.broker.gone(session)
            self._live.left(session.client_id, connection.departure)
        self.presence.left(connection, session)
        self.owners.remove(connection)
        self.notices.offline(session)
        session.detach()
        surplus = self.broker.leave(session, self.second)
        self.keeping.left(session)
        if surplus is not None:
            self.discard(surplus)
        if will is not None:
            delay = delay_seconds(will, session.expiry_seconds)
            self.wills.leave(session.client_id, will, self.second, delay)
        if not session.expiry_seconds:
            self.discard(session)

    def discard(self, session: Session) -> None:
        """End a session that has no connection."""
        self.wills.publish(session.client_id)
        self.notices.ended(session)
        self.leftovers.give_up(session.client_id)
        self.keeping.ended(session)
        self.broker.discard(session)

    def publish(self, message: Published) -> Publication:
        """Route a message to subscribers and rules.

        Of the reserved topics, subscribers get those of lifecycle events, which only the service can publish to.
        """
        reached, kept = 0, True
        waits: list[asyncio.Future[None] | None] | None = None
        if not message.topic.startswith("$") or message.topic.startswith(events.PREFIX):
            self.keeping.touched = False
            reached = self.broker.publish(message, self.second)
            if self.keeping.touched:
                waits = [self.keeping.written()]
        if message.retain:
            kept = self.retained.keep(message)
            waits = [*(waits or ()), self.retained.written()]
        by_rules = self.rules.take(message) if self.rules.active else None
        if waits is None:
            return Publication(reached, by_rules)
        return Publication(reached, together([wait for wait in (*waits, by_rules) if wait is not None]), kept)

    # Writing and reading

    def flush_soon(self, link: Link) -> None:
        """Write this link's bytes at the end of the turn."""
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(link)

    def _flush(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for link in unwritten:
            link.flush()

    def wait_for_room(self, connection: Link) -> None:
        """Let the connection read again when the committer's queue has room."""
        if not self._without_room:
            self.committer.when_room(self._room)
        self._without_room.append(connection)

    def _room(self) -> None:
        waiting, self._without_room = self._without_room, []
        for connection in waiting:
            connection.resume(COMMITTING)

    # Time

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(1, self._tick)
        self.pass_to(int(loop.time()))

    def pass_to(self, second: int) -> None:
        """Let time pass: look after a share of the connections, wills that are due, sessions that expire."""
        self.second = second
        self._noise.pass_to(second)
        for doorway in self.doorways:
            doorway.check()
        for connection in list(self._wheel[second % CHECK_SECONDS]):
            connection.check(second)
        self.wills.pass_to(second)
        if second % CHECK_SECONDS == 0:
            self.retained.expire()
            for session in self.broker.expired(second):
                self.discard(session)

    def _publish_will(self, client_id: str, will: Will) -> "asyncio.Future[None] | None":
        return self.publish(
            Published(will.topic, will.payload, will.qos, client_id, will.properties, retain=will.retain)
        ).under_way

    def _hear(self, effects: Sequence[Effect]) -> None:
        self.notices.hear(effects)
        self.owners.hear(effects)
