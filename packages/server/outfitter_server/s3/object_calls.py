"""Get, head, put, copy and delete objects."""

from contextlib import aclosing
from typing import Final
from xml.etree.ElementTree import Element

from aiohttp import web

from outfitter_server.base.refusals import NotFound, Refusal
from outfitter_server.objects.conditions import (
    ByteRange,
    Conditions,
    Verdict,
    judge_read,
    parse_range,
    range_applies,
)
from outfitter_server.objects.multipart import UPLOAD_BYTES_MAX
from outfitter_server.objects.names import check_key
from outfitter_server.objects.refusals import (
    InvalidArgument,
    MalformedXml,
    NoSuchVersion,
    NotSupported,
    PreconditionFailed,
)
from outfitter_server.objects.values import StoredObject
from outfitter_server.s3.admission import Admission
from outfitter_server.s3.body import IncomingBody, read_document
from outfitter_server.s3.copy_source import read_copy_source
from outfitter_server.s3.errors import error_code
from outfitter_server.s3.exchange import Exchange
from outfitter_server.s3.object_headers import (
    object_answer_headers,
    read_object_headers,
    read_overrides,
)
from outfitter_server.s3.routing import Operation, Target
from outfitter_server.s3.transfer import open_file, send_blocks, send_file, takes_sendfile
from outfitter_server.s3.xml import child_text, etag, need_text, parse_document, root, tag, text, time
from outfitter_server.services.objects import ObjectId, Objects

DELETE_KEYS_MAX: Final = 1_000
DELETE_BYTES_MAX: Final = 2 * 1024 * 1024
_FIND_TRIES: Final = 3
# S3 has these for directory buckets only.
_CONDITIONS_REFUSED: Final = ("x-amz-if-match-last-modified-time", "x-amz-if-match-size")
_ELEMENTS_REFUSED: Final = ("LastModifiedTime", "Size")
_NOT_MODIFIED_HEADERS: Final = ("Cache-Control", "ETag", "Expires", "Last-Modified")


