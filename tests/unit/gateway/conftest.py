import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from outfitter_contract.execution import Status as JobStatus
from outfitter_server.access.certificates import Status
from outfitter_server.access.policy import parse_policy
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import NotFound
from outfitter_server.gateway.server import Gateway
from outfitter_server.gateway.tls import DeviceTls
from outfitter_server.jobs.values import (
    Describe,
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
from outfitter_server.mqtt.packets import NO_PROPERTIES, Connect, Packet
from outfitter_server.mqtt.stream import Decoder
from outfitter_server.services.devices import DeviceIdentity
from outfitter_server.services.effects import Effect, PendingChanged
from outfitter_server.services.messages import Published

POLICY = """{"Version":"2012-10-17","Statement":[
{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:000000000000:client/${iot:Connection.Thing.ThingName}"},
{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":[
 "arn:aws:iot:us-east-1:000000000000:topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*",
 "arn:aws:iot:us-east-1:000000000000:topic/free/*"]},
{"Effect":"Allow","Action":"iot:Subscribe","Resource":[
 "arn:aws:iot:us-east-1:000000000000:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*",
 "arn:aws:iot:us-east-1:000000000000:topicfilter/free/*"]}]}"""


class Rules:
    """Topic rules that take what they are given; ``under_way`` is what a publisher waits for."""

    def __init__(self) -> None:
        self.active = False
        self.taken: list[Published] = []
        self.under_way: asyncio.Future[None] | None = None

    def take(self, message: Published) -> asyncio.Future[None] | None:
        self.taken.append(message)
        return self.under_way


class Plane:
    """A device plane in memory: one job, ``job-1``; replies after a turn of the loop, or when released."""

    def __init__(self) -> None:
        self.watched: dict[str, int] = {}
        self.revisions: dict[str, tuple[int, int]] = {}
        self.held: list[Callable[[], None]] | None = None
        self.requests: list[DeviceRequest] = []
        self.remembered: dict[DeviceRequest, DeviceAnswer] = {}

    def known(self, request: DeviceRequest) -> DeviceAnswer | None:
        return self.remembered.get(request)

    def submit(self, request: DeviceRequest, reply: Callable[[DeviceAnswer | Exception], None]) -> None:
        self.requests.append(request)
        outcome = self._outcome(request)
        if self.held is not None:
            self.held.append(lambda: reply(outcome))
        else:
            asyncio.get_running_loop().call_soon(reply, outcome)

    def release(self) -> None:
        held, self.held = self.held or [], None
        for reply in held:
            reply()

    def watch(self, thing: str) -> None:
        self.watched[thing] = self.watched.get(thing, 0) + 1

    def unwatch(self, thing: str) -> None:
        self.watched[thing] -= 1
        if not self.watched[thing]:
            del self.watched[thing]

    def change(self, thing: str) -> Notification:
        pending, following = self.revisions.get(thing, (0, 0))
        self.revisions[thing] = pending + 1, following + 1
        return self.current(thing)

    def current(self, thing: str) -> Notification:
        pending, following = self.revisions.get(thing, (0, 0))
        return Notification(
            thing=thing,
            pending_changed=True,
            next_changed=True,
            pending_revision=pending,
            next_revision=following,
            pending=(execution(thing),),
            head=JobHead(job="job-1", document='{"n":1}'),
            now=pending * 1_000,  # so that a payload's timestamp tells its revision
        )

    def _outcome(self, request: DeviceRequest) -> DeviceAnswer | Exception:
        match request:
            case Update():
                if request.job != "job-1":
                    return NotFound("no such execution")
                return Updated(execution=execution(request.thing), include_state=False, head=None)
            case Describe():
                return Described(
                    execution=execution(request.thing), head=JobHead(job="job-1", document='{"n":1}')
                )
            case GetPending():
                return PendingList(in_progress=(), queued=(execution(request.thing),))
            case _:
                return Described(execution=None, head=None)


def execution(thing: str) -> Execution:
    return Execution(
        id=1, thing=thing, job="job-1", number=1, status=JobStatus.QUEUED, queued_at=1_000, updated_at=1_000
    )


@dataclass
class Committer:
    full: bool = False
    crowded: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    listeners: list[Callable[[list[Effect]], None]] = field(default_factory=list)

    def when_room(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def listen(self, listener: Callable[[list[Effect]], None]) -> None:
        self.listeners.append(listener)

    def emit(self, *effects: Effect) -> None:
        for listener in self.listeners:
            listener(list(effects))


class Delivery:
    def __init__(self) -> None:
        self.hosts: list[tuple[str | None, str | None]] = []

    def document(
        self, head: JobHead, execution: Execution, host: str | None, local: str | None = None
    ) -> str:
        self.hosts.append((host, local))
        return head.document


class Devices:
    def __init__(self) -> None:
        self.known: dict[str, DeviceIdentity] = {}

    def add(self, der: bytes, *things: str, status: Status = Status.ACTIVE, policy: str = POLICY) -> str:
        key = sha256(der).hexdigest()
        self.known[key] = DeviceIdentity(
            certificate_id=key,
            status=status,
            things=frozenset(things),
            documents=(parse_policy(policy),),
            subject={"iot:CertificateId": key},
        )
        return key

    def identify(self, der: bytes) -> DeviceIdentity | None:
        return self.known.get(sha256(der).hexdigest())

    def identify_id(self, certificate_id: str) -> DeviceIdentity | None:
        return self.known.get(certificate_id)

    def variables(self, identity: DeviceIdentity, client_id: str) -> dict[str, str]:
        found = {**identity.subject, "iot:ClientId": client_id}
        if client_id in identity.things:
            found["iot:Connection.Thing.ThingName"] = client_id
        return found


@dataclass
class World:
    gateway: Gateway
    plane: Plane
    committer: Committer
    delivery: Delivery
    devices: Devices
    rules: Rules
    port: int = 0
    tls_port: int = 0
    clients: "list[Client]" = field(default_factory=list)

    def change(self, thing: str) -> None:
        self.committer.emit(PendingChanged(self.plane.change(thing)))

    def event(self, topic: str) -> Published:
        """A lifecycle event, as the service publishes it."""
        return Published(topic, b"{}", 1, "", NO_PROPERTIES)

    async def open(self, port: int, version: int = 4, **tls: Any) -> "Client":
        client = await Client.open(port, version, **tls)
        self.clients.append(client)
        return client

    async def client(self, client_id: str, version: int = 4, **connect: Any) -> "Client":
        client = await self.open(self.port, version)
        client.send(Connect(version=version, client_id=client_id, **connect))
        client.connack = await client.packet()
        return client


class Client:
    """A raw client that shows every packet as it comes; its reason string is taken out, and is ``why``."""

    connack: Any
    why: str | None = None

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self.reader, self.writer, self.version = reader, writer, version
        self.decoder = Decoder(1 << 22, version)
        self.packets: list[Packet] = []

    @classmethod
    async def open(cls, port: int, version: int = 4, **tls: Any) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
        return cls(reader, writer, version)

    def send(self, *packets: Packet) -> None:
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))

    async def packet(self) -> Any:
        """The next packet, None at the end of the connection."""
        while not self.packets:
            data = await asyncio.wait_for(self.reader.read(65536), 5)
            if not data:
                return None
            self.packets += self.decoder.feed(data)
            assert self.decoder.failure is None, self.decoder.failure
        packet = self.packets.pop(0)
        properties = getattr(packet, "properties", NO_PROPERTIES)
        self.why = properties.reason_string
        if self.why is None:
            return packet
        assert 10 < len(self.why) <= 512
        return msgspec.structs.replace(
            packet, properties=msgspec.structs.replace(properties, reason_string=None)
        )

    async def silent(self) -> bool:
        """Whether nothing comes: what would come before the answer to a ping."""
        self.writer.write(b"\xc0\x00")
        return type(await self.packet()).__name__ == "PingResp"

    async def ended(self) -> bool:
        try:
            return await self.packet() is None
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.writer.close()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


