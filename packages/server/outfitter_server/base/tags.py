"""Tags: what may be a tag, and what a change makes of those that are there.

AWS's limits; the model of the API bounds a key to 1 to 128 and a value to 256 characters before anything comes here.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from outfitter_server.base.refusals import InvalidRequest, LimitExceeded, Refusal

TAGS_MAX: Final = 50  # of one resource
_RESERVED: Final = "aws:"


def new_tags(given: Iterable[tuple[str, str]], error: type[Refusal] = InvalidRequest) -> dict[str, str]:
    """The tags of one request, keys and values, in its order.

    Raises:
        InvalidRequest, or ``error``: a key twice, one that is AWS's own, or more than TAGS_MAX.
    """
    tags: dict[str, str] = {}
    for key, value in given:
        if key in tags:
            raise error(f"tags: the key {key!r} is given twice; give each key once")
        if key.lower().startswith(_RESERVED):
            raise error(f"tags: the key {key!r} begins with {_RESERVED!r}, which is reserved; choose another")
        tags[key] = value
    if len(tags) > TAGS_MAX:
        raise error(f"tags: {len(tags)} given, a resource has at most {TAGS_MAX}")
    return tags


def tagged(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """The tags after some were added; a key that is there gets the new value.

    Raises:
        LimitExceeded: they would be more than TAGS_MAX.
    """
    after = {**present, **added}
    if len(after) > TAGS_MAX:
        raise LimitExceeded(
            f"tags: the resource would have {len(after)}, at most {TAGS_MAX} are allowed; remove some first"
        )
    return after


def untagged(present: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """The tags without some; keys that are not there are nothing to do."""
    gone = set(keys)
    return {key: value for key, value in present.items() if key not in gone}