class ObjectCalls:
    """Handlers of the operations on objects."""

    def __init__(self, objects: Objects, admission: Admission, console_bucket: str | None) -> None:
        """``console_bucket``: its pages may run scripts; those of all others are sandboxed."""
        self._objects = objects
        self._admission = admission
        self._console_bucket = console_bucket

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """GetObject and HeadObject."""
        refuse_version(exchange)
        if "partNumber" in exchange.query:
            raise NotSupported("partNumber is not supported: ask for a Range")
        overrides = read_overrides(exchange.query, signed=exchange.caller is not None)
        for attempt in range(1, _FIND_TRIES + 1):
            found = self._objects.find(exchange.target.bucket, exchange.target.key)
            try:
                return await self._send(exchange, found, overrides)
            except NotFound:
                # Replaced between row and file: the next look finds what replaced it.
                if attempt == _FIND_TRIES:
                    raise
        raise AssertionError("unreachable")

    async def put(self, exchange: Exchange) -> web.StreamResponse:
        """PutObject."""
        headers = read_object_headers(exchange)
        body = IncomingBody(exchange, UPLOAD_BYTES_MAX)
        made = await self._objects.put(_target(exchange), body, headers, exchange.conditions())
        return exchange.answer(headers=stored_headers(made))

    async def copy(self, exchange: Exchange) -> web.StreamResponse:
        """CopyObject."""
        source = read_copy_source(exchange)
        self._admission.demand(
            exchange, Operation.GetObject.action, Target(bucket=source.bucket, key=source.key)
        )
        directive = (exchange.header("x-amz-metadata-directive") or "COPY").upper()
        if directive not in {"COPY", "REPLACE"}:
            raise InvalidArgument("Unknown metadata directive.", ArgumentName="x-amz-metadata-directive")
        headers = read_object_headers(exchange)
        made = await self._objects.copy(
            source,
            _target(exchange),
            headers if directive == "REPLACE" else None,
            exchange.conditions("x-amz-copy-source-"),
            exchange.conditions(),
        )
        body = root(
            "CopyObjectResult", time("LastModified", made.modified_at), etag(made.etag), checksum_xml(made)
        )
        return exchange.answer(body=body)

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """DeleteObject; If-Match is its only condition."""
        refuse_version(exchange)
        for name in _CONDITIONS_REFUSED:
            if exchange.header(name) is not None:
                raise NotSupported(f"the condition {name} is not supported; state If-Match", Header=name)
        wanted = Conditions(if_match=exchange.header("if-match"))
        [refusal] = await self._objects.delete(exchange.target.bucket, [(exchange.target.key, wanted)])
        if refusal is not None:
            raise refusal
        return exchange.answer(204)

    async def delete_many(self, exchange: Exchange) -> web.StreamResponse:
        """DeleteObjects."""
        data = await read_document(exchange, DELETE_BYTES_MAX)
        document = parse_document(data, "Delete")
        entries = document.findall("Object")
        if not 1 <= len(entries) <= DELETE_KEYS_MAX:
            raise MalformedXml(f"a Delete document names 1 to {DELETE_KEYS_MAX} objects")
        wanted: list[tuple[str, Conditions]] = []
        errors: list[str] = []
        for entry in entries:
            key = need_text(entry, "Key")
            try:
                check_key(key)
                conditions = _read_entry(entry)
                target = Target(bucket=exchange.target.bucket, key=key)
                self._admission.demand(exchange, Operation.DeleteObject.action, target)
            except Refusal as refusal:
                errors.append(_error_xml(key, refusal))
            else:
                wanted.append((key, conditions))
        refusals = await self._objects.delete(exchange.target.bucket, wanted)
        quiet = (child_text(document, "Quiet") or "").strip().lower() == "true"
        deleted = []
        for (key, _), refused in zip(wanted, refusals, strict=True):
            if refused is not None:
                errors.append(_error_xml(key, refused))
            elif not quiet:
                deleted.append(tag("Deleted", text("Key", key)))
        return exchange.answer(body=root("DeleteResult", *deleted, *errors))

    async def _send(
        self, exchange: Exchange, found: StoredObject, overrides: dict[str, str]
    ) -> web.StreamResponse:
        headers = {**exchange.answer_headers, **object_answer_headers(found), **overrides}
        if found.bucket != self._console_bucket:
            # Every public object shares the console's origin: none may act in its name.
            headers["Content-Security-Policy"] = "sandbox"
        verdict = judge_read(exchange.conditions(), found.etag, found.modified_at)
        if verdict is Verdict.FAILED:
            raise PreconditionFailed("At least one of the pre-conditions you specified did not hold")
        if verdict is Verdict.NOT_MODIFIED:
            kept: dict[str, str] = {name: headers[name] for name in _NOT_MODIFIED_HEADERS if name in headers}
            return exchange.answer(304, headers=kept)
        stretch = None
        if range_applies(exchange.header("if-range"), found.etag, found.modified_at):
            stretch = parse_range(exchange.header("range"), found.size)
        if stretch is not None:
            headers["Content-Range"] = stretch.content_range(found.size)
        elif (exchange.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
            headers.update(checksum_headers(found))
        response = web.StreamResponse(status=200 if stretch is None else 206, headers=headers)
        return await self._send_bytes(
            exchange, found, response, stretch or ByteRange(start=0, length=found.size)
        )

    async def _send_bytes(
        self, exchange: Exchange, found: StoredObject, response: web.StreamResponse, stretch: ByteRange
    ) -> web.StreamResponse:
        request = exchange.request
        response.content_length = stretch.length
        if request.method == "HEAD" or not stretch.length:
            await response.prepare(request)
            return response
        try:
            await self._send_stretch(request, found, response, stretch)
        except ConnectionError:
            # The client is gone, which is no fault of ours: the server sees a closed connection and forgets it.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _send_stretch(
        self, request: web.BaseRequest, found: StoredObject, response: web.StreamResponse, stretch: ByteRange
    ) -> None:
        path = self._objects.blob_path(found) if takes_sendfile(request) else None
        if path is not None:
            with await open_file(path) as file:
                await send_file(request, response, file, stretch.start, stretch.length)
            return
        # A client that goes away leaves the blocks half read, and their file open until the garbage is collected.
        async with aclosing(self._objects.blob_blocks(found, stretch.start, stretch.length)) as blocks:
            # The first block before the header: a blob that is gone can still be looked for again.
            first = await anext(blocks, b"")
            await send_blocks(request, response, first, blocks)


def stored_headers(made: StoredObject) -> dict[str, str]:
    """What the answer to an upload says about what was stored."""
    return {"ETag": f'"{made.etag}"', **checksum_headers(made)}


def checksum_headers(found: StoredObject) -> dict[str, str]:
    """The object's checksum, if it has one."""
    if found.checksum is None:
        return {}
    return {
        found.checksum.algorithm.header: found.checksum.value,
        "x-amz-checksum-type": found.checksum.type.value,
    }


def checksum_xml(found: StoredObject) -> str:
    """The object's checksum as elements of a result."""
    if found.checksum is None:
        return ""
    name = f"Checksum{found.checksum.algorithm.value}"
    return text(name, found.checksum.value) + text("ChecksumType", found.checksum.type.value)


def refuse_version(exchange: Exchange) -> None:
    """Refuse a ``versionId`` other than that of the only version."""
    _check_version(exchange.query.get("versionId"))


def _check_version(version: str | None) -> None:
    if version not in {None, "null"}:
        raise NoSuchVersion(
            "buckets of this server keep one version of an object, called null", VersionId=version
        )


def _read_entry(entry: Element) -> Conditions:
    """The condition of an entry of a Delete document.

    Raises:
        NoSuchVersion, NotSupported: it asks for a version, or has a condition besides that of the ETag.
    """
    _check_version(child_text(entry, "VersionId"))
    for name in _ELEMENTS_REFUSED:
        if entry.find(name) is not None:
            raise NotSupported(f"the condition {name} is not supported; state an ETag")
    return Conditions(if_match=child_text(entry, "ETag"))


def _error_xml(key: str, refusal: Refusal) -> str:
    return tag(
        "Error",
        text("Key", key),
        text("Code", error_code(refusal)),
        text("Message", refusal.message),
    )


def _target(exchange: Exchange) -> ObjectId:
    return ObjectId(bucket=exchange.target.bucket, key=exchange.target.key)
