"""A real ``outfitterd`` in a process of its own, and the real clients of AWS pointed at it."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

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

    def start(self) -> None:
        where = {name: self.listeners.get(name, "127.0.0.1:0") for name in ("http", "https", "mqtt", "mqtts")}
        command = [BIN / "outfitterd", "serve", "--data", self.data, *self.options]
        for name, address in where.items():
            command += [f"--{name}", address]
        environment = {
            **os.environ,
            "OUTFITTER_ROOT_ACCESS_KEY_ID": ACCESS_KEY,
            "OUTFITTER_ROOT_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        with (self.data.parent / f"{self.data.name}.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        readable, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        assert line.startswith("ready "), f"outfitterd is not ready: {line!r}\n{self.log()}"
        self.listeners = dict(part.split("=", 1) for part in line.split()[1:])

    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
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
        """boto3's client of a service, over http or https."""
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=self.https if tls else self.http,
            verify=str(self.ca) if tls else None,
            aws_access_key_id=options.pop("access_key", ACCESS_KEY),
            aws_secret_access_key=options.pop("secret_key", SECRET_KEY),
            config=Config(retries={"max_attempts": 1}, **options),
        )

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
    assert made.stop() == 0, made.log()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to be killed and started at will."""
    made = Server(tmp_path / "data")
    made.start()
    yield made
    if made.process.poll() is None:
        assert made.stop() == 0, made.log()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    return eventually


@pytest.fixture(params=[False, True], ids=["http", "https"])
def tls(request: pytest.FixtureRequest) -> bool:
    return request.param
