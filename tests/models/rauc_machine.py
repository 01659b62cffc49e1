"""A machine whose system RAUC updates: RAUC from Debian, slots that are files, and a boot loader that is a script.

Needs root, for RAUC mounts bundles.
"""

import os
import subprocess

from outfitter_agent.hands.slots.rauc import RaucSlots

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>"""
LOADER = """#!/bin/sh
cd {folder}
case "$1" in
get-primary) cat primary;;
set-primary) echo "$2" > primary;;
get-state) cat "state.$2";;
set-state) echo "$3" > "state.$2";;
esac
"""
SYSTEM = """[system]
compatible=pump
bootloader=custom
activate-installed={activate}
mountprefix={folder}/mount
statusfile={folder}/rauc.status
[handlers]
bootloader-custom-backend={folder}/loader
[keyring]
path={folder}/trusted.pem
check-purpose=any
[slot.rootfs.0]
device={folder}/a.img
type=raw
bootname=A
[slot.rootfs.1]
device={folder}/b.img
type=raw
bootname=B
"""
MANIFEST = """[update]
compatible={compatible}
version={version}
[bundle]
format=plain
[image.rootfs]
filename=rootfs.img
"""


class Machine:
    """``boot`` starts RAUC's service as the boot loader's choice has it, and links ``running.img`` to that slot."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.service = folder, None
        self.does_not_boot = set()
        (folder / "mount").mkdir()
        for name, content in (("a.img", b"old"), ("b.img", b"")):
            (folder / name).write_bytes(content.ljust(65536, b"\0"))
        for name, content in (("primary", "A"), ("state.A", "good"), ("state.B", "bad")):
            (folder / name).write_text(content + "\n")
        (folder / "loader").write_text(LOADER.format(folder=folder))
        (folder / "loader").chmod(0o755)
        (folder / "bus.conf").write_text(BUS.format(folder=folder))
        self.configure(activate="false")
        for name in ("trusted", "stranger"):
            run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "3650",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")  # fmt: skip
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={folder}/bus")
        self.bus = subprocess.Popen(
            [
                "dbus-daemon",
                f"--config-file={folder}/bus.conf",
                "--nofork",
                "--nopidfile",
                "--print-address=1",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.bus.stdout.readline(), "the bus listens when it has told its address"
        self.slots = RaucSlots(folder / "records", command=("rauc", f"--conf={folder}/system.conf"))

    def configure(self, activate):
        (self.folder / "system.conf").write_text(SYSTEM.format(folder=self.folder, activate=activate))

    def boot(self):
        self.end(self.service)
        if self.read("primary") in self.does_not_boot:
            (self.folder / "primary").write_text("B\n" if self.read("primary") == "A" else "A\n")
        chosen = self.read("primary")
        (self.folder / "running.img").unlink(missing_ok=True)
        (self.folder / "running.img").symlink_to(f"{chosen.lower()}.img")
        self.service = subprocess.Popen(
            ["rauc", f"--conf={self.folder}/system.conf", "service", f"--override-boot-slot={chosen}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        run(
            "gdbus",
            "wait",
            "--address",
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"],
            "--timeout",
            "20",
            "de.pengutronix.rauc",
        )

    def end(self, process):
        if process is not None:
            process.terminate()
            process.wait(20)

    def close(self):
        self.end(self.service)
        self.end(self.bus)
        self.bus.stdout.close()

    def read(self, name):
        return (self.folder / name).read_text().strip()

    def bundle(self, version="2.0.0", compatible="pump", key="trusted", content=b"new"):
        made, source = (
            self.folder / f"{version}-{compatible}-{key}.raucb",
            self.folder / f"in-{version}-{compatible}-{key}",
        )
        source.mkdir()
        (source / "rootfs.img").write_bytes(content * 4096)
        (source / "manifest.raucm").write_text(MANIFEST.format(compatible=compatible, version=version))
        run(
            "rauc",
            "bundle",
            f"--cert={self.folder}/{key}.pem",
            f"--key={self.folder}/{key}.key",
            source,
            made,
        )
        return made


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
