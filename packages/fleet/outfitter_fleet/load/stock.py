"""A million things in seconds: rows written in bulk into the server's store, while the server has nothing to do.

This is not how things are made: it leaves out the API, one commit a thing, and what else listens to the registry. What is
measured afterwards (jobs, rollouts, requests of devices) goes through the server's doors alone.
"""

import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from outfitter_server.access.certificates import read_certificate
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.services.ports import IssuedCertificate
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


def stock_identities(data: Path, things: Sequence[str]) -> list[IssuedCertificate]:
    """Write an active certificate for each of these things, which are there; issued by the folder's own authority.

    Raises:
        Unavailable: the store of the folder cannot be opened or written, or it has no authority.
    """
    now = time.time_ns() // 1_000_000
    authority = FileAuthority(data / "ca", lambda: now)
    issuer = read_certificate(authority.ca_pem()).id
    issued = [authority.issue_device(now) for _ in things]
    store = SqliteStore(data)
    try:
        with store.write() as tx:
            tx.run_many("certificate_insert", (_certificate(one, issuer, now) for one in issued))
            tx.run_many(
                "principal_attach",
                (
                    {"thing": thing, "certificate": one.certificate_id, "exclusive": 0}
                    for thing, one in zip(things, issued, strict=True)
                ),
            )
        store.maintain()
    finally:
        store.close()
    return issued


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


def _certificate(issued: IssuedCertificate, issuer: str, now: int) -> dict[str, Any]:
    return {
        "id": issued.certificate_id,
        "pem": issued.certificate_pem,
        "status": "ACTIVE",
        "subject": msgspec.json.encode(read_certificate(issued.certificate_pem).variables).decode(),
        "issuer_id": issuer,
        "generation_id": str(uuid.uuid4()),
        "not_before": issued.not_before,
        "not_after": issued.not_after,
        "mode": "DEFAULT",
        "anchored": 0,
        "now": now,
    }


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
