"""The same tests against several servers: ours by default, MiniStack or moto when asked for.

``OUTFITTER_CONFORMANCE_TARGET`` names the server, ``OUTFITTER_CONFORMANCE_RESULTS`` the file that is told what came out;
``make conformance`` sets both. A test asks for ``target`` or ``fleet``, never for a server of a kind. What a server has
no door for (moto speaks no MQTT) ends a test with ``NoSuchDoorError``, told as absent, not as failed.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import pytest
from awscrt import mqtt_request_response
from awsiot import iotjobs, mqtt5_client_builder
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

OURS = "outfitter"
KIND = os.environ.get("OUTFITTER_CONFORMANCE_TARGET", OURS)
RESULTS = os.environ.get("OUTFITTER_CONFORMANCE_RESULTS")
ACCOUNT = "000000000000"
SDK_SECONDS = 10
# A library that moves the clock of a process which knows nothing of it.
MOVABLE_CLOCK = os.environ.get("OUTFITTER_CONFORMANCE_CLOCK", "")


class NoSuchDoorError(Exception):
    """The server has no such door, so nothing is found out about what is behind it."""


class NoService:
    """Stands where a client of a service would be that the server does not have."""

    def __getattr__(self, name: str) -> Any:
        raise NoSuchDoorError("no such service")


@dataclass
class Foreign:
    """Another implementation's server, as a process; it offers what ``Server`` of the tests above does."""

    folder: Path
    kind: str
    process: subprocess.Popen[bytes] | None = None
    http: str = ""
    clients: dict[Any, Any] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    moved_seconds: int = 0

    def start(self, eventually: Callable[..., Any]) -> None:
        self.folder.mkdir(parents=True)
        self.ports = {"http": _free_port(), "mqtts": _free_port()}
        self.http = f"http://127.0.0.1:{self.ports['http']}"
        self._move()
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OUTFITTER_"))},
            "LD_PRELOAD": MOVABLE_CLOCK,
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "HOME": str(self.folder),
            "MOTO_ACCOUNT_ID": ACCOUNT,
            "GATEWAY_PORT": str(self.ports["http"]),
            "IOT_MTLS_PORT": str(self.ports["mqtts"]),
            "BIND_HOST": "127.0.0.1",
        }
        commands = {
            "moto": [
                Path(sys.executable).parent / "moto_server",
                "-H",
                "127.0.0.1",
                "-p",
                str(self.ports["http"]),
            ],
            "ministack": [os.environ.get("OUTFITTER_CONFORMANCE_MINISTACK", "ministack")],
        }
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                commands[self.kind], cwd=self.folder, stdout=log, stderr=log, env=environment
            )
        where = {"moto": "moto-api/data.json", "ministack": "_ministack/ready"}[self.kind]
        eventually(lambda: self._read(where) is not None, 60)
        if self.kind == "ministack":
            self.ca.write_bytes(self._read("_ministack/iot/ca.pem") or b"")

    def stop(self) -> None:
        for client in self.clients.values():
            client.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def port(self, name: str) -> int:
        return self.ports[name]

    @property
    def ca(self) -> Path:
        if self.kind == "moto":
            raise NoSuchDoorError("moto speaks no MQTT")
        return self.folder / "ca.pem"

    @property
    def https(self) -> str:
        raise NoSuchDoorError(f"{self.kind} serves its API without TLS")

    def serves(self, service: str) -> bool:
        return self.kind != "moto" or service != "iot-jobs-data"

    def advance(self, seconds: int) -> None:
        """Move the clock of the whole process on."""
        self.moved_seconds += seconds
        self._move()

    def client(self, service: str, *, tls: bool = False, **options: Any) -> Any:
        if not self.serves(service):
            return NoService()
        wishes = (service, *sorted(options.items()))
        if wishes not in self.clients:
            self.clients[wishes] = boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=self.http,
                aws_access_key_id="AKIAACCEPTANCETESTS0",
                aws_secret_access_key="acceptance/tests/secret/of/a/throw/away/",
                config=Config(retries={"max_attempts": 1}, **options),
            )
        return self.clients[wishes]

    def _move(self) -> None:
        (self.folder / "clock").write_text(f"+{self.moved_seconds}s\n")

    def _read(self, path: str) -> bytes | None:
        try:
            with urlopen(f"{self.http}/{path}", timeout=5) as answer:
                return answer.read()
        except (URLError, ConnectionError, TimeoutError):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextlib.contextmanager
def _foreign(folder: Path, eventually: Callable[..., Any]) -> Iterator[Foreign]:
    made = Foreign(folder, KIND)
    made.start(eventually)
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def target(request, tmp_path_factory, eventually):
    """The server under test, shared; tests keep apart by names."""
    if KIND == OURS:
        yield request.getfixturevalue("server")
        return
    with _foreign(tmp_path_factory.mktemp("target") / KIND, eventually) as made:
        yield made


@pytest.fixture
def ours(target):
    """Our server, for what is of its own."""
    if KIND != OURS:
        raise NoSuchDoorError("not about other servers")
    return target


@pytest.fixture(scope="session")
def make_own(target, tmp_path_factory):
    """Makes a server of ours with further options; what the others have no such options for."""

    @contextlib.contextmanager
    def made(*options, **more):
        if KIND != OURS:
            raise NoSuchDoorError(f"{KIND} cannot be told so")
        server = type(target)(tmp_path_factory.mktemp("own") / "data", options=list(options), **more)
        server.start()
        yield server
        server.close_clients()
        assert server.stop() == 0, server.log()

    return made


