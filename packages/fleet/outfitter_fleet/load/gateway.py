"""``python -m outfitter_fleet.load.gateway``: the gateway beside Debian's Mosquitto, in turns, with the same clients.

A device asks for its jobs: ours answers itself, by its policies; at Mosquitto a client hears the requests and echoes them. The
bare floor (floor.py) echoes them itself and does nothing else: what a gateway in Python on this machine comes to at most.
Messages on free topics: one publisher to one subscriber, and to a thousand. Servers on one core, all clients on the other.
"""

import statistics
import sys
from functools import partial
from typing import Final

import msgspec

from outfitter_fleet.load import loads
from outfitter_fleet.load.command import options, run
from outfitter_fleet.load.fan import FanPlan
from outfitter_fleet.load.floor import FloorPlan
from outfitter_fleet.load.ground import Ground
from outfitter_fleet.load.mosquitto import Mosquitto, start_mosquitto, version
from outfitter_fleet.load.plan import Plan, Round, middle
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.stage.processes import Process

JOB: Final = "bench-gateway"
_FAN_SECONDS_MAX: Final = 120.0
_ECHO_SECONDS_MAX: Final = 20.0


class GatewaySize(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is."""

    connections: int = 500
    pairs: int = 200
    subscribers: int = 1_000
    rounds: int = 3
    round_seconds: float = 4.0
    warm_up_seconds: float = 1.0


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The median round of each server, and the least that ours should be of Mosquitto.

    Attributes:
        ratio: our rate in times of Mosquitto's: the median of the rounds, each beside the one after it, as a machine that shares
            its cores is fast and slow by turns.
        read: the same of requests that are read out of the store each time, None where they were not measured.
        floor: the same of the bare floor.
    """

    ours: Round
    theirs: Round
    ratio: float
    read: float | None
    floor: float | None
    mark: float


class GatewayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, by what was done."""

    size: GatewaySize
    version: str
    beside: dict[str, Beside]


def measure(ground: Ground, size: GatewaySize) -> GatewayFigures:
    """Measure all of it.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason.
    """
    ground.start()
    ground.prepare(size.connections)
    ground.job_on_devices(JOB)
    mosquitto = start_mosquitto(ground)
    floor, floor_ports = _start_floor(ground)
    marks = {"get, TLS": 1.3, "get": 2.0}
    fans = {
        "one to one, QoS 0": (size.pairs, 1, 0, 0.5),
        "one to one, QoS 1": (size.pairs, 1, 1, 0.5),
        f"one to {size.subscribers:,}, QoS 0": (1, size.subscribers, 0, 0.3),
        f"one to {size.subscribers:,}, QoS 1": (1, size.subscribers, 1, 0.15),
    }
    ours: dict[str, list[Round]] = {}
    theirs: dict[str, list[Round]] = {}
    reads: dict[str, list[Round]] = {}
    floors: dict[str, list[Round]] = {}
    for _ in range(size.rounds):
        for name in marks:
            wire = "tls" if name.endswith("TLS") else "plain"
            ours.setdefault(name, []).append(_get(ground, wire, size))
            reads.setdefault(name, []).append(_get(ground, wire, size, JOB))
            theirs.setdefault(name, []).append(_get_echoed(ground, mosquitto, wire, size))
            address = ("127.0.0.1", floor_ports[wire])
            bare = _echoed(ground, address, floor, wire, size, subscribed=False)
            floors.setdefault(name, []).append(ground.run(f"get over {wire}, bare echo", bare))
        for name, (publishers, subscribers, qos, _) in fans.items():
            shape = (publishers, subscribers, qos)
            ours.setdefault(name, []).append(_fan(ground, None, shape, size))
            theirs.setdefault(name, []).append(_fan(ground, mosquitto, shape, size))
    marks |= {name: mark for name, (_, _, _, mark) in fans.items()}
    mosquitto.process.stop()
    floor.stop()
    return GatewayFigures(
        size=size,
        version=version(),
        beside={
            name: Beside(
                ours=middle(ours[name]),
                theirs=middle(theirs[name]),
                ratio=_times(ours[name], theirs[name]),
                read=_times(reads[name], theirs[name]) if name in reads else None,
                floor=_times(floors[name], theirs[name]) if name in floors else None,
                mark=marks[name],
            )
            for name in ours
        },
    )


def _times(rounds: list[Round], theirs: list[Round]) -> float:
    return statistics.median(one.rate / other.rate for one, other in zip(rounds, theirs, strict=True))


def _get(ground: Ground, wire: str, size: GatewaySize, job: str = "") -> Round:
    clients = [loads.asking(device, job) for device in ground.devices]
    return ground.load(
        f"get{' of one' * bool(job)} over {wire}", clients, wire, size.round_seconds, size.warm_up_seconds
    )


def _get_echoed(ground: Ground, mosquitto: Mosquitto, wire: str, size: GatewaySize) -> Round:
    plan = _echoed(ground, mosquitto.addresses[wire], mosquitto.process, wire, size, subscribed=True)
    echo = ground.client(f"echo-{wire}", "echo", msgspec.json.encode(plan))
    try:
        echo.line("echoing", _ECHO_SECONDS_MAX)
        return ground.run(f"get over {wire}, Mosquitto", plan)
    finally:
        echo.stop()


def _echoed(
    ground: Ground,
    address: tuple[str, int],
    server: Process,
    wire: str,
    size: GatewaySize,
    *,
    subscribed: bool,
) -> Plan:
    """The devices ask somebody who echoes; who answers whoever asks needs no subscription."""
    host, port = address
    return Plan(
        host=host,
        port=port,
        clients=tuple(loads.asking_an_echo(device, subscribed=subscribed) for device in ground.devices),
        ca=str(ground.server.ca) if wire == "tls" else None,
        round_seconds=size.round_seconds,
        warm_up_seconds=size.warm_up_seconds,
        core=ground.cores[1] if ground.cores else None,
        server_pid=server.pid,
    )


def _start_floor(ground: Ground) -> tuple[Process, dict[str, int]]:
    """The bare floor on the servers' core, with the certificate of the ground's server; its ports by wire."""
    authority = ground.server.data / "ca"
    plan = FloorPlan(
        authority=str(authority / "ca.pem"),
        certificate=str(authority / "server.pem"),
        key=str(authority / "server.key"),
        core=ground.cores[0] if ground.cores else None,
    )
    process = ground.client("floor", "floor", msgspec.json.encode(plan))
    plain, tls = process.line("listening ", _ECHO_SECONDS_MAX).split()[1:]
    return process, {"plain": int(plain), "tls": int(tls)}


def _fan(
    ground: Ground, mosquitto: Mosquitto | None, shape: tuple[int, int, int], size: GatewaySize
) -> Round:
    publishers, subscribers, qos = shape
    if mosquitto is None:
        (host, port), process = ground.server.address("mqtt"), ground.server.process
    else:
        (host, port), process = mosquitto.addresses["plain"], mosquitto.process
    plan = FanPlan(
        host=host,
        port=port,
        publishers=publishers,
        subscribers=subscribers,
        qos=qos,
        window=1 if subscribers == 1 else 4,
        round_seconds=size.round_seconds,
        warm_up_seconds=size.warm_up_seconds,
        core=ground.cores[1] if ground.cores else None,
        server_pid=process.pid,
    )
    name = f"{publishers} to {subscribers} each, QoS {qos}{', Mosquitto' if mosquitto else ''}"
    ground.say(name)
    client = ground.client("fan", "fan", msgspec.json.encode(plan))
    try:
        line = client.line("", _FAN_SECONDS_MAX)
    finally:
        client.stop()
    return msgspec.json.decode(ground.result("the publishers", line), type=Round)


def parts(figures: GatewayFigures) -> list[Part]:
    """The figures in words."""
    size = figures.size
    return [
        Grid(
            f"Beside Mosquitto {figures.version} (Debian's, set_tcp_nodelay true, no limits, no policies): get: "
            f"{size.connections} connections, one request in flight each, QoS 1, until the answer is there; messages: "
            f"deliveries a second over plain MQTT, {size.pairs} pairs or {size.subscribers:,} subscribers of one publisher; "
            f"median of {size.rounds} rounds in turn, times are of rounds side by side; get of one: what is read out of the "
            "store each time, and bare echo: a server in Python that only echoes, in times of Mosquitto:",
            (
                "",
                "a second",
                "Mosquitto",
                "times",
                "mark",
                "get of one",
                "bare echo",
                "server µs",
                "Mosquitto",
                "p99 ms",
                "Mosquitto",
            ),
            [
                (
                    name,
                    f"{one.ours.rate:,.0f}",
                    f"{one.theirs.rate:,.0f}",
                    _digits(one.ratio),
                    f"{one.mark:g} {verdict(one.ratio >= one.mark)}",
                    _digits(one.read),
                    _digits(one.floor),
                    f"{one.ours.server_us:.1f}",
                    f"{one.theirs.server_us:.1f}",
                    f"{one.ours.p99_ms:.1f}",
                    f"{one.theirs.p99_ms:.1f}",
                )
                for name, one in figures.beside.items()
            ],
        )
    ]


def _digits(times: float | None) -> str:
    return "" if times is None else f"{times:.2f}"


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    size = GatewaySize()
    parser = options("outfitter_fleet.load.gateway", __doc__)
    parser.add_argument("--connections", type=int, default=size.connections)
    parser.add_argument("--pairs", type=int, default=size.pairs)
    parser.add_argument("--subscribers", type=int, default=size.subscribers)
    parser.add_argument("--rounds", type=int, default=size.rounds)
    parser.add_argument("--round-seconds", type=float, default=size.round_seconds)
    parser.add_argument("--warm-up-seconds", type=float, default=size.warm_up_seconds)
    given = parser.parse_args()
    size = GatewaySize(
        connections=given.connections,
        pairs=given.pairs,
        subscribers=given.subscribers,
        rounds=given.rounds,
        round_seconds=given.round_seconds,
        warm_up_seconds=given.warm_up_seconds,
    )
    return run(given, "gateway", partial(measure, size=size), parts)


if __name__ == "__main__":
    sys.exit(main())
