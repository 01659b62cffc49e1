"""The rules of multipart uploads: sizes, order, and the ETag and checksum of the whole."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from outfitter_server.objects.checksums import Algorithm, Checksum, ChecksumType, combine
from outfitter_server.objects.refusals import (
    BadDigest,
    EntityTooLarge,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    ObjectRefusal,
)
from outfitter_server.objects.values import MultipartUpload, UploadedPart

PART_NUMBER_MAX: Final = 10_000
PART_BYTES_MIN: Final = 5 * 1024 * 1024
UPLOAD_BYTES_MAX: Final = 5 * 1024**3
OBJECT_BYTES_MAX: Final = 5 * 1024**4


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPart:
    """A part as CompleteMultipartUpload names it; ``checksum`` is base64 or None."""

    number: int
    etag: str
    checksum: str | None = None


def check_part_number(number: int) -> int:
    """The number itself.

    Raises:
        InvalidArgument: not from 1 to 10,000.
    """
    if not 1 <= number <= PART_NUMBER_MAX:
        raise InvalidArgument(f"part number {number} is not between 1 and {PART_NUMBER_MAX}")
    return number


def check_part_algorithm(upload: MultipartUpload, algorithm: Algorithm | None) -> None:
    """Refuse a part that carries another checksum than its upload was begun with.

    Raises:
        ObjectRefusal: it does; the whole's checksum could not be made of it.
    """
    if upload.algorithm is None or algorithm is None or algorithm is upload.algorithm:
        return
    raise ObjectRefusal(
        f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.value.lower()}, "
        f"actual checksum Type: {algorithm.value.lower()}"
    )


def multipart_etag(etags: Sequence[str]) -> str:
    """MD5 over the parts' MD5s (hex), and their number: ``…-3``."""
    joined = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
    return f"{joined.hexdigest()}-{len(etags)}"


def choose_parts(named: Sequence[NamedPart], uploaded: Mapping[int, UploadedPart]) -> list[UploadedPart]:
    """The uploaded parts that a completion names, in order.

    Raises:
        InvalidPartOrder: numbers do not ascend.
        InvalidPart: one was not uploaded, or has another ETag or checksum.
        EntityTooSmall: one that is not the last has less than 5 MiB.
        EntityTooLarge: the whole is larger than 5 TiB.
    """
    if not named:
        raise ObjectRefusal("a completion names at least one part")
    if any(before.number >= after.number for before, after in pairwise(named)):
        raise InvalidPartOrder("the parts of a completion are listed in ascending order of number")
    chosen = [_choose(part, uploaded.get(part.number)) for part in named]
    for part in chosen[:-1]:
        if part.size < PART_BYTES_MIN:
            raise EntityTooSmall(
                f"part {part.number} has {part.size} bytes; every part but the last has at least {PART_BYTES_MIN}",
                PartNumber=part.number,
                ProposedSize=part.size,
                MinSizeAllowed=PART_BYTES_MIN,
                ETag=part.etag,
            )
    if sum(part.size for part in chosen) > OBJECT_BYTES_MAX:
        raise EntityTooLarge(f"an object has at most {OBJECT_BYTES_MAX} bytes")
    return chosen


def check_whole_size(parts: Sequence[UploadedPart], promised: int | None) -> None:
    """Refuse a whole of another size than the completion promised.

    Raises:
        ObjectRefusal: it has.
    """
    size = sum(part.size for part in parts)
    if promised is not None and promised != size:
        raise ObjectRefusal(
            f"The provided 'x-amz-mp-object-size' header value {promised} does not match what was computed: {size}"
        )


def whole_checksum(
    upload: MultipartUpload, parts: Sequence[UploadedPart], promised: str | None
) -> Checksum | None:
    """The object's checksum, when the upload has one and every part carries it.

    Raises:
        BadDigest: ``promised`` (base64, from the completion) is another.
    """
    if upload.algorithm is None:
        return None
    values = [
        (part.checksum.value, part.size)
        for part in parts
        if part.checksum is not None and part.checksum.algorithm is upload.algorithm
    ]
    if len(values) < len(parts):
        return None
    whole = combine(upload.algorithm, upload.checksum_type or ChecksumType.COMPOSITE, values)
    if promised is not None and promised not in {whole.value, whole.value.partition("-")[0]}:
        raise BadDigest(f"the {upload.algorithm.value} of the whole object is {whole.value}, not {promised}")
    return whole


def _choose(named: NamedPart, found: UploadedPart | None) -> UploadedPart:
    if found is None or named.etag.strip('"') != found.etag:
        raise InvalidPart(
            f"part {named.number} was not uploaded, or its ETag is not {named.etag}",
            PartNumber=named.number,
            ETag=named.etag,
        )
    if named.checksum is not None and found.checksum is not None and named.checksum != found.checksum.value:
        raise InvalidPart(
            f"part {named.number} has another checksum than {named.checksum}", PartNumber=named.number
        )
    return found
