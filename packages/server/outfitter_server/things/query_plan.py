"""Where to look for the things that a query finds, so that an index answers instead of a walk through all things.

A source gives every thing that the query matches, and others too: each is asked the whole query afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from outfitter_server.things.query import (
    ATTRIBUTES,
    CONNECTED,
    GROUPS,
    THING_NAME,
    THING_TYPE,
    And,
    Between,
    Bound,
    Equals,
    Like,
    Query,
    Term,
    Test,
    package_of,
)

# Sorts after every character that names and values of attributes may have.
LAST: Final = "\x7f"
_ROUNDING: Final = Decimal("1e-12")
_ENDLESS: Final = float("inf")


@dataclass(frozen=True, slots=True)
class EveryThing:
    """The whole registry, by name."""


@dataclass(frozen=True, slots=True)
class Named:
    """Things whose name in lower case is in a range, both ends included."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class WithText:
    """Things that have an attribute whose value in lower case is in a range, both ends included."""

    attribute: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class WithNumber:
    """Things that have an attribute with a number in a range, both ends included."""

    attribute: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OfType:
    """Things of a type, whose name is given in lower case."""

    folded: str


@dataclass(frozen=True, slots=True)
class InGroup:
    """Things in a group, whose name is given in lower case."""

    folded: str


@dataclass(frozen=True, slots=True)
class Running:
    """Things that run a version of a package; the version is given in lower case."""

    package: str
    folded: str


@dataclass(frozen=True, slots=True)
class ConnectedNow:
    """Things that are connected."""


Source = EveryThing | Named | WithText | WithNumber | OfType | InGroup | Running | ConnectedNow


def source_of(query: Query) -> Source:
    """The best place to look: one of the terms that everything found must fulfil, the narrowest kind of them first."""
    return min(
        (source for term in _conjuncts(query) if (source := _source(term)) is not None),
        key=_breadth,
        default=EveryThing(),
    )


def _conjuncts(query: Query) -> Iterator[Term]:
    if isinstance(query, Term):
        yield query
    elif isinstance(query, And):
        for part in query.parts:
            yield from _conjuncts(part)


def _breadth(source: Source) -> int:
    match source:
        case Named(low, high) | WithText(_, low, high):
            exact = low == high
            return (0 if isinstance(source, Named) else 1) if exact else 5
        case WithNumber(_, low, high):
            return 1 if high - low <= abs(low) * 1e-9 else 6
        case Running():
            return 2
        case ConnectedNow():
            return 3
        case InGroup() | OfType():
            return 4
        case EveryThing():
            return 9


def _source(term: Term) -> Source | None:
    name, test = term.field, term.test
    if name == CONNECTED:
        return ConnectedNow() if isinstance(test, Equals) and test.text == "true" else None
    if name == THING_NAME:
        bounds = _texts(test)
        return None if bounds is None else Named(*bounds)
    if name is not None and name.startswith(ATTRIBUTES):
        return _of_attribute(name.removeprefix(ATTRIBUTES), test)
    if not isinstance(test, Equals) or name is None:
        return None
    if name == THING_TYPE:
        return OfType(test.text)
    if name == GROUPS:
        return InGroup(test.text)
    package = package_of(name)
    return None if package is None else Running(package, test.text)


def _of_attribute(attribute: str, test: Test) -> Source | None:
    if isinstance(test, Equals) and test.number is not None:
        return WithNumber(attribute, *_around(test.number))
    if isinstance(test, Between) and test.numeric:
        low = -_ENDLESS if test.low is None else _around(test.low.number)[0]
        high = _ENDLESS if test.high is None else _around(test.high.number)[1]
        return WithNumber(attribute, low, high)
    bounds = _texts(test)
    return None if bounds is None else WithText(attribute, *bounds)


def _texts(test: Test) -> tuple[str, str] | None:
    match test:
        case Equals(text):
            return text, text
        case Like(pattern):
            prefix = ""
            for part in pattern:
                if not part:
                    break
                prefix += part
            return prefix, prefix + LAST
        case Between(low, high):
            return _text(low, ""), _text(high, LAST)
    return None


def _text(bound: Bound | None, otherwise: str) -> str:
    return otherwise if bound is None else bound.text


def _around(number: Decimal | None) -> tuple[float, float]:
    """The number as the store's index has it, which rounds in its own way: with a little room on both sides."""
    if number is None:
        return -_ENDLESS, _ENDLESS
    room = abs(number) * _ROUNDING
    return float(number - room), float(number + room)
