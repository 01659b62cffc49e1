"""``python -m outfitter_fleet.load.agent``: the agent on its device: start, idle, the memory and time of an install.

One agent with a certificate of its own, over TLS, on another core than the server. An image is one file that cannot be
compressed; its job ends when the software has been started and looked at. Memory is resident memory of the agent's process,
its peak as the kernel keeps it, read every 20 ms.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from outfitter_contract.image import MANIFEST_NAME, Manifest, build_manifest

from outfitter_fleet.load.command import options, run
from outfitter_fleet.load.generator import cpu_seconds
from outfitter_fleet.load.ground import Ground
from outfitter_fleet.load.memory import memory_mb
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.load.report import Grid, Part, verdict
from outfitter_fleet.load.updaters import Updater, mender, rauc
from outfitter_fleet.stage.processes import Process, program

PAGE: Final = "docs/reference/agent-performance.md"
MEMORY_MB_MARK: Final = 45.0
CONNECTED_SECONDS_MARK: Final = 1.5
_STARTS: Final = 5
_BUCKET: Final = "bench-images"
_SECONDS_MAX: Final = 300.0
_LOOK_SECONDS: Final = 0.02
_CONNECTED: Final = b" connected to "
_BLOCK_BYTES: Final = 1_000_000
"""A block of noise, again and again: farther apart than gzip looks."""
_SETTINGS: Final = "settle_seconds = 0\nhealth_interval_seconds = 0.05\nstop_timeout_seconds = 2\n"


class Install(msgspec.Struct, frozen=True, kw_only=True):
    """One job: the size of its image, seconds from CreateJob until SUCCEEDED, the agent's peak."""

    image_mb: int
    seconds: float
    peak_mb: float


class AgentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        connected_seconds: from the start of the process until it was connected; the median of a few.
        idle_cpu_ms: processor time in a minute without work.
        updaters: others, with the data of the first image.
    """

    connected_seconds: float
    idle_mb: float
    idle_cpu_ms: float
    installs: list[Install]
    updaters: list[Updater]


class _Agent:
    """The device's agent, started and ended."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.ground, self.name, self.folder = ground, name, ground.folder / name
        mqtt = f"localhost:{ground.server.address('mqtts')[1]}"
        add = ["device", "add", name, "--type", "bench", "--out", str(self.folder), "--mqtt", mqtt]
        environment = {**os.environ, **ground.server.environment()}
        subprocess.run([program("outfitter"), *add], env=environment, check=True, capture_output=True)
        (self.folder / "agent.toml.d").mkdir()
        (self.folder / "agent.toml.d" / "10-bench.toml").write_text(_SETTINGS)
        self.process: Process | None = None

    def start(self) -> float:
        """Seconds until it was connected."""
        log = self.ground.folder / f"{self.name}.log"
        before = log.stat().st_size if log.exists() else 0
        began = time.perf_counter()
        self.process = self.ground.processes.start(
            self.name, [program("outfitter-agent"), "run", "--config", str(self.folder / "agent.toml")]
        )
        while _CONNECTED not in log.read_bytes()[before:]:
            if time.perf_counter() - began > _SECONDS_MAX:
                raise ProvisioningFailed(f"the agent does not connect: see {log}")
            time.sleep(0.002)
        return time.perf_counter() - began

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ProvisioningFailed("the agent was not started")
        return self.process.pid

    def install(self, image: Path, megabytes: int) -> Install:
        """A job for it, until that has ended."""
        iot: Any = self.ground.server.client("iot")
        job = f"install-{megabytes}"
        document = _document(self.ground, image)
        target = iot.describe_thing(thingName=self.name)["thingArn"]
        role = {"roleArn": "arn:aws:iam::000000000000:role/bench", "expiresInSec": 600}
        began = time.perf_counter()
        iot.create_job(jobId=job, targets=[target], document=document, presignedUrlConfig=role)
        peak, status = 0.0, "QUEUED"
        while status in ("QUEUED", "IN_PROGRESS"):
            if time.perf_counter() - began > _SECONDS_MAX:
                raise ProvisioningFailed(f"{job} does not end")
            time.sleep(_LOOK_SECONDS)
            peak = max(peak, memory_mb(self.pid, "VmHWM"))
            execution = iot.describe_job_execution(jobId=job, thingName=self.name)["execution"]
            status = execution["status"]
        if status != "SUCCEEDED":
            raise ProvisioningFailed(f"{job} is {status}: {execution.get('statusDetails')}")
        return Install(image_mb=megabytes, seconds=time.perf_counter() - began, peak_mb=peak)