@pytest.fixture
def make_resting(target, make_own):
    """Makes a server that leaves background work where it is; the others are taken as they are."""
    if KIND != OURS:
        return lambda: contextlib.nullcontext(target)
    program = [sys.executable, str(Path(__file__).parent / "resting_server.py")]
    return lambda: make_own(program=program)


@pytest.fixture
def crowd():
    """So many executions that our server does not delete them within the call; the others know no such number."""
    return 1_010 if KIND == OURS else 3


@pytest.fixture
def _other_clock(tmp_path, eventually):
    """A server of the kind and of the test's own, whose clock it moves."""
    with _foreign(tmp_path / KIND, eventually) as made:
        yield made


@pytest.fixture
def clocked(request):
    """A server whose clock moves on by ``advance(seconds)``; the clock only ever moves forward."""
    return request.getfixturevalue("timed_server" if KIND == OURS else "_other_clock")


@pytest.fixture
def clocked_fleet(clocked, make_fleet, tmp_path):
    made = make_fleet(clocked, tmp_path)
    yield made
    made.close()


@pytest.fixture
def fleet(target, make_fleet, tmp_path):
    made = make_fleet(target, tmp_path)
    yield made
    made.close()


@pytest.fixture
def iot(target):
    return target.client("iot")


@pytest.fixture
def data(target):
    return target.client("iot-jobs-data")


@pytest.fixture
def thing(fleet):
    return fleet.thing()


@pytest.fixture
def connect(fleet, make_link):
    """Connects a thing's device with its certificate; it listens to notifications, unless told not to.

    As AWS's SDKs do, it subscribes to the answers of a request before it sends the first of its kind.
    """

    def connected(thing, *, notices=True, version=5, **options):
        device = fleet.device(thing, make_link(version, True), **options)
        assert device.connack == "Success", device.connack
        if notices:
            device.subscribe("notify", "notify-next")
        publish, known = device.publish, set()

        def asking(name, body=None, **more):
            if name not in known and not name.startswith("free/"):
                known.add(name)
                device.subscribe(f"{name}/accepted", f"{name}/rejected")
            publish(name, body, **more)

        device.publish = asking
        return device

    return connected


@pytest.fixture
def device(connect, thing):
    """The thing's device; it listens to everything of its own."""
    return connect(thing)


@pytest.fixture
def refusal():
    """Code and HTTP status of the refusal that a call raises, and the class boto3 made for it."""

    def refused(call, **given):
        with pytest.raises(ClientError) as caught:
            call(**given)
        response = caught.value.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], caught.value

    return refused


@pytest.fixture
def signed(target):
    """Sends a request that boto3 would not: signed for a service, with any path and body. The status and the JSON."""
    signer = Credentials("AKIAACCEPTANCETESTS0", "acceptance/tests/secret/of/a/throw/away/")
    session = URLLib3Session()

    def send(service, method, path, body=None):
        if KIND != OURS and not target.serves(service):
            raise NoSuchDoorError("no such service")
        content = b"" if body is None else json.dumps(body).encode()
        request = AWSRequest(method, target.http + path, data=content)
        SigV4Auth(signer, service, "us-east-1").add_auth(request)
        answer = session.send(request.prepare())
        return answer.status_code, json.loads(answer.content or b"{}")

    yield send
    session.close()


@pytest.fixture
def sdk(target, fleet, thing):
    """AWS's device SDK, connected as the thing: its request and response client of version 2."""
    identity = fleet.identity(thing)
    connected, stopped = threading.Event(), threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint="127.0.0.1",
        port=target.port("mqtts"),
        cert_filepath=str(identity.certificate),
        pri_key_filepath=str(identity.key),
        ca_filepath=str(target.ca),
        client_id=thing,
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    assert connected.wait(SDK_SECONDS)
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=6,
        max_streaming_subscriptions=4,
        operation_timeout_in_seconds=SDK_SECONDS,
    )
    yield iotjobs.IotJobsClientV2(client, options)
    client.stop()
    assert stopped.wait(SDK_SECONDS)


@pytest.fixture
def bucket(target, fleet):
    """A bucket of the test's own, and what puts objects there: the https URL of a key in AWS's form."""
    name = f"conformance-{fleet.name()}"
    s3 = target.client("s3")
    s3.create_bucket(Bucket=name)

    def put(key, body):
        s3.put_object(Bucket=name, Key=key, Body=body.encode())
        return f"https://s3.us-east-1.amazonaws.com/{name}/{key}"

    return put


# What came out, for the table.
_told: dict[str, dict[str, Any]] = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "conforms(operation, *cells): what of an operation the test shows")


def pytest_collection_finish(session):
    for item in session.items:
        if "conformance" in item.path.parts:
            shown: dict[str, set[str]] = {}
            for mark in item.iter_markers("conforms"):
                shown.setdefault(mark.args[0], set()).update(mark.args[1:])
            cells = {operation: sorted(each) for operation, each in shown.items()}
            _told[item.nodeid] = {"cells": cells, "outcome": None}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    told = _told.get(item.nodeid)
    if (
        told is not None
        and (call.when == "call" or call.excinfo is not None)
        and told["outcome"] in (None, "passed")
    ):
        absent = call.excinfo is not None and call.excinfo.errisinstance(NoSuchDoorError)
        told["outcome"] = "absent" if absent else report.outcome
    return report


def pytest_sessionfinish():
    if RESULTS:
        Path(RESULTS).write_text(json.dumps(_told, indent=1, sort_keys=True) + "\n", "utf-8")
