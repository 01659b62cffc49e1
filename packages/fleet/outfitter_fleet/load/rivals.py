"""``python -m outfitter_fleet.load.rivals --ministack PROGRAM``: the same calls to outfitterd and to MiniStack.

Both run in a network namespace of their own, the server on one core and the client on the other, in turn: AWS's own
client makes the jobs, one lean client plays the devices over HTTP. MiniStack keeps its state in memory; outfitterd
answers when it is on disk. ``make bench-rivals`` installs MiniStack into a virtual environment of its own.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
import msgspec
from botocore.config import Config
from botocore.credentials import Credentials

from outfitter_fleet.load import alone
from outfitter_fleet.load.command import options, run
from outfitter_fleet.load.cycles import Cycles, measure_cycles
from outfitter_fleet.load.ground import Ground, cores
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.stage.processes import Process
from outfitter_fleet.stage.server import REGION

RATIO_MARK: Final = 100.0
_PORT: Final = 4599
_READY: Final = "Running on"
_READY_SECONDS_MAX: Final = 60.0
_CREATE_SECONDS_MAX: Final = 600.0
_MODULE: Final = "outfitter_fleet.load.rivals"


class One(msgspec.Struct, frozen=True, kw_only=True):
    """One server with one size of group."""

    create_seconds: float
    cycles: Cycles


class Rivals(msgspec.Struct, frozen=True, kw_only=True):
    """Both, by size of the group."""

    ours: dict[int, One]
    theirs: dict[int, One]
    version: str


def measure(
    ground: Ground, sizes: Sequence[int], ministack: Path, seconds: float, port: int = _PORT
) -> Rivals:
    """Measure each size on both servers.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason.
    """
    server = ground.start()
    ours, theirs = {}, {}
    for size in sizes:
        ground.say(f"outfitterd with {size:,} things")
        credentials = Credentials(server.access_key_id, server.secret_access_key)
        ours[size] = _measure_one(server.url, credentials, size, seconds)
    for size in sizes:
        ground.say(f"MiniStack with {size:,} things")
        # A new one for each size: what the one before left behind would slow it down.
        rival = _start_ministack(ground, ministack, size, port)
        theirs[size] = _measure_one(
            f"http://127.0.0.1:{port}", Credentials("test", "test-test"), size, seconds
        )
        rival.stop()
    return Rivals(ours=ours, theirs=theirs, version=_version(ministack))


def _start_ministack(ground: Ground, ministack: Path, size: int, port: int) -> Process:
    own = cores()
    if own:
        os.sched_setaffinity(0, {own[0]})
    try:
        process = ground.processes.start(
            f"ministack-{size}",
            ["/bin/sh", "-c", 'exec "$0" 2>&1', str(ministack)],
            {"GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"},
        )
    finally:
        if own:
            os.sched_setaffinity(0, {own[1]})
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while _READY not in process.log.read_text("utf-8", "replace"):
        if time.monotonic() > deadline or not process.running:
            raise ProvisioningFailed(f"MiniStack did not come up: see {process.log}")
        time.sleep(0.1)
    return process


def _measure_one(url: str, credentials: Credentials, size: int, seconds: float) -> One:
    iot = boto3.client(
        "iot",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(retries={"max_attempts": 0}, read_timeout=_CREATE_SECONDS_MAX),
    )
    things = [f"rival-{size}-{number:05}" for number in range(size)]
    group, job = f"rival-{size}", f"rival-job-{size}"
    arn = iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
    for thing in things:
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    began = time.perf_counter()
    iot.create_job(jobId=job, targets=[arn], document='{"operation":"install"}')
    while (queued := _queued(iot, job)) != size:
        if time.perf_counter() - began > _CREATE_SECONDS_MAX:
            raise ProvisioningFailed(f"{url}: {queued} of {size} executions are queued")
        time.sleep(0.005)
    created = time.perf_counter() - began
    return One(
        create_seconds=created,
        cycles=asyncio.run(measure_cycles(url, credentials, things, job, seconds)),
    )


def _queued(iot: Any, job: str) -> int:
    return int(iot.describe_job(jobId=job)["job"].get("jobProcessDetails", {}).get("numberOfQueuedThings", 0))


def _version(ministack: Path) -> str:
    found = sorted(ministack.parent.parent.glob("lib/python*/site-packages/ministack-*.dist-info"))
    return found[-1].name.removeprefix("ministack-").removesuffix(".dist-info") if found else "unknown"


def parts(rivals: Rivals) -> list[Part]:
    """The figures in words."""
    rows = []
    for size, ours in rivals.ours.items():
        theirs = rivals.theirs[size]
        rows.append(
            (
                f"{size:,}",
                f"{ours.create_seconds * 1000:,.0f}",
                f"{theirs.create_seconds * 1000:,.0f}",
                f"{theirs.create_seconds / ours.create_seconds:,.0f}",
                f"{ours.cycles.rate:,.0f}",
                f"{theirs.cycles.rate:,.0f}",
                f"{ours.cycles.rate / theirs.cycles.rate:,.0f}",
            )
        )
    largest = max(rivals.ours)
    ours, theirs = rivals.ours[largest], rivals.theirs[largest]
    create = theirs.create_seconds / ours.create_seconds
    cycle = ours.cycles.rate / theirs.cycles.rate
    return [
        Grid(
            f"Beside MiniStack {rivals.version}: CreateJob on a group until all of it is QUEUED (AWS's client), and cycles of "
            "StartNextPendingJobExecution and UpdateJobExecution over HTTP, 16 connections:",
            ("things", "create ms", "MiniStack", "times", "cycles/s", "MiniStack", "times"),
            rows,
        ),
        (
            f"At {largest:,} things: {create:,.0f} times for CreateJob (mark {RATIO_MARK:g}: {verdict(create >= RATIO_MARK)}), "
            f"{cycle:,.0f} times for cycles (mark {RATIO_MARK:g}: {verdict(cycle >= RATIO_MARK)})."
        ),
    ]


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    parser = options(_MODULE, __doc__)
    parser.add_argument("--ministack", type=Path, required=True, metavar="PROGRAM")
    parser.add_argument("--port", type=int, default=_PORT, help="where MiniStack listens")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1_000, 2_000], help="things of a group")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long devices go on at most")
    given = parser.parse_args()
    try:
        alone.enter(_MODULE)
    except (ProvisioningFailed, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    work = partial(
        measure,
        sizes=given.sizes,
        ministack=given.ministack.absolute(),
        seconds=given.seconds,
        port=given.port,
    )
    return run(given, "rivals", work, parts)


if __name__ == "__main__":
    sys.exit(main())
