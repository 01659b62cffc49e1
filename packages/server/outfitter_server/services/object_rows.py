"""Rows of the file store as values, and values as what rows hold."""

import json
from collections.abc import Iterable

import msgspec

from outfitter_server.objects.checksums import Algorithm, Checksum, ChecksumType
from outfitter_server.objects.refusals import NoSuchBucket
from outfitter_server.objects.values import (
    Bucket,
    MultipartUpload,
    ObjectHeaders,
    ObjectSummary,
    StoredObject,
    UploadedPart,
)
from outfitter_server.services.ports import Row, Transaction


def pack_headers(headers: ObjectHeaders) -> str:
    """As JSON text."""
    return msgspec.json.encode(headers).decode()


def pack_checksum(checksum: Checksum | None) -> str | None:
    """As JSON text."""
    return None if checksum is None else msgspec.json.encode(checksum).decode()


def bucket_of(row: Row) -> Bucket:
    """A row of buckets."""
    return Bucket(name=row["name"], created_at=row["created_at"])


def object_of(row: Row) -> StoredObject:
    """A row of objects."""
    return StoredObject(
        bucket=row["bucket"],
        key=row["key"],
        blob=row["blob"],
        size=row["size"],
        etag=row["etag"],
        modified_at=row["modified_at"],
        headers=msgspec.json.decode(row["headers"], type=ObjectHeaders),
        checksum=_checksum(row["checksum"]),
    )


def summary_of(row: Row) -> ObjectSummary:
    """A listed row of objects."""
    return ObjectSummary(
        key=row["key"],
        size=row["size"],
        etag=row["etag"],
        modified_at=row["modified_at"],
        checksum=_checksum(row["checksum"]),
    )


def upload_of(row: Row) -> MultipartUpload:
    """A row of uploads."""
    return MultipartUpload(
        id=row["id"],
        bucket=row["bucket"],
        key=row["key"],
        created_at=row["created_at"],
        headers=msgspec.json.decode(row["headers"], type=ObjectHeaders),
        algorithm=None if row["algorithm"] is None else Algorithm(row["algorithm"]),
        checksum_type=None if row["checksum_type"] is None else ChecksumType(row["checksum_type"]),
    )


def part_of(row: Row) -> UploadedPart:
    """A row of upload_parts."""
    return UploadedPart(
        number=row["number"],
        blob=row["blob"],
        size=row["size"],
        etag=row["etag"],
        modified_at=row["modified_at"],
        checksum=_checksum(row["checksum"]),
    )


def need_bucket(tx: Transaction, name: str) -> Row:
    """The bucket's row.

    Raises:
        NoSuchBucket: there is none.
    """
    row = tx.one("bucket_by_name", name=name)
    if row is None:
        raise NoSuchBucket(f"the bucket {name!r} does not exist", BucketName=name)
    return row


def unnamed_blobs(tx: Transaction, blobs: Iterable[str]) -> list[str]:
    """Those that no row names any more: asked in the transaction that let go of them, so no copy can come between."""
    candidates = sorted(set(blobs))
    if not candidates:
        return []
    named = {row["blob"] for row in tx.all("blobs_named", blobs=json.dumps(candidates))}
    return [blob for blob in candidates if blob not in named]


def _checksum(text: str | None) -> Checksum | None:
    return None if text is None else msgspec.json.decode(text, type=Checksum)
