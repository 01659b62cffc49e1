"""One benchmark run: a server on one core, the generator on another, everything in a folder that goes away."""

import asyncio
import os
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from outfitter_fleet.load import provision
from outfitter_fleet.load.functions import FunctionTimes, measure_functions
from outfitter_fleet.load.plan import Client, Exchange, Plan, Round, middle
from outfitter_fleet.load.provision import Api, Device, ProvisioningFailed
from outfitter_fleet.stage.processes import Processes, program
from outfitter_fleet.stage.server import Server, start_server

JOB: Final = "bench-progress"
_GROUP: Final = "bench-devices"
_CROWD: Final = "bench-crowd"
_EXCHANGES: Final = 16
_ROLLOUT_SECONDS_MAX: Final = 120.0
_LOAD_SECONDS_MAX: Final = 60.0


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is."""

    connections: int = 200
    members: int = 10_000
    rounds: int = 3
    round_seconds: float = 4.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run measured: the median round of each load, the median time of a rollout, calls of functions."""

    size: Size
    cores: tuple[int, int] | None
    update_plain: Round
    echo_plain: Round
    update_tls: Round
    echo_tls: Round
    rollout_seconds: float
    rollout_call_seconds: float
    functions: FunctionTimes


Say = Callable[[str], None]


def run(folder: Path, size: Size, say: Say) -> Figures:
    """Measure everything in ``folder``; ``say`` hears what is going on.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason; the logs in ``folder`` tell more.
    """
    available = sorted(os.sched_getaffinity(0))
    cores = (available[0], available[1]) if len(available) > 1 else None
    with Processes(folder) as processes:
        if cores:
            os.sched_setaffinity(0, {cores[1]})
        say("starting outfitterd")
        server = start_server(processes, folder / "data", "http", "mqtt", "mqtts")
        if cores:
            _pin(server.process.pid, cores[0])
        devices = _prepare(server, folder, size, say)
        bench = _Bench(processes, server, folder, size, cores, say)
        rounds: dict[str, list[Round]] = {}
        for number in range(size.rounds):
            for wire in ("plain", "tls"):
                for kind in ("update", "echo"):
                    rounds.setdefault(f"{kind}_{wire}", []).append(
                        bench.load(devices, kind, wire, number + 1)
                    )
        _check_that_all_was_kept(server, devices, [*rounds["update_plain"], *rounds["update_tls"]])
        loads = {name: middle(measured) for name, measured in rounds.items()}
        total, call = _rollouts(server, size, say)
        say("calling a function")
        functions = measure_functions(server)
        return Figures(
            size=size,
            cores=cores,
            rollout_seconds=total,
            rollout_call_seconds=call,
            functions=functions,
            **loads,
        )


