"""Conditional requests and ranges: RFC 9110 sections 13 and 14, as far as S3 takes them."""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

from outfitter_server.objects.refusals import InvalidRange

_RANGE: Final = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.IGNORECASE)
_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditional headers of a request as they came; None: absent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None


class Verdict(Enum):
    """What the conditions come to."""

    PROCEED = "proceed"
    NOT_MODIFIED = "304"
    FAILED = "412"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """A stretch of an object: the first byte's position and how many there are."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The Content-Range of an answer with this stretch of ``size`` bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def judge_read(conditions: Conditions, etag: str, modified_at: int) -> Verdict:
    """What a GET, HEAD or copy source with these conditions comes to; ``modified_at`` in milliseconds.

    An ETag condition outranks the date condition of the same sense.
    """
    modified = modified_at // 1000
    if conditions.if_match is not None:
        if not _lists(conditions.if_match, etag):
            return Verdict.FAILED
    elif (limit := _seconds(conditions.if_unmodified_since)) is not None and modified > limit:
        return Verdict.FAILED
    if conditions.if_none_match is not None:
        if _lists(conditions.if_none_match, etag):
            return Verdict.NOT_MODIFIED
    elif (since := _seconds(conditions.if_modified_since)) is not None and modified <= since:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def judge_write(conditions: Conditions, etag: str | None) -> Verdict:
    """What a conditional PUT comes to; ``etag`` is that of the object that is there, None when there is none."""
    if conditions.if_match is not None and (etag is None or not _lists(conditions.if_match, etag)):
        return Verdict.FAILED
    if conditions.if_none_match is not None and etag is not None and _lists(conditions.if_none_match, etag):
        return Verdict.FAILED
    return Verdict.PROCEED


def range_applies(if_range: str | None, etag: str, modified_at: int) -> bool:
    """Whether Range is to be honoured: If-Range is absent or names what is stored now."""
    if if_range is None:
        return True
    if if_range.startswith('"'):
        return _bare(if_range) == etag
    seconds = _seconds(if_range)
    return seconds is not None and seconds == modified_at // 1000


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The stretch that a Range header asks for of an object of ``size`` bytes; None: all of it.

    Several ranges, another unit and what cannot be read count as absent, as S3 does.

    Raises:
        InvalidRange: it begins behind the object's last byte.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or max(len(match[1]), len(match[2])) > _DIGITS_MAX or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        start = size - length
    else:
        start = int(match[1])
        last = int(match[2]) if match[2] else size - 1
        if match[2] and last < start:
            return None
        length = min(last, size - 1) - start + 1
    if length <= 0 or start >= size:
        raise InvalidRange(
            f"the range {header!r} lies outside the object, which has {size} bytes",
            RangeRequested=header,
            ActualObjectSize=size,
        )
    return ByteRange(start=start, length=length)


def _lists(header: str, etag: str) -> bool:
    values = [value.strip() for value in header.split(",")]
    return "*" in values or any(_bare(value) == etag for value in values)


def _bare(value: str) -> str:
    return value.removeprefix("W/").strip('"')


def _seconds(date: str | None) -> int | None:
    """A date that cannot be read counts as absent (RFC 9110 section 13.1.3)."""
    if date is None:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return None
