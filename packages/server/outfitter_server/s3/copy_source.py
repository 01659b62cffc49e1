"""Where a copy comes from: ``x-amz-copy-source`` and its range."""

import re
from typing import Final
from urllib.parse import unquote

from outfitter_server.objects.names import check_key
from outfitter_server.objects.refusals import InvalidArgument, NoSuchVersion
from outfitter_server.s3.exchange import Exchange, parse_number
from outfitter_server.services.objects import ObjectId

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d+)")


def read_copy_source(exchange: Exchange) -> ObjectId:
    """The object that ``x-amz-copy-source`` names: ``/bucket/key``, percent-encoded.

    Raises:
        InvalidArgument: it names none.
        NoSuchVersion: it asks for a version.
    """
    path, _, query = (exchange.header("x-amz-copy-source") or "").partition("?versionId=")
    if query not in {"", "null"}:
        raise NoSuchVersion("buckets of this server keep one version of an object, called null")
    try:
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError as error:
        raise InvalidArgument("Copy Source must be percent-encoded UTF-8") from error
    if not bucket or not key:
        raise InvalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    return ObjectId(bucket=bucket, key=check_key(key))


def read_copy_range(exchange: Exchange) -> tuple[int, int] | None:
    """The first and last byte that ``x-amz-copy-source-range`` names.

    Raises:
        InvalidArgument: it is not of the form ``bytes=first-last``.
    """
    value = exchange.header("x-amz-copy-source-range")
    if value is None:
        return None
    match = _RANGE.fullmatch(value.strip())
    if match is None:
        raise InvalidArgument("The x-amz-copy-source-range value must be of the form bytes=first-last")
    return parse_number("first", match[1]), parse_number("last", match[2])
