"""The rules for slots, kept by folders, by RAUC, and by slots that another package brings."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from outfitter_agent.hands.slots.contract import SlotContract
from outfitter_agent.hands.slots.folder import FolderSlots
from outfitter_agent.hands.slots.port import SlotSettings
from partition_slots import NAMES, make
from rauc_machine import Machine

MANIFEST = {"name": "pump", "device_types": ["p1"], "start": ["./run"]}


class FolderBench:
    def __init__(self, folder):
        self.folder = folder

    def slots(self):
        return FolderSlots(self.folder / "software", unpacked_bytes_max=1 << 20)

    def image(self, version):
        path = self.folder / f"{version}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            manifest = json.dumps(MANIFEST | {"version": version}).encode()
            for name, content in (("outfitter.json", manifest), ("run", version.encode() * 100_000)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    def broken(self):
        image = self.image("2.0.0")
        image.write_bytes(image.read_bytes()[:-20])
        return image

    def boot(self):
        pass

    def content(self, slot):
        found = hashlib.sha256()
        for path in sorted((self.folder / "software" / slot).rglob("*")):
            found.update(path.name.encode() + path.read_bytes())
        return found.digest()


class PartitionBench:
    def __init__(self, folder):
        self.folder = folder
        for name in NAMES:
            (folder / name).write_bytes(bytes(1 << 20))
        (folder / "next").write_text("left")
        self.boot()

    def slots(self):
        options = {"devices": str(self.folder)}
        return make(
            SlotSettings(folder=self.folder, state=self.folder / "state", image_bytes_max=1, options=options)
        )

    def image(self, version):
        path = self.folder / version
        path.write_bytes(
            json.dumps(MANIFEST | {"version": version}).encode() + b"\n" + version.encode() * 100_000
        )
        return path

    def broken(self):
        path = self.folder / "broken"
        path.write_bytes(b"{}\n")
        return path

    def boot(self):
        (self.folder / "booted").write_text((self.folder / "next").read_text())

    def content(self, slot):
        return (self.folder / slot).read_bytes()


class RaucBench:
    def __init__(self, machine):
        self.machine, self.bundles = machine, {}
        machine.boot()
        self.boot = machine.boot

    def slots(self):
        return self.machine.slots

    def image(self, version):
        if version not in self.bundles:
            self.bundles[version] = self.machine.bundle(version, content=version.encode())
        return self.bundles[version]

    def broken(self):
        path = self.machine.folder / "broken.raucb"
        path.write_bytes(self.image("2.0.0").read_bytes()[:-500])
        return path

    def content(self, slot):
        return (self.machine.folder / {"rootfs.0": "a.img", "rootfs.1": "b.img"}[slot]).read_bytes()


class TestFolder(SlotContract):
    @pytest.fixture
    def bench(self, tmp_path):
        return FolderBench(tmp_path)


class TestAnotherPackage(SlotContract):
    @pytest.fixture
    def bench(self, tmp_path):
        return PartitionBench(tmp_path)


class TestRauc(SlotContract):
    @pytest.fixture
    def bench(self, tmp_path_factory, monkeypatch):
        monkeypatch.setattr("outfitter_agent.hands.slots.rauc.POLL_SECONDS", 0.001)
        machine = Machine(Path(tmp_path_factory.mktemp("r")), monkeypatch)
        try:
            yield RaucBench(machine)
        finally:
            machine.close()


class Forgetful(PartitionBench):
    """Slots that write the record first."""

    def slots(self):
        slots = super().slots()
        unpack = slots.unpack

        def record_first(image, installed, check):
            unpack(image, installed, check=lambda: None)
            check()

        slots.unpack = record_first
        return slots


class Hasty(PartitionBench):
    """Slots that switch when they have been filled."""

    def slots(self):
        slots = super().slots()
        unpack = slots.unpack

        def switching(image, installed, check):
            unpack(image, installed, check)
            slots.switch(installed.slot)

        slots.unpack = switching
        return slots


@pytest.mark.parametrize(
    ("kind", "rule", "told"),
    [
        (Forgetful, "test_death_while_it_unpacks", "what did not come to its end is not remembered"),
        (Forgetful, "test_check_ends_the_work", "what did not come to its end is not remembered"),
        (Hasty, "test_unpacking_switches_nothing", "unpacking switches nothing"),
    ],
)
def test_slots_that_break_a_rule_are_found(tmp_path, kind, rule, told):
    with pytest.raises(AssertionError, match=told):
        getattr(SlotContract(), rule)(kind(tmp_path))
