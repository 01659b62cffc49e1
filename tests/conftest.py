"""What acceptance, mission and parity share: a real ``outfitterd`` in a process of its own, and AWS's clients pointed at it."""

import contextlib
import itertools
import json
import os
import queue
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ACCESS_KEY = "AKIAACCEPTANCETESTS0"
SECRET_KEY = "acceptance/tests/secret/of/a/throw/away/"
READY_SECONDS = 20
BIN = Path(sys.executable).parent


@dataclass
class Server:
    """One outfitterd; ``stop``, ``kill`` and ``start`` it as often as a test likes: the ports stay."""

    data: Path
    options: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    listeners: dict[str, str] = field(default_factory=dict)
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    clients: dict[Any, Any] = field(default_factory=dict)
    program: list[str] = field(default_factory=lambda: [str(BIN / "outfitterd")])

    def start(self) -> None:
        where = {name: self.listeners.get(name, "127.0.0.1:0") for name in ("http", "https", "mqtt", "mqtts")}
        command = [*self.program, "serve", "--data", self.data, *self.options]
        for name, address in where.items():
            command += [f"--{name}", address]
        environment = {
            **os.environ,
            "OUTFITTER_ROOT_ACCESS_KEY_ID": ACCESS_KEY,
            "OUTFITTER_ROOT_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        with (self.data.parent / f"{self.data.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        readable, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        assert line.startswith("ready "), f"outfitterd is not ready: {line!r}\n{self.log()}"
        self.listeners = dict(part.split("=", 1) for part in line.split()[1:])

    def advance(self, seconds: float) -> None:
        """Move the clock that jobs are timed by; for the program of timed_server.py."""
        self.process.stdin.write(f"advance {seconds}\n")
        self.process.stdin.flush()
        readable, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        assert line == "advanced\n", f"the clock did not move: {line!r}\n{self.log()}"

    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self._close_pipes()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()

    @property
    def http(self) -> str:
        return f"http://{self.listeners['http']}"

    @property
    def https(self) -> str:
        return f"https://{self.listeners['https']}"

    @property
    def ca(self) -> Path:
        return self.data / "ca" / "ca.pem"

    def port(self, name: str) -> int:
        return int(self.listeners[name].rpartition(":")[2])

    def client(self, service: str, *, tls: bool = False, **options: Any) -> Any:
        """boto3's client of a service, over http or https; the same one for the same wishes."""
        wishes = (service, tls, *sorted(options.items()))
        if wishes not in self.clients:
            self.clients[wishes] = boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=self.https if tls else self.http,
                verify=str(self.ca) if tls else None,
                aws_access_key_id=options.pop("access_key", ACCESS_KEY),
                aws_secret_access_key=options.pop("secret_key", SECRET_KEY),
                config=Config(retries={"max_attempts": 1}, **options),
            )
        return self.clients[wishes]

    def close_clients(self) -> None:
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    def environment(self, *, tls: bool = False) -> dict[str, str]:
        """What a command line needs to reach this server."""
        found = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "OUTFITTER_"))},
            "AWS_ENDPOINT_URL": self.https if tls else self.http,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if tls:
            found["AWS_CA_BUNDLE"] = str(self.ca)
        return found


def eventually(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of ``check``; for what another process does and nobody announces."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"never became true: {check}"
        select.select([], [], [], pause)
        pause = min(pause * 1.5, 0.2)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that tests share; they keep apart by names."""
    made = Server(tmp_path_factory.mktemp("shared") / "data")
    made.start()
    yield made
    made.close_clients()
    assert made.stop() == 0, made.log()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to be killed and started at will."""
    made = Server(tmp_path / "data")
    made.start()
    yield made
    made.close_clients()
    if made.process.poll() is None:
        assert made.stop() == 0, made.log()


@pytest.fixture
def timed_server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own whose clock for jobs goes on at the test's word: ``advance(seconds)``."""
    made = Server(tmp_path / "data", program=[sys.executable, str(Path(__file__).parent / "timed_server.py")])
    made.start()
    yield made
    made.close_clients()
    if made.process.poll() is None:
        assert made.stop() == 0, made.log()


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., Any]:
    return eventually


@pytest.fixture(params=[False, True], ids=["http", "https"])
def tls(request: pytest.FixtureRequest) -> bool:
    return request.param


