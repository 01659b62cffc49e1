"""The state file in a data folder: its mode, its log, a full disk, and what cannot be opened."""

import contextlib
import os
import sqlite3
import time

import pytest
from outfitter_server.base.refusals import Unavailable
from outfitter_server.stores.sqlite import store as sqlite_store
from outfitter_server.stores.sqlite.store import FILE_NAME, SqliteStore


def insert(tx, job, text="{}"):
    tx.run("job_document_insert", job=job, stored=text, delivered=text, raw=None)


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path)
    yield made
    made.close()


def test_nobody_else_may_read_the_state_or_its_log(tmp_path):
    before = os.umask(0o022)
    try:
        store = SqliteStore(tmp_path)
        with store.write() as tx:
            insert(tx, "j")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600, f"{FILE_NAME}-shm": 0o600}


@pytest.mark.parametrize("nested", [False, True])
def test_a_full_disk_is_told_as_such_wherever_it_shows(store, nested):
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count={pages + 2}").fetchall()

    def fill():
        with store.write() as tx, tx.savepoint() if nested else contextlib.nullcontext():
            for number in range(20):
                insert(tx, f"j{number}", "x" * 9_000)

    with pytest.raises(Unavailable, match="free some space"):
        fill()
    with store.write() as tx:
        assert tx.one("job_document_stored", job="j0") is None
        insert(tx, "small")


@pytest.mark.parametrize("content", ["folder", "text", "newer"])
def test_what_cannot_be_opened_is_told_in_words(tmp_path, content):
    path = tmp_path / FILE_NAME
    if content == "folder":
        path.mkdir()
    elif content == "text":
        path.write_text("this is no database, whatever it is called" * 100)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 9999")
        connection.close()
    with pytest.raises(Unavailable):
        SqliteStore(tmp_path)


def fill(store, number):
    with store.write() as tx:
        for key in range(100):
            insert(tx, f"j{number}-{key}", "x" * 4_000)


@pytest.fixture
def small_bounds(monkeypatch):
    monkeypatch.setattr(sqlite_store, "_CHECKPOINT_BYTES", 1 << 16)
    monkeypatch.setattr(sqlite_store, "_LOG_BYTES_MAX", 1 << 18)


@pytest.fixture
def long_reader(tmp_path):
    """Stands for writes that go on during a checkpoint: it ends before the end of the log."""
    reader = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM jobs").fetchall()
    yield reader
    reader.close()


def test_a_log_that_was_never_copied_whole_is_begun_anew_and_cut_when_it_is_quiet(
    store, tmp_path, small_bounds, long_reader
):
    log = tmp_path / f"{FILE_NAME}-wal"
    fill(store, 1)
    store.maintain()
    long_reader.execute("COMMIT")
    grown = log.stat().st_size
    fill(store, 2)
    assert log.stat().st_size <= grown + (1 << 16)
    store.maintain()
    assert log.stat().st_size > 0, "cut although something was written since the last look"
    store.maintain()
    assert log.stat().st_size == 0
    with store.read() as tx:
        assert tx.one("job_document_stored", job="j1-99")["stored"] == "x" * 4_000


def test_nobody_waits_for_a_long_reader(store, tmp_path, small_bounds, long_reader):
    began = time.monotonic()
    for number in range(3):
        fill(store, number)
        store.maintain()
    assert time.monotonic() - began < 5
    with store.read() as tx:
        assert tx.one("job_document_stored", job="j2-99")["stored"] == "x" * 4_000


def test_housekeeping_after_the_end_is_nothing(tmp_path):
    store = SqliteStore(tmp_path)
    store.close()
    store.maintain()
