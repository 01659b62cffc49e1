"""A file that is being downloaded, and what of it counts after the agent's end and after a power loss."""

import hashlib
import os

import pytest
from outfitter_agent.hands import partial as partial_module
from outfitter_agent.hands.partial import Partial


@pytest.fixture
def small_syncs(monkeypatch):
    monkeypatch.setattr(partial_module, "SYNC_BYTES", 10)


def written(folder, *blocks, close=False):
    """A download whose agent dies after these blocks: what was written is with the system."""
    partial = Partial(folder)
    partial.begin("image", '"v"')
    for block in blocks:
        partial.append(block)
    if close:
        partial.close()
    else:
        partial._file.close()
    return partial


def found(folder):
    partial = Partial(folder)
    partial.open("image")
    told = partial.length, partial.digest
    partial.close()
    return told


def test_after_the_end_of_the_agent_all_that_was_written_counts(tmp_path, small_syncs):
    written(tmp_path, b"a" * 12, b"b" * 5)
    assert found(tmp_path) == (17, hashlib.sha256(b"a" * 12 + b"b" * 5).hexdigest())


def test_after_a_power_loss_what_was_synced_counts(tmp_path, small_syncs, monkeypatch):
    partial = written(tmp_path, b"a" * 12, b"b" * 5)
    os.truncate(partial.path, 12)
    os.truncate(partial.path, 4000)  # the length came to the disk, the bytes did not
    monkeypatch.setattr(partial_module, "kernel_boot_id", lambda: "another boot")
    assert found(tmp_path) == (12, hashlib.sha256(b"a" * 12).hexdigest())


def test_what_was_closed_was_synced(tmp_path, monkeypatch):
    written(tmp_path, b"a" * 12, close=True)
    monkeypatch.setattr(partial_module, "kernel_boot_id", lambda: "another boot")
    assert found(tmp_path)[0] == 12


def test_a_note_of_an_older_agent_trusts_nothing(tmp_path):
    written(tmp_path, b"a" * 12)
    (tmp_path / "image.json").write_text('{"object": "image", "validator": "v"}')
    assert found(tmp_path)[0] == 0
