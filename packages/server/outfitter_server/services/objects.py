"""Objects: put, find, list, copy, remove, read.

Order of durability: the blob is whole on disk before its row is written, and a blob that no row names any more is
removed only after the commit that let go of it. A copy shares its source's blob: nothing is ever written over, so the
bytes of both stay what they are, and the last row to go takes the blob along.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from outfitter_server.base.refusals import NotFound
from outfitter_server.objects.checksums import Checksum
from outfitter_server.objects.conditions import Conditions, Verdict, judge_read, judge_write
from outfitter_server.objects.listing import Listing, ListingRequest, Seek, list_keys
from outfitter_server.objects.names import check_key
from outfitter_server.objects.refusals import EntityTooLarge, NoSuchKey, ObjectRefusal, PreconditionFailed
from outfitter_server.objects.values import ObjectHeaders, ObjectSummary, StoredObject
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.object_rows import (
    need_bucket,
    object_of,
    pack_checksum,
    pack_headers,
    summary_of,
    unnamed_blobs,
)
from outfitter_server.services.ports import Blobs, StoredBlob, Transaction

_READ_TRIES = 3


_Walk = Generator[Seek, Sequence[ObjectSummary], Listing[ObjectSummary]]


class Arrival(Protocol):
    """Bytes on their way in, and what was promised about them."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes; raises when they turn out to be other than promised."""

    def settle(self, stored: StoredBlob) -> Checksum | None:
        """Compare what was stored with what was promised; the checksum that the sender gave.

        Raises:
            BadDigest, ContentSha256Mismatch: another digest.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectId:
    """A bucket and a key."""

    bucket: str
    key: str


class Objects:
    """The objects of all buckets."""

    def __init__(self, committer: Committer, blobs: Blobs) -> None:
        self._committer = committer
        self._blobs = blobs

    def find(self, bucket: str, key: str) -> StoredObject:
        """The object's row.

        Raises:
            NoSuchBucket, NoSuchKey: there is none.
        """
        return self._committer.read(lambda tx: _need_object(tx, bucket, key))

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""
        return self._committer.read(lambda tx: tx.one("object_by_key", bucket=bucket, key=key)) is not None

    async def read_text(self, bucket: str, key: str, limit_bytes: int) -> str:
        """The object's text.

        Raises:
            NoSuchBucket, NoSuchKey: there is none.
            EntityTooLarge: it has more than ``limit_bytes``.
            ObjectRefusal: it is not UTF-8.
        """
        for attempt in range(1, _READ_TRIES + 1):
            found = self.find(bucket, key)
            if found.size > limit_bytes:
                raise EntityTooLarge(
                    f"{bucket}/{key} has {found.size} bytes, at most {limit_bytes} can be read here"
                )
            try:
                content = b"".join([block async for block in self._blobs.read(found.blob)])
            except NotFound:
                # Replaced between row and file: look again, and give up on a blob that is really gone.
                if attempt == _READ_TRIES:
                    raise
                continue
            try:
                return content.decode()
            except UnicodeDecodeError as error:
                raise ObjectRefusal(f"{bucket}/{key} is not UTF-8 text") from error
        raise AssertionError("unreachable")

    def blob_path(self, found: StoredObject) -> str | None:
        """A local file with the object's bytes, if the cellar has one."""
        return self._blobs.path(found.blob)

    def blob_blocks(self, found: StoredObject, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """The object's bytes in blocks; close it when you stop before its end.

        Raises:
            NotFound: at the first block, when the object was replaced since it was found.
        """
        return self._blobs.read(found.blob, start, length)

    async def put(
        self,
        target: ObjectId,
        arrival: Arrival,
        headers: ObjectHeaders,
        conditions: Conditions,
    ) -> StoredObject:
        """Store an object, in the place of the one that was there.

        Raises:
            NoSuchBucket, KeyTooLong: the target cannot be.
            PreconditionFailed: what is there does not meet If-Match or If-None-Match.
            BadDigest, ContentSha256Mismatch, IncompleteBody, ChunkSignatureMismatch: the bytes are not what was promised.
            Unavailable: the disk is full.
        """
        check_key(target.key)
        # Asked before a byte is read, so that a client that waits for "100 Continue" sends nothing in vain.
        self._committer.read(lambda tx: check_target(tx, target, conditions))
        stored = await self._blobs.write(arrival.chunks())
        try:
            checksum = arrival.settle(stored)

            def change(batch: Batch) -> tuple[StoredObject, list[str]]:
                check_target(batch.tx, target, conditions)
                made = StoredObject(
                    bucket=target.bucket,
                    key=target.key,
                    blob=stored.name,
                    size=stored.size,
                    etag=stored.md5,
                    modified_at=batch.now,
                    headers=headers,
                    checksum=checksum,
                )
                return made, replace_row(batch.tx, made)

            made, unnamed = await self._committer.change(change)
        except Exception:
            # A cancelled caller does not know whether its change was committed: then the sweep decides.
            await self._blobs.delete([stored.name])
            raise
        await self._blobs.delete(unnamed)
        return made

    async def copy(
        self,
        source: ObjectId,
        target: ObjectId,
        headers: ObjectHeaders | None,
        source_conditions: Conditions,
        conditions: Conditions,
    ) -> StoredObject:
        """Make another object of the same bytes; ``headers`` None: with the source's.

        Raises:
            NoSuchBucket, NoSuchKey: source or target is not there.
            PreconditionFailed: the source, or what is in the target's place, does not meet its conditions.
            ObjectRefusal: onto itself without new headers.
        """
        check_key(target.key)
        if source == target and headers is None:
            raise ObjectRefusal(
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata"
            )

        def change(batch: Batch) -> tuple[StoredObject, list[str]]:
            check_target(batch.tx, target, conditions)
            found = need_source(batch.tx, source, source_conditions)
            made = replace(
                found,
                bucket=target.bucket,
                key=target.key,
                modified_at=batch.now,
                headers=found.headers if headers is None else headers,
            )
            return made, replace_row(batch.tx, made)

        made, unnamed = await self._committer.change(change)
        await self._blobs.delete(unnamed)
        return made

    async def delete(
        self, bucket: str, wanted: Sequence[tuple[str, Conditions]]
    ) -> list[NoSuchKey | PreconditionFailed | None]:
        """Remove the objects of these keys; without a condition, a key without one is none the worse.

        Returns:
            For each what its condition refuses; None: the object is gone.

        Raises:
            NoSuchBucket: there is none.
        """

        def change(batch: Batch) -> tuple[list[NoSuchKey | PreconditionFailed | None], list[str]]:
            need_bucket(batch.tx, bucket)
            refusals: list[NoSuchKey | PreconditionFailed | None] = []
            freed: list[str] = []
            for key, conditions in wanted:
                try:
                    freed += _drop_row(batch.tx, ObjectId(bucket=bucket, key=key), conditions)
                except (NoSuchKey, PreconditionFailed) as refusal:
                    refusals.append(refusal)
                else:
                    refusals.append(None)
            return refusals, unnamed_blobs(batch.tx, freed)

        refusals, unnamed = await self._committer.change(change)
        await self._blobs.delete(unnamed)
        return refusals

    def list_objects(self, bucket: str, request: ListingRequest) -> Listing[ObjectSummary]:
        """One page of a listing.

        Raises:
            NoSuchBucket: there is none.
        """

        def question(tx: Transaction) -> Listing[ObjectSummary]:
            need_bucket(tx, bucket)
            walk: _Walk = list_keys(request)
            seek = next(walk)
            while True:
                rows = tx.all("objects_from", bucket=bucket, start=seek.start, limit=seek.limit)
                try:
                    seek = walk.send([summary_of(row) for row in rows])
                except StopIteration as done:
                    page: Listing[ObjectSummary] = done.value
                    return page

        return self._committer.read(question)

    async def sweep(self) -> int:
        """Remove the blobs that no row names and that are older than an hour; how many there were."""

        def in_use(names: list[str]) -> set[str]:
            return set(names) - set(self._committer.read(lambda tx: unnamed_blobs(tx, names)))

        return await self._blobs.sweep(in_use)


def check_target(tx: Transaction, target: ObjectId, conditions: Conditions) -> None:
    """Refuse a write or a removal whose bucket is missing or whose conditions do not hold."""
    need_bucket(tx, target.bucket)
    if conditions.if_match is None and conditions.if_none_match is None:
        return
    row = tx.one("object_by_key", bucket=target.bucket, key=target.key)
    if row is None and conditions.if_match is not None:
        raise NoSuchKey(
            f"{target.bucket} has no object {target.key!r} for If-Match to compare", Key=target.key
        )
    if judge_write(conditions, row["etag"] if row else None) is Verdict.FAILED:
        raise PreconditionFailed(
            f"the object {target.key!r} that is there does not meet the request's conditions"
        )


def need_source(tx: Transaction, source: ObjectId, conditions: Conditions) -> StoredObject:
    """The object to copy from.

    Raises:
        NoSuchBucket, NoSuchKey: it is not there.
        PreconditionFailed: it does not meet the conditions.
    """
    found = _need_object(tx, source.bucket, source.key)
    if judge_read(conditions, found.etag, found.modified_at) is not Verdict.PROCEED:
        raise PreconditionFailed(
            f"the copy source {source.bucket}/{source.key} does not meet the request's conditions"
        )
    return found


def replace_row(tx: Transaction, made: StoredObject) -> list[str]:
    """Write an object's row; the blobs that nothing names any more."""
    before = tx.one("object_by_key", bucket=made.bucket, key=made.key)
    tx.run(
        "object_put",
        bucket=made.bucket,
        key=made.key,
        blob=made.blob,
        size=made.size,
        etag=made.etag,
        modified_at=made.modified_at,
        headers=pack_headers(made.headers),
        checksum=pack_checksum(made.checksum),
    )
    return unnamed_blobs(tx, [before["blob"]]) if before else []


def _drop_row(tx: Transaction, target: ObjectId, conditions: Conditions) -> list[str]:
    """Remove an object's row, if there is one and it meets the conditions; the blob that it named."""
    check_target(tx, target, conditions)
    row = tx.one("object_by_key", bucket=target.bucket, key=target.key)
    if row is None:
        return []
    tx.run("object_delete", bucket=target.bucket, key=target.key)
    return [row["blob"]]


def _need_object(tx: Transaction, bucket: str, key: str) -> StoredObject:
    row = tx.one("object_by_key", bucket=bucket, key=key)
    if row is None:
        need_bucket(tx, bucket)
        raise NoSuchKey(f"the bucket {bucket!r} has no object {key!r}", Key=key)
    return object_of(row)
