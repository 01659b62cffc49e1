"""Bodies on their way in: streamed, decoded, counted and compared with everything that was promised about them."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Iterable
from typing import Final

from aiohttp import HttpVersion11

from outfitter_server.access.signature import (
    UNSIGNED_PAYLOAD,
    SigningContext,
    chunk_signature,
    declared_payload_hash,
    trailer_signature,
)
from outfitter_server.objects.checksums import (
    Algorithm,
    Checksum,
    Digest,
    algorithm_of_header,
    check_value,
    decode_md5,
    encode,
    new_digest,
)
from outfitter_server.objects.chunked import ChunkedDecoder
from outfitter_server.objects.refusals import (
    AccessDenied,
    BadDigest,
    ContentSha256Mismatch,
    EntityTooLarge,
    IncompleteBody,
    InvalidArgument,
    MaxMessageLengthExceeded,
    MissingContentLength,
    NotSupported,
    ObjectRefusal,
    RequestTimeout,
)
from outfitter_server.s3.exchange import Exchange, parse_number
from outfitter_server.services.ports import StoredBlob

SILENCE_SECONDS_MAX: Final = 60
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_STREAMING: Final = "STREAMING-"
_SIGNED_CHUNKS: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_SIGNED_CHUNKS_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class IncomingBody:
    """The body of one request: an Arrival of services.objects. Headers are read and judged at construction.

    Attributes:
        algorithm: that of the checksum it carries, None without one.
    """

    def __init__(self, exchange: Exchange, bytes_max: int, *, checksummed: bool = True) -> None:
        """Read what is promised.

        Raises:
            MissingContentLength, EntityTooLarge: the length is not said, or is more than ``bytes_max``.
            InvalidDigest, ObjectRefusal: a promised digest cannot be one, or there are two.
            NotSupported: the body is signed in a way that this server does not know.
        """
        self._exchange = exchange
        self._declared = declared_payload_hash(exchange.claim, exchange.request.headers)
        if exchange.claim is not None and exchange.claim.presigned:
            self._declared = exchange.pinned.get("x-amz-content-sha256", self._declared)
        self._decoder = self._new_decoder()
        self.length = self._read_length(bytes_max)
        md5 = exchange.header("content-md5")
        self._md5 = None if md5 is None else decode_md5(md5)
        self._promised = self._read_checksum() if checksummed else None
        self._trailing = self._read_trailing() if self._promised is None else None
        self.algorithm = self._promised.algorithm if self._promised else self._trailing
        # The cellar digests SHA-256 anyway.
        self._digest: Digest | None = None
        if self.algorithm not in {None, Algorithm.SHA256} and self.algorithm is not None:
            self._digest = new_digest(self.algorithm)

    @property
    def has_checksum(self) -> bool:
        """Whether anything but the signature vouches for the bytes."""
        return self._md5 is not None or self.algorithm is not None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The decoded bytes; see Arrival."""
        await _continue(self._exchange)
        received = 0
        async for data in self._wire():
            for piece in self._decoder.feed(data) if self._decoder else (data,):
                received += len(piece)
                if self._digest is not None:
                    self._digest.update(piece)
                yield piece
        if self._decoder is not None:
            self._decoder.finish()
        if received != self.length:
            raise IncompleteBody(f"{received} of {self.length} bytes arrived; nothing was stored")

    def settle(self, stored: StoredBlob) -> Checksum | None:
        """Compare; see Arrival."""
        if self._md5 is not None and not hmac.compare_digest(self._md5, stored.md5):
            raise BadDigest(
                "The Content-MD5 you specified did not match what we received; nothing was stored"
            )
        if _SHA256.fullmatch(self._declared) and not hmac.compare_digest(self._declared, stored.sha256):
            raise ContentSha256Mismatch(
                "The provided 'x-amz-content-sha256' header does not match what was computed; nothing was stored",
                ClientComputedContentSHA256=self._declared,
                S3ComputedContentSHA256=stored.sha256,
            )
        if self.algorithm is None:
            return None
        digest = bytes.fromhex(stored.sha256) if self._digest is None else self._digest.digest()
        computed = encode(digest)
        promised = self._promised.value if self._promised else self._trailer_value(self.algorithm)
        if not hmac.compare_digest(promised.encode(), computed.encode()):
            raise BadDigest(
                f"The {self.algorithm.value} you specified did not match the calculated checksum; nothing was stored"
            )
        return Checksum(algorithm=self.algorithm, value=computed)

    async def _wire(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    data = await self._exchange.request.content.readany()
            except TimeoutError as error:
                raise RequestTimeout(
                    f"no byte of the body came for {SILENCE_SECONDS_MAX} seconds; nothing was stored"
                ) from error
            if not data:
                return
            yield data

    def _new_decoder(self) -> ChunkedDecoder | None:
        if not self._declared.startswith(_STREAMING):
            if self._declared != UNSIGNED_PAYLOAD and not _SHA256.fullmatch(self._declared):
                raise InvalidArgument(
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value, or a SHA-256 in hex",
                    ArgumentName="x-amz-content-sha256",
                )
            return None
        text = self._exchange.header("x-amz-decoded-content-length")
        if text is None:
            raise MissingContentLength("an aws-chunked body needs x-amz-decoded-content-length")
        length = parse_number("x-amz-decoded-content-length", text)
        if self._declared == _UNSIGNED_TRAILER:
            return ChunkedDecoder(length=length, signer=None, trailing=True)
        if self._declared not in {_SIGNED_CHUNKS, _SIGNED_CHUNKS_TRAILER}:
            raise NotSupported(f"bodies signed as {self._declared} are not supported")
        if self._exchange.context is None:
            raise AccessDenied("only a signed request can carry signed chunks")
        signer = _Signer(self._exchange.context)
        return ChunkedDecoder(length=length, signer=signer, trailing=self._declared == _SIGNED_CHUNKS_TRAILER)

    def _read_length(self, bytes_max: int) -> int:
        name = "x-amz-decoded-content-length" if self._decoder else "content-length"
        text = self._exchange.header(name)
        if text is None:
            raise MissingContentLength("You must provide the Content-Length HTTP header.")
        length = parse_number(name, text)
        if length > bytes_max:
            raise EntityTooLarge(
                f"your proposed upload of {length} bytes exceeds the maximum of {bytes_max}",
                ProposedSize=length,
                MaxSizeAllowed=bytes_max,
            )
        return length

    def _read_checksum(self) -> Checksum | None:
        given = [
            (algorithm, value)
            for algorithm in Algorithm
            if (value := self._exchange.header(algorithm.header)) is not None
        ]
        if len(given) > 1:
            raise ObjectRefusal(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            )
        if not given:
            return None
        algorithm, value = given[0]
        return Checksum(algorithm=algorithm, value=check_value(algorithm, value))

    def _read_trailing(self) -> Algorithm | None:
        announced = self._exchange.header("x-amz-trailer")
        if announced is None:
            return None
        algorithm = algorithm_of_header(announced.strip().lower())
        if algorithm is None:
            raise ObjectRefusal("The value specified in the x-amz-trailer header is not supported")
        if self._decoder is None:
            raise ObjectRefusal("x-amz-trailer needs an aws-chunked body with a trailer")
        return algorithm

    def _trailer_value(self, algorithm: Algorithm) -> str:
        value = self._decoder.trailers.get(algorithm.header) if self._decoder else None
        if value is None:
            raise ObjectRefusal(
                f"the body has no {algorithm.header} in its trailer, which x-amz-trailer announces"
            )
        return check_value(algorithm, value)


class _Signer:
    """The caller's signing key, bound to the request."""

    def __init__(self, context: SigningContext) -> None:
        self._context = context

    def seed(self) -> str:
        return self._context.seed_signature

    def chunk(self, previous: str, sha256: str) -> str:
        return chunk_signature(self._context, previous, sha256)

    def trailer(self, previous: str, trailers: Iterable[tuple[str, str]]) -> str:
        return trailer_signature(self._context, previous, trailers)


async def read_document(exchange: Exchange, bytes_max: int, *, checksummed: bool = True) -> bytes:
    """A small body, whole and checked as an upload is; without ``checksummed`` its checksum headers mean something else.

    Raises:
        MaxMessageLengthExceeded: it is longer than ``bytes_max``.
    """
    try:
        body = IncomingBody(exchange, bytes_max, checksummed=checksummed)
    except EntityTooLarge as error:
        raise MaxMessageLengthExceeded(f"the document has more than {bytes_max} bytes") from error
    data = b"".join([piece async for piece in body.chunks()])
    body.settle(
        StoredBlob(
            name="",
            size=len(data),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            sha256=hashlib.sha256(data).hexdigest(),
        )
    )
    return data


async def _continue(exchange: Exchange) -> None:
    """Ask for the body, if its sender waits for that."""
    request = exchange.request
    expects = (request.headers.get("expect") or "").lower() == "100-continue"
    if expects and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is no part of the final one's body.
        request.writer.output_size = 0
