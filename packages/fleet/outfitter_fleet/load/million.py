"""``python -m outfitter_fleet.load.million``: a job for a million things; memory and start with all of it stored."""

import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from outfitter_fleet.load import loads
from outfitter_fleet.load.bench import rollout_parts
from outfitter_fleet.load.command import options, run
from outfitter_fleet.load.ground import Ground
from outfitter_fleet.load.plan import Round, Spread
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.load.rollout import Rollout, measure_rollouts
from outfitter_fleet.load.stock import CROWD_NAME

JOB: Final = "million-device"
ROLLOUT_SECONDS_MARK: Final = 10.0
MEMORY_MB_MARK: Final = 150.0
START_SECONDS_MARK: Final = 1.0
_STARTS: Final = 3
_SPEAKERS: Final = 50  # connections that speak for all things in turn
_SETTLE_SECONDS: Final = 2.5


class MillionSize(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is."""

    things: int = 1_000_000
    connections: int = 500
    load_seconds: float = 5.0


class Million(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        memory_mb: resident memory by moment, in order.
        ready_seconds: from the start of the process until it accepts connections, all of it stored; median.
        ready_empty_seconds: the same on an empty folder.
        hot, even: the loads after which memory was looked at.
    """

    size: MillionSize
    rollout: Rollout
    memory_mb: dict[str, float]
    ready_seconds: float
    ready_empty_seconds: float
    hot: Round
    even: Round
    store_mb: float


def measure(ground: Ground, size: MillionSize) -> Million:
    """Measure all of it.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason.
    """
    memory: dict[str, float] = {}
    empty = ground.start().ready_seconds
    memory["started on an empty folder"] = _memory_mb(ground)
    ground.prepare(size.connections, things="*")
    ground.job_on_devices(JOB)
    ground.stock(0, size.things)
    time.sleep(_SETTLE_SECONDS)
    rollout = measure_rollouts(ground, JOB, size.things, 1)
    memory["after the rollout"] = _memory_mb(ground)
    starts = []
    for number in range(_STARTS):
        ground.say(f"start {number + 1} with {size.things:,} things and executions")
        ground.stop()
        starts.append(ground.start().ready_seconds)
    memory["started with all of it"] = _memory_mb(ground)
    hot = ground.load(
        "hot", [loads.updating(device, JOB) for device in ground.devices], "tls", size.load_seconds
    )
    memory[f"after {hot.answers:,} updates of {len(ground.devices)} things over TLS"] = _memory_mb(ground)
    speakers = ground.devices[:_SPEAKERS]
    count = size.things // len(speakers)
    clients = [
        loads.spreading(
            device,
            f"{JOB}-rollout-0",
            Spread(name=CROWD_NAME, first=number * count, count=count, stride=1),
        )
        for number, device in enumerate(speakers)
    ]
    even = ground.load("even", clients, "tls", size.load_seconds)
    memory[f"after {even.answers:,} updates of as many things"] = _memory_mb(ground)
    store = sum(path.stat().st_size for path in ground.server.data.glob("state.sqlite3*"))
    return Million(
        size=size,
        rollout=rollout,
        memory_mb=memory,
        ready_seconds=statistics.median(starts),
        ready_empty_seconds=empty,
        hot=hot,
        even=even,
        store_mb=store / 1e6,
    )


def _memory_mb(ground: Ground) -> float:
    """Resident memory of the server in megabytes."""
    for line in Path(f"/proc/{ground.server.process.pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def parts(million: Million) -> list[Part]:
    """The figures in words."""
    most = max(million.memory_mb.values())
    return [
        *rollout_parts(million.rollout, ROLLOUT_SECONDS_MARK),
        Grid(
            "Resident memory of the server:",
            ("moment", "MB"),
            [(moment, f"{size:.0f}") for moment, size in million.memory_mb.items()],
        ),
        (
            f"At most {most:.0f} MB (mark {MEMORY_MB_MARK:g} MB: {verdict(most <= MEMORY_MB_MARK)}); the store has "
            f"{million.store_mb:,.0f} MB. From the start of the process until it accepts connections: "
            f"{million.ready_seconds:.2f} s (mark {START_SECONDS_MARK:g} s: {verdict(million.ready_seconds <= START_SECONDS_MARK)}); "
            f"on an empty folder, with a new certificate authority, {million.ready_empty_seconds:.2f} s."
        ),
    ]


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    size = MillionSize()
    parser = options("outfitter_fleet.load.million", __doc__)
    parser.add_argument("--things", type=int, default=size.things)
    parser.add_argument("--connections", type=int, default=size.connections)
    parser.add_argument("--load-seconds", type=float, default=size.load_seconds)
    given = parser.parse_args()
    size = MillionSize(things=given.things, connections=given.connections, load_seconds=given.load_seconds)
    return run(given, "million", partial(measure, size=size), parts)


if __name__ == "__main__":
    sys.exit(main())
