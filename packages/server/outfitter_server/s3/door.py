"""The door: route, let in, answer.

Signatures over headers are verified before a request comes here; what a signature promises about the body is checked
where the body is read. Requests without a signature reach what a bucket policy opens to everybody, and only to read.
"""

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from aiohttp import web

from outfitter_server.access.signature import Claim, SigningContext
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Refusal
from outfitter_server.objects.names import check_bucket_name, check_key
from outfitter_server.s3.admission import Admission
from outfitter_server.s3.bucket_calls import BucketCalls
from outfitter_server.s3.cors_xml import answer_grant, preflight
from outfitter_server.s3.errors import error_response
from outfitter_server.s3.exchange import SERVER_NAME, Exchange
from outfitter_server.s3.listing_calls import ListingCalls
from outfitter_server.s3.multipart_calls import MultipartCalls
from outfitter_server.s3.object_calls import ObjectCalls
from outfitter_server.s3.routing import (
    Operation,
    choose_operation,
    read_query,
    read_target,
    virtual_bucket,
)
from outfitter_server.services.buckets import Buckets
from outfitter_server.services.callers import Caller
from outfitter_server.services.objects import Objects
from outfitter_server.services.uploads import Uploads

_AMZ: Final = "x-amz-"
_NOT_PINNED: Final = frozenset(
    f"x-amz-{name}"
    for name in ("algorithm", "credential", "date", "expires", "security-token", "signature", "signedheaders")
)
_HOSTS_DEFAULT: Final = ("localhost",)

_log = logging.getLogger(__name__)
_Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]


class S3Door:
    """S3's REST interface over the file store; mounted by the https door, which calls ``handle``."""

    def __init__(
        self,
        *,
        buckets: Buckets,
        objects: Objects,
        uploads: Uploads,
        installation: Installation,
        new_request_id: Callable[[], str],
        hosts: Collection[str] = (),
        console_bucket: str | None = None,
    ) -> None:
        """``hosts``: the names we are called by, in front of which a bucket's name may stand.

        ``console_bucket``: the one bucket whose pages may run scripts.
        """
        self._buckets = buckets
        self._hosts = tuple(dict.fromkeys([*(host.lower() for host in hosts), *_HOSTS_DEFAULT]))
        self._new_request_id = new_request_id
        bucket_calls = BucketCalls(buckets, installation)
        self._admission = admission = Admission(buckets, objects)
        object_calls = ObjectCalls(objects, admission, console_bucket)
        listing_calls = ListingCalls(buckets, objects, installation.account)
        multipart_calls = MultipartCalls(uploads, admission, installation.account)
        self._handlers = _handlers(bucket_calls, object_calls, listing_calls, multipart_calls)

    async def handle(
        self,
        request: web.BaseRequest,
        claim: Claim | None,
        caller: Caller | None,
        context: SigningContext | None,
    ) -> web.StreamResponse:
        """Answer one request; the three others are None when it is not signed."""
        request_id = self._new_request_id()
        headers = _answer_headers(request_id)
        try:
            exchange = self._read(request, request_id, claim, caller, context)
            exchange.answer_headers = headers
            rules = self._buckets.cors_or_none(exchange.target.bucket) if "origin" in request.headers else ()
            if request.method == "OPTIONS":
                return web.Response(headers={**headers, **preflight(request, rules)})
            headers.update(answer_grant(request, rules))
            exchange.operation = choose_operation(
                request.method,
                exchange.target,
                exchange.query,
                copies=exchange.header("x-amz-copy-source") is not None,
            )
            self._admission.admit(exchange, exchange.operation)
            return await self._handlers[exchange.operation](exchange)
        except Exception as error:  # noqa: BLE001 - a fault is logged and answered in S3's shape
            return _answer_failure(request, error, request_id, headers)

    def grant(self, request: web.BaseRequest) -> dict[str, str]:
        """The cross-origin headers that the bucket's rules give an answer to this request."""
        if "origin" not in request.headers:
            return {}
        try:
            target = read_target(
                request.raw_path.partition("?")[0], _host_name(request.headers.get("host", "")), self._hosts
            )
            return answer_grant(request, self._buckets.cors_or_none(target.bucket))
        except Refusal:
            return {}

    def bucket_of_host(self, host: str) -> str | None:
        """The bucket that a Host header carries in front of one of our names; None: the path begins with it."""
        return virtual_bucket(_host_name(host).lower(), self._hosts)

    def refuse(self, request: web.BaseRequest, refusal: Refusal) -> web.StreamResponse:
        """The error document for a request that was refused before it came here."""
        request_id = self._new_request_id()
        return error_response(request, refusal, request_id, _answer_headers(request_id))

    def _read(
        self,
        request: web.BaseRequest,
        request_id: str,
        claim: Claim | None,
        caller: Caller | None,
        context: SigningContext | None,
    ) -> Exchange:
        raw_path, _, raw_query = request.raw_path.partition("?")
        query = read_query(raw_query)
        target = read_target(raw_path, _host_name(request.headers.get("host", "")), self._hosts)
        if target.bucket and request.method not in {"PUT", "OPTIONS"}:
            check_bucket_name(target.bucket)
        if target.key:
            check_key(target.key)
        return Exchange(
            request=request,
            request_id=request_id,
            target=target,
            query=query,
            pinned=_pinned(query) if claim is not None and claim.presigned else {},
            claim=claim,
            caller=caller,
            context=context,
        )


