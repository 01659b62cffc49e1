"""RAUC from Debian, real bundles, slots that are files, and a boot loader that is a script; needs root, for RAUC mounts."""

import os
import subprocess
from pathlib import Path

import pytest
from outfitter_agent.hands.signals import Stopping
from outfitter_agent.hands.slots.rauc import RaucSlots
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble

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
    """A device whose system RAUC updates; ``boot`` starts RAUC's service as the boot loader's choice has it."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.service = folder, None
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
        chosen = self.read("primary")
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


def installed(slot, version="2.0.0"):
    return Installed(slot=slot, name="pump", version=version, sha256="ab" * 32, start=())


@pytest.fixture
def machine(tmp_path_factory, monkeypatch):
    made = Machine(Path(tmp_path_factory.mktemp("r")), monkeypatch)
    try:
        made.boot()
        yield made
    finally:
        made.close()


def test_install_boot_and_mark_good(machine):
    slots = machine.slots
    assert (slots.current(), slots.other()) == ("rootfs.0", "rootfs.1")
    assert slots.installed("rootfs.0") is None, "what the factory put there is not known"
    slots.unpack(machine.bundle(), installed("rootfs.1"))
    assert (machine.folder / "b.img").read_bytes().startswith(b"new" * 4096)
    assert machine.read("primary") == "A", "unpacking switches nothing"
    slots.switch("rootfs.1")
    slots.switch("rootfs.1")
    machine.boot()
    assert slots.current() == "rootfs.1"
    assert slots.installed("rootfs.1") == installed("rootfs.1")
    machine.folder.joinpath("state.B").write_text("unknown\n")
    slots.mark_good("rootfs.1")
    assert machine.read("state.B") == "good"


def test_back_to_the_slot_before(machine):
    slots = machine.slots
    slots.unpack(machine.bundle(), installed("rootfs.1"))
    slots.switch("rootfs.1")
    machine.boot()
    slots.mark_bad("rootfs.1")
    slots.switch("rootfs.0")
    machine.boot()
    assert (slots.current(), machine.read("state.B"), machine.read("state.A")) == ("rootfs.0", "bad", "good")
    assert (machine.folder / "a.img").read_bytes().startswith(b"old")


def test_bad_bundles_are_refused_and_nothing_is_switched(machine):
    good = machine.bundle()
    truncated = machine.folder / "truncated.raucb"
    truncated.write_bytes(good.read_bytes()[:-500])
    cases = {
        machine.bundle(compatible="lamp"): "Compatible mismatch",
        machine.bundle(key="stranger"): "signature verification failed",
        truncated: "RAUC refuses the bundle",
    }
    for bundle, reason in cases.items():
        with pytest.raises(Trouble, match=reason):
            machine.slots.unpack(bundle, installed("rootfs.1"))
        assert machine.slots.installed("rootfs.1") is None
        assert machine.read("primary") == "A"
    assert (machine.folder / "b.img").read_bytes().count(b"\0") == 65536, "not a byte was written"


def test_the_slot_that_runs_is_never_written(machine):
    with pytest.raises(Trouble, match=r"rootfs\.0 is not the one"):
        machine.slots.unpack(machine.bundle(), installed("rootfs.0"))


def test_slot_written_by_somebody_else_is_not_known(machine):
    bundle = machine.bundle()
    machine.slots.unpack(bundle, installed("rootfs.1"))
    run("rauc", f"--conf={machine.folder}/system.conf", "install", bundle)
    assert machine.slots.installed("rootfs.1") is None


def test_rauc_that_activates_by_itself_is_put_right(machine):
    machine.configure(activate="true")
    machine.boot()
    with pytest.raises(Trouble, match="activate-installed=false"):
        machine.slots.unpack(machine.bundle(), installed("rootfs.1"))
    assert machine.read("primary") == "A"
    assert machine.slots.installed("rootfs.1") is None


def test_told_to_stop_while_rauc_writes(machine, monkeypatch):
    """The agent ends when RAUC has; the slot counts as empty, and the job starts over."""
    monkeypatch.setattr("outfitter_agent.hands.slots.rauc.POLL_SECONDS", 0.001)

    def stop():
        raise Stopping

    with pytest.raises(Stopping):
        machine.slots.unpack(machine.bundle(), installed("rootfs.1"), stop)
    assert machine.slots.installed("rootfs.1") is None


def test_no_rauc(tmp_path):
    with pytest.raises(Trouble, match="RAUC cannot be run"):
        RaucSlots(tmp_path, command=("/no/such/rauc",)).current()
