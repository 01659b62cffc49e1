"""Files that the command writes: whole, or as they were before."""

import errno
import os
import stat
from pathlib import Path

import pytest
from outfitter_updates.catalogue.problems import Problem
from outfitter_updates.cli.config import write_configuration
from outfitter_updates.cli.key_files import make_key


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that takes the beginning of what is written."""
    written = Path.write_bytes

    def fails(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(path, content):
        written(path, content[:1])
        fails()

    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(os, "fsync", fails)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_configuration_that_was_there(tmp_path):
    path = tmp_path / "pump.json"
    path.write_text("before")
    with pytest.raises(Problem, match="No space left on device"):
        write_configuration(path, b"after")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_no_half_of_a_key(tmp_path):
    """It would be taken for a key that must not be overwritten."""
    with pytest.raises(Problem, match="No space left on device"):
        make_key(tmp_path / "release.key", None, "")
    assert not list(tmp_path.iterdir())


def test_a_configuration_keeps_its_mode_and_its_link(tmp_path):
    path, link = tmp_path / "pump.json", tmp_path / "link.json"
    path.touch(0o600)
    link.symlink_to(path)
    write_configuration(link, b"after")
    assert path.read_text() == link.read_text() == "after"
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_file_is_written_to(tmp_path):
    write_configuration(Path(os.devnull), b"after")
    assert not Path(os.devnull).is_file()
