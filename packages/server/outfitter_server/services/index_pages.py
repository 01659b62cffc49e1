"""Things of a source (things/query_plan.py), page by page, each with its position, by keyset walks on indexes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.things import read_thing
from outfitter_server.things.query_plan import (
    ConnectedNow,
    EveryThing,
    InGroup,
    Named,
    OfType,
    Running,
    Source,
    WithNumber,
    WithText,
)
from outfitter_server.things.values import Thing

# Where a walk is: the key of the index, and the thing that was read last. The beginning is before every key.
Position = tuple[str, str]
Placed = tuple[Position, Thing]
BEGINNING: Final[Position] = ("", "")


def page_of(
    tx: Transaction, source: Source, position: Position, limit: int, live: LiveClients
) -> Sequence[Placed]:
    """The next things after a position; fewer than ``limit`` only at the end, but for ConnectedNow see its position.

    Clients that are no things are skipped, so that a page of ConnectedNow may be short although more follow: it is at
    its end only when it is empty.
    """
    match source:
        case EveryThing():
            rows = tx.all("things_page", after=position[1], limit=limit)
            return [_placed("", row) for row in rows]
        case ConnectedNow():
            return _connected(tx, position, limit, live)
        case Named(low, high):
            return _spelled(tx, low, high, position, limit)
        case WithText(attribute, low, high):
            return _texts(tx, attribute, (low, high), position, limit)
        case WithNumber(attribute, low, high):
            return _numbers(tx, attribute, (low, high), position, limit)
        case OfType(folded):
            names = _names(tx, "types_spelled", folded, position)
            return _each(
                names,
                lambda key, after, room: tx.all("things_of_type_page", type=key, after=after, limit=room),
                position,
                limit,
            )
        case InGroup(folded):
            names = _names(tx, "groups_spelled", folded, position)
            return _each(
                names,
                lambda key, after, room: tx.all("things_of_group_page", key=key, after=after, limit=room),
                position,
                limit,
            )
        case Running(package, folded):
            versions = _versions(tx, package, folded, position)
            return _each(
                versions,
                lambda key, after, room: tx.all(
                    "things_of_package_page", package=package, key=key, after=after, limit=room
                ),
                position,
                limit,
            )


def _placed(key: str, row: Row) -> Placed:
    return (key, row["name"]), read_thing(row)


def _connected(tx: Transaction, position: Position, limit: int, live: LiveClients) -> list[Placed]:
    after = position[1]
    while True:
        names = live.after(after, limit)
        if not names:
            return []
        rows = tx.all("things_named", names=msgspec.json.encode(list(names)).decode())
        if rows:
            return [_placed("", row) for row in rows]
        after = max(names)


def _spelled(tx: Transaction, low: str, high: str, position: Position, limit: int) -> list[Placed]:
    key, after = position if position != BEGINNING else (low, "")
    rows = tx.all("things_spelled_page", key=key, after=after, limit=limit)
    if len(rows) < limit:
        rows += tx.all("things_spelled_after", key=key, high=high, limit=limit - len(rows))
    return [_placed(row["key"], row) for row in rows]


def _texts(
    tx: Transaction, attribute: str, bounds: tuple[str, str], position: Position, limit: int
) -> list[Placed]:
    low, high = bounds
    key, after = position if position != BEGINNING else (low, "")
    rows = tx.all("things_with_text_page", attribute=attribute, key=key, after=after, limit=limit)
    if len(rows) < limit and key < high:
        rows += tx.all(
            "things_with_text_after", attribute=attribute, key=key, high=high, limit=limit - len(rows)
        )
    return [_placed(row["key"], row) for row in rows]


def _numbers(
    tx: Transaction, attribute: str, bounds: tuple[float, float], position: Position, limit: int
) -> list[Placed]:
    low, high = bounds
    key, after = (float(position[0]), position[1]) if position != BEGINNING else (low, "")
    rows = tx.all("things_with_number_page", attribute=attribute, key=key, after=after, limit=limit)
    if len(rows) < limit and key < high:
        rows += tx.all(
            "things_with_number_after", attribute=attribute, key=key, high=high, limit=limit - len(rows)
        )
    return [_placed(repr(row["key"]), row) for row in rows]


def _names(tx: Transaction, statement: str, folded: str, position: Position) -> Iterator[str]:
    return (row["name"] for row in tx.all(statement, folded=folded, beginning=position[0]))


def _versions(tx: Transaction, package: str, folded: str, position: Position) -> Iterator[str]:
    """The versions of a package that run somewhere and are written so; there are few versions, however many things."""
    if position != BEGINNING:
        yield position[0]
    version = position[0]
    while (row := tx.one("installed_version_after", package=package, version=version)) is not None:
        version = row["version"]
        if version.lower() == folded:
            yield version


def _each(
    keys: Iterator[str],
    ask: Callable[[str, str, int], Sequence[Row]],
    position: Position,
    limit: int,
) -> list[Placed]:
    found: list[Placed] = []
    for key in keys:
        after = position[1] if key == position[0] else ""
        found += [_placed(key, row) for row in ask(key, after, limit - len(found))]
        if len(found) >= limit:
            break
    return found


def is_last(source: Source, page: Sequence[Placed], limit: int) -> bool:
    """Whether nothing follows a page that was asked for with this limit."""
    return not page if isinstance(source, ConnectedNow) else len(page) < limit
