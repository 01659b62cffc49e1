"""Things as the fleet index sees them, made from the registry, the connections and the record of what runs where.

Only the parts that a query asks for are read, a page of things in one question each.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.ports import Transaction
from outfitter_server.things.indexing import (
    ConnectivityIndexing,
    Indexing,
    NamedShadowIndexing,
    ThingIndexing,
)
from outfitter_server.things.query import (
    CONNECTIVITY,
    EVERY_FIELD,
    GROUPS,
    SHADOW,
    Connectivity,
    Document,
)
from outfitter_server.things.query_parser import parse
from outfitter_server.things.values import Thing

PACKAGE_SHADOW: Final = "$package"

# The queries of dynamic groups come again with every change of a thing.
parsed = lru_cache(maxsize=256)(parse)


class Documents:
    """Makes documents inside a transaction."""

    def __init__(self, live: LiveClients) -> None:
        """``live`` knows who is connected."""
        self._live = live

    def of(
        self, tx: Transaction, things: Sequence[Thing], fields: Collection[str], indexing: Indexing
    ) -> list[Document]:
        """One document a thing, in order, with what these fields need; EVERY_FIELD needs all that is indexed."""
        every = EVERY_FIELD in fields
        names = msgspec.json.encode([thing.name for thing in things]).decode()
        groups: dict[str, list[str]] = defaultdict(list)
        if every or GROUPS in fields:
            for row in tx.all("static_groups_of_things", things=names):
                groups[row["thing"]].append(row["group_name"])
        packages: dict[str, dict[str, str]] = defaultdict(dict)
        if shows_packages(indexing) and (every or any(field.startswith(SHADOW) for field in fields)):
            for row in tx.all("installed_packages_of_things", things=names):
                packages[row["thing"]][row["package"]] = row["version"]
        connectivity: dict[str, Connectivity] = {}
        if indexing.connectivity is ConnectivityIndexing.STATUS and (
            every or any(field.startswith(CONNECTIVITY) for field in fields)
        ):
            connectivity = self._connectivity(tx, things, names)
        return [
            Document(
                name=thing.name,
                id=thing.id,
                type=thing.type,
                attributes=thing.attributes,
                groups=tuple(sorted(groups.get(thing.name, ()))),
                connectivity=connectivity.get(thing.name),
                packages=packages.get(thing.name, {}),
            )
            for thing in things
        ]

    def _connectivity(self, tx: Transaction, things: Sequence[Thing], names: str) -> dict[str, Connectivity]:
        left = {
            row["thing"]: Connectivity(connected=False, since=row["at"], reason=row["reason"])
            for row in tx.all("disconnections_of_things", things=names)
        }
        never = Connectivity(connected=False)
        found: dict[str, Connectivity] = {}
        for thing in things:
            since = self._live.since(thing.name)
            found[thing.name] = (
                left.get(thing.name, never)
                if since is None
                else Connectivity(connected=True, since=since, reason=None)
            )
        return found


def shows_packages(indexing: Indexing) -> bool:
    """Whether the record of what runs where is indexed."""
    return indexing.named_shadows is NamedShadowIndexing.ON and PACKAGE_SHADOW in indexing.shadow_names


def read_indexing(tx: Transaction) -> Indexing:
    """The configuration of the index."""
    row = tx.one("indexing")
    assert row is not None  # noqa: S101 - the migration makes the one row
    return Indexing(
        things=ThingIndexing(row["things"]),
        connectivity=ConnectivityIndexing(row["connectivity"]),
        named_shadows=NamedShadowIndexing(row["named_shadows"]),
        shadow_names=tuple(msgspec.json.decode(row["shadow_names"], type=list[str])),
    )
