"""The agent with each kind of reboot, against a real server: what is run, and when a job is done.

Needs root: a boot of the machine is another boot id, in a mount namespace.
"""

import os
import signal
from contextlib import contextmanager

from booting_device import BootingDevice
from signed_images import image

QUICK = """
settle_seconds = 0.3
health_interval_seconds = 0.1
health_timeout_seconds = 1
reconnect_max_seconds = 0.5
answer_timeout_seconds = 3
stop_timeout_seconds = 2
"""


@contextmanager
def living(server, folder, settings, **options):
    device = BootingDevice(server, folder, QUICK + settings, **options)
    device.start()
    try:
        yield device
    finally:
        device.close()


def lamp(version, **options):
    return image(version, name="pump", device_types=("pump",), **options)


def on_the_path(folder, program):
    """An environment in which systemctl is that shell script."""
    folder.mkdir()
    (folder / "systemctl").write_text(f"#!/bin/sh\necho $* >> {folder}/told\n{program}\n")
    (folder / "systemctl").chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_systemd(server, tmp_path, eventually):
    """``systemctl reboot`` for the new software, and again for the way back; each job ends in another boot."""
    device_folder, path = tmp_path / "device", tmp_path / "path"
    environment = on_the_path(path, f"echo reboot > {device_folder}/power")
    with living(server, device_folder, 'reboot = "systemd"', environment=environment) as device:
        status, details = device.ends(device.job(lamp("1.0.0"), "1.0.0"), eventually)
        assert (status, details["slot"], device.boots) == ("SUCCEEDED", "a", 2), details
        assert details["boot_id"] == (device_folder / "boot_id").read_text().strip()
        bad = lamp("2.0.0", program="raise SystemExit(3)")
        status, details = device.ends(device.job(bad, "2.0.0"), eventually)
        assert (status, details["slot"], device.boots) == ("FAILED", "a", 4), details
        assert "exit code 3" in details["reason"]
        assert details["boot_id"] == (device_folder / "boot_id").read_text().strip()
    assert (path / "told").read_text() == "reboot\n" * 3


def test_reboot_that_fails(server, tmp_path, eventually):
    """The software before runs on, and the job says why."""
    environment = on_the_path(tmp_path / "path", "exit 1")
    with living(server, tmp_path / "device", 'reboot = "systemd"', environment=environment) as device:
        status, details = device.ends(device.job(lamp("1.0.0"), "1.0.0"), eventually)
        assert (status, details["step"], device.boots) == ("FAILED", "rolled-back", 1)
        assert "the reboot command failed" in details["reason"]
        assert "slot" not in details
        assert device.command("status")["version"] is None


def test_command(server, tmp_path, eventually):
    """An agent that is ended and started again in the same boot has the machine restarted all the same."""
    device_folder = tmp_path / "device"
    once = device_folder / "once"
    script = f"if mkdir {once}; then kill $PPID; else echo reboot > {{power}}; fi"
    settings = f'reboot = "command"\nreboot_command = ["sh", "-c", "{script}"]'
    with living(server, device_folder, settings) as device:
        job_id = device.job(lamp("1.0.0"), "1.0.0")
        device.process.wait(30)
        assert device.execution(job_id)[0] == "IN_PROGRESS"
        device.start_agent()
        status, details = device.ends(job_id, eventually)
        assert (status, details["slot"], device.boots) == ("SUCCEEDED", "a", 2), details


def test_restart(server, tmp_path, eventually):
    """The agent itself starts anew; the process stays, and so does the machine."""
    with living(server, tmp_path / "device", 'reboot = "restart"') as device:
        process = device.process.pid
        status, details = device.ends(device.job(lamp("1.0.0"), "1.0.0"), eventually)
        assert (status, device.boots, device.process.pid) == ("SUCCEEDED", 1, process)
        assert device.process.poll() is None
        assert details["boot_id"] != (device.folder / "boot_id").read_text().strip()


SLOW_TO_END = """
import os, pathlib, signal, time
folder = pathlib.Path(os.environ["OUTFITTER_CONFIGURATION"]).parent
def end(*_):
    (folder / "ending").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    raise SystemExit
signal.signal(signal.SIGTERM, end)
while True:
    time.sleep(0.1)
"""


def test_told_to_end_while_it_starts_anew(server, tmp_path, eventually):
    """The agent ends at once, and the next one goes on; the software of a fresh agent hears SIGTERM as ever."""
    with living(server, tmp_path / "device", 'reboot = "restart"') as device:
        assert (
            device.ends(device.job(lamp("1.0.0", program=SLOW_TO_END), "1.0.0"), eventually)[0] == "SUCCEEDED"
        )
        job_id = device.job(lamp("2.0.0"), "2.0.0")
        eventually((device.folder / "ending").exists)
        device.process.send_signal(signal.SIGTERM)
        (device.folder / "go").touch()
        assert device.process.wait(20) == 0
        assert device.execution(job_id)[0] == "IN_PROGRESS"
        device.start_agent()
        status, details = device.ends(job_id, eventually)
        assert (status, details["version"]) == ("SUCCEEDED", "2.0.0"), details


def test_boot_that_takes_too_long(server, tmp_path, eventually):
    """The kernel has been up for longer than a trial may last when the agent comes to look."""
    settings = 'reboot = "command"\nreboot_command = ["sh", "-c", "echo reboot > {power}"]\ntrial_timeout_seconds = 0.4'
    with living(server, tmp_path / "device", settings) as device:
        status, details = device.ends(device.job(lamp("1.0.0"), "1.0.0"), eventually)
        assert (status, details["step"], device.boots) == ("FAILED", "rolled-back", 3)
        assert details["reason"] == (
            "not proven within trial_timeout_seconds of the boot: healthy, but not for the settle time"
        )
