"""Functions: make, change, find, list, delete. Their code is a blob, checked and unpacked before a row names it."""

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import Conflict, InvalidRequest, NotFound, Refusal
from outfitter_server.functions.names import function_arn, session_arn
from outfitter_server.functions.settings import ZIPPED_BYTES_MAX, FunctionSettings, check_settings
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import FunctionChanged
from outfitter_server.services.object_rows import unnamed_blobs
from outfitter_server.services.objects import Objects
from outfitter_server.services.ports import Blobs, Row, RunnableFunction, Sandbox, StoredBlob, Transaction

BLOCK_BYTES: Final = 1024 * 1024


class RevisionMismatch(Refusal):
    """The function is not at the revision that the caller expects."""

    code = "PreconditionFailedException"
    status = 412


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSource:
    """Where the zip comes from: inline, or an object of the store."""

    inline: bytes | None = None
    bucket: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFunction:
    """A function as it is stored; times in milliseconds since the epoch."""

    name: str
    settings: FunctionSettings
    code: StoredBlob
    revision: str
    created_at: int
    modified_at: int

    @property
    def code_sha256(self) -> str:
        """The digest of the zip as AWS prints it."""
        return base64.b64encode(bytes.fromhex(self.code.sha256)).decode()


class Functions:
    """The functions of this installation."""

    def __init__(
        self,
        committer: Committer,
        blobs: Blobs,
        objects: Objects,
        sandbox: Sandbox,
        installation: Installation,
        new_id: Callable[[], str],
        *,
        memory_mb_max: int,
    ) -> None:
        """``memory_mb_max`` is the server's own cap on MemorySize."""
        self._committer = committer
        self._blobs = blobs
        self._objects = objects
        self._sandbox = sandbox
        self._installation = installation
        self._new_id = new_id
        self._memory_mb_max = memory_mb_max

    def find(self, name: str) -> StoredFunction:
        """A function.

        Raises:
            NotFound: there is none of that name.
        """
        return self._committer.read(lambda tx: function_or_refuse(tx, name, self._installation))

    def runnable(self, name: str) -> RunnableFunction:
        """A function as a worker needs it.

        Raises:
            NotFound: there is none of that name.
        """
        found = self.find(name)
        return RunnableFunction(
            name=name,
            arn=function_arn(name, self._installation),
            revision=found.revision,
            settings=found.settings,
            code_sha256=found.code.sha256,
            code_blob=found.code.name,
            session=session_arn(found.settings.role, name, self._installation),
        )

    def page(self, *, token: str | None, limit: int) -> Page[StoredFunction]:
        """Functions by name.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, str)
        after = position[0] if position else ""
        rows = self._committer.read(lambda tx: tx.all("functions_page", after=after, limit=limit + 1))
        more = encode_token([rows[limit - 1]["name"]]) if len(rows) > limit else None
        return Page([_function(row) for row in rows[:limit]], more)

    def code_blocks(self, found: StoredFunction) -> AsyncIterator[bytes]:
        """The bytes of a function's zip."""
        return self._blobs.read(found.code.name)

    async def create(self, name: str, settings: FunctionSettings, source: CodeSource) -> StoredFunction:
        """Make a function.

        Raises:
            Conflict: there is one of that name.
            InvalidRequest: the settings or the zip break a rule.
            NoSuchBucket, NoSuchKey: the zip is not there.
        """
        check_settings(settings, memory_mb_max=self._memory_mb_max)
        if self._committer.read(lambda tx: tx.one("function_by_name", name=name)) is not None:
            raise _exists(name)
        code = await self._store(source)

        def change(batch: Batch) -> StoredFunction:
            if batch.tx.one("function_by_name", name=name) is not None:
                raise _exists(name)
            made = StoredFunction(
                name=name,
                settings=settings,
                code=code,
                revision=self._new_id(),
                created_at=batch.now,
                modified_at=batch.now,
            )
            _write(batch, made)
            return made

        return await self._keep(code, change)

    async def update_code(
        self, name: str, source: CodeSource, *, revision: str | None = None, dry_run: bool = False
    ) -> StoredFunction:
        """Give a function other code; ``dry_run`` only checks it.

        Raises:
            NotFound, RevisionMismatch: no such function, or not at this revision.
            InvalidRequest: the zip breaks a rule.
            NoSuchBucket, NoSuchKey: the zip is not there.
        """
        _expect(self.find(name), revision)
        code = await self._store(source)
        if dry_run:
            await self._blobs.delete([code.name])
            return replace(self.find(name), code=code)
        freed: list[str] = []

        def change(batch: Batch) -> StoredFunction:
            found = function_or_refuse(batch.tx, name, self._installation)
            _expect(found, revision)
            made = replace(found, code=code, revision=self._new_id(), modified_at=batch.now)
            _write(batch, made)
            freed[:] = unnamed_blobs(batch.tx, [found.code.name])
            return made

        made = await self._keep(code, change)
        await self._blobs.delete(freed)
        return made

    async def update_settings(
        self, name: str, changes: dict[str, Any], *, revision: str | None = None
    ) -> StoredFunction:
        """Change members of the settings.

        Raises:
            NotFound, RevisionMismatch: no such function, or not at this revision.
            InvalidRequest: the settings break a rule.
        """

        def change(batch: Batch) -> StoredFunction:
            found = function_or_refuse(batch.tx, name, self._installation)
            _expect(found, revision)
            settings = check_settings(replace(found.settings, **changes), memory_mb_max=self._memory_mb_max)
            made = replace(found, settings=settings, revision=self._new_id(), modified_at=batch.now)
            _write(batch, made)
            return made

        return await self._committer.change(change)

    async def delete(self, name: str) -> None:
        """Delete a function with its URL, permissions and queued events.

        Raises:
            NotFound: there is none.
        """

        def change(batch: Batch) -> list[str]:
            found = function_or_refuse(batch.tx, name, self._installation)
            batch.tx.run("function_delete", name=name)
            for statement in ("function_permissions_delete", "function_url_delete", "function_events_delete"):
                batch.tx.run(statement, function=name)
            batch.emit(FunctionChanged(name))
            return unnamed_blobs(batch.tx, [found.code.name])

        await self._blobs.delete(await self._committer.change(change))

    async def _store(self, source: CodeSource) -> StoredBlob:
        """The zip as a blob of the function's own, checked."""
        if (source.inline is None) == (source.bucket is None or source.key is None):
            raise InvalidRequest("Please provide a source for function code: ZipFile, or S3Bucket and S3Key")
        stored = await self._blobs.write(self._source_blocks(source))
        try:
            await self._sandbox.prepare(stored.sha256, stored.name)
        except Exception:
            await self._blobs.delete([stored.name])
            raise
        return stored

    async def _source_blocks(self, source: CodeSource) -> AsyncIterator[bytes]:
        if source.inline is not None:
            _check_size(len(source.inline))
            for start in range(0, len(source.inline), BLOCK_BYTES):
                yield source.inline[start : start + BLOCK_BYTES]
        elif source.bucket is not None and source.key is not None:
            found = self._objects.find(source.bucket, source.key)
            _check_size(found.size)
            async for block in self._objects.blob_blocks(found, 0, found.size):
                yield block

    async def _keep(self, code: StoredBlob, change: Callable[[Batch], StoredFunction]) -> StoredFunction:
        """Commit what names a new blob; without it the blob goes."""
        try:
            return await self._committer.change(change)
        except Refusal:
            await self._blobs.delete([code.name])
            raise


