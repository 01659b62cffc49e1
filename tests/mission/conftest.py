"""One world for all of the mission: the shared server, a catalogue of lamp software, and real agents over TLS."""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials
from outfitter_contract.execution import TERMINAL
from outfitter_fleet.demo.device import Device
from outfitter_fleet.demo.images import BUILDS, DEVICE_TYPE, SOFTWARE, write_folder
from outfitter_fleet.stage.page import post_signed
from outfitter_fleet.stage.processes import Processes, program

COMMAND_SECONDS = 30


class World:
    """A server as people, pages and devices use it."""

    software = SOFTWARE
    device_type = DEVICE_TYPE

    def __init__(self, server: Any, folder: Path, processes: Processes) -> None:
        self.server, self.folder, self.processes = server, folder, processes
        self.iot = server.client("iot")
        self.s3 = server.client("s3")
        self.devices: list[Device] = []
        self._environment = server.environment() | {"HOME": str(folder)}

    def run(self, *command: Any, **environment: str) -> str:
        """What a command writes; it has to end well."""
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment | environment,
            cwd=self.folder,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def outfitter(self, *arguments: Any) -> Any:
        """What the command line tells, decoded."""
        return json.loads(self.run(program("outfitter"), *arguments, "--json") or "null")

    def upload_software(self) -> None:
        """Every version of the lamp's software, packed and uploaded."""

        def upload(version: str) -> None:
            image = self.folder / f"{version}.tar.gz"
            self.outfitter("software", "pack", self.folder / version, "--out", image)
            self.outfitter("software", "upload", image)

        for build in BUILDS:
            write_folder(build, self.folder / build.version)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(upload, [build.version for build in BUILDS]))

    def device(
        self, name: str, *, line: str = "", settings: str = "", broker: str = "", on: bool = True
    ) -> Device:
        """A device, of the lamps' type or on a line, whose agent runs."""
        kind = ("--line", line) if line else ("--type", DEVICE_TYPE)
        broker = broker or f"localhost:{self.server.port('mqtts')}"
        self.outfitter("device", "add", name, *kind, "--mqtt", broker, "--out", self.folder / name)
        made = Device(name, self.folder / name, self.processes)
        (made.folder / "agent.toml.d" / "20-test.toml").write_text(settings)
        self.devices.append(made)
        if on:
            made.switch_on()
        return made

    def post(self, url: str, request: Any, secret_key: str = "") -> tuple[int, Any]:
        """A call as the page makes it: status and answer."""
        key = Credentials(self.server.access_key, secret_key or self.server.secret_key)
        return post_signed(url, request, key, region="us-east-1", ca=self.server.ca)

    @cached_property
    def deployment(self) -> Any:
        """Page and function, as ``outfitter deploy`` puts them where they belong."""
        return self.outfitter("deploy")

    def told(self, device: Device) -> dict[str, Any]:
        """What the agent tells of itself."""
        told: dict[str, Any] = json.loads(
            self.run(program("outfitter-agent"), "status", "--config", device.folder / "agent.toml", "--json")
        )
        return told

    def log(self, device: Device) -> str:
        """What the agent has logged."""
        return (self.folder / "logs" / f"{device.name}.log").read_text()

    def execution(self, thing: str, job: str) -> tuple[str, dict[str, str]]:
        """Status and details."""
        found = self.iot.describe_job_execution(jobId=job, thingName=thing)["execution"]
        return found["status"], found.get("statusDetails", {}).get("detailsMap", {})

    def status_of(self, thing: str, job: str) -> str:
        """The status; nothing while there is no execution."""
        with suppress(self.iot.exceptions.ResourceNotFoundException):
            return self.execution(thing, job)[0]
        return ""


@pytest.fixture(scope="session")
def world(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    (folder / "logs").mkdir()
    with Processes(folder / "logs") as processes:
        made = World(server, folder, processes)
        made.upload_software()
        yield made
        for device in made.devices:
            device.switch_off()


@pytest.fixture
def ended(world: World, eventually: Any) -> Any:
    """Wait for the end of an execution: its status and details."""

    def wait(thing: str, job: str) -> tuple[str, dict[str, str]]:
        return eventually(lambda: (seen := world.execution(thing, job))[0] in TERMINAL and seen)

    return wait


@pytest.fixture
def curl() -> Any:
    """What curl, without any credentials, makes of a URL: status and body."""

    def fetch(url: str, *options: Any) -> tuple[int, bytes]:
        command = ["curl", "-sS", "-w", "\n%{http_code}", *map(str, options), url]
        output = subprocess.run(
            command,
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            env={"PATH": os.environ["PATH"]},
        ).stdout
        body, _, status = output.rpartition(b"\n")
        return int(status), body

    return fetch
