"""The gateway as a machine that bytes drive: three connections, time, a job service that answers when it is let.

Whatever comes, nothing raises; and when all connections are gone and all sessions have expired, nothing of them is left.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from outfitter_contract.execution import Status
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import NotFound
from outfitter_server.gateway.connection import Connection
from outfitter_server.gateway.limits import SESSION_EXPIRY_SECONDS_MAX
from outfitter_server.gateway.server import Gateway
from outfitter_server.jobs.values import (
    Described,
    DeviceAnswer,
    DeviceRequest,
    Execution,
    GetPending,
    JobHead,
    Notification,
    PendingList,
    Update,
    Updated,
)
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import MQTT_5, MQTT_311, Connect, Properties
from outfitter_server.mqtt.stream import Decoder
from outfitter_server.services.effects import PendingChanged
from outfitter_server.services.messages import Published
from outfitter_server.services.session_book import SessionBook

from fuzzing.bites import Bites

CONNECTIONS = 3
OUT_PACKET_BYTES_MAX = 1 << 22
_LAST_SECOND = 10 * SESSION_EXPIRY_SECONDS_MAX
_LOG = logging.getLogger("outfitter_server")
_HEAD = JobHead(job="job-1", document='{"n":1}')


def connection(data: bytes) -> None:
    """Bytes of clients after a valid CONNECT, in pieces, among the other things that happen to a gateway."""
    faults: list[object] = []
    watcher = _Watcher(faults)
    _LOG.addHandler(watcher)
    try:
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
            runner.run(_lived(data))
    finally:
        _LOG.removeHandler(watcher)
    assert not faults, faults


class _Watcher(logging.Handler):
    """Errors that were logged: nothing that a client sends is a fault of the server."""

    def __init__(self, faults: list[object]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append((record.getMessage(), record.exc_info))


async def _lived(data: bytes) -> None:
    world = _World()
    bites = Bites(data)
    versions = bites.number()
    for number in range(CONNECTIONS):
        world.connect(number, MQTT_5 if versions >> number & 1 else MQTT_311, clean=not versions >> 4 & 1)
    while bites.left:
        step = bites.number()
        number = (step >> 4) % CONNECTIONS
        match step & 15:
            case 0:
                world.drop(number)
            case 1:
                world.drop(number)
                world.connect(number, MQTT_5 if step & 0x40 else MQTT_311, clean=bool(step & 0x80))
            case 2:
                world.pass_by(bites.number())
            case 3:
                world.change(f"d{number}")
            case 4:
                world.release()
            case 5:
                world.stall(number, stalled=bool(step & 0x40))
            case 6:
                world.committer.full = not world.committer.full
                world.committer.make_room()
            case _:
                world.feed(number, bites.take(bites.number()))
        await asyncio.sleep(0)
    await world.end()


class _Transport(asyncio.Transport):
    """A client that takes bytes in and checks that they are MQTT."""

    def __init__(self, protocol: Connection, decoder: Decoder) -> None:
        super().__init__()
        self._protocol = protocol
        self._decoder = decoder
        self._closing = False
        self.reading = True
        self.stalled = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 1883)}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Whether it is full is the target's choice."""

    def write(self, data: Any) -> None:
        assert not self._closing or self._decoder.failure is None
        self._decoder.feed(bytes(data))
        assert self._decoder.failure is None, f"what was sent is no MQTT: {self._decoder.failure}"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class _Plane:
    """A job service that answers when it is released."""

    def __init__(self) -> None:
        self.watched: dict[str, int] = {}
        self._revision = 0
        self._held: list[Callable[[], None]] = []

    def known(self, request: DeviceRequest) -> DeviceAnswer | None:
        outcome = _outcome(request)
        return outcome if isinstance(outcome, PendingList) and len(self._held) % 2 else None

    def submit(self, request: DeviceRequest, reply: Callable[[DeviceAnswer | Exception], None]) -> None:
        outcome = _outcome(request)
        self._held.append(lambda: reply(outcome))

    def release(self) -> None:
        held, self._held = self._held, []
        for reply in held:
            reply()

    def watch(self, thing: str) -> None:
        self.watched[thing] = self.watched.get(thing, 0) + 1

    def unwatch(self, thing: str) -> None:
        self.watched[thing] -= 1
        if not self.watched[thing]:
            del self.watched[thing]

    def change(self, thing: str) -> Notification:
        self._revision += 1
        return self.current(thing)

    def current(self, thing: str) -> Notification:
        return Notification(
            thing=thing,
            pending_changed=True,
            next_changed=True,
            pending_revision=self._revision,
            next_revision=self._revision,
            pending=(_execution(thing),),
            head=_HEAD,
            now=1_000,
        )


def _execution(thing: str) -> Execution:
    return Execution(
        id=1, thing=thing, job="job-1", number=1, status=Status.QUEUED, queued_at=1_000, updated_at=1_000
    )


