"""What the registry's operations have in common with each other: members left out, times, tags, page sizes."""

from collections.abc import Mapping
from typing import Any, Final

from outfitter_server.base.refusals import InvalidRequest, Refusal
from outfitter_server.base.tags import new_tags

PAGE_SIZE: Final = 250


def refuse_left_out(given: Mapping[str, Any], *members: str, error: type[Refusal] = InvalidRequest) -> None:
    """Refuse members that AWS has and this service does not act on: dropping them would answer with a lie.

    Raises:
        InvalidRequest, or ``error``: one of them is given.
    """
    for member in members:
        if given.get(member):
            raise error(f"{member} is not supported by this service: leave it out")


def seconds(time: int | None) -> float | None:
    """Milliseconds since the epoch as the seconds of the ``iot`` model."""
    return None if time is None else time / 1000


def tag_map(given: Mapping[str, Any]) -> dict[str, str]:
    """The list ``tags`` of the ``iot`` model as a map.

    Raises:
        InvalidRequest: a key twice, a reserved one, or too many.
    """
    return new_tags((tag["Key"], tag.get("Value", "")) for tag in given.get("tags") or [])


def page_size(given: Mapping[str, Any], member: str = "maxResults", largest: int = PAGE_SIZE) -> int:
    """How many entries a page may have."""
    return int(given.get(member) or largest)
