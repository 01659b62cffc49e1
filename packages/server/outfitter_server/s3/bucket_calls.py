"""Buckets, their policies and their CORS rules."""

from typing import Final

from aiohttp import web

from outfitter_server.base.installation import Installation
from outfitter_server.objects.bucket_policy import POLICY_BYTES_MAX
from outfitter_server.objects.refusals import (
    BucketAlreadyOwnedByYou,
    InvalidArgument,
    MalformedBucketPolicy,
    NotSupported,
)
from outfitter_server.s3.body import read_document
from outfitter_server.s3.cors_xml import cors_xml, read_cors
from outfitter_server.s3.exchange import Exchange
from outfitter_server.s3.object_headers import refuse_unsupported
from outfitter_server.s3.xml import parse_document, root, tag, text, time
from outfitter_server.services.buckets import Buckets

BUCKETS_MAX: Final = 10_000
_DOCUMENT_BYTES_MAX: Final = 64 * 1024
_LEGACY_REGION: Final = "us-east-1"
_CONFIGURATION_KNOWN: Final = frozenset({"LocationConstraint"})


class BucketCalls:
    """Handlers of the operations on buckets."""

    def __init__(self, buckets: Buckets, installation: Installation) -> None:
        self._buckets = buckets
        self._installation = installation

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """ListBuckets."""
        limit = exchange.number("max-buckets", BUCKETS_MAX, BUCKETS_MAX)
        if not limit:
            raise InvalidArgument("max-buckets is from 1 to 10000", ArgumentName="max-buckets")
        prefix = exchange.query.get("prefix", "")
        page = self._buckets.list_buckets(exchange.query.get("continuation-token", ""), limit)
        entries = [
            tag(
                "Bucket",
                text("Name", bucket.name),
                time("CreationDate", bucket.created_at),
                text("BucketRegion", self._installation.region),
            )
            for bucket in page.items
            if bucket.name.startswith(prefix)
        ]
        body = root(
            "ListAllMyBucketsResult",
            tag("Owner", text("ID", self._installation.account)),
            tag("Buckets", *entries),
            text("ContinuationToken", page.next_token),
            text("Prefix", prefix or None),
        )
        return exchange.answer(body=body)

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """CreateBucket; any LocationConstraint is taken, an installation has one region."""
        refuse_unsupported(exchange)
        if (exchange.header("x-amz-bucket-object-lock-enabled") or "false").lower() != "false":
            raise NotSupported("object lock is not supported by this server")
        if (exchange.header("x-amz-object-ownership") or "BucketOwnerEnforced") != "BucketOwnerEnforced":
            raise NotSupported("the only object ownership is BucketOwnerEnforced")
        data = await read_document(exchange, _DOCUMENT_BYTES_MAX) if exchange.request.can_read_body else b""
        if data.strip():
            document = parse_document(data, "CreateBucketConfiguration")
            if unknown := sorted({child.tag for child in document} - _CONFIGURATION_KNOWN):
                raise NotSupported(f"{unknown[0]} of a new bucket is not supported by this server")
        name = exchange.target.bucket
        try:
            await self._buckets.create(name)
        except BucketAlreadyOwnedByYou:
            # S3's oldest region answers a repeated creation with 200, and scripts rely on it.
            if self._installation.region != _LEGACY_REGION:
                raise
        return exchange.answer(headers={"Location": f"/{name}"})

    async def head(self, exchange: Exchange) -> web.StreamResponse:
        """HeadBucket."""
        self._buckets.get(exchange.target.bucket)
        return exchange.answer(headers={"x-amz-bucket-region": self._installation.region})

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """DeleteBucket."""
        await self._buckets.delete(exchange.target.bucket)
        return exchange.answer(204)

    async def location(self, exchange: Exchange) -> web.StreamResponse:
        """GetBucketLocation: empty for us-east-1."""
        self._buckets.get(exchange.target.bucket)
        region = self._installation.region
        return exchange.answer(body=root("LocationConstraint", "" if region == _LEGACY_REGION else region))

    async def versioning(self, exchange: Exchange) -> web.StreamResponse:
        """GetBucketVersioning: never switched on, as S3 says it of such a bucket."""
        self._buckets.get(exchange.target.bucket)
        return exchange.answer(body=root("VersioningConfiguration"))

    async def put_policy(self, exchange: Exchange) -> web.StreamResponse:
        """PutBucketPolicy."""
        data = await read_document(exchange, POLICY_BYTES_MAX)
        try:
            policy = data.decode()
        except UnicodeDecodeError as error:
            raise MalformedBucketPolicy("the policy is not UTF-8") from error
        await self._buckets.put_policy(exchange.target.bucket, policy)
        return exchange.answer(204)

    async def get_policy(self, exchange: Exchange) -> web.StreamResponse:
        """GetBucketPolicy: as it was put."""
        response = exchange.answer()
        response.body = self._buckets.policy(exchange.target.bucket).encode()
        response.headers["Content-Type"] = "application/json"
        return response

    async def delete_policy(self, exchange: Exchange) -> web.StreamResponse:
        """DeleteBucketPolicy."""
        await self._buckets.delete_policy(exchange.target.bucket)
        return exchange.answer(204)

    async def put_cors(self, exchange: Exchange) -> web.StreamResponse:
        """PutBucketCors."""
        rules = read_cors(await read_document(exchange, _DOCUMENT_BYTES_MAX))
        await self._buckets.put_cors(exchange.target.bucket, rules)
        return exchange.answer()

    async def get_cors(self, exchange: Exchange) -> web.StreamResponse:
        """GetBucketCors."""
        return exchange.answer(body=cors_xml(self._buckets.cors(exchange.target.bucket)))

    async def delete_cors(self, exchange: Exchange) -> web.StreamResponse:
        """DeleteBucketCors."""
        await self._buckets.delete_cors(exchange.target.bucket)
        return exchange.answer(204)
