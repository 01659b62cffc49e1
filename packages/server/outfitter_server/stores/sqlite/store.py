"""The Store port on SQLite: WAL, ``synchronous=FULL``, one writer connection, one reader connection.

A commit is one fdatasync of the log. Checkpoints are ours, on a connection of their own: SQLite's own would run inside
some unlucky request. They are PASSIVE, which never waits, and never reaches the end of a log that is written to all the
time; so the writer begins a log that outgrew its bound anew, between two transactions, when little is left to be copied
and to be synced. The file is cut when nothing is written: to cut it takes longer than anybody should wait.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from outfitter_server.base.refusals import Unavailable
from outfitter_server.services.ports import Row, Transaction, Value
from outfitter_server.stores.sqlite.statements import load_migrations, load_statements

FILE_NAME: Final = "state.sqlite3"
_CHECKPOINT_BYTES: Final = 16 * 1024 * 1024
_LOG_BYTES_MAX: Final = 64 * 1024 * 1024
_BUSY_MS: Final = 10_000
_WRITER_CACHE_KIB: Final = 16 * 1024  # more saves nothing: what is not here is in the system's own cache
_READER_CACHE_KIB: Final = 8 * 1024
_STATEMENTS_CACHED: Final = 512


class SqliteTransaction:
    """Named statements on one connection; see the Transaction port."""

    def __init__(self, connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
        """``statements`` maps names to SQL with ``:name`` placeholders."""
        self._connection = connection
        self._statements = statements
        self._savepoints = 0

    def one(self, statement: str, /, **values: Value) -> Row | None:
        """The first row, or None."""
        rows = self._connection.execute(self._statements[statement], values).fetchall()
        return cast("Row", rows[0]) if rows else None

    def all(self, statement: str, /, **values: Value) -> list[Row]:
        """Every row."""
        return cast("list[Row]", self._connection.execute(self._statements[statement], values).fetchall())

    def run(self, statement: str, /, **values: Value) -> int:
        """Execute; the number of rows changed."""
        return self._connection.execute(self._statements[statement], values).rowcount

    def run_many(self, statement: str, rows: Iterable[Mapping[str, Value]], /) -> None:
        """Execute once for each row."""
        self._connection.executemany(self._statements[statement], rows)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happens inside when an exception leaves it."""
        self._savepoints += 1
        name = f"s{self._savepoints}"
        self._connection.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            # A full disk may have ended the whole transaction, and its savepoints with it.
            if self._connection.in_transaction:
                self._connection.execute(f"ROLLBACK TO {name}")
                self._connection.execute(f"RELEASE {name}")
            raise
        else:
            self._connection.execute(f"RELEASE {name}")
        finally:
            self._savepoints -= 1


class SqliteStore:
    """The embedded default. Construct it once a data folder; it migrates to the newest schema."""

    def __init__(self, folder: Path) -> None:
        """Open (or make) ``folder/state.sqlite3``.

        Raises:
            Unavailable: the file cannot be opened or is from a newer release.
        """
        self._path = folder / FILE_NAME
        self._statements = load_statements()
        self._keeping = threading.Lock()
        try:
            # Before SQLite opens it: the log and its index take the file's mode when they are made.
            self._path.touch(mode=0o600)
            self._path.chmod(0o600)
            self._writer = self._connect(_WRITER_CACHE_KIB)
            migrate(self._writer)
            self._reader = self._connect(_READER_CACHE_KIB)
            self._reader.execute("PRAGMA query_only=1")
            self._keeper = self._connect(_READER_CACHE_KIB)
            # Closing any descriptor of the file drops SQLite's locks on it: this one stays open until the connections are closed.
            self._file = self._path.open("rb")
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"{self._path} cannot be opened: {error}") from error
        self._write_tx = SqliteTransaction(self._writer, self._statements)
        self._read_tx = SqliteTransaction(self._reader, self._statements)
        self._closed = False
        (self._page_bytes,) = self._writer.execute("PRAGMA page_size").fetchone()
        self._restart_due = False
        self._writes = 0
        self._writes_seen = 0

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """The only write transaction; see the port."""
        if self._restart_due:
            self._restart_due = False
            _checkpoint_at_once(self._writer, "RESTART")
        self._writes += 1
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield self._write_tx
            self._writer.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._rollback()
            if _is_disk_trouble(error):
                raise Unavailable(
                    f"the data folder cannot be written: {error}; free some space and retry"
                ) from error
            raise
        except BaseException:
            self._rollback()
            raise

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A read snapshot; see the port."""
        self._reader.execute("BEGIN")
        try:
            yield self._read_tx
        finally:
            self._reader.execute("COMMIT")

    def maintain(self) -> None:
        """Checkpoint the log when it has grown; see to it that it does not outgrow its bound."""
        with self._keeping:
            if self._closed or self._log_bytes() <= _CHECKPOINT_BYTES:
                return
            writes, pages = self._writes, self._copy()
            if writes == self._writes_seen:
                if self._log_bytes() > _LOG_BYTES_MAX:
                    _checkpoint_at_once(self._keeper, "TRUNCATE")
            elif pages * self._page_bytes > _LOG_BYTES_MAX:
                # Once more: what came while that was copied and synced is all that the writer has to wait for.
                self._copy()
                self._restart_due = True
            self._writes_seen = writes

    @property
    def file_bytes(self) -> int:
        """The size of the database."""
        return self._path.stat().st_size

    @property
    def log_bytes(self) -> int:
        """The size of the write-ahead log."""
        return self._log_bytes()

    def close(self) -> None:
        """Close every connection, after the housekeeping under way; the last one folds the log into the file."""
        with self._keeping:
            self._closed = True
            for connection in (self._keeper, self._reader, self._writer):
                connection.close()
            self._file.close()

    def _copy(self) -> int:
        """Copy what is committed into the file and sync it; the pages in the log."""
        _, pages, _ = self._keeper.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # Beside the loop: SQLite itself syncs only at the end of a log, which would be in the writer's time.
        os.fdatasync(self._file.fileno())
        return cast("int", pages)

    def _log_bytes(self) -> int:
        try:
            return Path(f"{self._path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS_CACHED
        )
        connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",
            "foreign_keys=OFF",
            f"busy_timeout={_BUSY_MS}",
            f"cache_size=-{cache_kib}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest schema, one migration a transaction; ``user_version`` counts them.

    Raises:
        Unavailable: the database is from a newer release.
    """
    (current,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = load_migrations()
    if current > len(migrations):
        raise Unavailable(
            f"the data folder is at schema {current}, this release knows {len(migrations)}: upgrade outfitterd"
        )
    for number, script in enumerate(migrations[current:], start=current + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


def _checkpoint_at_once(connection: sqlite3.Connection, mode: str) -> None:
    """Copy what is left of the log, if nobody has to be waited for: a long reader (a backup) makes it stay as it is."""
    connection.execute("PRAGMA busy_timeout=0").fetchall()
    with contextlib.suppress(sqlite3.OperationalError):  # a disk in trouble tells its own request
        connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}").fetchall()


def _is_disk_trouble(error: sqlite3.OperationalError) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
    )
