"""What `make bench` measures: requests of devices beside a bare echo, a rollout to a large group, calls of functions."""

from collections.abc import Callable
from typing import Final

import msgspec

from outfitter_fleet.load import loads
from outfitter_fleet.load.functions import FunctionTimes, measure_functions
from outfitter_fleet.load.ground import Ground
from outfitter_fleet.load.plan import Client, Round, middle
from outfitter_fleet.load.provision import Device, ProvisioningFailed
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.load.rollout import Rollout, measure_rollouts

JOB: Final = "bench-progress"
WIRES: Final = ("plain", "tls")

# Round trips a second, seconds, milliseconds.
MARKS: Final = {
    "update_plain": 12_000.0,
    "update_tls": 9_000.0,
    "rollout_seconds": 1.0,
    "others_p99_ms": 50.0,
    "function_warm_ms": 5.0,
    "function_cold_ms": 150.0,
}


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is; ``jobs``: executions that each device has to end, over each wire."""

    connections: int = 500
    members: int = 100_000
    rounds: int = 3
    round_seconds: float = 4.0
    jobs: int = 120


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run measured: the median round of each load, rollouts, calls of functions.

    Attributes:
        finish_plain, finish_tls: one round in which each request ends an execution and is followed by two notifications.
    """

    size: Size
    cores: tuple[int, int] | None
    update_plain: Round
    echo_plain: Round
    finish_plain: Round
    update_tls: Round
    echo_tls: Round
    finish_tls: Round
    rollout: Rollout
    functions: FunctionTimes


def measure(ground: Ground, size: Size) -> Figures:
    """Measure everything.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason; the logs tell more.
    """
    ground.say("starting outfitterd")
    ground.start()
    ground.prepare(size.connections)
    ground.job_on_devices(JOB)
    rounds: dict[str, list[Round]] = {}
    kinds: dict[str, Callable[[Device], Client]] = {
        "update": lambda device: loads.updating(device, JOB),
        "echo": loads.echoing,
    }
    for number in range(size.rounds):
        for wire in WIRES:
            for kind, client in kinds.items():
                measured = ground.load(
                    f"round {number + 1}: {kind} over {wire}",
                    [client(device) for device in ground.devices],
                    wire,
                    size.round_seconds,
                )
                rounds.setdefault(f"{kind}_{wire}", []).append(measured)
    _check_updates(ground, [*rounds["update_plain"], *rounds["update_tls"]])
    finished = {f"finish_{wire}": _finish(ground, wire, size) for wire in WIRES}
    ground.stock(0, size.members)
    rollout = measure_rollouts(ground, JOB, size.members, size.rounds)
    ground.say("calling a function")
    return Figures(
        size=size,
        cores=ground.cores,
        rollout=rollout,
        functions=measure_functions(ground.server),
        **{name: middle(measured) for name, measured in rounds.items()},
        **finished,
    )


def _finish(ground: Ground, wire: str, size: Size) -> Round:
    jobs = [f"bench-finish-{wire}-{number:03}" for number in range(size.jobs)]
    ground.say(f"creating {size.jobs} jobs")
    for job in jobs:
        ground.job_on_devices(job)
    clients = [loads.finishing(device, jobs) for device in ground.devices]
    measured = ground.load(f"finish over {wire}", clients, wire, size.round_seconds, 0.0)
    iot = ground.server.client("iot")
    kept = sum(
        iot.describe_job(jobId=job)["job"]["jobProcessDetails"]["numberOfSucceededThings"] for job in jobs
    )
    if kept != measured.answers:
        raise ProvisioningFailed(f"{measured.answers} ends were answered and {kept} were kept")
    return measured


def _check_updates(ground: Ground, rounds: list[Round]) -> None:
    """Every accepted update has raised a version number by one: what was counted must be what was stored."""
    iot = ground.server.client("iot")
    versions = [
        iot.describe_job_execution(jobId=JOB, thingName=device.name)["execution"]["versionNumber"]
        for device in ground.devices
    ]
    kept, answered = sum(versions) - len(versions), sum(measured.answers for measured in rounds)
    if kept != answered:
        raise ProvisioningFailed(f"{answered} updates were answered and {kept} were kept")


