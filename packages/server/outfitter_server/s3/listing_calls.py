"""ListObjects and ListObjectsV2."""

import base64
import binascii
from collections.abc import Callable

from aiohttp import web

from outfitter_server.objects.listing import KEYS_MAX, Listing, ListingRequest, start_after
from outfitter_server.objects.refusals import InvalidArgument
from outfitter_server.objects.values import ObjectSummary
from outfitter_server.s3.exchange import Exchange
from outfitter_server.s3.xml import etag, flag, root, tag, text, time, url_encoded
from outfitter_server.services.buckets import Buckets
from outfitter_server.services.objects import Objects

_EMPTY: Listing[ObjectSummary] = Listing(rows=(), common_prefixes=(), next_start=None, last="")


class ListingCalls:
    """Handlers of the two listings."""

    def __init__(self, buckets: Buckets, objects: Objects, account: str) -> None:
        self._buckets = buckets
        self._objects = objects
        self._account = account

    async def list_v1(self, exchange: Exchange) -> web.StreamResponse:
        """ListObjects: goes on behind a marker."""
        query = exchange.query
        encode = read_encoding(exchange)
        keys_max = exchange.number("max-keys", KEYS_MAX, KEYS_MAX)
        prefix, delimiter, marker = (query.get(name, "") for name in ("prefix", "delimiter", "marker"))
        page = self._page(exchange, prefix, delimiter, start_after(marker, prefix, delimiter), keys_max)
        truncated = page.next_start is not None
        body = root(
            "ListBucketResult",
            text("Name", exchange.target.bucket),
            text("Prefix", encode(prefix)),
            text("Marker", encode(marker)),
            text("MaxKeys", keys_max),
            text("Delimiter", encode(delimiter) or None),
            text("NextMarker", encode(page.last)) if truncated and delimiter else "",
            text("EncodingType", query.get("encoding-type")),
            flag("IsTruncated", truncated),
            *self._contents(page, encode, with_owner=True),
        )
        return exchange.answer(body=body)

    async def list_v2(self, exchange: Exchange) -> web.StreamResponse:
        """ListObjectsV2: goes on at a token."""
        query = exchange.query
        encode = read_encoding(exchange)
        keys_max = exchange.number("max-keys", KEYS_MAX, KEYS_MAX)
        prefix, delimiter, after = (query.get(name, "") for name in ("prefix", "delimiter", "start-after"))
        token = query.get("continuation-token")
        start = start_after(after, prefix, delimiter) if token is None else _decode_token(token)
        page = self._page(exchange, prefix, delimiter, start, keys_max)
        following = None if page.next_start is None else _encode_token(page.next_start)
        body = root(
            "ListBucketResult",
            text("Name", exchange.target.bucket),
            text("Prefix", encode(prefix)),
            text("MaxKeys", keys_max),
            text("Delimiter", encode(delimiter) or None),
            text("EncodingType", query.get("encoding-type")),
            text("KeyCount", len(page.rows) + len(page.common_prefixes)),
            flag("IsTruncated", following is not None),
            text("ContinuationToken", token),
            text("NextContinuationToken", following),
            text("StartAfter", encode(after) or None),
            *self._contents(page, encode, with_owner=query.get("fetch-owner") == "true"),
        )
        return exchange.answer(body=body)

    def _page(
        self, exchange: Exchange, prefix: str, delimiter: str, start: str | None, keys_max: int
    ) -> Listing[ObjectSummary]:
        self._buckets.get(exchange.target.bucket)
        if start is None or not keys_max:
            return _EMPTY
        request = ListingRequest(prefix=prefix, delimiter=delimiter, start=start, keys_max=keys_max)
        return self._objects.list_objects(exchange.target.bucket, request)

    def _contents(
        self, page: Listing[ObjectSummary], encode: Callable[[str], str], *, with_owner: bool
    ) -> list[str]:
        owner = tag("Owner", text("ID", self._account)) if with_owner else ""
        return [
            tag(
                "Contents",
                text("Key", encode(row.key)),
                time("LastModified", row.modified_at),
                etag(row.etag),
                *_checksum_xml(row),
                text("Size", row.size),
                owner,
                text("StorageClass", "STANDARD"),
            )
            for row in page.rows
        ] + [tag("CommonPrefixes", text("Prefix", encode(prefix))) for prefix in page.common_prefixes]


def read_encoding(exchange: Exchange) -> Callable[[str], str]:
    """How keys are written, as ``encoding-type`` asks.

    Raises:
        InvalidArgument: another encoding than ``url``.
    """
    encoding = exchange.query.get("encoding-type")
    if encoding is None:
        return lambda value: value
    if encoding != "url":
        raise InvalidArgument("Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    return url_encoded


def _checksum_xml(row: ObjectSummary) -> tuple[str, ...]:
    if row.checksum is None:
        return ()
    return (
        text("ChecksumAlgorithm", row.checksum.algorithm.value),
        text("ChecksumType", row.checksum.type.value),
    )


def _encode_token(start: str) -> str:
    return base64.urlsafe_b64encode(start.encode()).decode()


def _decode_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(
            "The continuation token provided is incorrect", ArgumentName="continuation-token"
        ) from error