def measure(
    ground: Ground, sizes_mb: list[int], idle_seconds: float, mender_folder: Path | None
) -> AgentFigures:
    """Measure on a server of its own.

    Raises:
        ProcessEnded, ProvisioningFailed: the reason.
    """
    ground.start()
    agent = _Agent(ground, "bench-agent")
    starts = []
    for _ in range(_STARTS):
        agent.stop()
        starts.append(agent.start())
    ground.say(f"idle for {idle_seconds:g} s")
    time.sleep(1)
    before = cpu_seconds(agent.pid)
    time.sleep(idle_seconds)
    idle_cpu_ms = (cpu_seconds(agent.pid) - before) * 1000 * 60 / idle_seconds
    idle_mb = memory_mb(agent.pid, "VmRSS")
    installs: list[Install] = []
    updaters: list[Updater] = []
    images = ground.folder / "images"
    images.mkdir()
    for megabytes in sizes_mb:
        ground.say(f"an image of {megabytes} MB")
        data = _write_data(images / "data", megabytes)
        image = _write_image(images / f"image-{megabytes}.tar.gz", data)
        installs.append(agent.install(image, megabytes))
        image.unlink()
        if mender_folder is not None and not updaters:
            ground.say("the same with RAUC and Mender")
            updaters.append(rauc(ground.processes, ground.folder / "rauc", data))
            updaters.append(mender(ground.processes, ground.folder / "mender", data, mender_folder))
    agent.stop()
    return AgentFigures(
        connected_seconds=statistics.median(starts),
        idle_mb=idle_mb,
        idle_cpu_ms=idle_cpu_ms,
        installs=installs,
        updaters=updaters,
    )


def _write_data(path: Path, megabytes: int) -> Path:
    noise = os.urandom(_BLOCK_BYTES)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(noise)
    return path


def _write_image(path: Path, data: Path) -> Path:
    """An image with the data as its only file."""
    manifest = Manifest(
        name="bench",
        version=str(data.stat().st_size),
        device_types=("bench",),
        start=("sleep", "600"),
        health=None,
    )
    (data.parent / MANIFEST_NAME).write_bytes(build_manifest(manifest))
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(data.parent / MANIFEST_NAME, MANIFEST_NAME)
        archive.add(data, "data")
    return path


def _document(ground: Ground, image: Path) -> str:
    """Put the image in the store; the document of a job for it."""
    s3: Any = ground.server.client("s3")
    s3.create_bucket(Bucket=_BUCKET)
    with image.open("rb") as content:
        s3.put_object(Bucket=_BUCKET, Key=image.name, Body=content)
        content.seek(0)
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    url = f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{_BUCKET}/{image.name}}}"
    return json.dumps({"operation": "install", "url": url, "sha256": digest})


def parts(figures: AgentFigures) -> list[Part]:
    """The figures in words."""
    most = max([figures.idle_mb, *(each.peak_mb for each in figures.installs)])
    started = verdict(figures.connected_seconds <= CONNECTED_SECONDS_MARK)
    rows = [
        ("idle", "", f"{figures.idle_mb:.1f}"),
        *(
            (f"installing an image of {each.image_mb:,} MB", f"{each.seconds:.1f}", f"{each.peak_mb:.1f}")
            for each in figures.installs
        ),
    ]
    return [
        Grid("One agent, over TLS:", ("", "seconds", "MB at most"), rows),
        *_beside(figures),
        (
            f"At most {most:.1f} MB (mark {MEMORY_MB_MARK:g} MB: {verdict(most <= MEMORY_MB_MARK)}). From the start of the"
            f" process until it is connected: {figures.connected_seconds:.2f} s (mark {CONNECTED_SECONDS_MARK:g} s:"
            f" {started}). Processor time in an idle minute: {figures.idle_cpu_ms:.0f} ms."
        ),
    ]


def _beside(figures: AgentFigures) -> list[Part]:
    if not figures.updaters:
        return []
    ours = figures.installs[0]
    rows = [("the agent", f"{ours.seconds:.1f}", f"{ours.peak_mb:.1f}")]
    rows += [(each.name, f"{each.seconds:.1f}", f"{each.peak_mb:.1f}") for each in figures.updaters]
    return [
        Grid(f"The same data of {ours.image_mb} MB, on the same disk:", ("", "seconds", "MB at most"), rows)
    ]


def main() -> int:
    """See command.run; the defaults are the published measurement."""
    parser = options("outfitter_fleet.load.agent", __doc__, PAGE)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000], metavar="MB")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FOLDER",
        help="RAUC, and Mender from Debian's packages unpacked there, too",
    )
    given = parser.parse_args()
    return run(
        given,
        "agent",
        partial(measure, sizes_mb=given.sizes, idle_seconds=given.idle_seconds, mender_folder=given.beside),
        parts,
        page=PAGE,
    )


if __name__ == "__main__":
    sys.exit(main())
