"""A copy of the state as it was at one moment, taken while another process serves it; and what a copy says.

The copy is made inside one read transaction of write-ahead logging: it is what was committed when it began, and the
writer does not wait for it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from outfitter_server.base.refusals import Unavailable
from outfitter_server.stores.sqlite.statements import load_migrations, load_statements
from outfitter_server.stores.sqlite.store import FILE_NAME, migrate

_PAGES_A_STEP: Final = 4_096
_ROWS_AT_ONCE: Final = 1_000


def take_snapshot(folder: Path, copy: Path, progress: Callable[[int, int], None]) -> int:
    """Copy the state in a data folder to a new file; the schema number of the copy.

    ``progress`` is told pages done and pages in all.

    Raises:
        Unavailable: there is no state, it is of another schema, or it cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise Unavailable(f"{folder} holds no state of an installation: there is no {FILE_NAME} in it")
    with _telling(path), closing(_open(path, "rw")) as source, closing(sqlite3.connect(copy)) as target:
        source.execute("PRAGMA query_only=1")
        source.execute("BEGIN")
        (schema,) = source.execute("PRAGMA user_version").fetchone()
        source.execute(
            "SELECT count(*) FROM sqlite_schema"
        ).fetchone()  # from here on, nothing changes for it
        _check_schema(path, schema)
        source.backup(
            target,
            pages=_PAGES_A_STEP,
            progress=lambda _, left, pages: progress(pages - left, pages),
            sleep=0,
        )
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode=DELETE").fetchall()
        return int(schema)


def check_copy(path: Path) -> None:
    """Look through a copy of the state, and bring it to the schema of this release.

    Raises:
        Unavailable: it is damaged, or of a newer release.
    """
    with _telling(path), closing(_open(path, "rw")) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Unavailable(f"{path} is damaged: {verdict}")
        migrate(connection)


def blobs_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every blob that a copy of the state names, with its length in bytes.

    Raises:
        Unavailable: the copy cannot be read.
    """
    with _telling(path), closing(_open(path, "ro")) as connection:
        rows = connection.execute(load_statements()["backup_blobs"])
        while batch := rows.fetchmany(_ROWS_AT_ONCE):
            yield from batch


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=10
    )


def _check_schema(path: Path, schema: int) -> None:
    known = len(load_migrations())
    if schema > known:
        raise Unavailable(f"{path} is at schema {schema}, this release knows {known}: upgrade outfitterd")
    if schema < known:
        raise Unavailable(
            f"{path} is at schema {schema}, this release at {known}: start outfitterd serve on it once, which migrates it"
        )


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error
