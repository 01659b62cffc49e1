"""What the file store keeps and answers with. Times are milliseconds since the epoch, sizes are bytes."""

from dataclasses import dataclass

from outfitter_server.objects.checksums import Algorithm, Checksum, ChecksumType

CONTENT_TYPE_DEFAULT = "binary/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHeaders:
    """What the writer of an object wants said with it, byte for byte.

    Attributes:
        metadata: the ``x-amz-meta-`` headers: lower-case names without the prefix, values as they came.
    """

    content_type: str = CONTENT_TYPE_DEFAULT
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    expires: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket and when it was made."""

    name: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object as its row says.

    Attributes:
        blob: the name of its bytes in the cellar.
        etag: without quotes; an MD5 in hex, or that of a multipart upload (``…-3``).
    """

    bucket: str
    key: str
    blob: str
    size: int
    etag: str
    modified_at: int
    headers: ObjectHeaders
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSummary:
    """One line of a listing."""

    key: str
    size: int
    etag: str
    modified_at: int
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """An upload under way.

    Attributes:
        algorithm: the checksum that its parts carry, if it was created with one.
        checksum_type: how the parts' checksums become the object's.
    """

    id: str
    bucket: str
    key: str
    created_at: int
    headers: ObjectHeaders
    algorithm: Algorithm | None = None
    checksum_type: ChecksumType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """One part that was uploaded."""

    number: int
    blob: str
    size: int
    etag: str
    modified_at: int
    checksum: Checksum | None = None
