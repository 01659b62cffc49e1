"""Multipart uploads."""

from typing import Final
from xml.etree.ElementTree import Element

from aiohttp import web

from outfitter_server.objects.checksums import Algorithm, checksum_type, parse_algorithm
from outfitter_server.objects.multipart import (
    PART_NUMBER_MAX,
    UPLOAD_BYTES_MAX,
    NamedPart,
    check_part_algorithm,
    check_part_number,
)
from outfitter_server.objects.refusals import InvalidArgument, MalformedXml, NotSupported
from outfitter_server.objects.values import MultipartUpload, UploadedPart
from outfitter_server.s3.admission import Admission
from outfitter_server.s3.body import IncomingBody, read_document
from outfitter_server.s3.copy_source import read_copy_range, read_copy_source
from outfitter_server.s3.exchange import Exchange, parse_number
from outfitter_server.s3.listing_calls import read_encoding
from outfitter_server.s3.object_calls import checksum_xml
from outfitter_server.s3.object_headers import read_object_headers
from outfitter_server.s3.routing import Operation, Target
from outfitter_server.s3.xml import (
    child_text,
    etag,
    flag,
    need_number,
    need_text,
    parse_document,
    root,
    tag,
    text,
    time,
)
from outfitter_server.services.objects import ObjectId
from outfitter_server.services.uploads import Uploads

PAGE_MAX: Final = 1_000
_COMPLETE_BYTES_MAX: Final = 4 * 1024 * 1024
_SIZE: Final = "x-amz-mp-object-size"


class MultipartCalls:
    """Handlers of the operations on multipart uploads."""

    def __init__(self, uploads: Uploads, admission: Admission, account: str) -> None:
        self._uploads = uploads
        self._admission = admission
        self._account = account

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """CreateMultipartUpload."""
        asked = exchange.header("x-amz-checksum-algorithm")
        algorithm = None if asked is None else parse_algorithm(asked)
        asked_type = exchange.header("x-amz-checksum-type")
        kind = None if algorithm is None else checksum_type(algorithm, asked_type)
        upload = await self._uploads.create(_target(exchange), read_object_headers(exchange), algorithm, kind)
        headers = {}
        if algorithm is not None and kind is not None:
            headers = {"x-amz-checksum-algorithm": algorithm.value, "x-amz-checksum-type": kind.value}
        body = root("InitiateMultipartUploadResult", *_names(upload))
        return exchange.answer(body=body, headers=headers)

    async def put_part(self, exchange: Exchange) -> web.StreamResponse:
        """UploadPart."""
        target, upload_id = _target(exchange), exchange.query["uploadId"]
        body = IncomingBody(exchange, UPLOAD_BYTES_MAX)
        check_part_algorithm(self._uploads.find(target, upload_id), body.algorithm)
        part = await self._uploads.put_part(target, upload_id, _part_number(exchange), body)
        headers = {"ETag": f'"{part.etag}"'}
        if part.checksum is not None:
            headers[part.checksum.algorithm.header] = part.checksum.value
        return exchange.answer(headers=headers)

    async def copy_part(self, exchange: Exchange) -> web.StreamResponse:
        """UploadPartCopy."""
        source = read_copy_source(exchange)
        self._admission.demand(
            exchange, Operation.GetObject.action, Target(bucket=source.bucket, key=source.key)
        )
        part = await self._uploads.copy_part(
            _target(exchange),
            exchange.query["uploadId"],
            _part_number(exchange),
            source,
            read_copy_range(exchange),
            exchange.conditions("x-amz-copy-source-"),
        )
        return exchange.answer(
            body=root("CopyPartResult", time("LastModified", part.modified_at), etag(part.etag))
        )

    async def complete(self, exchange: Exchange) -> web.StreamResponse:
        """CompleteMultipartUpload."""
        target, upload_id = _target(exchange), exchange.query["uploadId"]
        upload = self._uploads.find(target, upload_id)
        # The checksum headers of this request speak of the object, not of its own body.
        promised = None if upload.algorithm is None else exchange.header(upload.algorithm.header)
        data = await read_document(exchange, _COMPLETE_BYTES_MAX, checksummed=False)
        named = _named_parts(data, upload.algorithm)
        size = exchange.header(_SIZE)
        made = await self._uploads.complete(
            target,
            upload_id,
            named,
            promised,
            None if size is None else parse_number(_SIZE, size),
            exchange.conditions(),
        )
        body = root(
            "CompleteMultipartUploadResult",
            text("Location", f"{exchange.request.scheme}://{exchange.request.host}/{made.bucket}/{made.key}"),
            text("Bucket", made.bucket),
            text("Key", made.key),
            etag(made.etag),
            checksum_xml(made),
        )
        return exchange.answer(body=body)

    async def abort(self, exchange: Exchange) -> web.StreamResponse:
        """AbortMultipartUpload."""
        await self._uploads.abort(_target(exchange), exchange.query["uploadId"])
        return exchange.answer(204)

    async def list_parts(self, exchange: Exchange) -> web.StreamResponse:
        """ListParts."""
        upload = self._uploads.find(_target(exchange), exchange.query["uploadId"])
        limit = exchange.number("max-parts", PAGE_MAX, PAGE_MAX)
        after = exchange.number("part-number-marker", 0, PART_NUMBER_MAX)
        found = self._uploads.parts(upload.id, after, limit + 1)
        page = found[:limit]
        truncated = len(found) > limit > 0
        body = root(
            "ListPartsResult",
            *_names(upload),
            self._owner("Initiator"),
            self._owner("Owner"),
            text("StorageClass", "STANDARD"),
            *_algorithm_xml(upload),
            text("PartNumberMarker", after),
            text("NextPartNumberMarker", page[-1].number if page else 0),
            text("MaxParts", limit),
            flag("IsTruncated", truncated),
            *(_part_xml(part) for part in page),
        )
        return exchange.answer(body=body)

    async def list_uploads(self, exchange: Exchange) -> web.StreamResponse:
        """ListMultipartUploads, without delimiter."""
        query = exchange.query
        if query.get("delimiter"):
            raise NotSupported("a delimiter in a listing of uploads is not supported")
        encode = read_encoding(exchange)
        limit = exchange.number("max-uploads", PAGE_MAX, PAGE_MAX)
        prefix, key, upload_id = (
            query.get(name, "") for name in ("prefix", "key-marker", "upload-id-marker")
        )
        # A key marker alone stands behind all uploads of that key.
        after = (key, upload_id) if upload_id or not key else (key + "\0", "")
        page = self._uploads.list_uploads(exchange.target.bucket, prefix, after, limit)
        last = page.items[-1] if page.next_token else None
        body = root(
            "ListMultipartUploadsResult",
            text("Bucket", exchange.target.bucket),
            text("KeyMarker", encode(key)),
            text("UploadIdMarker", upload_id),
            text("NextKeyMarker", encode(last.key) if last else None),
            text("NextUploadIdMarker", last.id if last else None),
            text("Prefix", encode(prefix)),
            text("EncodingType", query.get("encoding-type")),
            text("MaxUploads", limit),
            flag("IsTruncated", last is not None),
            *(
                tag(
                    "Upload",
                    text("Key", encode(upload.key)),
                    text("UploadId", upload.id),
                    self._owner("Initiator"),
                    self._owner("Owner"),
                    text("StorageClass", "STANDARD"),
                    time("Initiated", upload.created_at),
                    *_algorithm_xml(upload),
                )
                for upload in page.items
            ),
        )
        return exchange.answer(body=body)

    def _owner(self, name: str) -> str:
        return tag(name, text("ID", self._account))


