"""A million things in seconds: rows written in bulk into the server's store, while the server has nothing to do.

This is not how things are made: it leaves out the API, one commit a thing, and what else listens to the registry. What is
measured afterwards (jobs, rollouts, requests of devices) goes through the server's doors alone.
"""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from outfitter_server.stores.sqlite.store import FILE_NAME, SqliteStore

CROWD_NAME: Final = "crowd-{:07}"
_AT_ONCE: Final = 50_000


def stock(data: Path, group: str, first: int, count: int) -> None:
    """Write things ``first`` to ``first + count - 1`` of the crowd into the data folder, as members of a group.

    Raises:
        Unavailable: the store of the folder cannot be opened or written.
    """
    store = SqliteStore(data)
    now = time.time_ns() // 1_000_000
    try:
        for begin in range(first, first + count, _AT_ONCE):
            names = [
                CROWD_NAME.format(number) for number in range(begin, min(begin + _AT_ONCE, first + count))
            ]
            with store.write() as tx:
                tx.run_many("thing_insert", _things(names, now))
                tx.run_many("member_insert", ({"group": group, "thing": name} for name in names))
            store.maintain()
    finally:
        store.close()


def begin_all(data: Path, job: str) -> None:
    """Put every QUEUED execution of a job IN_PROGRESS, so that requests about any of them cost the same from the first on."""
    connection = sqlite3.connect(data / FILE_NAME, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE executions SET status = 0, started_at = queued_at, version = 2 WHERE job = ? AND status = 1",
            (job,),
        )
        connection.execute("UPDATE jobs SET in_progress = queued, queued = 0 WHERE id = ?", (job,))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _things(names: list[str], now: int) -> Iterator[dict[str, Any]]:
    for name in names:
        yield {
            "name": name,
            "id": str(uuid.uuid4()),
            "type": None,
            "attributes": "{}",
            "version": 1,
            "created_at": now,
        }