def _outcome(request: DeviceRequest) -> DeviceAnswer | Exception:
    match request:
        case Update():
            return Updated(execution=_execution(request.thing), include_state=True, head=None)
        case GetPending():
            return PendingList(in_progress=(), queued=(_execution(request.thing),))
        case _ if request.thing == "d0":
            return NotFound("no such execution")
        case _:
            return Described(execution=_execution(request.thing), head=_HEAD)


class _Committer:
    """Writes nothing; full when it is told to be."""

    def __init__(self) -> None:
        self.full = False
        self._waiting: list[Callable[[], None]] = []
        self.hear: Callable[[Sequence[Any]], None] = lambda _: None

    def listen(self, listener: Callable[[Sequence[Any]], None]) -> None:
        self.hear = listener

    def when_room(self, callback: Callable[[], None]) -> None:
        self._waiting.append(callback)

    @property
    def crowded(self) -> bool:
        return self.full

    def make_room(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()


class _Behind:
    """A disk that has written when it is released."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[None]] = []

    def noted(self) -> None:
        """Nothing is begun by itself."""

    def written(self) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future


class _Book(SessionBook):
    """Remembers and never loads."""

    def __init__(self) -> None:
        self.disk = self._behind = _Behind()  # type: ignore[assignment] # its two methods are those that notes ask for
        self._pages = {}
        self.noted_bytes = 0

    def sessions(self) -> list[Any]:
        return []


class _Rules:
    active = True

    def take(self, message: Published) -> None:
        assert message.topic


class _Delivery:
    def document(self, head: JobHead, *_: Any) -> str:
        return head.document


class _World:
    def __init__(self) -> None:
        self.plane, self.committer, self.book = _Plane(), _Committer(), _Book()
        self.gateway = Gateway(
            devices=None,  # type: ignore[arg-type] # plain connections have no certificates
            plane=self.plane,
            committer=self.committer,  # type: ignore[arg-type] # see there
            delivery=_Delivery(),  # type: ignore[arg-type] # see there
            rules=_Rules(),  # type: ignore[arg-type] # see there
            clock=lambda: self.gateway.second * 1_000,
            installation=Installation(),
            book=self.book,
        )
        self._open: dict[int, tuple[Connection, _Transport]] = {}

    def connect(self, number: int, version: int, *, clean: bool) -> None:
        made = Connection(self.gateway, plain=True)
        transport = _Transport(made, Decoder(OUT_PACKET_BYTES_MAX, version))
        self._open[number] = made, transport
        made.connection_made(transport)
        properties = Properties(session_expiry_seconds=100, topic_alias_maximum=4, receive_maximum=3)
        made.data_received(
            encode(
                Connect(
                    version=version,
                    client_id=f"d{number}",
                    clean_start=clean,
                    keep_alive_seconds=60,
                    properties=properties if version == MQTT_5 and not clean else Properties(),
                ),
                version,
            )
        )

    def feed(self, number: int, data: bytes) -> None:
        made, transport = self._open[number]
        if transport.reading and not transport.is_closing():
            made.data_received(data)

    def stall(self, number: int, *, stalled: bool) -> None:
        made, transport = self._open[number]
        if transport.stalled is stalled or transport.is_closing():
            return
        transport.stalled = stalled
        if stalled:
            made.pause_writing()
        else:
            made.resume_writing()

    def drop(self, number: int) -> None:
        self._open[number][1].close()

    def pass_by(self, seconds: int) -> None:
        for _ in range(min(seconds, 60)):
            self.gateway.pass_to(self.gateway.second + 1 + seconds // 8)

    def change(self, thing: str) -> None:
        self.committer.hear([PendingChanged(self.plane.change(thing))])

    def release(self) -> None:
        self.plane.release()
        self.book.take()
        futures, self.book.disk.futures = self.book.disk.futures, []
        for future in futures:
            future.set_result(None)

    async def end(self) -> None:
        self.release()
        for number in self._open:
            self.drop(number)
        await asyncio.sleep(0)
        self.release()
        await asyncio.sleep(0)
        gateway = self.gateway
        assert not gateway.clients(), "a client without a connection"
        assert not gateway._open
        assert not gateway.owners
        assert not gateway.broker.online
        gateway.pass_to(_LAST_SECOND)
        gateway.pass_to(_LAST_SECOND)
        assert not gateway.wills
        assert not gateway.broker.sessions, "a session that nobody waits for"
        assert not gateway.broker._offline
        assert not gateway.broker._shares
        assert not list(gateway.broker._subscriptions.match("a"))
        assert gateway.broker.queues.held == 0, "a queue that nobody has"
        assert gateway.broker.queues.messages == 0
        assert not self.plane.watched, "a thing is watched that nobody listens to"
        assert not gateway.notices._listeners
