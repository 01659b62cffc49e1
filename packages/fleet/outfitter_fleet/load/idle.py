"""``python -m outfitter_fleet.load.idle``: many devices that only listen: their memory, their coming, and their coming back.

Each is connected from one of a few loopback addresses, with a session that outlives its connection, and has three
subscriptions: ``notify``, ``notify-next`` and a topic of its own. They live in two processes, on the other core. The
server is then ended, in order and by kill -9, and started again; a job for all is created while they come back.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from outfitter_fleet.load.command import options, run
from outfitter_fleet.load.generator import cpu_seconds
from outfitter_fleet.load.ground import CROWD, Ground
from outfitter_fleet.load.provision import POLICY
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.load.sleepers import Sleeper, SleepersPlan
from outfitter_fleet.load.stock import CROWD_NAME, stock_identities
from outfitter_fleet.stage.processes import Process

MEMORY_KB_MARKS: Final = {"plain": 10.0, "tls": 45.0}
JOIN_SECONDS_MARKS: Final = {"plain": 30.0, "tls": 60.0}
_PROCESSES: Final = 2
_SOURCES: Final = tuple(f"127.0.0.{number}" for number in range(2, 10))
_SECONDS_MAX: Final = 300.0
_ENDS: Final = {"SIGTERM": Process.stop, "kill -9": Process.kill}


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """After a restart, in seconds from the start of the new process: all were back, all knew their next job."""

    ready_seconds: float
    joined_seconds: float
    informed_seconds: float


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured over one wire.

    Attributes:
        joined_seconds: from the first connection until all were connected and subscribed.
        joining_us: processor time of the server for each of them.
        memory_kb: resident memory of the server, for each of them.
        returns: by how the server ended.
    """

    joined_seconds: float
    joining_us: float
    memory_kb: float
    returns: dict[str, Return]


class Idles(msgspec.Struct, frozen=True, kw_only=True):
    """Both wires."""

    connections: int
    wires: dict[str, Idle]


def measure(ground: Ground, connections: int, wires: tuple[str, ...], settle_seconds: float) -> Idles:
    """Measure each wire on a server of its own.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason.
    """
    return Idles(
        connections=connections,
        wires={
            wire: _measure_one(Ground.beside(ground, wire), connections, wire, settle_seconds)
            for wire in wires
        },
    )


def _measure_one(ground: Ground, connections: int, wire: str, settle_seconds: float) -> Idle:
    ground.start()
    ground.prepare(1)
    ground.stock(0, connections)
    names = [CROWD_NAME.format(number) for number in range(connections)]
    sleepers = [Sleeper(name) for name in names]
    if wire == "tls":
        ground.say(f"creating {connections:,} certificates")
        sleepers = _identities(ground, names)
    # What making them has left in memory goes.
    ground.stop()
    ground.start(where_it_was=True)
    time.sleep(settle_seconds)
    empty_kb, busy = _memory_kb(ground), cpu_seconds(ground.server.process.pid)
    ground.say(f"connecting {connections:,}")
    dormitories = _start(ground, sleepers, wire)
    try:
        begun = min(_time(each, "begun ") for each in dormitories)
        joined = max(_time(each, "joined 1 ") for each in dormitories)
        used = cpu_seconds(ground.server.process.pid) - busy
        time.sleep(settle_seconds)
        memory_kb = (_memory_kb(ground) - empty_kb) / connections
        returns = {how: _restart(ground, dormitories, number + 2, how) for number, how in enumerate(_ENDS)}
    finally:
        for each in dormitories:
            each.stop()
    ground.stop()
    return Idle(
        joined_seconds=joined - begun,
        joining_us=used / connections * 1e6,
        memory_kb=memory_kb,
        returns=returns,
    )


def _restart(ground: Ground, dormitories: list[Process], number: int, how: str) -> Return:
    ground.say(f"ending the server by {how}")
    _ENDS[how](ground.server.process)
    ground.server.process.wait()
    began = time.monotonic()
    ready = ground.start(where_it_was=True).ready_seconds
    job = f"idle-{number}"
    # Alone in front of the devices: they are told of it when it is the next that they have to do.
    for before in range(2, number):
        ground.server.client("iot").cancel_job(jobId=f"idle-{before}", force=True)
    ground.create_job(job, CROWD)
    joined = max(_time(each, f"joined {number} ") for each in dormitories)
    informed = max(_time(each, f"informed {job} ") for each in dormitories)
    return Return(ready_seconds=ready, joined_seconds=joined - began, informed_seconds=informed - began)