def _pin(pid: int, core: int) -> None:
    """Keep a process and every thread that it has on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def _prepare(server: Server, folder: Path, size: Size, say: Say) -> list[Device]:
    iot = server.client("iot")
    account = server.client("sts").get_caller_identity()["Account"]
    provision.create_policy(iot, account)
    group = iot.create_thing_group(thingGroupName=_GROUP)
    iot.create_thing_group(thingGroupName=_CROWD)
    names = [f"bench-{number:04}" for number in range(size.connections)]
    began = time.perf_counter()

    async def create() -> list[Device]:
        async with Api(server) as api:
            await provision.create_members(api, _GROUP, names)
            devices = await provision.create_devices(api, names, folder)
            await provision.create_members(
                api, _CROWD, (f"crowd-{number:06}" for number in range(size.members))
            )
            return devices

    say(f"creating {size.connections + size.members} things and {size.connections} certificates")
    devices = asyncio.run(create())
    say(f"… in {time.perf_counter() - began:.1f} s")
    document = '{"operation":"install","url":"https://example.com/image.tar.gz","forced":false}'
    iot.create_job(jobId=JOB, targets=[group["thingGroupArn"]], document=document)
    _wait_until_queued(iot, JOB, size.connections)
    return devices


def _clients(devices: list[Device], kind: str) -> tuple[Client, ...]:
    return tuple(_updating(device) if kind == "update" else _echoing(device) for device in devices)


def _updating(device: Device) -> Client:
    topic = f"$aws/things/{device.name}/jobs/{JOB}/update"
    return Client(
        client_id=device.name,
        certificate=str(device.certificate),
        key=str(device.key),
        topic=topic,
        answer=f"{topic}/accepted",
        exchanges=tuple(_progress(number) for number in range(_EXCHANGES)),
    )


def _progress(number: int) -> Exchange:
    token = secrets.token_hex(8)
    details = {"step": "download", "progress": str(number * 100 // _EXCHANGES), "sha256": token * 4}
    request = {"status": "IN_PROGRESS", "statusDetails": details, "clientToken": token}
    return Exchange(payload=msgspec.json.encode(request).decode(), expected=f'"{token}"')


def _echoing(device: Device) -> Client:
    topic = f"bench/{device.name}"
    payloads = [_progress(number).payload for number in range(_EXCHANGES)]
    return Client(
        client_id=device.name,
        certificate=str(device.certificate),
        key=str(device.key),
        topic=topic,
        answer=topic,
        listen=topic,
        exchanges=tuple(Exchange(payload=payload, expected=payload) for payload in payloads),
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every load of a run has in common."""

    processes: Processes
    server: Server
    folder: Path
    size: Size
    cores: tuple[int, int] | None
    say: Say

    def load(self, devices: list[Device], kind: str, wire: str, number: int) -> Round:
        """One round of one kind over one wire, in a generator of its own."""
        self.say(f"round {number}: {kind} over {wire}")
        host, port = self.server.address("mqtts" if wire == "tls" else "mqtt")
        plan = Plan(
            host=host,
            port=port,
            clients=_clients(devices, kind),
            ca=str(self.server.ca) if wire == "tls" else None,
            round_seconds=self.size.round_seconds,
            core=self.cores[1] if self.cores else None,
            server_pid=self.server.process.pid,
        )
        path = self.folder / "plan.json"
        path.write_bytes(msgspec.json.encode(plan))
        generator = self.processes.start(
            f"generator-{kind}-{wire}-{number}",
            [program("python"), "-m", "outfitter_fleet.load.generator", str(path)],
        )
        try:
            line = generator.line("", _LOAD_SECONDS_MAX + self.size.round_seconds)
        finally:
            generator.stop()
        if not line.startswith("result "):
            raise ProvisioningFailed(
                f"{kind} over {wire} {line}; the server's log is {self.server.process.log}"
            )
        return msgspec.json.decode(line.removeprefix("result "), type=Round)


def _check_that_all_was_kept(server: Server, devices: list[Device], rounds: list[Round]) -> None:
    """Every accepted update has raised a version number by one: what was counted must be what was stored."""
    iot = server.client("iot")
    versions = [
        iot.describe_job_execution(jobId=JOB, thingName=device.name)["execution"]["versionNumber"]
        for device in devices
    ]
    kept, answered = sum(versions) - len(versions), sum(measured.answers for measured in rounds)
    if kept != answered:
        raise ProvisioningFailed(f"{answered} updates were answered and {kept} were kept")


def _rollouts(server: Server, size: Size, say: Say) -> tuple[float, float]:
    """Seconds until all members are queued, and those of the CreateJob call alone; medians of the rounds."""
    iot = server.client("iot")
    target = iot.describe_thing_group(thingGroupName=_CROWD)["thingGroupArn"]
    totals, calls = [], []
    for number in range(size.rounds):
        say(f"rollout {number + 1} to {size.members} things")
        job = f"bench-rollout-{number}"
        began = time.perf_counter()
        iot.create_job(jobId=job, targets=[target], document='{"operation":"install"}')
        calls.append(time.perf_counter() - began)
        _wait_until_queued(iot, job, size.members)
        totals.append(time.perf_counter() - began)
    return statistics.median(totals), statistics.median(calls)


def _wait_until_queued(iot: Any, job: str, number: int) -> None:
    deadline = time.monotonic() + _ROLLOUT_SECONDS_MAX
    while True:
        details = iot.describe_job(jobId=job)["job"].get("jobProcessDetails", {})
        if details.get("numberOfQueuedThings", 0) == number:
            return
        if time.monotonic() > deadline:
            raise ProvisioningFailed(
                f"{job}: not all {number} queued after {_ROLLOUT_SECONDS_MAX:g} s: {details}"
            )
        time.sleep(0.005)
