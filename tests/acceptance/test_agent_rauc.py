"""The agent on a machine whose system RAUC updates, against a real server; needs root, for RAUC mounts bundles.

In a boot RAUC's service starts anew, in the slot that the boot loader chooses.
"""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from booting_device import AGENT, BootingDevice
from rauc_machine import Machine

SETTINGS = """
slot = "rauc"
slot_options = {{{{ command = ["rauc", "--conf={folder}/system.conf"] }}}}
reboot = "command"
reboot_command = ["sh", "-c", "echo reboot > {{power}}"]
health_command = ["sh", "-c", "! grep -q broken {folder}/running.img"]
settle_seconds = 0.3
health_interval_seconds = 0.1
health_timeout_seconds = 1
reconnect_max_seconds = 0.5
answer_timeout_seconds = 3
"""


@pytest.fixture
def device(server, tmp_path, tmp_path_factory, monkeypatch, eventually):
    machine = Machine(Path(tmp_path_factory.mktemp("r")), monkeypatch)
    try:
        made = BootingDevice(
            server, tmp_path / "device", SETTINGS.format(folder=machine.folder), boot=machine.boot
        )
        made.machine = machine
        made.start()
        try:
            eventually(lambda: "trying again later: rauc status" in made.log.read_text())
            machine.boot()  # the agent was there first
            yield made
        finally:
            made.close()
    finally:
        machine.close()


def outfitter(server, *command):
    done = subprocess.run(
        [AGENT.parent / "outfitter", *command], env=server.environment(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_bundles_good_and_bad(device, eventually):
    machine = device.machine
    good = machine.bundle("2.0.0")
    status, details = device.ends(device.job(good.read_bytes(), "2.0.0"), eventually)
    assert status == "SUCCEEDED", details
    assert (details["step"], details["slot"], details["version"]) == ("done", "rootfs.1", "2.0.0")
    assert details["sha256"] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert details["boot_id"] == (device.folder / "boot_id").read_text().strip()
    assert (device.boots, machine.read("primary"), machine.read("state.B")) == (2, "B", "good")
    assert (machine.folder / "b.img").read_bytes().startswith(b"new" * 4096)

    status, details = device.ends(
        device.job(machine.bundle("3.0.0", content=b"broken").read_bytes(), "3.0.0"), eventually
    )
    assert status == "FAILED"
    assert "the device's health command ended with 1" in details["reason"]
    assert (details["step"], details["slot"], details["version"]) == ("rolled-back", "rootfs.1", "2.0.0")
    assert details["health"].startswith("passed")
    assert (device.boots, machine.read("primary")) == (4, "B")
    assert (machine.read("state.A"), machine.read("state.B")) == ("bad", "good")

    machine.does_not_boot.add("A")
    status, details = device.ends(device.job(machine.bundle("4.0.0").read_bytes(), "4.0.0"), eventually)
    assert status == "FAILED"
    assert "the machine came up in slot rootfs.1 instead of rootfs.0" in details["reason"]
    assert (details["slot"], details["version"], device.boots) == ("rootfs.1", "2.0.0", 5)

    refused = {
        machine.bundle("5.0.0", key="stranger"): "signature verification failed",
        machine.bundle("5.0.0", compatible="lamp"): "for device types lamp",
        machine.bundle("1.0.0"): "not newer than 2.0.0",
    }
    for bundle, reason in refused.items():
        status, details = device.ends(device.job(bundle.read_bytes(), bundle.name.split("-")[0]), eventually)
        assert (status, details["step"], reason in details["reason"]) == ("FAILED", "refused", True), details
    assert device.boots == 5, "what is refused restarts nothing"

    bundle = machine.bundle("6.0.0", content=b"newest")  # as long as what was broken
    bundle.with_name(f"{bundle.name}.json").write_text(
        json.dumps({"name": "pump", "version": "6.0.0", "device_types": ["pump"]})
    )
    machine.does_not_boot.clear()
    outfitter(device.server, "software", "upload", bundle)
    outfitter(device.server, "update", device.name, "pump", "6.0.0", "--wait")

    shown = device.command("status")
    assert (shown["slot"], shown["name"], shown["version"]) == ("rootfs.0", "pump", "6.0.0")
    told = {each["name"]: each for each in device.command("check")}
    assert told["software"]["text"] == "rootfs.0 (current): pump 6.0.0; rootfs.1: pump 2.0.0"