def _handlers(
    buckets: BucketCalls, objects: ObjectCalls, listings: ListingCalls, multipart: MultipartCalls
) -> dict[Operation, _Handler]:
    return {
        Operation.ListBuckets: buckets.list,
        Operation.CreateBucket: buckets.create,
        Operation.HeadBucket: buckets.head,
        Operation.DeleteBucket: buckets.delete,
        Operation.GetBucketLocation: buckets.location,
        Operation.GetBucketVersioning: buckets.versioning,
        Operation.GetBucketPolicy: buckets.get_policy,
        Operation.PutBucketPolicy: buckets.put_policy,
        Operation.DeleteBucketPolicy: buckets.delete_policy,
        Operation.GetBucketCors: buckets.get_cors,
        Operation.PutBucketCors: buckets.put_cors,
        Operation.DeleteBucketCors: buckets.delete_cors,
        Operation.ListObjects: listings.list_v1,
        Operation.ListObjectsV2: listings.list_v2,
        Operation.ListMultipartUploads: multipart.list_uploads,
        Operation.DeleteObjects: objects.delete_many,
        Operation.GetObject: objects.get,
        Operation.HeadObject: objects.get,
        Operation.PutObject: objects.put,
        Operation.CopyObject: objects.copy,
        Operation.DeleteObject: objects.delete,
        Operation.CreateMultipartUpload: multipart.create,
        Operation.UploadPart: multipart.put_part,
        Operation.UploadPartCopy: multipart.copy_part,
        Operation.CompleteMultipartUpload: multipart.complete,
        Operation.AbortMultipartUpload: multipart.abort,
        Operation.ListParts: multipart.list_parts,
    }


def _answer_headers(request_id: str) -> dict[str, str]:
    return {"Server": SERVER_NAME, "x-amz-request-id": request_id, "x-amz-id-2": request_id}


def _answer_failure(
    request: web.BaseRequest, error: Exception, request_id: str, headers: dict[str, str]
) -> web.Response:
    """The error document; an answer that has begun can only be broken off."""
    gone = isinstance(error, ConnectionError | web.RequestPayloadError)
    if not gone and not isinstance(error, Refusal):
        _log.error(
            "an S3 request failed: %s %s", request.method, request.raw_path.partition("?")[0], exc_info=error
        )
    if request.writer.output_size:
        raise ConnectionResetError("the answer broke off") from error
    if gone:
        response = web.Response(status=400, headers=headers)
        response.force_close()
        return response
    return error_response(request, error if isinstance(error, Refusal) else None, request_id, headers)


def _host_name(host: str) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _pinned(query: dict[str, str]) -> dict[str, str]:
    """The headers that a pre-signed URL carries in its query."""
    pinned = {}
    for name, value in query.items():
        lower = name.lower()
        if lower == "content-md5" or (lower.startswith(_AMZ) and lower not in _NOT_PINNED):
            pinned[lower] = value
    return pinned
