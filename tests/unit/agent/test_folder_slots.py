"""The two folders, their link, and what a fault leaves behind."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from outfitter_agent.hands import durable
from outfitter_agent.hands.signals import Stopping
from outfitter_agent.hands.slots.folder import FolderSlots
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Abandoned, Trouble

BYTES_MAX = 10_000_000


def installed(slot, version="1.0"):
    return Installed(
        slot=slot, name="pump", version=version, sha256="ab" * 32, start=("./run",), health=("./ok",)
    )


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.tar.gz"
    manifest = {"name": "pump", "version": "1.0", "device_types": ["p1"], "start": ["./run"]}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("./run", b"#!/bin/sh\n"), ("./outfitter.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def slots(tmp_path):
    (tmp_path / "software").mkdir()
    return FolderSlots(tmp_path / "software", unpacked_bytes_max=BYTES_MAX)


def test_new_device_is_left_as_it_is(tmp_path):
    slots = FolderSlots(tmp_path / "software", unpacked_bytes_max=BYTES_MAX)
    assert slots.current() is None
    assert slots.installed(slots.current()) is None
    assert not (tmp_path / "software").exists()


def test_empty_folder(slots):
    assert slots.current() is None
    assert slots.installed(slots.current()) is None


def test_unpack_and_switch(slots, image, tmp_path):
    slots.unpack(image, installed("a"))
    assert slots.current() is None, "unpacking switches nothing"
    slots.switch("a")
    assert slots.current() == "a"
    assert slots.installed("a") == installed("a")
    assert (tmp_path / "software/current/run").read_bytes() == b"#!/bin/sh\n"
    slots.unpack(image, installed("b", "2.0"))
    slots.switch("b")
    slots.switch("b")
    assert slots.installed(slots.current()).version == "2.0"
    assert slots.installed("a").version == "1.0", "the slot before is untouched"
    slots.switch(None)
    assert slots.current() is None


def test_the_slot_that_runs_is_never_written(slots, image):
    slots.unpack(image, installed("a"))
    slots.switch("a")
    with pytest.raises(Trouble, match="slot a is the one that runs"):
        slots.unpack(image, installed("a", "2.0"))
    assert slots.installed("a").version == "1.0"


def test_old_content_goes(slots, image, tmp_path):
    slots.unpack(image, installed("a"))
    (tmp_path / "software/a/left-over").write_text("x")
    slots.unpack(image, installed("a", "2.0"))
    assert not (tmp_path / "software/a/left-over").exists()


def test_half_filled_slot_is_no_software(slots, image, tmp_path):
    slots.unpack(image, installed("a"))
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(image.read_bytes()[:60])
    with pytest.raises(Trouble, match="corrupt"):
        slots.unpack(broken, installed("a", "2.0"))
    assert slots.installed("a") is None


@pytest.mark.parametrize("told", [Abandoned, Stopping])
def test_unpacking_ends_when_told_to(slots, image, tmp_path, told):
    """An image may hold tens of thousands of files; a cancelled job, or SIGTERM, waits for none of them."""
    run = tmp_path / "software/a/run"

    def check():
        if run.exists():
            raise told

    with pytest.raises(told):
        slots.unpack(image, installed("a"), check)
    assert slots.installed("a") is None
    assert not (tmp_path / "software/a/outfitter.json").exists()
    assert run.exists() is (told is Stopping), (
        "an abandoned job gives its room back; one to be resumed starts over"
    )
    slots.unpack(image, installed("a"))
    assert slots.installed("a") == installed("a")


@pytest.mark.parametrize("name", ["c", "../a", "", "a/b"])
def test_no_such_slot(slots, image, name):
    with pytest.raises(Trouble, match="is no slot"):
        slots.unpack(image, installed(name))


@pytest.mark.parametrize("target", ["/etc", "../elsewhere", "c"])
def test_link_to_elsewhere_is_no_slot(slots, tmp_path, target):
    (tmp_path / "software/current").symlink_to(target)
    assert slots.current() is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"slot": "a"}'])
def test_broken_record_is_no_software(slots, tmp_path, content):
    (tmp_path / "software/a.json").write_bytes(content)
    assert slots.installed("a") is None


class Dead(BaseException):
    """The process ended here."""


def dying(monkeypatch, at):
    """Let the n-th call that changes the disk be the last one."""
    left = [at]
    originals = {
        name: getattr(os, name) for name in ("rename", "fsync", "symlink", "unlink", "mkdir", "replace")
    }

    def counted(original):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                raise Dead
            return original(*arguments, **options)

        return call

    for name, original in originals.items():
        monkeypatch.setattr(os, name, counted(original))


@pytest.mark.parametrize("at", range(1, 30))
def test_death_at_each_write_leaves_the_old_or_the_new(at, slots, image, monkeypatch):
    slots.unpack(image, installed("a"))
    slots.switch("a")
    with monkeypatch.context() as patch:
        dying(patch, at)
        try:
            slots.unpack(image, installed("b", "2.0"))
            slots.switch("b")
        except Dead:
            pass
    current = slots.installed(slots.current())
    assert current in (installed("a"), installed("b", "2.0"))
    slots.unpack(image, installed("b" if slots.current() == "a" else "a", "3.0"))


def test_durable_files_are_private(tmp_path):
    durable.write_durably(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_what_unpacking_needs(tmp_path):
    root = tmp_path / "software"
    slots = FolderSlots(root, unpacked_bytes_max=BYTES_MAX)
    assert slots.unpacking_needs(tmp_path, 100_000) == 100_000
    for slot in ("a", "b"):
        (root / slot / "lib").mkdir(parents=True)
        with (root / slot / "lib/data").open("wb") as file:
            file.write(b"x" * 65_536)
            file.flush()
            os.fsync(file.fileno())
    (root / "current").symlink_to("a")
    assert slots.unpacking_needs(tmp_path, 100_000) <= 100_000 - 65_536
    assert slots.unpacking_needs(tmp_path, 10) == 0
    assert slots.unpacking_needs(Path("/proc"), 100_000) == 0


def test_slots_below_a_file(tmp_path):
    """Nothing is installed, and what cannot be is told in words."""
    (tmp_path / "software").write_text("")
    slots = FolderSlots(tmp_path / "software", unpacked_bytes_max=BYTES_MAX)
    assert slots.current() is None
    assert slots.installed("a") is None
    assert slots.fault() is None


def test_faults(tmp_path):
    root = tmp_path / "software"
    slots = FolderSlots(root, unpacked_bytes_max=BYTES_MAX)
    assert slots.fault() is None
    root.mkdir()
    (root / "current").symlink_to("c")
    assert slots.fault() == f"{root}/current names no slot"
    (root / "current").unlink()
    (root / "current").symlink_to("a")
    assert slots.fault() == "slot a is current and not whole"


def test_record_of_a_newer_agent(tmp_path):
    """What it says more is left out; the software runs."""
    root = tmp_path / "software"
    root.mkdir()
    record = {"slot": "a", "name": "pump", "version": "1", "sha256": "0", "start": ["run"], "health": None}
    (root / "a.json").write_text(json.dumps(record | {"of_tomorrow": 1}))
    (root / "current").symlink_to("a")
    found = FolderSlots(root, unpacked_bytes_max=BYTES_MAX).installed("a")
    assert (found.version, found.start) == ("1", ("run",))
