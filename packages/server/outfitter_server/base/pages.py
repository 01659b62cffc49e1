"""Page tokens: the position of a keyset listing, opaque to clients.

A token is the JSON of the last row's sort key in URL-safe base64. It names a position, not a snapshot, and it
is no secret: tampering yields another position in a listing that the caller may read anyway.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from outfitter_server.base.refusals import InvalidRequest

Item = TypeVar("Item")
Key = str | int | None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a listing and the token of the next, None at the end."""

    items: Sequence[Item]
    next_token: str | None = None


def encode_token(key: Sequence[Key]) -> str:
    """The token that continues after the row with this sort key."""
    return base64.urlsafe_b64encode(json.dumps(list(key)).encode()).decode().rstrip("=")


def decode_token(token: str | None, *kinds: type[str] | type[int]) -> tuple[Key, ...] | None:
    """The sort key in a token; None for None.

    Raises:
        InvalidRequest: the token is not one that a listing of these kinds gave out.
    """
    if not token:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("nextToken is not one that this listing returned") from error
    if not isinstance(key, list) or len(key) != len(kinds):
        raise InvalidRequest("nextToken is not one that this listing returned")
    for value, kind in zip(key, kinds, strict=True):
        if type(value) is not kind or not _storable(value):
            raise InvalidRequest("nextToken is not one that this listing returned")
    return tuple(key)


def _storable(value: Key) -> bool:
    # A store holds integers of 64 bits and text in UTF-8; listings give out nothing else.
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return value is None or value.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in value)