@contextlib.asynccontextmanager
async def opened_world() -> AsyncIterator[World]:
    plane, committer, delivery, devices, rules = Plane(), Committer(), Delivery(), Devices(), Rules()
    gateway = Gateway(
        devices=devices,  # type: ignore[arg-type]
        plane=plane,
        committer=committer,  # type: ignore[arg-type]
        delivery=delivery,  # type: ignore[arg-type]
        rules=rules,
        clock=lambda: 7_000,
        installation=Installation(),
    )
    world = World(gateway, plane, committer, delivery, devices, rules)
    world.port = await gateway.start("127.0.0.1", 0)
    try:
        yield world
    finally:
        await gateway.close()
        for client in world.clients:
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()


async def listen_with_tls(world: World, pki: "Pki", trust: Callable[[], str]) -> None:
    certificate, key, _ = pki.device("server")
    tls = DeviceTls(trust, certificate, key)
    world.committer.listen(tls.hear)
    world.tls_port = await world.gateway.start("127.0.0.1", 0, tls.listener())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world


@pytest.fixture
def scenario(pki: "Pki") -> Callable[..., None]:
    """Runs a coroutine function with a world whose TLS listener trusts what a list holds, on the server's event loop."""

    def run(told: Callable[[World, list[str]], Any]) -> None:
        async def whole() -> None:
            trusted = [pki.ca_pem]
            async with opened_world() as world:
                await listen_with_tls(world, pki, lambda: "".join(trusted))
                await told(world, trusted)

        uvloop.run(whole())

    return run


@dataclass(frozen=True)
class Pki:
    """A CA, a server certificate for localhost, and device certificates, as files."""

    folder: Path
    ca_pem: str
    _issue: Callable[[str], tuple[Path, Path, bytes]]

    def device(self, name: str) -> tuple[Path, Path, bytes]:
        return self._issue(name)

    def another(self, folder: Path) -> "Pki":
        return make_pki(folder)

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"


def make_pki(folder: Path) -> Pki:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA of {folder.name}")])
    now = datetime.now(UTC)

    def build(name: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
                critical=False,
            )
        )
        return builder.sign(ca_key, hashes.SHA256())

    ca = build(ca_name, ca_key, ca=True)
    ca_pem = ca.public_bytes(serialization.Encoding.PEM).decode()
    (folder / "ca.pem").write_text(ca_pem)

    def issue(name: str) -> tuple[Path, Path, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, ca=False)
        certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_file, key_file, certificate.public_bytes(serialization.Encoding.DER)

    return Pki(folder, ca_pem, issue)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return make_pki(tmp_path)


@pytest.fixture
async def tls_world(world: World, pki: Pki) -> World:
    await listen_with_tls(world, pki, lambda: pki.ca_pem)
    return world


@dataclass(frozen=True)
class Doubles:
    """The kinds of the doubles above, for tests that make many."""

    plane: type[Plane] = Plane
    rules: type[Rules] = Rules
    committer: type[Committer] = Committer
    delivery: type[Delivery] = Delivery


@pytest.fixture(scope="session")
def doubles() -> Doubles:
    return Doubles()
