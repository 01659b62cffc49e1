"""RAUC from Debian, real bundles, slots that are files, and a boot loader that is a script; needs root, for RAUC mounts."""

from pathlib import Path

import pytest
from outfitter_agent.hands.signals import Stopping
from outfitter_agent.hands.slots.rauc import RaucSlots
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble
from rauc_machine import Machine, run


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
    """The agent ends when RAUC has, and gives its watchdog beats until then; the slot counts as empty, the job starts over."""
    monkeypatch.setattr("outfitter_agent.hands.slots.rauc.POLL_SECONDS", 0.001)

    beats = []

    def stop():
        beats.append(1)
        raise Stopping

    with pytest.raises(Stopping):
        machine.slots.unpack(machine.bundle(), installed("rootfs.1"), stop)
    assert len(beats) > 2
    assert machine.slots.installed("rootfs.1") is None


def test_no_rauc(tmp_path):
    with pytest.raises(Trouble, match="RAUC cannot be run"):
        RaucSlots(tmp_path, command=("/no/such/rauc",)).current()
