"""What the services need of the cellars, as protocols. Adapters implement these and nothing imports adapters but main.

State is reached by named statements: the SQL behind a name lives in the adapter's ``.sql`` files, two dialects side by
side, so that a service reads like prose and no SQL hides in Python. Statements take keyword values (str, int, float,
bytes, None); lists go in as JSON text.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from outfitter_server.functions.outcomes import Outcome
from outfitter_server.functions.settings import FunctionSettings

Value = str | int | float | bytes | None


class Row(Protocol):
    """One result row: by column name or position, iterable in column order."""

    def __getitem__(self, key: str | int, /) -> Any:
        """The value of one column."""

    def __iter__(self) -> Iterator[Any]:
        """The values in column order."""

    def keys(self) -> Any:
        """The column names."""


class Transaction(Protocol):
    """One consistent view of the state; writes are visible to its own later reads."""

    def one(self, statement: str, /, **values: Value) -> Row | None:
        """The first row, or None; the cursor is fetched to its end."""

    def all(self, statement: str, /, **values: Value) -> list[Row]:
        """Every row. The statement bounds the result (LIMIT) unless its bound is in the schema."""

    def run(self, statement: str, /, **values: Value) -> int:
        """Execute; the number of rows changed."""

    def run_many(self, statement: str, rows: Iterable[Mapping[str, Value]], /) -> None:
        """Execute once for each row, as one prepared statement."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside when an exception leaves it."""


class Store(Protocol):
    """The state of the installation."""

    def write(self) -> AbstractContextManager[Transaction]:
        """The only write transaction: committed, durable, on a clean exit; rolled back on an exception.

        Raises:
            Unavailable: the disk is full or not writable; nothing was changed.
        """

    def read(self) -> AbstractContextManager[Transaction]:
        """A read snapshot of everything committed. Used on the event loop's thread; keep it short."""

    def maintain(self) -> None:
        """Housekeeping (checkpoints); called now and then from a thread of its own."""

    def close(self) -> None:
        """Release everything; the store cannot be used afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """What was written: its name in the cellar, its length in bytes, its digests in hex."""

    name: str
    size: int
    md5: str
    sha256: str


class Blobs(Protocol):
    """The bytes of objects. A blob is written once under a name of its own and never changed."""

    async def write(self, chunks: AsyncIterator[bytes]) -> StoredBlob:
        """Store a stream; durable (fsynced, folder too) when it returns.

        Raises:
            Unavailable: no space is left; nothing stays behind.
        """

    def read(self, name: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from ``start``, in blocks, read off the event loop; close it when you stop before its end."""

    def path(self, name: str) -> str | None:
        """A local file with these bytes for sendfile, or None when the adapter has none."""

    async def delete(self, names: Iterable[str]) -> None:
        """Remove blobs; unknown names are ignored."""

    async def sweep(self, is_named: Any) -> int:
        """Remove what no row names (``is_named(list of names) -> set of names in use``) and is older than an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """A new device certificate: PEM texts and the SHA-256 fingerprint of its DER form (64 hex digits, its id)."""

    certificate_id: str
    certificate_pem: str
    public_key_pem: str
    private_key_pem: str
    not_before: int
    not_after: int


class Authority(Protocol):
    """The installation's certificate authority."""

    def ca_pem(self) -> str:
        """The CA certificate, PEM."""

    def issue_device(self, now: int, until: int | None = None) -> IssuedCertificate:
        """A new key pair and its client certificate (``CN=AWS IoT Certificate``), valid until then, else 2049-12-31."""

    def sign_request(self, csr_pem: str, now: int) -> IssuedCertificate:
        """A client certificate with the subject and key of a signing request; ``private_key_pem`` is empty.

        Raises:
            InvalidRequest: the request is not one, or its key is too weak.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableFunction:
    """What a worker needs to know of a function.

    Attributes:
        revision: changes with every change of code or configuration.
        session: the ARN that its temporary keys go by.
    """

    name: str
    arn: str
    revision: str
    settings: FunctionSettings
    code_sha256: str
    code_blob: str
    session: str


class Sandbox(Protocol):
    """Runs functions away from the server."""

    async def prepare(self, code_sha256: str, code_blob: str) -> None:
        """Check an archive that is to become a function's code.

        Raises:
            InvalidRequest: it is no zip, or holds what it may not hold.
        """

    async def invoke(
        self, function: RunnableFunction, request_id: str, payload: bytes, client_context: str | None = None
    ) -> Outcome:
        """Run one event to its end; errors of the function are an outcome.

        Raises:
            Throttled: no worker became free in time.
            Unavailable: this machine cannot run functions; the message says why.
        """

    def retire(self, name: str) -> None:
        """The function changed or is gone: workers of its earlier revisions serve nothing more."""