def function_or_refuse(tx: Transaction, name: str, installation: Installation) -> StoredFunction:
    """A function's row.

    Raises:
        NotFound: there is none.
    """
    row = tx.one("function_by_name", name=name)
    if row is None:
        raise NotFound(f"Function not found: {function_arn(name, installation)}", Type="User")
    return _function(row)


def _function(row: Row) -> StoredFunction:
    return StoredFunction(
        name=row["name"],
        settings=FunctionSettings(
            runtime=row["runtime"],
            handler=row["handler"],
            role=row["role"],
            description=row["description"],
            timeout_seconds=row["timeout_seconds"],
            memory_mb=row["memory_mb"],
            environment=msgspec.json.decode(row["environment"], type=dict[str, str]),
        ),
        code=StoredBlob(name=row["code_blob"], size=row["code_size"], md5="", sha256=row["code_sha256"]),
        revision=row["revision"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _write(batch: Batch, made: StoredFunction) -> None:
    settings = made.settings
    batch.tx.run(
        "function_put",
        name=made.name,
        runtime=settings.runtime,
        handler=settings.handler,
        role=settings.role,
        description=settings.description,
        timeout_seconds=settings.timeout_seconds,
        memory_mb=settings.memory_mb,
        environment=msgspec.json.encode(settings.environment).decode(),
        code_blob=made.code.name,
        code_sha256=made.code.sha256,
        code_size=made.code.size,
        revision=made.revision,
        created_at=made.created_at,
        modified_at=made.modified_at,
    )
    batch.emit(FunctionChanged(made.name))


def _exists(name: str) -> Conflict:
    return Conflict(f"Function already exist: {name}", Type="User")


def _expect(found: StoredFunction, revision: str | None) -> None:
    if revision is not None and revision != found.revision:
        raise RevisionMismatch(
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id",
            Type="User",
        )


def _check_size(size: int) -> None:
    if size > ZIPPED_BYTES_MAX:
        raise InvalidRequest(f"the zip has {size} bytes; at most {ZIPPED_BYTES_MAX} are taken")
