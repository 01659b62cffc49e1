"""The power goes before and after every step of the agent, or the step fails: one whole version runs, the result is right,
nothing runs twice."""

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from outfitter_agent.hands import archive, durable, hooks
from outfitter_agent.hands.slots import folder as slots
from outfitter_agent.plans import recover
from outfitter_agent.plans.effects import Restart, Save, Switch, perform
from outfitter_agent.plans.states import UPDATE_STATES, PowerLoss
from outfitter_agent.plans.transaction import Journal, Stage
from outfitter_contract.execution import Status
from outfitter_fleet.power.__main__ import DOCUMENT
from outfitter_fleet.power.booted import BOOTED
from outfitter_fleet.power.bootloader import BOOTS_MAX
from outfitter_fleet.power.cancelled import CANCELLED
from outfitter_fleet.power.cuts import describe, outcomes, record, twice
from outfitter_fleet.power.disk import Disk, Loss, after
from outfitter_fleet.power.faults import Kind, faults
from outfitter_fleet.power.lives import quiet
from outfitter_fleet.power.scenes import SCENES
from outfitter_fleet.power.service import JOB
from outfitter_fleet.power.table import ALL, FAULTED, blocks, failed, fault_blocks, ground
from outfitter_fleet.tables.blocks import filled

PAIRS = 6
NEWER, FIRST, *_ = SCENES
(HOOKED, _) = (scene for scene in SCENES if scene.hooks)


@pytest.fixture(scope="module")
def disk():
    """Where devices live and die; in memory where there is such a place."""
    with tempfile.TemporaryDirectory(prefix="outfitter-power-", dir=ground()) as place:
        yield Path(place) / "device"


@pytest.fixture(scope="module", autouse=True)
def few_words():
    with quiet():
        yield


class Found(dict):
    """What came of each scene, played when it is asked for first."""

    def __init__(self, disk):
        self._disk, self._scenes = disk, {scene.title: scene for scene in ALL}

    def __missing__(self, title):
        self[title] = list(outcomes(self._scenes[title], self._disk))
        return self[title]


@pytest.fixture(scope="module")
def found(disk):
    return Found(disk)


@pytest.mark.parametrize("scene", ALL, ids=lambda scene: scene.title)
def test_every_cut_ends_right(scene, found):
    assert len(found[scene.title]) > 50
    assert [describe(each) for each in found[scene.title] if each.wrong] == []


@pytest.fixture(scope="module")
def faulted(disk):
    return failed(disk)


@pytest.mark.parametrize("scene", FAULTED, ids=lambda scene: scene.title)
def test_every_fault_ends_right(scene, faulted):
    found = faulted[scene.title]
    assert {each.kind for each in found} == set(Kind)
    assert [each for each in found if each.wrong] == []


@pytest.mark.timeout(300)  # alone it plays all of them
def test_the_table_is_fresh(found, faulted):
    told = DOCUMENT.read_text("utf-8")
    fresh = blocks({scene.title: found[scene.title] for scene in ALL})
    assert filled(told, {**fresh, **fault_blocks(faulted)}) == told, "`make power-cuts` writes it anew"


@pytest.mark.parametrize("scene", CANCELLED, ids=lambda scene: scene.title)
def test_uncut_the_job_is_canceled_in_the_middle(scene, disk):
    cuts, _, _ = record(scene, disk)
    assert cuts[-1].world.service.executions[JOB].status is Status.CANCELED


def test_one_fresh_document_is_asked_for_when_the_url_expires(disk):
    (scene,) = (each for each in SCENES if each.url_expires)
    cuts, _, _ = record(scene, disk)
    assert [cut.when for cut in cuts if cut.step.startswith(f"publish {JOB}/get")] == ["before", "after"]


def test_the_boot_loader_gives_up_what_does_not_boot(disk):
    _, done, _ = record(BOOTED[-1], disk)
    assert (done["boot rootfs.1"], done["boot rootfs.0"]) == (BOOTS_MAX, 1)


@pytest.mark.parametrize("scene", ALL, ids=lambda scene: scene.title)
def test_a_second_cut_while_it_recovers(scene, disk):
    wrong = [describe(each) for each in twice(scene, disk, PAIRS) if each.wrong]
    assert wrong == []


def told_too_early(update, slot):
    told = replace(update, restarts=update.restarts + 1, switched=True)
    yield from perform(Save(journal=Journal(update=told)))
    yield from perform(Switch(slot=slot))
    yield from perform(Restart())


BREAKAGES = {
    "names are not synced": (durable, "sync_folder", lambda _path: None, FIRST),
    "folders of a slot are not synced": (archive, "sync_folder", lambda _path: None, NEWER),
    "the record of a slot is written plainly": (
        slots,
        "write_durably",
        lambda path, content: path.write_bytes(content),
        NEWER,
    ),
    "what hooks were told is written plainly": (
        hooks,
        "write_durably",
        lambda path, content: path.write_bytes(content),
        HOOKED,
    ),
    "the journal says too early that the boot loader was told": (
        recover,
        "_restart_into",
        told_too_early,
        BOOTED[0],
    ),
    "the journal is believed after everything": (
        recover,
        "UPDATE_STATES",
        {**UPDATE_STATES, Stage.TRIAL: replace(UPDATE_STATES[Stage.TRIAL], power_loss=PowerLoss.START_OVER)},
        NEWER,
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_broken_is_noticed(name, disk, monkeypatch):
    owner, part, stand_in, scene = BREAKAGES[name]
    monkeypatch.setattr(owner, part, stand_in)
    assert any(outcome.wrong for outcome in outcomes(scene, disk))


def test_a_fault_that_is_forgotten_is_noticed(disk, monkeypatch):
    lost = {
        **UPDATE_STATES,
        Stage.TRIAL: replace(UPDATE_STATES[Stage.TRIAL], power_loss=PowerLoss.START_OVER),
    }
    monkeypatch.setattr(recover, "UPDATE_STATES", lost)
    assert any("SUCCEEDED without restart" in each.wrong for each in faults(NEWER, disk))


def test_only_what_was_synced_stays(tmp_path):
    disk = Disk(tmp_path)
    disk.settle()
    with disk.watched(lambda _moment: None):
        durable.write_durably(tmp_path / "kept", b"1")
        (tmp_path / "named").write_bytes(b"2")
        durable.sync_folder(tmp_path)
        (tmp_path / "lost").write_bytes(b"3")
        (tmp_path / "kept").rename(tmp_path / "renamed")
    picture, chance = disk.picture(), random.Random(1)
    disk.close()
    left = {loss: {name: content for name, _, content, _ in after(picture, loss, chance)} for loss in Loss}
    assert left[Loss.NOTHING] == {"renamed": b"1", "named": b"2", "lost": b"3"}
    assert left[Loss.EVERYTHING] == {"kept": b"1", "named": b""}
    assert left[Loss.CONTENTS] == {"renamed": b"1", "named": b"", "lost": b""}
    assert left[Loss.ZEROS] == {"renamed": b"1", "named": b"\0", "lost": b"\0"}
    assert left[Loss.NAMES] == {"kept": b"1", "named": b"2"}
