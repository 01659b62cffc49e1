"""The agent on a machine whose system RAUC updates, against a real server; needs root, for RAUC mounts bundles.

A boot is: the agent ends, RAUC's service starts anew in the slot that the boot loader chooses, the kernel has another
boot id (a file that a mount namespace of the agent's own shows in its place), the agent starts.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from rauc_machine import Machine

AGENT = Path(sys.executable).parent / "outfitter-agent"
BUCKET = "rauc-bundles"
SETTINGS = """
slot = "rauc"
slot_options = {{ command = ["rauc", "--conf={folder}/system.conf"] }}
reboot = "command"
reboot_command = ["sh", "-c", "echo reboot > {folder}/power"]
health_command = ["sh", "-c", "! grep -q broken {folder}/running.img"]
settle_seconds = 0.3
health_interval_seconds = 0.1
health_timeout_seconds = 1
reconnect_max_seconds = 0.5
answer_timeout_seconds = 3
"""
IN_A_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class Device:
    """A thing with a certificate of its own, whose agent is started by each boot of the machine."""

    def __init__(self, server, machine, folder):
        self.server, self.machine, self.folder = server, machine, folder
        self.name = f"rauc-{os.getpid()}"
        self.boots = 0
        self.log = folder / "log"
        subprocess.run(
            [
                *(AGENT.parent / "outfitter", "device", "add", self.name, "--type", "pump", "--out", folder),
                *("--mqtt", f"localhost:{server.port('mqtts')}"),
            ],
            env=server.environment(),
            check=True,
            capture_output=True,
        )
        (folder / "agent.toml.d").mkdir()
        (folder / "agent.toml.d" / "10-rauc.toml").write_text(SETTINGS.format(folder=machine.folder))
        self.log.touch()
        self.power = machine.folder / "power"
        os.mkfifo(self.power)
        self.process = None
        self.thread = threading.Thread(target=self._live, daemon=True)

    def _live(self):
        self._start()
        while "off" not in self.power.read_text():
            self._stop()
            self.machine.boot()
            self._start()
        self._stop()

    def _start(self):
        self.boots += 1
        identity = self.machine.folder / "boot_id"
        identity.write_text(f"{uuid.uuid4()}\n")
        run = [AGENT, "--verbose", "run", "--config", self.folder / "agent.toml"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", IN_A_BOOT, identity, *run], stderr=log
            )

    def _stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def close(self):
        self.power.write_text("off")
        self.thread.join()

    def job(self, bundle, version):
        """A job for a bundle that is put into the store; its id."""
        s3, iot, content = self.server.client("s3"), self.server.client("iot"), bundle.read_bytes()
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=bundle.name, Body=content)
        job_id = f"{self.name}-{bundle.stem.replace('.', '-')}"
        url = f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{bundle.name}"
        document = {
            "operation": "install",
            "url": f"${{aws:iot:s3-presigned-url:{url}}}",
            "version": version,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        iot.create_job(
            jobId=job_id,
            targets=[iot.describe_thing(thingName=self.name)["thingArn"]],
            document=json.dumps(document),
            presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates", "expiresInSec": 300},
        )
        return job_id

    def ends(self, job_id, eventually):
        """The status and details that the job ends with."""

        def ended():
            found = self.server.client("iot").describe_job_execution(jobId=job_id, thingName=self.name)[
                "execution"
            ]
            return found["status"] not in ("QUEUED", "IN_PROGRESS") and found

        try:
            found = eventually(ended, 60)
        except AssertionError:
            raise AssertionError(self.log.read_text()) from None
        return found["status"], found["statusDetails"]["detailsMap"]

    def command(self, *arguments):
        done = subprocess.run(
            [AGENT, *arguments, "--config", self.folder / "agent.toml", "--json"],
            check=False,
            capture_output=True,
        )
        return json.loads(done.stdout)


@pytest.fixture
def device(server, tmp_path, tmp_path_factory, monkeypatch, eventually):
    machine = Machine(Path(tmp_path_factory.mktemp("r")), monkeypatch)
    try:
        made = Device(server, machine, tmp_path / "device")
        made.thread.start()
        try:
            eventually(lambda: "trying again later: rauc status" in made.log.read_text())
            machine.boot()  # the agent was there first
            yield made
        finally:
            made.close()
    finally:
        machine.close()


def test_bundles_good_and_bad(device, eventually):
    machine = device.machine
    good = machine.bundle("2.0.0")
    status, details = device.ends(device.job(good, "2.0.0"), eventually)
    assert status == "SUCCEEDED", details
    assert (details["step"], details["slot"], details["version"]) == ("done", "rootfs.1", "2.0.0")
    assert details["sha256"] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert details["boot_id"] == machine.read("boot_id")
    assert (device.boots, machine.read("primary"), machine.read("state.B")) == (2, "B", "good")
    assert (machine.folder / "b.img").read_bytes().startswith(b"new" * 4096)

    status, details = device.ends(device.job(machine.bundle("3.0.0", content=b"broken"), "3.0.0"), eventually)
    assert status == "FAILED"
    assert "the device's health command ended with 1" in details["reason"]
    assert (details["step"], details["slot"], details["version"]) == ("rolled-back", "rootfs.1", "2.0.0")
    assert details["health"].startswith("passed")
    assert (device.boots, machine.read("primary")) == (4, "B")
    assert (machine.read("state.A"), machine.read("state.B")) == ("bad", "good")

    machine.does_not_boot.add("A")
    status, details = device.ends(device.job(machine.bundle("4.0.0"), "4.0.0"), eventually)
    assert status == "FAILED"
    assert "the machine came up in slot rootfs.1 instead of rootfs.0" in details["reason"]
    assert (details["slot"], details["version"], device.boots) == ("rootfs.1", "2.0.0", 5)

    refused = {
        machine.bundle("5.0.0", key="stranger"): "signature verification failed",
        machine.bundle("5.0.0", compatible="lamp"): "for device types lamp",
        machine.bundle("1.0.0"): "not newer than 2.0.0",
    }
    for bundle, reason in refused.items():
        status, details = device.ends(device.job(bundle, bundle.name.split("-")[0]), eventually)
        assert (status, details["step"], reason in details["reason"]) == ("FAILED", "refused", True), details
    assert device.boots == 5, "what is refused restarts nothing"

    shown = device.command("status")
    assert (shown["slot"], shown["name"], shown["version"]) == ("rootfs.1", "pump", "2.0.0")
    told = {each["name"]: each for each in device.command("check")}
    assert told["software"]["text"] == "rootfs.0: pump 4.0.0; rootfs.1 (current): pump 2.0.0"
