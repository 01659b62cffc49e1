"""The ground that a benchmark stands on: a server on one core, generators on another, devices, a folder that goes away."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from outfitter_fleet.load import provision
from outfitter_fleet.load.plan import Client, Plan, Round
from outfitter_fleet.load.provision import Api, Device, ProvisioningFailed
from outfitter_fleet.load.stock import stock
from outfitter_fleet.stage.processes import Process, Processes, program
from outfitter_fleet.stage.server import Server, start_server

CROWD: Final = "bench-crowd"
_GROUP: Final = "bench-devices"
_LOAD_SECONDS_MAX: Final = 120.0
_QUEUED_SECONDS_MAX: Final = 300.0
_DOCUMENT: Final = '{"operation":"install","url":"https://example.com/image.tar.gz","forced":false}'

Say = Callable[[str], None]


@dataclass(slots=True)
class Ground:
    """One server and its clients. Leave the processes' context to end them.

    Attributes:
        cores: the server's and the clients'; None on a machine with one core.
        devices: those that can connect.
    """

    processes: Processes
    folder: Path
    say: Say
    cores: tuple[int, int] | None = None
    devices: list[Device] = field(default_factory=list)
    _server: Server | None = None

    @classmethod
    def beside(cls, other: "Ground", name: str) -> "Ground":
        """Another one of the same run, in a folder of its own."""
        folder = other.folder / name
        folder.mkdir()
        return cls(other.processes, folder, lambda text: other.say(f"{name}: {text}"))

    @property
    def server(self) -> Server:
        """The server, once it was started."""
        if self._server is None:
            raise ProvisioningFailed("the server was not started")
        return self._server

    def start(self, *, where_it_was: bool = False) -> Server:
        """Serve the folder, again if it was served before; on one core, when there are more.

        ``where_it_was``: on the ports of the server before, whose clients look for it there.
        """
        endpoints = self.server.endpoints if where_it_was else None
        self.cores = cores()
        if self.cores:
            os.sched_setaffinity(0, {self.cores[0]})
        try:
            self._server = start_server(
                self.processes, self.folder / "data", "http", "mqtt", "mqtts", endpoints=endpoints
            )
        finally:
            if self.cores:
                os.sched_setaffinity(0, {self.cores[1]})
        return self._server

    def spread(self) -> None:
        """Let the server use every core from now on, as it would without us."""
        if self.cores:
            for thread in Path(f"/proc/{self.server.process.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), set(self.cores))

    def stop(self) -> None:
        """End the server in order."""
        self.server.process.stop()

    def prepare(self, connections: int, *, things: str | None = None) -> None:
        """Create the devices, their policy and group, and an empty group for the crowd.

        ``things`` is the pattern of the things whose jobs they may touch, when not each its own alone.
        """
        iot = self.server.client("iot")
        account = self.server.client("sts").get_caller_identity()["Account"]
        provision.create_policy(iot, account, *([things] if things else []))
        for group in (_GROUP, CROWD):
            iot.create_thing_group(thingGroupName=group)
        names = [f"bench-{number:04}" for number in range(connections)]

        async def create() -> list[Device]:
            async with Api(self.server) as api:
                await provision.create_members(api, _GROUP, names)
                return await provision.create_devices(api, names, self.folder)

        self.say(f"creating {connections} devices with a certificate each")
        self.devices = sorted(asyncio.run(create()), key=lambda device: device.name)

    def stock(self, first: int, count: int) -> None:
        """Add things to the crowd, past the API."""
        self.say(f"writing {count:,} things")
        stock(self.server.data, CROWD, first, count)

    def job_on_devices(self, job: str) -> None:
        """Create a job for all devices; it is queued when this returns."""
        self.create_job(job, _GROUP)
        self.wait_until_queued(job, len(self.devices))

    def create_job(self, job: str, group: str) -> float:
        """CreateJob on a group; how long the call took."""
        iot = self.server.client("iot")
        target = iot.describe_thing_group(thingGroupName=group)["thingGroupArn"]
        began = time.perf_counter()
        iot.create_job(jobId=job, targets=[target], document=_DOCUMENT)
        return time.perf_counter() - began

    def wait_until_queued(self, job: str, number: int, *, look_seconds: float = 0.005) -> None:
        """Return once so many executions of the job are QUEUED.

        Raises:
            ProvisioningFailed: it took too long.
        """
        iot: Any = self.server.client("iot")
        deadline = time.monotonic() + _QUEUED_SECONDS_MAX
        while True:
            details = iot.describe_job(jobId=job)["job"].get("jobProcessDetails", {})
            if details.get("numberOfQueuedThings", 0) == number:
                return
            if time.monotonic() > deadline:
                raise ProvisioningFailed(
                    f"{job}: not all {number} queued after {_QUEUED_SECONDS_MAX:g} s: {details}"
                )
            time.sleep(look_seconds)

    def load(
        self, name: str, clients: Sequence[Client], wire: str, seconds: float, warm_up_seconds: float = 1.0
    ) -> Round:
        """One round over one wire (plain or tls), in a generator of its own.

        Raises:
            ProvisioningFailed: what the generator says went wrong.
        """
        host, port = self.server.address("mqtts" if wire == "tls" else "mqtt")
        plan = Plan(
            host=host,
            port=port,
            clients=tuple(clients),
            ca=str(self.server.ca) if wire == "tls" else None,
            round_seconds=seconds,
            warm_up_seconds=warm_up_seconds,
            core=self.cores[1] if self.cores else None,
            server_pid=self.server.process.pid,
        )
        return self.run(name, plan)

    def run(self, name: str, plan: Plan) -> Round:
        """One round as planned, in a generator of its own.

        Raises:
            ProvisioningFailed: what the generator says went wrong.
        """
        self.say(name)
        generator = self.client(f"generator-{name.replace(' ', '-')}", "generator", msgspec.json.encode(plan))
        try:
            line = generator.line("", _LOAD_SECONDS_MAX + plan.round_seconds)
        finally:
            generator.stop()
        return msgspec.json.decode(self.result(name, line), type=Round)

    def client(self, name: str, module: str, plan: bytes) -> Process:
        """Start a client of this package with a plan."""
        path = self.folder / f"{name}.json"
        path.write_bytes(plan)
        return self.processes.start(
            name, [program("python"), "-m", f"outfitter_fleet.load.{module}", str(path)]
        )

    def result(self, name: str, line: str) -> str:
        """What a client measured, out of its last line.

        Raises:
            ProvisioningFailed: it failed instead.
        """
        if not line.startswith("result "):
            raise ProvisioningFailed(f"{name} {line}; the server's log is {self.server.process.log}")
        return line.removeprefix("result ")


@cache
def cores() -> tuple[int, int] | None:
    """The first two cores that this process may use, before it was kept on one of them."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else None
