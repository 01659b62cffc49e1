"""Other updaters of devices, each installing the same data on this machine: Debian's RAUC and Mender's client.

RAUC writes a bundle into a slot that is a file, through its service on a bus of its own. Mender installs an artifact with
its module for single files; the module and a name for what the factory installed are laid over this machine's folders in
a mount namespace. Both want root.
"""

import os
import subprocess
import time
from pathlib import Path
from typing import Final

import msgspec

from outfitter_fleet.load.memory import memory_mb
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.stage.processes import Process, Processes

_SECONDS_MAX: Final = 120.0
_LOOK_SECONDS: Final = 0.005
_BUS: Final = """<busconfig><type>custom</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""
_LOADER: Final = """#!/bin/sh
case "$1" in get-primary) echo A;; get-state) echo good;; esac
"""
_SYSTEM: Final = """[system]
compatible=bench
bootloader=custom
activate-installed=false
mountprefix={folder}/mount
statusfile={folder}/status
[handlers]
bootloader-custom-backend={folder}/loader
[keyring]
path={folder}/cert.pem
check-purpose=any
[slot.rootfs.0]
device={folder}/a
type=raw
bootname=A
[slot.rootfs.1]
device={folder}/b
type=raw
bootname=B
"""
_MANIFEST: Final = """[update]
compatible=bench
version=1
[bundle]
format=plain
[image.rootfs]
filename=data.img
"""
_LAY_OVER: Final = """
mount -t overlay -o "lowerdir=$1/usr/share:/usr/share" overlay /usr/share
mount -t overlay -o "lowerdir=$2/etc:/etc" overlay /etc
exec "$1/usr/bin/mender" --no-syslog --config "$2/mender.conf" --data "$2/data" install "$2/artifact"
"""


class Updater(msgspec.Struct, frozen=True, kw_only=True):
    """One that installed it: seconds from its start until it said so, and its peak."""

    name: str
    seconds: float
    peak_mb: float


def rauc(processes: Processes, folder: Path, data: Path) -> Updater:
    """``rauc install`` of a plain bundle; the peak is that of the service and the command together."""
    folder.mkdir()
    (folder / "mount").mkdir()
    (folder / "in").mkdir()
    for slot in ("a", "b"):
        with (folder / slot).open("wb") as file:
            file.truncate(data.stat().st_size)
    (folder / "loader").write_text(_LOADER)
    (folder / "loader").chmod(0o755)
    (folder / "bus.conf").write_text(_BUS.format(folder=folder))
    (folder / "system.conf").write_text(_SYSTEM.format(folder=folder))
    (folder / "in" / "manifest.raucm").write_text(_MANIFEST)
    (folder / "in" / "data.img").hardlink_to(data)
    key, certificate = folder / "key.pem", folder / "cert.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench"]
    _done(["openssl", *words, "-keyout", str(key), "-out", str(certificate)])
    bundle = folder / "bundle.raucb"
    _done(["rauc", "bundle", f"--cert={certificate}", f"--key={key}", str(folder / "in"), str(bundle)])
    bus = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}
    daemon = ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile", "--print-address"]
    processes.start("dbus", daemon).line("unix:", _SECONDS_MAX)
    command = ["rauc", f"--conf={folder}/system.conf"]
    service = processes.start("rauc-service", [*command, "service", "--override-boot-slot=A"], bus)
    _done(["gdbus", "wait", "--address", bus["DBUS_SYSTEM_BUS_ADDRESS"], "de.pengutronix.rauc"])
    seconds, peak = _timed(processes.start("rauc-install", [*command, "install", str(bundle)], bus))
    _same(folder / "b", data)
    peak += memory_mb(service.pid, "VmHWM")
    return Updater(name=_version("RAUC", ["rauc", "--version"]), seconds=seconds, peak_mb=peak)


def mender(processes: Processes, folder: Path, data: Path, unpacked: Path) -> Updater:
    """``mender install`` of an artifact for a single file; ``unpacked`` holds Debian's packages."""
    for name in ("data/scripts", "etc/mender", "installed", "in"):
        (folder / name).mkdir(parents=True)
    (folder / "data" / "device_type").write_text("device_type=bench")
    (folder / "etc" / "mender" / "artifact_info").write_text("artifact_name=factory")
    (folder / "mender.conf").write_text("{}")
    told = {"dest_dir": str(folder / "installed"), "filename": "data.img", "permissions": "600"}
    for name, content in told.items():
        (folder / "in" / name).write_text(content)
    (folder / "in" / "data.img").hardlink_to(data)
    files = [word for name in (*told, "data.img") for word in ("-f", str(folder / "in" / name))]
    words = ["write", "module-image", "-T", "single-file", "-n", "bench", "-t", "bench"]
    _done([str(unpacked / "usr/bin/mender-artifact"), *words, "-o", str(folder / "artifact"), *files])
    command = ["unshare", "--mount", "sh", "-ec", _LAY_OVER, "sh", str(unpacked), str(folder)]
    seconds, peak = _timed(processes.start("mender", command))
    _same(folder / "installed" / "data.img", data)
    name = _version("Mender", [str(unpacked / "usr/bin/mender"), "--version"])
    return Updater(name=name, seconds=seconds, peak_mb=peak)


def _timed(process: Process) -> tuple[float, float]:
    """Seconds until it had ended well, and its peak in megabytes."""
    began, peak = time.perf_counter(), 0.0
    while process.running:
        peak = max(peak, memory_mb(process.pid, "VmHWM"))
        if time.perf_counter() - began > _SECONDS_MAX:
            raise ProvisioningFailed(f"{process.name} does not end: see {process.log}")
        time.sleep(_LOOK_SECONDS)
    seconds = time.perf_counter() - began
    if process.wait():
        raise ProvisioningFailed(f"{process.name} failed: see {process.log}")
    return seconds, peak


def _same(path: Path, data: Path) -> None:
    if subprocess.run(["cmp", "--quiet", path, data], check=False).returncode:
        raise ProvisioningFailed(f"{path} is not what was to be installed")


def _done(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ})
    if done.returncode:
        raise ProvisioningFailed(f"{command[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _version(name: str, command: list[str]) -> str:
    """The name with the first word of the command's answer that begins with a digit."""
    words = _done(command).split()
    return f"{name} {next((word.partition('+')[0] for word in words if word[0].isdigit()), '')}".strip()