def _start(ground: Ground, sleepers: list[Sleeper], wire: str) -> list[Process]:
    host, port = ground.server.address("mqtts" if wire == "tls" else "mqtt")
    return [
        ground.client(
            f"sleepers-{number}",
            "sleepers",
            msgspec.json.encode(
                SleepersPlan(
                    host=host,
                    port=port,
                    sleepers=tuple(sleepers[number::_PROCESSES]),
                    sources=_SOURCES[number::_PROCESSES],
                    ca=str(ground.server.ca) if wire == "tls" else None,
                    core=ground.cores[1] if ground.cores else None,
                )
            ),
        )
        for number in range(_PROCESSES)
    ]


def _identities(ground: Ground, names: list[str]) -> list[Sleeper]:
    """A certificate for each; their group has the policy for all of them."""
    iot = ground.server.client("iot")
    group = iot.describe_thing_group(thingGroupName=CROWD)["thingGroupArn"]
    iot.attach_policy(policyName=POLICY, target=group)
    sleepers = []
    for name, issued in zip(names, stock_identities(ground.server.data, names), strict=True):
        certificate, key = ground.folder / f"{name}.pem", ground.folder / f"{name}.key"
        certificate.write_text(issued.certificate_pem)
        key.touch(0o600)
        key.write_text(issued.private_key_pem)
        sleepers.append(Sleeper(name, str(certificate), str(key)))
    return sleepers


def _time(process: Process, beginning: str) -> float:
    return float(process.line(beginning, _SECONDS_MAX).removeprefix(beginning))


def _memory_kb(ground: Ground) -> float:
    """Resident memory of the server."""
    status = Path(f"/proc/{ground.server.process.pid}/status").read_text("utf-8")
    found = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(found.split()[1]) * 1024 / 1000


def parts(idles: Idles) -> list[Part]:
    """The figures in words."""
    rows, back = [], []
    for wire, one in idles.wires.items():
        memory, seconds = MEMORY_KB_MARKS[wire], JOIN_SECONDS_MARKS[wire]
        rows.append(
            (
                wire,
                f"{one.memory_kb:.1f}",
                f"{memory:g} {verdict(one.memory_kb <= memory)}",
                f"{one.joined_seconds:.1f}",
                f"{seconds:g} {verdict(one.joined_seconds <= seconds)}",
                f"{one.joining_us:,.0f}",
            )
        )
        back += [
            (
                f"{wire}, {how}",
                f"{again.ready_seconds:.1f}",
                f"{again.joined_seconds:.1f}",
                f"{again.informed_seconds:.1f}",
                f"{seconds:g} {verdict(max(again.joined_seconds, again.informed_seconds) <= seconds)}",
            )
            for how, again in one.returns.items()
        ]
    return [
        Grid(
            f"{idles.connections:,} connections that only listen, with three subscriptions each:",
            ("", "kB each", "mark", "all there, s", "mark", "server µs each"),
            rows,
        ),
        Grid(
            "The same after the server was ended and started again, in seconds from its start; a job for all is created "
            "while they come back:",
            ("", "accepts", "all there", "all know their next job", "mark"),
            back,
        ),
    ]


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    parser = options("outfitter_fleet.load.idle", __doc__)
    parser.add_argument("--connections", type=int, default=15_000)
    parser.add_argument("--wires", nargs="+", choices=list(MEMORY_KB_MARKS), default=list(MEMORY_KB_MARKS))
    parser.add_argument(
        "--settle-seconds", type=float, default=3.0, help="before the server's memory is looked at"
    )
    given = parser.parse_args()
    work = partial(
        measure,
        connections=given.connections,
        wires=tuple(given.wires),
        settle_seconds=given.settle_seconds,
    )
    return run(given, "idle", work, parts)


if __name__ == "__main__":
    sys.exit(main())
