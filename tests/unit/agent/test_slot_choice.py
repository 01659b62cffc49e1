"""Which slots a setting names: ours, another package's by its entry point, or none."""

import importlib

import pytest
from outfitter_agent.hands.slots.choice import make_slots
from outfitter_agent.hands.slots.folder import FolderSlots
from outfitter_agent.hands.slots.port import SlotsError, SlotSettings
from outfitter_agent.hands.slots.rauc import RaucSlots
from partition_slots import PartitionSlots


def settings(tmp_path, **options):
    return SlotSettings(
        folder=tmp_path / "software", state=tmp_path / "state", image_bytes_max=1 << 20, options=options
    )


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A package beside the agent's, installed as pip would."""

    def bring(package, value):
        folder = tmp_path / "site"
        information = folder / f"{package}-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[outfitter_agent.slots]\npartitions = {value}\n")
        monkeypatch.syspath_prepend(folder)
        importlib.invalidate_caches()

    return bring


def test_ours(tmp_path):
    assert type(make_slots("folder", settings(tmp_path))) is FolderSlots
    assert type(make_slots("rauc", settings(tmp_path, command=["rauc", "--conf=x"]))) is RaucSlots


def test_those_of_another_package(tmp_path, brought):
    brought("pump-slots", "partition_slots:make")
    made = make_slots("partitions", settings(tmp_path, devices=str(tmp_path)))
    assert type(made) is PartitionSlots
    with pytest.raises(SlotsError, match="needs the option 'devices'"):
        make_slots("partitions", settings(tmp_path))


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("disks", {}, "slot = 'disks': no installed package brings it; known are folder, rauc"),
        ("folder", {"size": 1}, "slot = \"folder\" knows no option, and so not 'size'"),
        ("rauc", {"conf": "x"}, "slot = \"rauc\" knows the option 'command', and not 'conf'"),
        ("rauc", {"command": "rauc"}, "'command' must be a list of texts, not 'rauc'"),
        ("rauc", {"command": []}, "'command' must be a list of texts"),
    ],
)
def test_refused(tmp_path, name, options, reason):
    with pytest.raises(SlotsError) as refused:
        make_slots(name, settings(tmp_path, **options))
    assert reason in str(refused.value)


def test_package_that_is_broken(tmp_path, brought):
    brought("pump-slots", "partition_slots:none")
    with pytest.raises(SlotsError, match="partition_slots:none cannot be loaded"):
        make_slots("partitions", settings(tmp_path))


def test_two_packages_that_bring_the_same(tmp_path, brought):
    brought("pump-slots", "partition_slots:make")
    brought("more-slots", "partition_slots:make")
    with pytest.raises(SlotsError, match="2 packages bring it; known are folder, partitions, rauc"):
        make_slots("partitions", settings(tmp_path))