def parts(figures: Figures) -> list[Part]:
    """The figures in words."""
    size, rollout, calls = figures.size, figures.rollout, figures.functions
    where = (
        f"server on core {figures.cores[0]}, clients on core {figures.cores[1]}"
        if figures.cores
        else "one core for all"
    )
    rows = [
        _row("update, durable", figures.update_plain, figures.echo_plain, MARKS["update_plain"]),
        _row("end of an execution, durable, two notifications", figures.finish_plain, figures.echo_plain),
        _row("bare echo", figures.echo_plain),
        _row("update, durable, TLS", figures.update_tls, figures.echo_tls, MARKS["update_tls"]),
        _row("end of an execution, durable, two notifications, TLS", figures.finish_tls, figures.echo_tls),
        _row("bare echo, TLS", figures.echo_tls),
    ]
    return [
        Grid(
            f"UpdateJobExecution beside a bare echo of the same gateway: {size.connections} connections, one request in "
            f"flight each, QoS 1, policies and notifications on; {where}; median of {size.rounds} rounds:",
            ("", "trips/s", "p50 ms", "p99 ms", "server µs", "clients µs", "of echo", "mark"),
            rows,
        ),
        "server µs, clients µs: processor time of each side for one round trip.",
        *rollout_parts(rollout, MARKS["rollout_seconds"]),
        (
            f"A call of a function through its URL: warm p50 {calls.warm_p50_ms:.1f} ms, p99 {calls.warm_p99_ms:.1f} ms "
            f"(mark {MARKS['function_warm_ms']:g} ms: {verdict(calls.warm_p50_ms <= MARKS['function_warm_ms'])}); "
            f"cold p50 {calls.cold_p50_ms:.0f} ms (mark {MARKS['function_cold_ms']:g} ms: "
            f"{verdict(calls.cold_p50_ms <= MARKS['function_cold_ms'])})."
        ),
    ]


def rollout_parts(rollout: Rollout, mark_seconds: float) -> list[Part]:
    """A rollout in words, with what others waited."""
    others, mark = rollout.others, MARKS["others_p99_ms"]
    return [
        (
            f"CreateJob on a group of {rollout.things:,} things until all are QUEUED: {rollout.seconds:.2f} s (mark "
            f"{mark_seconds:g} s: {verdict(rollout.seconds <= mark_seconds)}); the call itself {rollout.call_seconds * 1000:.0f} ms. "
            f"Other requests meanwhile: p99 {others['all'].p99_ms:.0f} ms (mark {mark:g} ms: "
            f"{verdict(others['all'].p99_ms <= mark)})."
        ),
        Grid(
            "Others' requests, 600 a second, each timed from the moment it was due (the server on every core):",
            ("", "requests", "p50 ms", "p99 ms", "worst ms", "p50 ms before", "p99 ms before"),
            [
                (
                    kind,
                    f"{one.count:,}",
                    f"{one.p50_ms:.1f}",
                    f"{one.p99_ms:.1f}",
                    f"{one.worst_ms:.1f}",
                    f"{rollout.idle[kind].p50_ms:.1f}" if kind in rollout.idle else "",
                    f"{rollout.idle[kind].p99_ms:.1f}" if kind in rollout.idle else "",
                )
                for kind, one in others.items()
            ],
        ),
    ]


def _row(name: str, one: Round, echo: Round | None = None, mark: float | None = None) -> tuple[str, ...]:
    return (
        name,
        f"{one.rate:,.0f}",
        f"{one.p50_ms:.1f}",
        f"{one.p99_ms:.1f}",
        f"{one.server_us:.0f}",
        f"{one.clients_us:.0f}",
        f"{one.rate / echo.rate:.2f}" if echo else "",
        f"{mark:,.0f} {verdict(one.rate >= mark)}" if mark else "",
    )
