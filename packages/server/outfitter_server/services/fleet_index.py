"""Membership of dynamic groups, kept as things change: a change asks only the groups whose queries it can concern.

A thing is in at most ten groups. Static groups come first; of the dynamic groups that it matches it is in the oldest ones
for which there is room. Source: AWS IoT developer guide, "Dynamic thing groups", limitations and conflicts.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from outfitter_server.services.committer import Batch
from outfitter_server.services.effects import IndexChanged
from outfitter_server.services.index_documents import Documents, parsed, read_indexing
from outfitter_server.services.installed import record
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.things import Membership, find_thing
from outfitter_server.things.groups import GROUPS_OF_A_THING_MAX
from outfitter_server.things.query import (
    CONNECTED,
    EVERY_FIELD,
    GROUPS,
    PACKAGES,
    REASON,
    SINCE,
    VERSION,
    Document,
    Query,
    fields,
    matches,
)

CONNECTIVITY_FIELDS: Final = frozenset({CONNECTED, SINCE, REASON})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DynamicGroup:
    """One row of dynamic_groups; ``seq`` is its place in the order of creation."""

    seq: int
    name: str
    query: Query
    text: str
    status: str
    phase: str | None
    cursor: str | None


class FleetIndex:
    """Told by the registry, the connections and the job service, inside their transactions, what changed of a thing.

    Attributes:
        membership: the job service's ear.
    """

    def __init__(self, documents: Documents) -> None:
        """Set ``membership`` before it is told anything."""
        self._documents = documents
        self.membership: Membership

    def created(self, batch: Batch, thing: str) -> None:
        """A thing is registered: any query may match it."""
        self._look(batch, thing, dynamic_groups(batch.tx))

    def changed(self, batch: Batch, thing: str, names: Collection[str]) -> None:
        """These fields of a thing have other values now."""
        if names:
            self._look(batch, thing, concerned(batch.tx, names))

    def left_group(self, batch: Batch, thing: str) -> None:
        """A thing is in one static group less: what it had no room for may have it now."""
        if dynamic_groups(batch.tx):
            self._look(batch, thing, concerned(batch.tx, (GROUPS,)), freed=True)

    def recorded(self, batch: Batch, thing: str, installs: Sequence[tuple[str, str]]) -> None:
        """A job has installed these (package, version) on a thing; the groups follow when the job service is done."""
        if record(batch, thing, installs):
            names = [PACKAGES + package + VERSION for package, _ in installs]
            batch.defer(partial(self.changed, thing=thing, names=names))

    def deleted(self, batch: Batch, thing: str) -> None:
        """A thing goes; its memberships go with it."""
        batch.tx.run("disconnection_delete", thing=thing)

    def group_ending(self, batch: Batch, group: str) -> None:
        """A group goes with its members: who was in too many groups for others may have room in them now."""
        crowded = batch.tx.one("group_member_in_many", group=group, groups=GROUPS_OF_A_THING_MAX)
        if crowded is not None:
            for other in dynamic_groups(batch.tx):
                self.rebuild(batch, other.name, other.text)

    def group_deleted(self, batch: Batch) -> None:
        """A static group goes: queries about groups are asked again, of everything that they may concern."""
        for group in concerned(batch.tx, (GROUPS,)):
            self.rebuild(batch, group.name, group.text)

    def rebuild(self, batch: Batch, name: str, text: str) -> None:
        """Have a group's members found anew, in the background."""
        batch.tx.run("dynamic_group_rebuild", name=name, query=text, status="REBUILDING", phase="MEMBERS")
        batch.emit(IndexChanged())

    def make_room(self, batch: Batch, thing: str) -> None:
        """Take a thing that is in as many groups as it may be out of its youngest dynamic group, if there is one."""
        present = batch.tx.all("memberships_of_thing", thing=thing)
        dynamic = [(row["seq"], row["group_name"]) for row in present if row["seq"] is not None]
        if len(present) >= GROUPS_OF_A_THING_MAX and dynamic:
            self._leave(batch, thing, max(dynamic)[1])

    def settle(self, batch: Batch, document: Document, groups: Iterable[DynamicGroup]) -> None:
        """Let a thing join and leave these groups as their queries say, the oldest first."""
        tx, thing = batch.tx, document.name
        present = tx.all("memberships_of_thing", thing=thing)
        members = {row["group_name"] for row in present if row["seq"] is not None}
        matching = {group.name: matches(group.query, document) for group in groups}
        joins = [name for name, found in matching.items() if found and name not in members]
        leaves = [name for name, found in matching.items() if not found and name in members]
        if len(present) + len(joins) > GROUPS_OF_A_THING_MAX or len(present) >= GROUPS_OF_A_THING_MAX - 1:
            entitled = self._entitled(tx, document, len(present) - len(members))
            joins = [name for name in entitled if name not in members]
            leaves = sorted(members.difference(entitled))
        for name in leaves:
            self._leave(batch, thing, name)
        for name in joins:
            tx.run("member_insert", group=name, thing=thing)
            self.membership.joined(batch, thing, name)

    def join_all(self, batch: Batch, group: DynamicGroup, things: Sequence[Document]) -> None:
        """Let things that match a group join it; those that are in nearly as many groups as they may be are looked at whole."""
        members, others = self._counted(batch, group, [document.name for document in things])
        joining = [name for name in others if name not in members]
        joined = msgspec.json.encode(joining).decode()
        batch.tx.run("members_insert", group=group.name, things=joined)
        if batch.tx.one("group_is_target", group=group.name) is not None:
            for name in joining:
                self.membership.joined(batch, name, group.name)

    def leave_all(self, batch: Batch, group: DynamicGroup, things: Sequence[str]) -> None:
        """Let members that match no longer leave; what they had no room for may have it now."""
        _, others = self._counted(batch, group, things)
        for name in others:
            self._leave(batch, name, group.name)

    def _counted(
        self, batch: Batch, group: DynamicGroup, things: Sequence[str]
    ) -> tuple[set[str], list[str]]:
        """Those that are members, and those that have room enough for one more group; the rest is looked at whole here."""
        names = msgspec.json.encode(things).decode()
        rows = batch.tx.all("membership_counts", things=names, group=group.name)
        for row in rows:
            if row["groups"] >= GROUPS_OF_A_THING_MAX - 1:
                self._look(batch, row["thing"], (group,))
        return (
            {row["thing"] for row in rows if row["member"]},
            [row["thing"] for row in rows if row["groups"] < GROUPS_OF_A_THING_MAX - 1],
        )

    def _look(self, batch: Batch, thing: str, groups: Sequence[DynamicGroup], *, freed: bool = False) -> None:
        if not groups and not freed:
            return
        found = find_thing(batch.tx, thing)
        if found is None:
            return
        wanted = frozenset().union(*(fields(group.query) for group in groups))
        (document,) = self._documents.of(batch.tx, [found], wanted, read_indexing(batch.tx))
        self.settle(batch, document, groups)

    def _entitled(self, tx: Transaction, document: Document, static: int) -> list[str]:
        """The oldest of all groups that match, as many as there is room for."""
        thing = find_thing(tx, document.name)
        if thing is None:
            return []
        (whole,) = self._documents.of(tx, [thing], (EVERY_FIELD,), read_indexing(tx))
        matching = [group.name for group in dynamic_groups(tx) if matches(group.query, whole)]
        room = max(0, GROUPS_OF_A_THING_MAX - static)
        if len(matching) > room:
            _log.warning(
                "thing %s matches %d dynamic groups and has room for %d: it is not in %s",
                document.name,
                len(matching),
                room,
                ", ".join(matching[room:]),
            )
        return matching[:room]

    def _leave(self, batch: Batch, thing: str, group: str) -> None:
        if batch.tx.run("member_delete", group=group, thing=thing):
            self.membership.left(batch, thing, group)


def read_group(row: Row) -> DynamicGroup:
    """The group in a row of ``dynamic_groups``."""
    seq, name, text, status, phase, cursor = row
    return DynamicGroup(seq, name, parsed(text), text, status, phase, cursor)


def concerned(tx: Transaction, names: Collection[str]) -> list[DynamicGroup]:
    """Those whose queries a change of these fields can concern, the oldest first."""
    wanted = msgspec.json.encode([*names, EVERY_FIELD]).decode()
    groups = [read_group(row) for row in tx.all("dynamic_groups_of_fields", fields=wanted)]
    return sorted(groups, key=lambda group: group.seq)


def dynamic_groups(tx: Transaction) -> list[DynamicGroup]:
    """All of them, the oldest first; at most a hundred."""
    return [read_group(row) for row in tx.all("dynamic_groups_all")]