ANSWER_SECONDS = 10
ACCOUNT_ARN = "arn:aws:iot:us-east-1:000000000000"
POLICY = "acceptance-device"
JOBS_DATA_ACTIONS = [
    f"iotjobsdata:{name}"
    for name in (
        "DescribeJobExecution",
        "GetPendingJobExecutions",
        "StartNextPendingJobExecution",
        "UpdateJobExecution",
    )
]


def device_policy() -> str:
    """A thing's own jobs, and topics under free/ for probes."""
    thing = "${iot:Connection.Thing.ThingName}"
    topic = f"{ACCOUNT_ARN}:topic/$aws/things/{thing}/jobs/*"
    filters = [f"{ACCOUNT_ARN}:topicfilter/$aws/things/{thing}/jobs/*", f"{ACCOUNT_ARN}:topicfilter/free/*"]
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ACCOUNT_ARN}:client/{thing}"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [topic, f"{ACCOUNT_ARN}:topic/free/*"],
        },
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": filters},
        {"Effect": "Allow", "Action": JOBS_DATA_ACTIONS, "Resource": f"{ACCOUNT_ARN}:thing/{thing}"},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass(frozen=True)
class Identity:
    """A thing with a certificate of its own, made by CreateKeysAndCertificate."""

    thing: str
    certificate_id: str
    certificate_arn: str
    certificate: Path
    key: Path

    def make_context(self, ca: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True)
class Link:
    """How a device connects."""

    version: int
    tls: bool


@dataclass(frozen=True)
class Message:
    topic: str
    body: Any
    qos: int
    retain: bool


class Device:
    """paho as one thing. Messages are taken in the order of their arrival, every one of them."""

    def __init__(self, server: Server, thing: str, link: Link, identity: Identity | None = None) -> None:
        self.thing = thing
        self.link = link
        self.server = server
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.close_reason: Any = None
        self.connack: Any = None
        self.session_present = False
        self._identity = identity
        self._granted: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._acknowledged: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._tokens = itertools.count()
        self._answered = threading.Event()
        self._client: paho.Client | None = None

    def connect(self, *, clean: bool = True, seconds_kept: int = 3600) -> "Device":
        """Connect and wait for the answer; ``connack`` keeps its reason, None when there was none."""
        five = self.link.version == 5
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.thing,
            clean_session=None if five else clean,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        if self.link.tls:
            client.tls_set_context(self._identity.make_context(self.server.ca))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = lambda *given: self._granted.put(given[3])
        client.on_publish = lambda *given: self._acknowledged.put(given[3])
        self.closed.clear()
        self._answered.clear()
        self.connack = None
        port = self.server.port("mqtts" if self.link.tls else "mqtt")
        more: dict[str, Any] = {}
        if five:
            properties = Properties(PacketTypes.CONNECT)
            if not clean:
                properties.SessionExpiryInterval = seconds_kept
            more = {"clean_start": clean, "properties": properties}
        client.connect("127.0.0.1", port, keepalive=60, **more)
        client.loop_start()
        self._client = client
        assert self._answered.wait(ANSWER_SECONDS), "neither CONNACK nor the end of the connection"
        return self

    def subscribe(self, *filters: str, qos: int = 1) -> list[Any]:
        """Subscribe and wait; the reasons granted. Names without ``$`` or ``free/`` are the thing's own jobs topics."""
        self._client.subscribe([(self.topic(name), qos) for name in filters])
        return self._granted.get(timeout=ANSWER_SECONDS)

    def send_subscribe(self, topic_filter: str) -> None:
        """Subscribe and expect no answer."""
        self._client.subscribe(topic_filter, 1)

    def topic(self, name: str) -> str:
        if name.startswith(("$aws/", "$SYS/", "free/", "#", "+")):
            return name
        return f"$aws/things/{self.thing}/jobs/{name}"

    def publish(self, name: str, body: Any = None, *, qos: int = 1) -> None:
        """Publish a jobs request (or any topic) without waiting."""
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self._client.publish(self.topic(name), raw, qos=qos)

    def acknowledged(self) -> Any:
        """The reason in the next PUBACK."""
        return self._acknowledged.get(timeout=ANSWER_SECONDS)

    def take(self) -> Message:
        """The next message; notifications' topics and answers' are told by their end."""
        return self.inbox.get(timeout=ANSWER_SECONDS)

    def take_named(self, name: str) -> Any:
        """The body of the next message, which must be this one."""
        message = self.take()
        assert message.topic == self.topic(name), message
        assert not message.retain
        return message.body

    def ask(self, name: str, body: Any = None, *, qos: int = 1) -> Any:
        """The body of the accepted answer, which must be the next message."""
        self.publish(name, body, qos=qos)
        return self.take_named(f"{name}/accepted")

    def refused(self, name: str, body: Any = None) -> Any:
        """The body of the rejected answer, which must be the next message."""
        self.publish(name, body)
        return self.take_named(f"{name}/rejected")

    def quiet(self) -> None:
        """Nothing has come: the answer to a question asked now is the next message."""
        token = f"quiet-{next(self._tokens)}"
        body = self.ask("get", {"clientToken": token})
        assert body["clientToken"] == token

    def drop(self) -> None:
        """Break the connection without a goodbye."""
        self._client.socket().shutdown(2)
        assert self.closed.wait(ANSWER_SECONDS)
        self._client.loop_stop()

    def disconnect(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.connack = reason
        self.session_present = flags.session_present
        self._answered.set()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.close_reason = reason
        self.closed.set()
        self._answered.set()

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        try:
            body = json.loads(message.payload)
        except ValueError:
            body = message.payload
        self.inbox.put(Message(message.topic, body, message.qos, message.retain))


class Fleet:
    """Things, jobs and devices of one test, with names of its own."""

    _numbers = itertools.count(1)

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.iot = server.client("iot")
        self.data = server.client("iot-jobs-data")
        self._folder = folder
        self._prefix = f"n{next(self._numbers)}"
        self._names = itertools.count(1)
        self._devices: list[Device] = []
        self._identities: dict[str, Identity] = {}

    def name(self, kind: str = "x") -> str:
        return f"{self._prefix}-{kind}{next(self._names)}"

    def thing(self, name: str | None = None) -> str:
        return self.iot.create_thing(thingName=name or self.name("thing"))["thingName"]

    def group(self, *things: str) -> str:
        name = self.iot.create_thing_group(thingGroupName=self.name("group"))["thingGroupName"]
        for thing in things:
            self.iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing)
        return name

    def arn(self, name: str) -> str:
        kind = "thinggroup" if name.startswith(f"{self._prefix}-group") else "thing"
        return f"{ACCOUNT_ARN}:{kind}/{name}"

    def job(self, *targets: str, job: str | None = None, document: Any = None, **more: Any) -> str:
        """CreateJob; the id."""
        if "documentSource" not in more:
            more["document"] = json.dumps({"operation": "test"} if document is None else document)
        arns = [self.arn(target) for target in targets]
        return self.iot.create_job(jobId=job or self.name("job"), targets=arns, **more)["jobId"]

    def execution(self, thing: str, job: str, **more: Any) -> dict[str, Any]:
        return self.iot.describe_job_execution(thingName=thing, jobId=job, **more)["execution"]

    def counts(self, job: str) -> dict[str, int]:
        """What jobProcessDetails counts, zeros left out: {"Queued": 2}."""
        details = self.iot.describe_job(jobId=job)["job"]["jobProcessDetails"]
        return {
            key.removeprefix("numberOf").removesuffix("Things"): value
            for key, value in details.items()
            if key.startswith("numberOf") and value
        }

    def status(self, job: str) -> str:
        return self.iot.describe_job(jobId=job)["job"]["status"]

    def policy(self, *statements: dict[str, Any]) -> str:
        """A policy of the test's own."""
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        return self.iot.create_policy(policyName=self.name("policy"), policyDocument=document)["policyName"]

    def identity(self, thing: str, policy: str = POLICY) -> Identity:
        """A certificate for a thing, attached to it, with a policy; made at the first call."""
        if thing in self._identities:
            return self._identities[thing]
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        if policy == POLICY:
            with contextlib.suppress(self.iot.exceptions.ResourceAlreadyExistsException):
                self.iot.create_policy(policyName=POLICY, policyDocument=device_policy())
        self.iot.attach_policy(policyName=policy, target=made["certificateArn"])
        self.iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        stem = self.name("certificate")
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        certificate.write_text(made["certificatePem"])
        key.write_text(made["keyPair"]["PrivateKey"])
        found = Identity(thing, made["certificateId"], made["certificateArn"], certificate, key)
        self._identities[thing] = found
        return found

    def use_identity(self, thing: str, identity: Identity) -> None:
        """Let a thing's devices show a certificate that is another's."""
        self._identities[thing] = identity

    def device(self, thing: str, link: Link, **options: Any) -> Device:
        """A connected device."""
        device = Device(self.server, thing, link, self.identity(thing) if link.tls else None)
        self._devices.append(device)
        return device.connect(**options)

    def close(self) -> None:
        for device in self._devices:
            device.disconnect()


@pytest.fixture
def fleet(server: Server, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(server, tmp_path)
    yield made
    made.close()


@pytest.fixture(name="make_server", scope="session")
def server_class() -> type[Server]:
    """For servers that live as long as a file of tests."""
    return Server


@pytest.fixture(name="make_fleet", scope="session")
def fleet_class() -> type[Fleet]:
    """For tests with a server of their own."""
    return Fleet


@pytest.fixture(
    params=[Link(4, False), Link(4, True), Link(5, False), Link(5, True)],
    ids=["3.1.1-plain", "3.1.1-tls", "5-plain", "5-tls"],
)
def link(request: pytest.FixtureRequest) -> Link:
    return request.param


@pytest.fixture(name="make_link")
def link_class() -> type[Link]:
    return Link


QUICK_SETTINGS = """
settle_seconds = 0.5
health_interval_seconds = 0.1
health_timeout_seconds = 5
reconnect_max_seconds = 0.5
download_backoff_max_seconds = 0.1
answer_timeout_seconds = 3
stop_timeout_seconds = 2
"""


class AgentDevice:
    """A thing made with ``outfitter device add``, and its agent as a process."""

    def __init__(self, server: Server, folder: Path, name: str, *added: str, settings: str = "") -> None:
        self.server, self.folder, self.name = server, folder, name
        command = [BIN / "outfitter", "device", "add", name, "--out", folder, *added]
        command += ["--mqtt", f"localhost:{server.port('mqtts')}"]
        done = subprocess.run(command, env=server.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        drop_ins = folder / "agent.toml.d"
        drop_ins.mkdir()
        (drop_ins / "10-quick.toml").write_text(QUICK_SETTINGS)
        (drop_ins / "20-test.toml").write_text(settings)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def configuration(self) -> Path:
        return self.folder / "configuration.json"

    def configured(self, **parameters: Any) -> "AgentDevice":
        """With these parameters in its file."""
        self.configuration.write_text(json.dumps(parameters))
        return self

    def holds(self) -> Any:
        """The parameters in its file, None when it has none."""
        return json.loads(self.configuration.read_bytes()) if self.configuration.exists() else None

    def start(self) -> "AgentDevice":
        with (self.folder / "log").open("a") as log:
            command = [BIN / "outfitter-agent", "--verbose", "run", "--config", self.folder / "agent.toml"]
            self.process = subprocess.Popen(command, stderr=log)
        return self

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def execution(self, job: str) -> tuple[str, dict[str, str]]:
        """Status and details of a job on this device; ``NONE`` when it has no such job."""
        iot = self.server.client("iot")
        try:
            found = iot.describe_job_execution(jobId=job, thingName=self.name)["execution"]
        except iot.exceptions.ResourceNotFoundException:
            return "NONE", {}
        return found["status"], found.get("statusDetails", {}).get("detailsMap", {})

    def ends(self, job: str) -> tuple[str, dict[str, str]]:
        """Wait for the end of a job on this device."""
        waiting = ("NONE", "QUEUED", "IN_PROGRESS")
        try:
            return eventually(lambda: (found := self.execution(job))[0] not in waiting and found)
        except AssertionError:
            raise AssertionError(f"{self.execution(job)}\n{self.log()}") from None


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Callable[..., AgentDevice]]:
    """Makes devices with agents; all of them end with exit code 0."""
    made: list[AgentDevice] = []

    def make(server: Server, *added: str, name: str, settings: str = "") -> AgentDevice:
        made.append(AgentDevice(server, tmp_path / name, name, *added, settings=settings))
        return made[-1]

    yield make
    ended = [(each.stop(), each) for each in made]  # all of them, before the first is complained about
    for code, each in ended:
        assert code == 0, each.log()


class Shell:
    """Types ``outfitter`` commands and reads what they say."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Type a command and do not wait."""
        return subprocess.Popen(
            [BIN / "outfitter", *arguments],
            env=self.server.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Type a command and wait for its end."""
        process = self.start(*arguments)
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == expect, f"{arguments}: {process.returncode}\n{output}\n{errors}"
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def told(self, *arguments: str, expect: int = 0) -> Any:
        """What a command says in JSON."""
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)


@pytest.fixture
def make_shell(tmp_path: Path) -> Callable[[Server], Shell]:
    return lambda server: Shell(server, tmp_path)
