"""kill -9 of the server and of agents in the middle of rollouts: every job ends, and ends telling the truth."""

import json
import os
import random
import shutil
import subprocess
import threading
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from outfitter_fleet.demo.device import Device
from outfitter_fleet.demo.images import BUILDS, DEVICE_TYPE, SOFTWARE, write_folder
from outfitter_fleet.stage.processes import Process, Processes, program

DEVICES = [f"lamp-{number}" for number in range(1, 6)]
ENDED = {"SUCCEEDED", "FAILED", "REJECTED", "CANCELED", "REMOVED", "TIMED_OUT"}
ROUND_SECONDS = 90
KEY = {
    "OUTFITTER_ROOT_ACCESS_KEY_ID": "AKIAKILLNINETESTS000",
    "OUTFITTER_ROOT_SECRET_ACCESS_KEY": "kill/nine/tests/throw/away/secret/key",
}


class Site:
    """One server, five devices, two good versions of their software, and one that crashes."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        self.listeners = {"http": "127.0.0.1:0", "https": "127.0.0.1:0", "mqtts": "127.0.0.1:0"}
        self.server: Process
        self.start_server()
        self.iot = boto3.client(
            "iot",
            region_name="us-east-1",
            endpoint_url=f"http://{self.listeners['http']}",
            aws_access_key_id=KEY["OUTFITTER_ROOT_ACCESS_KEY_ID"],
            aws_secret_access_key=KEY["OUTFITTER_ROOT_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5),
        )
        self.outfitter("group", "create", "lamps")
        for name in DEVICES:
            self.outfitter(
                "device", "add", name, "--group", "lamps", "--type", DEVICE_TYPE,
                "--mqtt", self.listeners["mqtts"], "--out", str(folder / name),
            )  # fmt: skip
        self.devices = {name: Device(name, folder / name, processes) for name in DEVICES}
        for device in self.devices.values():
            # More boots than kills: a kill is no fault of the software under trial.
            (device.folder / "agent.toml.d" / "20-kill.toml").write_text(
                "trial_boots_max = 20\nattempts_max = 100\n"
            )
        for build in BUILDS:
            write_folder(build, folder / build.version)
            image = str(folder / f"{build.version}.tar.gz")
            self.outfitter("software", "pack", str(folder / build.version), "--out", image)
            self.outfitter("software", "upload", image)

    def start_server(self) -> None:
        options = [part for name, address in self.listeners.items() for part in (f"--{name}", address)]
        command = [program("outfitterd"), "serve", "--data", str(self.folder / "data"), *options]
        self.server = self.processes.start("outfitterd", command, KEY)
        line = self.server.line("ready ", 20)
        self.listeners = dict(part.split("=", 1) for part in line.split()[1:])

    def outfitter(self, *arguments: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": f"http://{self.listeners['http']}",
            "AWS_ACCESS_KEY_ID": KEY["OUTFITTER_ROOT_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": KEY["OUTFITTER_ROOT_SECRET_ACCESS_KEY"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        done = subprocess.run(
            [program("outfitter"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def executions(self, job: str) -> dict[str, dict]:
        summaries = self.iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
        return {entry["thingArn"].rpartition("/")[2]: entry["jobExecutionSummary"] for entry in summaries}

    def ended(self, job: str) -> bool:
        try:
            found = self.executions(job)
        except BotoCoreError:
            return False
        return len(found) == len(DEVICES) and all(entry["status"] in ENDED for entry in found.values())

    def kill_at_random(self, chance: random.Random, seconds: float) -> None:
        """Kill agents, and once the server, at moments spread over some seconds; start each again at once."""
        moments = sorted(
            (chance.uniform(0.05, seconds), name) for name in [*DEVICES, *DEVICES[:3], "outfitterd"]
        )
        began = time.monotonic()
        for moment, name in moments:
            threading.Event().wait(max(0.0, began + moment - time.monotonic()))
            if name == "outfitterd":
                self.server.kill()
                self.server.wait()
                self.start_server()
            else:
                device = self.devices[name]
                assert device.pid is not None
                os.kill(device.pid, 9)
                device.switch_off()
                device.switch_on()


@pytest.fixture
def site(tmp_path):
    # Short, because a Unix socket of the devices' software has to fit into 108 characters.
    folder = Path("/tmp") / f"kill-{os.getpid()}"
    folder.mkdir()
    logs = tmp_path / "logs"
    logs.mkdir()
    with Processes(logs) as processes:
        yield Site(folder, processes)
    shutil.rmtree(folder)


def wait_until(check, seconds, what):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, what()
        threading.Event().wait(0.1)


@pytest.mark.timeout(400)
def test_every_job_ends_and_tells_the_truth(site):
    for device in site.devices.values():
        device.switch_on()
    site.outfitter(
        "update", "group:lamps", SOFTWARE, "1.0.0", "--job-id", "first", "--wait", "--timeout", "60"
    )
    running = dict.fromkeys(DEVICES, "1.0.0")
    for number, version in enumerate(["2.0.0", "2.1.0", "3.0.0"]):
        job = f"round-{number}"
        site.outfitter("update", "group:lamps", SOFTWARE, version, "--job-id", job, "--confirm")
        site.kill_at_random(random.Random(number), 4.0)
        wait_until(
            lambda job=job: site.ended(job),
            ROUND_SECONDS,
            lambda job=job: json.dumps(site.executions(job), default=str),
        )
        for name, entry in site.executions(job).items():
            details = site.iot.describe_job_execution(thingName=name, jobId=job)["execution"][
                "statusDetails"
            ]["detailsMap"]
            if entry["status"] == "SUCCEEDED":
                running[name] = version
                assert details["version"] == version, "a success is proven"
                assert {"sha256", "slot", "boot_id", "health"} <= set(details)
            else:
                assert entry["status"] == "FAILED", (name, entry)
                assert details.get("reason"), "a failure says why"
            assert version != "3.0.0" or entry["status"] == "FAILED", (
                "software that crashes is never a success"
            )
            wait_until(
                lambda name=name: site.devices[name].answer() == running[name],
                20,
                lambda name=name, details=details: (
                    f"{name} answers {site.devices[name].answer()}, its job says {details}"
                ),
            )
        described = site.iot.describe_job(jobId=job)["job"]
        counted = described["jobProcessDetails"]
        assert described["status"] == "COMPLETED"
        assert counted["numberOfSucceededThings"] + counted["numberOfFailedThings"] == len(DEVICES)
    assert set(running.values()) == {"2.1.0"}, "kills delay an update, they do not fail it"
