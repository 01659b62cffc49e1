"""The language of the fleet index: what a query is, and which things it finds.

A query is a tree of terms. A term asks one field of a thing, or every field when it names none. Field names are compared with
regard to case, values without. A value that is written like a number is compared as one with values of attributes and times that
are numbers. A field that a thing does not have matches nothing, so that NOT finds the thing.
Source: AWS IoT developer guide, "Query syntax" and "Example thing queries".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

EVERY_FIELD: Final = "*"
THING_NAME: Final = "thingName"
THING_ID: Final = "thingId"
THING_TYPE: Final = "thingTypeName"
GROUPS: Final = "thingGroupNames"
CONNECTED: Final = "connectivity.connected"
SINCE: Final = "connectivity.timestamp"
REASON: Final = "connectivity.disconnectReason"
ATTRIBUTES: Final = "attributes."
CONNECTIVITY: Final = "connectivity."
SHADOW: Final = "shadow."
PACKAGES: Final = "shadow.name.$package.reported."
VERSION: Final = ".version"

_NUMBER: Final = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


class Connectivity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a thing is connected, since when it is so (milliseconds since the epoch), and why it left."""

    connected: bool
    since: int | None = None
    reason: str | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A thing as the index sees it; ``groups`` are the static groups that it is directly in, ``packages`` versions by name."""

    name: str
    id: str
    type: str | None = None
    attributes: Mapping[str, str] = {}
    groups: tuple[str, ...] = ()
    connectivity: Connectivity | None = None
    packages: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Present:
    """``*``: the field has any value."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The whole value; ``number`` when it was written as one and without quotes."""

    text: str
    number: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Like:
    """A pattern; each element is a character, or None for any run of them (``*``), or "" for any one of them (``?``)."""

    pattern: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range."""

    text: str
    number: Decimal | None
    included: bool


@dataclass(frozen=True, slots=True)
class Between:
    """A range; None is an open end. With a number at an end it is a range of numbers, else of texts."""

    low: Bound | None
    high: Bound | None

    @property
    def numeric(self) -> bool:
        """Whether it is a range of numbers."""
        return all(bound is None or bound.number is not None for bound in (self.low, self.high))


Test = Present | Equals | Like | Between


@dataclass(frozen=True, slots=True)
class Term:
    """One question; without a field it is put to all of them."""

    field: str | None
    test: Test


@dataclass(frozen=True, slots=True)
class And:
    """All of them; two at least."""

    parts: "tuple[Query, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them; two at least."""

    parts: "tuple[Query, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: "Query"


Query = Term | And | Or | Not


def matches(query: Query, document: Document) -> bool:
    """Whether the thing is one of those that the query asks for."""
    if isinstance(query, Term):
        test = query.test
        for value in values(document, query.field):  # noqa: SIM110 - a loop: generators cost twice as much here
            if fulfils(test, value):
                return True
        return False
    if isinstance(query, Not):
        return not matches(query.part, document)
    wanted = isinstance(query, Or)
    for part in query.parts:
        if matches(part, document) is wanted:
            return wanted
    return not wanted


def fields(query: Query) -> frozenset[str]:
    """The fields whose changes can make a thing match or not; EVERY_FIELD for a term that names none."""
    if isinstance(query, Term):
        return frozenset((query.field or EVERY_FIELD,))
    if isinstance(query, Not):
        return fields(query.part)
    return frozenset().union(*(fields(part) for part in query.parts))


def values(document: Document, name: str | None) -> Iterable[str]:
    """What a thing has in a field; in all of them for None."""
    if name is None:
        return _all_values(document)
    if name.startswith(ATTRIBUTES):
        found = document.attributes.get(name.removeprefix(ATTRIBUTES))
    elif name == THING_NAME:
        found = document.name
    elif name == GROUPS:
        return document.groups
    elif name == THING_TYPE:
        found = document.type
    elif name.startswith(CONNECTIVITY):
        found = _connectivity(document.connectivity, name)
    elif name == THING_ID:
        found = document.id
    else:
        found = document.packages.get(package_of(name) or "")
    return () if found is None else (found,)


def package_of(name: str) -> str | None:
    """The package whose installed version is in this field; None when it is another field."""
    if name.startswith(PACKAGES) and name.endswith(VERSION):
        return name[len(PACKAGES) : -len(VERSION)]
    return None


def fulfils(test: Test, value: str) -> bool:
    """Whether one value is as the test wants it."""
    if isinstance(test, Present):
        return True
    folded = folded_text(value)
    if isinstance(test, Equals):
        return folded == test.text or (test.number is not None and number_of(value) == test.number)
    if isinstance(test, Like):
        return _like(test.pattern, folded)
    return _between(test, folded)


def folded_text(text: str) -> str:
    """A text as it is compared: letters of ASCII in lower case, which is what the store's indexes do."""
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)


def number_of(text: str) -> Decimal | None:
    """The number that a text is, exactly; None when it is none."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _connectivity(known: Connectivity | None, name: str) -> str | None:
    if known is None:
        return None
    if name == CONNECTED:
        return "true" if known.connected else "false"
    if name == SINCE:
        return None if known.since is None else str(known.since)
    return known.reason if name == REASON else None


def _all_values(document: Document) -> Iterator[str]:
    yield document.name
    yield document.id
    if document.type is not None:
        yield document.type
    yield from document.attributes.values()
    yield from document.groups
    for name in (CONNECTED, SINCE, REASON):
        value = _connectivity(document.connectivity, name)
        if value is not None:
            yield value
    yield from document.packages.values()


def _between(test: Between, folded: str) -> bool:
    if test.numeric and (test.low is not None or test.high is not None):
        number = number_of(folded)
        if number is None:
            return False
        return _above(test.low, number) and _below(test.high, number)
    low, high = test.low, test.high
    return (low is None or folded > low.text or (low.included and folded == low.text)) and (
        high is None or folded < high.text or (high.included and folded == high.text)
    )


def _above(bound: Bound | None, number: Decimal) -> bool:
    if bound is None or bound.number is None:
        return True
    return number >= bound.number if bound.included else number > bound.number


def _below(bound: Bound | None, number: Decimal) -> bool:
    if bound is None or bound.number is None:
        return True
    return number <= bound.number if bound.included else number < bound.number


def _like(pattern: tuple[str | None, ...], text: str) -> bool:
    """Greedy, with one way back (to the last ``*``): never more than pattern times text."""
    at = begun = 0
    back: int | None = None
    place = 0
    while at < len(text):
        wanted = pattern[place] if place < len(pattern) else "end"
        if place < len(pattern) and wanted is None:
            back, begun = place, at
            place += 1
        elif place < len(pattern) and (wanted == "" or wanted == text[at]):
            place += 1
            at += 1
        elif back is not None:
            begun += 1
            place, at = back + 1, begun
        else:
            return False
    return all(part is None for part in pattern[place:])
