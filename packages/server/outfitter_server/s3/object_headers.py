"""The headers that an object is stored with, in and out."""

import re
from collections.abc import Mapping
from typing import Final

from outfitter_server.objects.refusals import (
    AclNotSupported,
    InvalidArgument,
    InvalidStorageClass,
    NotSupported,
    ObjectRefusal,
)
from outfitter_server.objects.values import CONTENT_TYPE_DEFAULT, ObjectHeaders, StoredObject
from outfitter_server.s3.exchange import Exchange, check_header, http_date

METADATA_BYTES_MAX: Final = 2_048
_METADATA: Final = "x-amz-meta-"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_ACLS_KEPT: Final = frozenset({"private", "bucket-owner-full-control"})
_UNSUPPORTED: Final = (
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)
_OVERRIDES: Final = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}


class MetadataTooLarge(ObjectRefusal):
    """Metadata has at most 2 KB, names and values together."""

    code = "MetadataTooLarge"


def read_object_headers(exchange: Exchange) -> ObjectHeaders:
    """What a writer wants said with the object.

    Raises:
        NotSupported, AclNotSupported, InvalidStorageClass: it asks for what this server does not do.
        MetadataTooLarge, InvalidArgument: the headers cannot be kept.
    """
    refuse_unsupported(exchange)
    return ObjectHeaders(
        content_type=exchange.header("content-type") or CONTENT_TYPE_DEFAULT,
        cache_control=exchange.header("cache-control"),
        content_disposition=exchange.header("content-disposition"),
        content_encoding=_content_encoding(exchange.header("content-encoding")),
        content_language=exchange.header("content-language"),
        expires=exchange.header("expires"),
        metadata=_read_metadata(exchange),
    )


def refuse_unsupported(exchange: Exchange) -> None:
    """Refuse what would otherwise be a made-up success: encryption, tags, locks, ACLs, storage classes."""
    names = {name.lower() for name in exchange.request.headers} | exchange.pinned.keys()
    for name in sorted(names):
        if name.startswith(_UNSUPPORTED):
            raise NotSupported(f"the header {name} asks for what this server does not do", Header=name)
        if name.startswith("x-amz-grant-"):
            raise AclNotSupported("The bucket does not allow ACLs; open it with a bucket policy")
    if (exchange.header("x-amz-acl") or "private") not in _ACLS_KEPT:
        raise AclNotSupported("The bucket does not allow ACLs; open it with a bucket policy")
    if (exchange.header("x-amz-storage-class") or "STANDARD") != "STANDARD":
        raise InvalidStorageClass(
            "The storage class you specified is not valid: objects are kept as STANDARD"
        )


def object_answer_headers(found: StoredObject) -> dict[str, str]:
    """What a GET or HEAD of the object says, but for its length and type of answer."""
    kept = found.headers
    optional = {
        "Cache-Control": kept.cache_control,
        "Content-Disposition": kept.content_disposition,
        "Content-Encoding": kept.content_encoding,
        "Content-Language": kept.content_language,
        "Expires": kept.expires,
    }
    return {
        "Accept-Ranges": "bytes",
        "Content-Type": kept.content_type,
        "ETag": f'"{found.etag}"',
        "Last-Modified": http_date(found.modified_at),
        **{name: value for name, value in optional.items() if value is not None},
        **{f"{_METADATA}{name}": value for name, value in kept.metadata},
    }


def read_overrides(query: Mapping[str, str], *, signed: bool) -> dict[str, str]:
    """The ``response-…`` parameters as headers.

    Raises:
        ObjectRefusal: the request is not signed.
    """
    chosen = {
        _OVERRIDES[name]: check_header(name, value) for name, value in query.items() if name in _OVERRIDES
    }
    if chosen and not signed:
        raise ObjectRefusal("Request specific response headers cannot be used for anonymous GET requests.")
    return chosen


def _read_metadata(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    names = {name.lower() for name in exchange.request.headers} | exchange.pinned.keys()
    metadata = []
    for name in sorted(name for name in names if name.startswith(_METADATA)):
        value = exchange.pinned.get(name) or ",".join(exchange.request.headers.getall(name, ()))
        metadata.append((name.removeprefix(_METADATA), check_header(name, value)))
    if not all(_TOKEN.fullmatch(name) for name, _ in metadata):
        # Pre-signed URLs carry such names in their query, where no HTTP parser has looked at them.
        raise InvalidArgument("the name of a metadata header is empty, or cannot be one of a header")
    if sum(len(name) + len(value.encode()) for name, value in metadata) > METADATA_BYTES_MAX:
        raise MetadataTooLarge(
            "Your metadata headers exceed the maximum allowed metadata size",
            MaxSizeAllowed=METADATA_BYTES_MAX,
        )
    return tuple(metadata)


def _content_encoding(value: str | None) -> str | None:
    """``aws-chunked`` describes the transfer and is not kept."""
    if value is None:
        return None
    kept = [token.strip() for token in value.split(",") if token.strip().lower() != "aws-chunked"]
    return ",".join(token for token in kept if token) or None
