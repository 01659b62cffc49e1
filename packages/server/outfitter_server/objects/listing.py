"""Listing keys with a prefix and a delimiter, over pages that an index answers.

The rule is a dialogue: it yields a Seek, is sent the rows that come at or after its position in UTF-8 byte order, and
returns the Listing. A common prefix is jumped over with one seek, however many keys it holds.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

KEYS_MAX: Final = 1_000
_ROWS_AFTER_PREFIX: Final = 4
_LAST_CHARACTER: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


class Keyed(Protocol):
    """A row with a key."""

    @property
    def key(self) -> str:
        """The object's key."""


Row = TypeVar("Row", bound=Keyed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRequest:
    """What to list.

    Attributes:
        prefix: keys that begin so.
        delimiter: roll up what follows its first occurrence behind the prefix; empty: do not.
        start: the first key that may be listed (inclusive).
        keys_max: at most so many keys and common prefixes together.
    """

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    keys_max: int = KEYS_MAX


@dataclass(frozen=True, slots=True)
class Seek:
    """Rows with ``key >= start`` in ascending order, at most ``limit``."""

    start: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Row]):
    """One page.

    Attributes:
        next_start: where the next page begins; None: this is the last.
        last: the last key or common prefix on this page, "" when the page is empty.
    """

    rows: Sequence[Row]
    common_prefixes: Sequence[str]
    next_start: str | None
    last: str


def after_key(key: str) -> str:
    """The first position behind a key."""
    return key + "\0"


def after_prefix(prefix: str) -> str | None:
    """The first position behind all keys with this prefix; None: there is none."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST_CHARACTER:
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return None


def start_after(marker: str, prefix: str, delimiter: str) -> str | None:
    """Where a listing goes on after a V1 marker or a V2 start-after; None: nothing can come.

    A marker that is a common prefix stands for everything below it.
    """
    if not marker:
        return prefix
    start: str | None = after_key(marker)
    if delimiter and marker.startswith(prefix) and _rolled_up(marker, prefix, delimiter) == marker:
        start = after_prefix(marker)
    return None if start is None else max(start, prefix)


def list_keys(request: ListingRequest) -> Generator[Seek, Sequence[Row], Listing[Row]]:
    """Yield seeks until a page is full or the keys end; see the module."""
    rows: list[Row] = []
    prefixes: list[str] = []
    last = ""
    position: str | None = max(request.start, request.prefix)
    ahead = request.keys_max
    while position is not None:
        room = min(request.keys_max - len(rows) - len(prefixes), ahead)
        found = yield Seek(position, room + 1)
        position = after_key(found[-1].key) if len(found) > room else None
        ahead *= 2
        for row in found:
            if not row.key.startswith(request.prefix):
                position = None
                break
            if len(rows) + len(prefixes) == request.keys_max:
                return Listing(rows=rows, common_prefixes=prefixes, next_start=row.key, last=last)
            rolled = _rolled_up(row.key, request.prefix, request.delimiter)
            if rolled is None:
                rows.append(row)
                last = row.key
            else:
                prefixes.append(rolled)
                last = rolled
                position = after_prefix(rolled)
                # Of a row of common prefixes only the first key of each is looked at.
                ahead = _ROWS_AFTER_PREFIX
                break
    return Listing(rows=rows, common_prefixes=prefixes, next_start=None, last=last)


def _rolled_up(key: str, prefix: str, delimiter: str) -> str | None:
    if not delimiter:
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]
