"""Dynamic thing groups: made, changed, deleted. Their rows are those of all groups, with a query beside them.

Members are kept by services/fleet_index.py as things change, and found among the things that are there already by
services/group_builder.py, which begins when the change that made the group is committed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, LimitExceeded
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import IndexChanged
from outfitter_server.services.fleet_index import FleetIndex
from outfitter_server.services.groups import Groups, find_group, group_columns, group_or_refuse, write_group
from outfitter_server.services.index_documents import parsed, read_indexing
from outfitter_server.services.ports import Transaction
from outfitter_server.things.groups import new_group, same_group, updated_group
from outfitter_server.things.indexing import DYNAMIC_GROUPS_MAX, check_fields, check_index
from outfitter_server.things.query import fields
from outfitter_server.things.values import AttributeChange, Tags, ThingGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What makes a group dynamic: its query, and BUILDING, REBUILDING or ACTIVE."""

    query: str
    status: str


class DynamicGroups:
    """The groups whose members a query finds."""

    def __init__(
        self,
        committer: Committer,
        installation: Installation,
        groups: Groups,
        index: FleetIndex,
        new_id: Callable[[], str],
    ) -> None:
        """``new_id`` makes a fresh UUID text."""
        self._committer = committer
        self._installation = installation
        self._groups = groups
        self._index = index
        self._new_id = new_id

    async def create(
        self,
        name: str,
        query: str,
        description: str | None,
        change: AttributeChange | None,
        tags: Tags,
        *,
        index: str | None = None,
    ) -> ThingGroup:
        """Make a group; a repeat with the same query, properties and tags returns the existing one.

        Raises:
            InvalidQuery: the query cannot be read, or asks for what is not indexed.
            NotFound: things are not indexed.
            AlreadyExists: something of it differs.
            LimitExceeded: there are a hundred dynamic groups.
        """
        identifier = self._new_id()

        def apply(batch: Batch) -> ThingGroup:
            tx = batch.tx
            _check(tx, index, query)
            wanted = new_group(
                name,
                identifier,
                None,
                siblings=0,
                description=description,
                change=change,
                tags=tags,
                now=batch.now,
            )
            existing = find_group(tx, name)
            if existing is not None:
                return self._same(tx, existing, wanted, query)
            count = tx.one("dynamic_groups_count")
            if count is not None and count["groups"] >= DYNAMIC_GROUPS_MAX:
                raise LimitExceeded(
                    f"there are {DYNAMIC_GROUPS_MAX} dynamic thing groups already: delete one first"
                )
            write_group(tx, wanted)
            tx.run("dynamic_group_insert", name=name, query=query, status="BUILDING", phase="THINGS")
            _write_fields(tx, name, query)
            batch.emit(IndexChanged())
            return wanted

        return await self._committer.change(apply)

    def find(self, name: str) -> Membership | None:
        """The query and status of a group; None when it is static."""

        def ask(tx: Transaction) -> Membership | None:
            row = tx.one("dynamic_group_by_name", name=name)
            return None if row is None else Membership(query=row["query"], status=row["status"])

        return self._committer.read(ask)

    async def update(
        self,
        name: str,
        description: str | None,
        change: AttributeChange | None,
        expected: int | None,
        *,
        query: str | None = None,
        index: str | None = None,
    ) -> ThingGroup:
        """Change description, attributes, or the query, which has the members found anew.

        Raises:
            NotFound: there is no such group, or things are not indexed.
            InvalidRequest: it is a static group, or has too many attributes.
            InvalidQuery: the query cannot be read, or asks for what is not indexed.
            VersionConflict: it is not at the expected version.
        """

        def apply(batch: Batch) -> ThingGroup:
            tx = batch.tx
            before = group_or_refuse(tx, name)
            row = tx.one("dynamic_group_by_name", name=name)
            if row is None:
                raise InvalidRequest(f"{name} is a static thing group: change it with UpdateThingGroup")
            after = updated_group(before, description, change, expected=expected)
            tx.run("group_update", **group_columns(after))
            if query is not None:
                _check(tx, index, query)
                if query != row["query"]:
                    tx.run("dynamic_group_fields_delete", group=name)
                    _write_fields(tx, name, query)
                    self._index.rebuild(batch, name, query)
            return after

        return await self._committer.change(apply)

    async def delete(self, name: str, expected: int | None = None) -> None:
        """Remove a group; its things stay and leave it; an unknown one is nothing to do.

        Raises:
            VersionConflict: it is not at the expected version.
            InvalidRequest: it is a static group.
        """
        await self._groups.delete(name, expected, dynamic=True)

    def _same(self, tx: Transaction, existing: ThingGroup, wanted: ThingGroup, query: str) -> ThingGroup:
        arn = self._installation.iot_arn("thinggroup", existing.name)
        row = tx.one("dynamic_group_by_name", name=existing.name)
        if row is None or row["query"] != query:
            raise AlreadyExists(
                f"thing group {existing.name} already exists "
                + (
                    "as a static one"
                    if row is None
                    else "with another query: change it with UpdateDynamicThingGroup"
                ),
                resourceId=existing.id,
                resourceArn=arn,
            )
        return same_group(existing, wanted, arn)


def _check(tx: Transaction, index: str | None, query: str) -> None:
    indexing = read_indexing(tx)
    check_index(index, indexing)
    check_fields(fields(parsed(query)), indexing)


def _write_fields(tx: Transaction, name: str, query: str) -> None:
    tx.run_many(
        "dynamic_group_field_insert",
        [{"field": each, "group": name} for each in sorted(fields(parsed(query)))],
    )
