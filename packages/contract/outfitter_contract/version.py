"""Which of two software versions is newer.

A version is ``N(.N)*[-pre(.pre)*][+build]``, with an optional leading ``v``. The order is that of semantic
versioning, widened to any number of parts:

    release parts compare as numbers, missing ones count as 0      1.9 < 1.10, 1.0 = 1.0.0, v2 = 2
    a pre-release is older than its release                        2.0-rc.1 < 2.0
    pre-release parts compare in turn; numbers as numbers,
    numbers before words, words by code point                      1.0-1 < 1.0-2 < 1.0-10 < 1.0-alpha < 1.0-beta
    a shorter pre-release is older than its continuation           1.0-rc < 1.0-rc.1
    what follows ``+`` does not count                              1.0+a = 1.0+b
"""

import re
from typing import Final

VERSION_LENGTH_MAX: Final = 64

SortKey = tuple[tuple[int, ...], tuple[int, tuple[tuple[int, int, str], ...]]]

_VERSION: Final = re.compile(
    r"v?(?P<release>[0-9]+(?:\.[0-9]+)*)(?:-(?P<pre>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*))?(?:\+[0-9A-Za-z_.-]+)?",
    re.ASCII,
)


class InvalidVersion(ValueError):  # noqa: N818 - a fact about the text, not a fault of the program
    """The text is no version by the grammar above."""


def sort_key(version: str) -> SortKey:
    """A key that orders versions from old to new; raises InvalidVersion."""
    match = _VERSION.fullmatch(version) if len(version) <= VERSION_LENGTH_MAX else None
    if match is None:
        raise InvalidVersion(
            f"'{version[:VERSION_LENGTH_MAX]}' is no version: write dotted numbers with an optional pre-release, "
            "such as 1.4.0 or 2.0-rc.1"
        )
    release = [int(part) for part in match["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    if match["pre"] is None:
        return tuple(release), (1, ())
    return tuple(release), (0, tuple(_part_key(part) for part in match["pre"].split(".")))


def is_version(text: str) -> bool:
    """Whether the text is a version by the grammar."""
    return len(text) <= VERSION_LENGTH_MAX and _VERSION.fullmatch(text) is not None


def is_newer(candidate: str, running: str) -> bool:
    """Whether ``candidate`` is newer than ``running``; raises InvalidVersion."""
    return sort_key(candidate) > sort_key(running)


def is_same(one: str, other: str) -> bool:
    """Whether two texts name the same place in the order; raises InvalidVersion."""
    return sort_key(one) == sort_key(other)


def _part_key(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)