def _target(exchange: Exchange) -> ObjectId:
    return ObjectId(bucket=exchange.target.bucket, key=exchange.target.key)


def _part_number(exchange: Exchange) -> int:
    text_value = exchange.query.get("partNumber")
    if text_value is None:
        raise InvalidArgument("This operation needs a partNumber", ArgumentName="partNumber")
    return check_part_number(parse_number("partNumber", text_value))


def _named_parts(data: bytes, algorithm: Algorithm | None) -> list[NamedPart]:
    document = parse_document(data, "CompleteMultipartUpload")
    parts = document.findall("Part")
    if not 1 <= len(parts) <= PART_NUMBER_MAX:
        raise MalformedXml(f"a completion names 1 to {PART_NUMBER_MAX} parts")
    return [_named_part(part, algorithm) for part in parts]


def _named_part(part: Element, algorithm: Algorithm | None) -> NamedPart:
    checksum = None if algorithm is None else child_text(part, f"Checksum{algorithm.value}")
    return NamedPart(
        number=need_number(part, "PartNumber"), etag=need_text(part, "ETag").strip(), checksum=checksum
    )


def _names(upload: MultipartUpload) -> tuple[str, ...]:
    return text("Bucket", upload.bucket), text("Key", upload.key), text("UploadId", upload.id)


def _algorithm_xml(upload: MultipartUpload) -> tuple[str, ...]:
    if upload.algorithm is None or upload.checksum_type is None:
        return ()
    return text("ChecksumAlgorithm", upload.algorithm.value), text("ChecksumType", upload.checksum_type.value)


def _part_xml(part: UploadedPart) -> str:
    checksum = part.checksum
    return tag(
        "Part",
        text("PartNumber", part.number),
        time("LastModified", part.modified_at),
        etag(part.etag),
        text("Size", part.size),
        text(f"Checksum{checksum.algorithm.value}", checksum.value) if checksum else "",
    )
