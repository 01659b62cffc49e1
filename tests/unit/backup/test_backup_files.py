"""Backups and restores: whole or not at all, checked byte by byte, and never over anything that is there."""

import asyncio
import fcntl
import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from outfitter_server.base.refusals import Unavailable
from outfitter_server.blobs.files import held
from outfitter_server.main.backup import back_up, run_backup
from outfitter_server.main.restore import restore, run_restore
from outfitter_server.stores.sqlite.snapshot import take_snapshot
from outfitter_server.stores.sqlite.statements import load_migrations


def ignore(_text):
    """For progress that nobody watches."""


def contents(folder):
    """Every file below a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def nothing_is_left(folder):
    return not list(folder.glob(".*.partial"))


@pytest.fixture(params=["backup", "backup.tar"], ids=["folder", "tar"])
def target(request, tmp_path):
    return tmp_path / request.param


@pytest.fixture
async def files(installation):
    return {key: await installation.put(key, key.encode() * 1000) for key in ("a", "b", "c")}


async def test_a_backup_comes_back_as_it_was(installation, files, target, tmp_path):
    done = back_up(installation.data, target, ignore)
    assert (done.blobs, done.blob_bytes) == (3, 3000)
    back = tmp_path / "back"
    assert restore(target, back, ignore).blobs == 3
    kept = contents(back)
    for path in [*files.values(), installation.data / "credentials", *(installation.data / "ca").iterdir()]:
        assert kept[path.relative_to(installation.data).as_posix()] == path.read_bytes()
    assert set(kept) == {
        path.relative_to(installation.data).as_posix()
        for path in [*files.values(), *(installation.data / "ca").iterdir()]
    } | {"credentials", "state.sqlite3"}
    with closing(sqlite3.connect(back / "state.sqlite3")) as state:
        assert [row[0] for row in state.execute("SELECT key FROM objects ORDER BY key")] == ["a", "b", "c"]
    assert {path.stat().st_mode & 0o077 for path in [back, *back.rglob("*")]} == {0}
    assert nothing_is_left(tmp_path)


async def test_a_folder_shares_files_and_sha256sum_reads_its_list(installation, files, tmp_path):
    target = tmp_path / "backup"
    assert back_up(installation.data, target, ignore).linked == 3
    copy = target / files["a"].relative_to(installation.data)
    assert copy.samefile(files["a"])
    checking = await asyncio.create_subprocess_exec(
        "sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=target
    )
    assert await checking.wait() == 0
    about = json.loads((target / "backup.json").read_text())
    assert about["format"] == 1
    assert (target / "credentials").stat().st_ino != (installation.data / "credentials").stat().st_ino


async def test_files_on_another_file_system_are_copied(installation, files, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    done = back_up(installation.data, tmp_path / "backup", ignore)
    assert done.linked == 0
    restore(tmp_path / "backup", tmp_path / "back", ignore)


async def test_what_is_deleted_during_a_backup_stays_for_it(installation, files, target, tmp_path):
    """A row goes after the state was copied, and its blob stays until the backup has it."""
    with held(installation.data / "blobs"):
        await installation.delete("a", files["a"])
        assert files["a"].exists()
    back_up(installation.data, target, ignore)
    os.utime(files["a"], (1, 1))
    assert await installation.blobs.sweep(lambda _names: set()) == 1
    assert not files["a"].exists()


async def test_two_backups_at_once_are_one_too_many(installation, files, target, monkeypatch):
    monkeypatch.setattr("outfitter_server.blobs.files._HOLD_ATTEMPTS", 1)
    with held(installation.data / "blobs"), pytest.raises(Unavailable, match="another backup"):
        back_up(installation.data, target, ignore)
    assert not target.exists()


async def test_nothing_is_replaced(installation, files, target, capsys):
    target.write_text("mine")
    assert run_backup(installation.data, target, as_json=False) == 1
    assert "exists" in capsys.readouterr().err
    assert target.read_text() == "mine"


async def test_a_folder_without_an_installation_is_told(tmp_path, target, capsys):
    assert run_backup(tmp_path / "nowhere", target, as_json=True) == 1
    assert "holds no installation" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize("harm", ["missing", "short"])
async def test_a_damaged_installation_makes_no_backup(installation, files, target, tmp_path, harm):
    if harm == "missing":
        files["b"].unlink()
    else:
        files["b"].write_bytes(b"short")
    with pytest.raises(Unavailable, match="is missing" if harm == "missing" else "should have 1000"):
        back_up(installation.data, target, ignore)
    assert not target.exists()
    assert nothing_is_left(tmp_path)


async def test_a_backup_that_breaks_off_leaves_nothing(installation, files, target, tmp_path):
    def full(text):
        if text.startswith("blobs"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        back_up(installation.data, target, full)
    assert not target.exists()
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("name", ["state.sqlite3", "credentials", "blobs", "SHA256SUMS"])
@pytest.mark.parametrize("harm", ["changed", "missing"])
async def test_a_damaged_backup_restores_nothing(installation, files, tmp_path, name, harm):
    target, back = tmp_path / "backup", tmp_path / "back"
    back_up(installation.data, target, ignore)
    path = next(p for p in (target / name).rglob("*") if p.is_file()) if name == "blobs" else target / name
    data = bytearray(path.read_bytes())
    path.unlink()  # it may be shared with the installation
    if harm == "changed":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(Unavailable, match=r"damaged|no whole backup"):
        restore(target, back, ignore)
    assert not back.exists()
    assert nothing_is_left(tmp_path)


async def test_a_tar_file_that_was_cut_short_restores_nothing(installation, files, tmp_path):
    target, back = tmp_path / "backup.tar", tmp_path / "back"
    back_up(installation.data, target, ignore)
    os.truncate(target, target.stat().st_size // 2)
    with pytest.raises(Unavailable):
        restore(target, back, ignore)
    assert not back.exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "blobs/ab/../../evil", "ca/..", "other"])
async def test_paths_in_a_tar_file_lead_nowhere_else(installation, files, tmp_path, name):
    source, back = tmp_path / "evil.tar", tmp_path / "deep" / "back"
    with tarfile.open(source, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(Unavailable, match="does not belong"):
        restore(source, back, ignore)
    assert contents(tmp_path / "deep") == {}


async def test_links_in_a_tar_file_are_refused(tmp_path):
    source = tmp_path / "evil.tar"
    member = tarfile.TarInfo("credentials")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(source, "w") as tar:
        tar.addfile(member)
    with pytest.raises(Unavailable, match="no ordinary file"):
        restore(source, tmp_path / "back", ignore)


async def test_a_folder_that_is_in_use_is_left_alone(installation, files, tmp_path, capsys):
    target = tmp_path / "backup"
    back_up(installation.data, target, ignore)
    before = contents(installation.data)
    assert run_restore(target, installation.data, as_json=False) == 1
    assert "is not empty" in capsys.readouterr().err
    with (installation.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_restore(target, installation.data, as_json=False) == 1
    assert "serves" in capsys.readouterr().err
    assert contents(installation.data) == before | {"lock": b""}


async def test_an_empty_folder_is_taken(installation, files, tmp_path, capsys):
    target, back = tmp_path / "backup", tmp_path / "back"
    back.mkdir()
    assert run_backup(installation.data, target, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["blobs"] == 3
    assert run_restore(target, back, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["target"] == str(back)
    assert (back / "state.sqlite3").exists()


@pytest.mark.parametrize("source", ["nothing", "text"])
async def test_what_is_no_backup_is_told(tmp_path, source):
    (tmp_path / "text").write_text("no tar file at all")
    with pytest.raises(Unavailable):
        restore(tmp_path / source, tmp_path / "back", ignore)
    assert not (tmp_path / "back").exists()


async def test_a_backup_of_an_older_release_is_brought_to_this_ones_schema(
    make_installation, tmp_path, monkeypatch
):
    old = tmp_path / "old"
    newest = len(load_migrations())
    with monkeypatch.context() as past:
        all_of_them = load_migrations()
        for module in ("statements", "store", "snapshot"):
            past.setattr(f"outfitter_server.stores.sqlite.{module}.load_migrations", lambda: all_of_them[:-1])
        made = make_installation(old)
        await made.put("kept", b"old bytes")
        back_up(old, tmp_path / "backup", ignore)
        made.store.close()
    back = tmp_path / "back"
    restore(tmp_path / "backup", back, ignore)
    with closing(sqlite3.connect(back / "state.sqlite3")) as state:
        assert state.execute("PRAGMA user_version").fetchone() == (newest,)
        assert state.execute("SELECT key FROM objects").fetchall() == [("kept",)]


async def test_states_of_another_release_are_told(installation, files, tmp_path):
    other = Path(shutil.copytree(installation.data, tmp_path / "other"))
    with closing(sqlite3.connect(other / "state.sqlite3")) as state:
        state.execute("PRAGMA user_version = 999")
        state.commit()
    with pytest.raises(Unavailable, match="upgrade outfitterd"):
        back_up(other, tmp_path / "backup", ignore)


async def test_the_copy_is_of_one_moment_however_long_it_takes(installation, files, tmp_path, monkeypatch):
    """Each step copies a page, and the server commits between any two of them."""
    monkeypatch.setattr("outfitter_server.stores.sqlite.snapshot._PAGES_A_STEP", 1)
    steps = []

    def write_meanwhile(done, pages):
        steps.append(done)
        assert len(steps) <= 2 * pages, "the copy began anew at each write"
        row = {"key": f"late-{len(steps)}", "blob": "0" * 32, "size": 1, "etag": "x", "headers": "{}"}
        with installation.store.write() as tx:
            tx.run("object_put", bucket="images", modified_at=1, checksum=None, **row)

    take_snapshot(installation.data, tmp_path / "copy", write_meanwhile)
    assert len(steps) > 10
    with closing(sqlite3.connect(tmp_path / "copy")) as state:
        assert [row[0] for row in state.execute("SELECT key FROM objects ORDER BY key")] == ["a", "b", "c"]
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)
