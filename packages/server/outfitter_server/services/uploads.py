"""Multipart uploads: parts are blobs of their own until the completion writes them into one.

A completion copies: an object is always one file, so that every reader can send it whole or in any range straight from
the disk. The parts go after the commit.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

from outfitter_server.base.pages import Page
from outfitter_server.objects.checksums import Algorithm, Checksum, ChecksumType
from outfitter_server.objects.conditions import ByteRange, Conditions
from outfitter_server.objects.multipart import (
    PART_NUMBER_MAX,
    NamedPart,
    check_part_number,
    check_whole_size,
    choose_parts,
    multipart_etag,
    whole_checksum,
)
from outfitter_server.objects.names import check_key
from outfitter_server.objects.refusals import InvalidRange, NoSuchUpload
from outfitter_server.objects.values import MultipartUpload, ObjectHeaders, StoredObject, UploadedPart
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.object_rows import (
    need_bucket,
    pack_checksum,
    pack_headers,
    part_of,
    unnamed_blobs,
    upload_of,
)
from outfitter_server.services.objects import Arrival, ObjectId, check_target, need_source, replace_row
from outfitter_server.services.ports import Blobs, StoredBlob, Transaction


class Uploads:
    """The multipart uploads under way."""

    def __init__(self, committer: Committer, blobs: Blobs, new_id: Callable[[], str]) -> None:
        """``new_id`` gives an unguessable identifier that fits a URL."""
        self._committer = committer
        self._blobs = blobs
        self._new_id = new_id

    async def create(
        self,
        target: ObjectId,
        headers: ObjectHeaders,
        algorithm: Algorithm | None,
        checksum_type: ChecksumType | None,
    ) -> MultipartUpload:
        """Begin an upload.

        Raises:
            NoSuchBucket, KeyTooLong: the target cannot be.
        """
        check_key(target.key)

        def change(batch: Batch) -> MultipartUpload:
            need_bucket(batch.tx, target.bucket)
            upload = MultipartUpload(
                id=self._new_id(),
                bucket=target.bucket,
                key=target.key,
                created_at=batch.now,
                headers=headers,
                algorithm=algorithm,
                checksum_type=checksum_type,
            )
            batch.tx.run(
                "upload_insert",
                id=upload.id,
                bucket=upload.bucket,
                key=upload.key,
                created_at=upload.created_at,
                headers=pack_headers(headers),
                algorithm=algorithm.value if algorithm else None,
                checksum_type=checksum_type.value if checksum_type else None,
            )
            return upload

        return await self._committer.change(change)

    def find(self, target: ObjectId, upload_id: str) -> MultipartUpload:
        """The upload.

        Raises:
            NoSuchUpload: there is none of this id for this object.
        """
        return self._committer.read(lambda tx: _need_upload(tx, target, upload_id))

    async def put_part(self, target: ObjectId, upload_id: str, number: int, arrival: Arrival) -> UploadedPart:
        """Store one part, in the place of an earlier one of its number.

        Raises:
            NoSuchUpload, InvalidArgument: the target cannot be.
            BadDigest, ContentSha256Mismatch, IncompleteBody, ChunkSignatureMismatch: the bytes are not what was promised.
            Unavailable: the disk is full.
        """
        check_part_number(number)
        self.find(target, upload_id)
        stored = await self._blobs.write(arrival.chunks())
        try:
            checksum = arrival.settle(stored)
            part, unnamed = await self._committer.change(
                lambda batch: _keep_part(batch, target, upload_id, number, stored, checksum)
            )
        except Exception:
            # A cancelled caller does not know whether its change was committed: then the sweep decides.
            await self._blobs.delete([stored.name])
            raise
        await self._blobs.delete(unnamed)
        return part

    async def copy_part(
        self,
        target: ObjectId,
        upload_id: str,
        number: int,
        source: ObjectId,
        source_range: tuple[int, int] | None,
        conditions: Conditions,
    ) -> UploadedPart:
        """Store a stretch of an object as a part; ``source_range`` is its first and last byte.

        Raises:
            NoSuchBucket, NoSuchKey, PreconditionFailed: the source is not to be had.
            InvalidRange: the stretch lies outside the source.
            NoSuchUpload, InvalidArgument: the target cannot be.
        """
        found = self._committer.read(lambda tx: need_source(tx, source, conditions))
        stretch = ByteRange(start=0, length=found.size)
        if source_range is not None:
            first, last = source_range
            if not first <= last < found.size:
                raise InvalidRange(
                    f"bytes {first}-{last} lie outside the source, which has {found.size} bytes"
                )
            stretch = ByteRange(start=first, length=last - first + 1)
        blocks = self._blobs.read(found.blob, stretch.start, stretch.length)
        return await self.put_part(target, upload_id, number, _Internal(blocks))

    async def complete(
        self,
        target: ObjectId,
        upload_id: str,
        named: Sequence[NamedPart],
        promised: str | None,
        size: int | None,
        conditions: Conditions,
    ) -> StoredObject:
        """Make the object out of its parts; ``promised`` is the whole's checksum in base64, ``size`` its bytes, if the client gave them.

        Raises:
            NoSuchUpload: there is none of this id for this object.
            InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest: the parts are not as named.
            ObjectRefusal: the whole has another size.
            PreconditionFailed: what is there does not meet If-Match or If-None-Match.
            Unavailable: the disk is full; the upload is as it was.
        """
        upload = self.find(target, upload_id)
        parts = choose_parts(named, {part.number: part for part in self._all_parts(upload_id)})
        check_whole_size(parts, size)
        checksum = whole_checksum(upload, parts, promised)
        self._committer.read(lambda tx: check_target(tx, target, conditions))
        stored = await self._blobs.write(self._joined(parts))

        def change(batch: Batch) -> tuple[StoredObject, list[str]]:
            _need_upload(batch.tx, target, upload_id)
            check_target(batch.tx, target, conditions)
            made = StoredObject(
                bucket=target.bucket,
                key=target.key,
                blob=stored.name,
                size=stored.size,
                etag=multipart_etag([part.etag for part in parts]),
                modified_at=batch.now,
                headers=upload.headers,
                checksum=checksum,
            )
            return made, [*replace_row(batch.tx, made), *_drop_upload(batch.tx, upload_id)]

        try:
            made, unnamed = await self._committer.change(change)
        except Exception:
            # A cancelled caller does not know whether its change was committed: then the sweep decides.
            await self._blobs.delete([stored.name])
            raise
        await self._blobs.delete(unnamed)
        return made

    async def abort(self, target: ObjectId, upload_id: str) -> None:
        """Give an upload up.

        Raises:
            NoSuchUpload: there is none of this id for this object.
        """

        def change(batch: Batch) -> list[str]:
            _need_upload(batch.tx, target, upload_id)
            return _drop_upload(batch.tx, upload_id)

        await self._blobs.delete(await self._committer.change(change))

    def parts(self, upload_id: str, after: int, limit: int) -> list[UploadedPart]:
        """At most ``limit`` parts with a number above ``after``, in order."""
        rows = self._committer.read(
            lambda tx: tx.all("parts_page", upload=upload_id, after=after, limit=limit)
        )
        return [part_of(row) for row in rows]

    def list_uploads(
        self, bucket: str, prefix: str, after: tuple[str, str], limit: int
    ) -> Page[MultipartUpload]:
        """Uploads behind (key, id) whose keys have the prefix; the page's token is the last id.

        Raises:
            NoSuchBucket: there is none.
        """
        key, upload_id = max(after, (prefix, ""))

        def question(tx: Transaction) -> list[MultipartUpload]:
            need_bucket(tx, bucket)
            rows = tx.all("uploads_from", bucket=bucket, key=key, id=upload_id, limit=limit + 1)
            return [upload for upload in map(upload_of, rows) if upload.key.startswith(prefix)]

        found = self._committer.read(question)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit > 0 else None)

    def _all_parts(self, upload_id: str) -> list[UploadedPart]:
        return self.parts(upload_id, 0, PART_NUMBER_MAX)

    async def _joined(self, parts: Sequence[UploadedPart]) -> AsyncIterator[bytes]:
        for part in parts:
            async with aclosing(self._blobs.read(part.blob)) as blocks:
                async for block in blocks:
                    yield block


class _Internal:
    """Bytes that come from the store itself: nothing was promised about them."""

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        self._blocks = blocks

    def chunks(self) -> AsyncIterator[bytes]:
        return self._blocks

    def settle(self, stored: StoredBlob) -> Checksum | None:
        del stored
        return None


def _need_upload(tx: Transaction, target: ObjectId, upload_id: str) -> MultipartUpload:
    row = tx.one("upload_by_id", id=upload_id)
    if row is None or (row["bucket"], row["key"]) != (target.bucket, target.key):
        need_bucket(tx, target.bucket)
        raise NoSuchUpload(
            "the multipart upload does not exist: its id may be wrong, or it was completed or aborted",
            UploadId=upload_id,
        )
    return upload_of(row)


def _keep_part(
    batch: Batch, target: ObjectId, upload_id: str, number: int, stored: StoredBlob, checksum: Checksum | None
) -> tuple[UploadedPart, list[str]]:
    _need_upload(batch.tx, target, upload_id)
    before = batch.tx.one("part_by_number", upload=upload_id, number=number)
    part = UploadedPart(
        number=number,
        blob=stored.name,
        size=stored.size,
        etag=stored.md5,
        modified_at=batch.now,
        checksum=checksum,
    )
    batch.tx.run(
        "part_put",
        upload=upload_id,
        number=number,
        blob=part.blob,
        size=part.size,
        etag=part.etag,
        modified_at=part.modified_at,
        checksum=pack_checksum(checksum),
    )
    return part, unnamed_blobs(batch.tx, [before["blob"]]) if before else []


def _drop_upload(tx: Transaction, upload_id: str) -> list[str]:
    """Remove an upload's rows; the blobs that nothing names any more."""
    blobs = [row["blob"] for row in tx.all("parts_page", upload=upload_id, after=0, limit=PART_NUMBER_MAX)]
    tx.run("parts_delete", upload=upload_id)
    tx.run("upload_delete", id=upload_id)
    return unnamed_blobs(tx, blobs)
