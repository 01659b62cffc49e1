"""The five checksums of S3, incremental, and how those of parts become the one of an object.

CRC-32C and CRC-64/NVME come from anycrc (compiled; gigabytes a second); Python's own tables would take seconds a
megabyte. Values travel as the base64 of the big-endian digest; a composite one has ``-N`` behind it.
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import anycrc  # type: ignore[import-untyped]

from outfitter_server.objects.refusals import InvalidArgument, InvalidDigest


class Algorithm(Enum):
    """The algorithm's name in the API; the last part of its header's name in lower case."""

    CRC32 = "CRC32"
    CRC32C = "CRC32C"
    CRC64NVME = "CRC64NVME"
    SHA1 = "SHA1"
    SHA256 = "SHA256"

    @property
    def header(self) -> str:
        """The header that carries it: ``x-amz-checksum-crc32``, and so on."""
        return f"x-amz-checksum-{self.value.lower()}"


class ChecksumType(Enum):
    """Over the whole object's bytes, or over the checksums of its parts."""

    FULL_OBJECT = "FULL_OBJECT"
    COMPOSITE = "COMPOSITE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """A checksum as clients see it: base64, with ``-N`` when it is a composite of N parts."""

    algorithm: Algorithm
    value: str
    type: ChecksumType = ChecksumType.FULL_OBJECT


class Digest(Protocol):
    """An incremental digest, as in hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far, big-endian."""


_CRC_MODELS: Final = {
    Algorithm.CRC32: anycrc.Model("CRC32-ISO-HDLC"),
    Algorithm.CRC32C: anycrc.Model("CRC32-ISCSI"),
    Algorithm.CRC64NVME: anycrc.Model("CRC64-NVME"),
}
_BYTES: Final = {
    Algorithm.CRC32: 4,
    Algorithm.CRC32C: 4,
    Algorithm.CRC64NVME: 8,
    Algorithm.SHA1: 20,
    Algorithm.SHA256: 32,
}
_BY_HEADER: Final = {algorithm.header: algorithm for algorithm in Algorithm}


class _Crc32:
    """zlib's is compiled for each machine and lets go of the interpreter."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc:
    def __init__(self, algorithm: Algorithm) -> None:
        self._model = _CRC_MODELS[algorithm]
        self._bytes = _BYTES[algorithm]
        self._value: int = self._model.calc(b"")

    def update(self, data: bytes, /) -> None:
        self._value = self._model.calc(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._bytes, "big")


def new_digest(algorithm: Algorithm) -> Digest:
    """A fresh digest."""
    if algorithm is Algorithm.SHA1:
        return hashlib.sha1(usedforsecurity=False)
    if algorithm is Algorithm.SHA256:
        return hashlib.sha256()
    return _Crc32() if algorithm is Algorithm.CRC32 else _Crc(algorithm)


def algorithm_of_header(name: str) -> Algorithm | None:
    """The algorithm whose value a header (lower case) or trailer carries."""
    return _BY_HEADER.get(name)


def parse_algorithm(text: str) -> Algorithm:
    """The algorithm of this API name.

    Raises:
        InvalidArgument: S3 has no such checksum.
    """
    try:
        return Algorithm(text.upper())
    except ValueError as error:
        names = ", ".join(algorithm.value for algorithm in Algorithm)
        raise InvalidArgument(f"checksum algorithm {text!r} is not one of {names}") from error


def encode(digest: bytes) -> str:
    """The base64 of a digest."""
    return base64.b64encode(digest).decode()


def check_value(algorithm: Algorithm, value: str) -> str:
    """The value itself.

    Raises:
        InvalidDigest: it is not the base64 of a digest of this algorithm.
    """
    if len(_decode(value)) != _BYTES[algorithm]:
        raise InvalidDigest(f"the value of {algorithm.header} is not the base64 of {_BYTES[algorithm]} bytes")
    return value


def decode_md5(value: str) -> str:
    """Content-MD5 as hex.

    Raises:
        InvalidDigest: it is not the base64 of 16 bytes.
    """
    digest = _decode(value)
    if len(digest) != hashlib.md5(usedforsecurity=False).digest_size:
        raise InvalidDigest("Content-MD5 is not the base64 of 16 bytes")
    return digest.hex()


def checksum_type(algorithm: Algorithm, asked: str | None) -> ChecksumType:
    """How a multipart upload with this algorithm combines its parts.

    Raises:
        InvalidArgument: the algorithm has no such combination.
    """
    default = ChecksumType.FULL_OBJECT if algorithm is Algorithm.CRC64NVME else ChecksumType.COMPOSITE
    if asked is None:
        return default
    try:
        chosen = ChecksumType(asked.upper())
    except ValueError as error:
        raise InvalidArgument(
            f"x-amz-checksum-type {asked!r} is neither COMPOSITE nor FULL_OBJECT"
        ) from error
    possible = chosen is default or (chosen is ChecksumType.FULL_OBJECT and algorithm in _CRC_MODELS)
    if not possible:
        raise InvalidArgument(f"checksum type {chosen.value} cannot be used with {algorithm.value}")
    return chosen


def combine(algorithm: Algorithm, kind: ChecksumType, parts: Sequence[tuple[str, int]]) -> Checksum:
    """The checksum of an object out of its parts' values (base64) and sizes (bytes), in order."""
    if kind is ChecksumType.COMPOSITE:
        digest = new_digest(algorithm)
        for value, _ in parts:
            digest.update(_decode(value))
        return Checksum(algorithm=algorithm, value=f"{encode(digest.digest())}-{len(parts)}", type=kind)
    model = _CRC_MODELS[algorithm]
    total: int = model.calc(b"")
    for value, size in parts:
        total = model.combine(total, int.from_bytes(_decode(value), "big"), size)
    return Checksum(algorithm=algorithm, value=encode(total.to_bytes(_BYTES[algorithm], "big")), type=kind)


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidDigest("a checksum is not base64") from error
