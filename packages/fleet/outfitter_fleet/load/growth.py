"""``python -m outfitter_fleet.load.growth``: what a request costs when more and more is stored.

One server for each number of stored executions, all at once; the rounds go round them, so that whatever else the machine
does falls on all of them alike. Everything goes over TLS, with policies and notifications on.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from outfitter_fleet.load import loads
from outfitter_fleet.load.command import options, run
from outfitter_fleet.load.ground import CROWD, Ground
from outfitter_fleet.load.plan import Client, Round, Spread, middle
from outfitter_fleet.load.plot import chart
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.load.stock import CROWD_NAME, begin_all

JOB: Final = "growth-device"
CROWD_JOB: Final = "growth-crowd"
HOT_MARK: Final = 0.9
EVEN_MARK: Final = 0.5
_GOLDEN: Final = 0.618
_SETTLE_SECONDS: Final = 2.5  # the store's log is folded into its file once a second


class GrowthSize(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is; ``past_connections``: as many things with one past job, or with ``past`` of them."""

    connections: int = 500
    stored: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    rounds: int = 3
    round_seconds: float = 3.0
    past_connections: int = 100
    past: int = 1_000


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The median rounds, by executions stored and by past jobs of a thing."""

    size: GrowthSize
    hot: dict[int, Round]
    even: dict[int, Round]
    past: dict[int, Round]


Measured = tuple[Ground, str, int, Callable[[], list[Client]]]


def measure(ground: Ground, size: GrowthSize) -> Growth:
    """Measure all three.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason.
    """
    told: list[Measured] = []
    for stored in size.stored:
        told += _with_stored(Ground.beside(ground, f"stored-{stored}"), stored, size)
    for past in (1, size.past):
        told += _with_past(Ground.beside(ground, f"past-{past}"), past, size)
    time.sleep(_SETTLE_SECONDS)
    rounds: dict[tuple[str, int], list[Round]] = {}
    for number in range(size.rounds):
        for place, kind, key, clients in told:
            measured = place.load(f"round {number + 1}: {kind}", clients(), "tls", size.round_seconds)
            rounds.setdefault((kind, key), []).append(measured)
    return Growth(
        size=size,
        **{
            kind: {key: middle(found) for (name, key), found in rounds.items() if name == kind}
            for kind in ("hot", "even", "past")
        },
    )


def _with_stored(ground: Ground, stored: int, size: GrowthSize) -> list[Measured]:
    """A server with so many executions: one of each device, one of each thing of the crowd."""
    crowd = stored - size.connections
    if crowd < size.connections:
        raise ProvisioningFailed(f"{stored} executions are too few for {size.connections} connections")
    ground.start()
    ground.prepare(size.connections, things="*")
    ground.job_on_devices(JOB)
    ground.stock(0, crowd)
    ground.say(f"a job on {crowd:,} things")
    ground.create_job(CROWD_JOB, CROWD)
    ground.wait_until_queued(CROWD_JOB, crowd, look_seconds=0.05)
    begin_all(ground.server.data, CROWD_JOB)
    spreads = _spreads(crowd, size.connections)
    return [
        (
            ground,
            "hot",
            stored,
            lambda: [loads.updating(device, JOB) for device in ground.devices],
        ),
        (
            ground,
            "even",
            stored,
            lambda: [
                loads.spreading(device, CROWD_JOB, spread)
                for device, spread in zip(ground.devices, spreads, strict=True)
            ],
        ),
    ]


def _spreads(crowd: int, connections: int) -> list[Spread]:
    """A slice of the crowd for each connection, walked in an order that is not the store's."""
    count = crowd // connections
    stride = next(
        step for step in range(max(1, int(count * _GOLDEN)), count + 2) if math.gcd(step, count) == 1
    )
    return [
        Spread(name=CROWD_NAME, first=number * count, count=count, stride=stride)
        for number in range(connections)
    ]


def _with_past(ground: Ground, past: int, size: GrowthSize) -> list[Measured]:
    """A server whose devices have so many past jobs: created, and canceled before they began."""
    ground.start()
    ground.prepare(size.past_connections)
    ground.say(f"creating and canceling {past} jobs")
    iot = ground.server.client("iot")
    for number in range(past):
        job = f"growth-past-{number:04}"
        ground.job_on_devices(job)
        iot.cancel_job(jobId=job)
    ground.job_on_devices(JOB)
    return [(ground, "past", past, lambda: [loads.updating(device, JOB) for device in ground.devices])]


def parts(growth: Growth) -> list[Part]:
    """The figures in words."""
    size = growth.size
    hot, even, past = growth.hot, growth.even, growth.past
    fewest, most = min(hot), max(hot)
    hot_ratio, even_ratio = hot[most].rate / hot[fewest].rate, even[most].rate / even[fewest].rate
    few, many = min(past), max(past)
    return [
        Grid(
            f"Updates a second over TLS, {size.connections} connections, by executions stored; {size.connections} things are "
            f"hot, or the requests fall evenly on all things; median of {size.rounds} rounds:",
            ("executions stored", "hot/s", "p99 ms", "server µs", "even/s", "p99 ms", "server µs"),
            [
                (
                    f"{stored:,}",
                    *_cells(hot[stored]),
                    *_cells(even[stored]),
                )
                for stored in sorted(hot)
            ],
        ),
        (
            f"At {most:,} executions the hot things get {hot_ratio:.2f} of the rate at {fewest:,} (mark {HOT_MARK:g}: "
            f"{verdict(hot_ratio >= HOT_MARK)}), all things evenly {even_ratio:.2f} (mark {EVEN_MARK:g}: "
            f"{verdict(even_ratio >= EVEN_MARK)})."
        ),
        Grid(
            f"The same for {size.past_connections} things, by past jobs of each:",
            ("past jobs", "updates/s", "p99 ms", "server µs"),
            [(f"{number:,}", *_cells(past[number])) for number in sorted(past)],
        ),
        f"With {many:,} past jobs a thing gets {past[many].rate / past[few].rate:.2f} of the rate with {few}.",
    ]


def _cells(one: Round) -> tuple[str, str, str]:
    return f"{one.rate:,.0f}", f"{one.p99_ms:.0f}", f"{one.server_us:.0f}"


def draw(growth: Growth) -> str:
    """The plot."""

    def line(rounds: dict[int, Round]) -> Sequence[tuple[float, float]]:
        return [(stored, rounds[stored].rate) for stored in sorted(rounds)]

    return chart(
        "Durable updates a second, by executions stored",
        "executions stored",
        {f"{growth.size.connections} hot things": line(growth.hot), "all things evenly": line(growth.even)},
    )


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    size = GrowthSize()
    parser = options("outfitter_fleet.load.growth", __doc__)
    parser.add_argument("--connections", type=int, default=size.connections)
    parser.add_argument("--stored", type=int, nargs="+", default=size.stored, help="executions stored")
    parser.add_argument("--rounds", type=int, default=size.rounds)
    parser.add_argument("--round-seconds", type=float, default=size.round_seconds)
    parser.add_argument("--past-connections", type=int, default=size.past_connections)
    parser.add_argument("--past", type=int, default=size.past, help="past jobs of each thing")
    given: argparse.Namespace = parser.parse_args()
    size = GrowthSize(
        connections=given.connections,
        stored=tuple(given.stored),
        rounds=given.rounds,
        round_seconds=given.round_seconds,
        past_connections=given.past_connections,
        past=given.past,
    )
    return run(given, "growth", partial(measure, size=size), parts, ("growth.svg", draw))


if __name__ == "__main__":
    sys.exit(main())
