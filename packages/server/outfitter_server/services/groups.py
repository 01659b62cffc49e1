"""Thing groups: made, changed, listed, deleted; group_members.py and dynamic_groups.py have the rest."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import IndexChanged, PrincipalChanged
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.things import PREFIX_END, Index, Membership
from outfitter_server.things.groups import new_group, same_group, updated_group
from outfitter_server.things.registry import check_version
from outfitter_server.things.values import AttributeChange, Tags, ThingGroup

MEMBERS_A_STEP: Final = 300  # that leave a group before it is deleted, at once


class Groups:
    """The registry of groups."""

    def __init__(
        self,
        committer: Committer,
        installation: Installation,
        membership: Membership,
        index: Index,
        new_id: Callable[[], str],
    ) -> None:
        """``new_id`` makes a fresh UUID text; ``membership`` is the job service's ear, ``index`` the fleet index's."""
        self._committer = committer
        self._installation = installation
        self._membership = membership
        self._index = index
        self._new_id = new_id

    async def create(
        self,
        name: str,
        parent: str | None,
        description: str | None,
        change: AttributeChange | None,
        tags: Tags,
    ) -> ThingGroup:
        """Make a group; a repeat with the same parent, properties and tags returns the existing one.

        Raises:
            AlreadyExists: something of it differs.
            NotFound, InvalidRequest: see things.groups.new_group.
        """
        identifier = self._new_id()

        def apply(batch: Batch) -> ThingGroup:
            tx = batch.tx
            existing = find_group(tx, name)
            if parent is not None:
                refuse_dynamic(tx, parent, "has no place in a hierarchy: name a static group as parent")
            counted = tx.one("group_children_count", name=parent) if parent and existing is None else None
            wanted = new_group(
                name,
                identifier,
                None if parent is None else (parent, find_group(tx, parent)),
                siblings=counted["children"] if counted else 0,
                description=description,
                change=change,
                tags=tags,
                now=batch.now,
            )
            if existing is not None:
                return same_group(existing, wanted, self._installation.iot_arn("thinggroup", name))
            write_group(tx, wanted)
            return wanted

        return await self._committer.change(apply)

    def describe(self, name: str) -> tuple[ThingGroup, list[str]]:
        """One group, and the names of the groups above it from the root down.

        Raises:
            NotFound: there is none of this name.
        """

        def ask(tx: Transaction) -> tuple[ThingGroup, list[str]]:
            return group_or_refuse(tx, name), [row["name"] for row in tx.all("group_ancestors", name=name)]

        return self._committer.read(ask)

    async def update(
        self, name: str, description: str | None, change: AttributeChange | None, expected: int | None
    ) -> ThingGroup:
        """Change description or attributes; see things.groups.updated_group for what is refused."""

        def apply(batch: Batch) -> ThingGroup:
            before = group_or_refuse(batch.tx, name)
            refuse_dynamic(batch.tx, name, "is changed with UpdateDynamicThingGroup")
            after = updated_group(before, description, change, expected=expected)
            batch.tx.run("group_update", **group_columns(after))
            return after

        return await self._committer.change(apply)

    async def delete(self, name: str, expected: int | None = None, *, dynamic: bool = False) -> None:
        """Remove a group; its things stay, its policies are detached; an unknown one is nothing to do.

        The things of a large static group leave it in steps before, so that others are served meanwhile; who stops in between
        deletes it again.

        Raises:
            VersionConflict: it is not at the expected version.
            InvalidRequest: it has child groups, or is dynamic and should not be, or the other way round.
        """

        def leave(batch: Batch) -> bool:
            if not self._deletable(batch.tx, name, expected, dynamic=dynamic) or dynamic:
                return False
            things = [
                row["thing"]
                for row in batch.tx.all("members_page", group=name, after="", limit=MEMBERS_A_STEP + 1)
            ]
            if len(things) <= MEMBERS_A_STEP:
                return False
            for thing in things:
                batch.tx.run("member_delete", group=name, thing=thing)
                self._membership.left(batch, thing, name)
                self._index.left_group(batch, thing)
            return True

        def apply(batch: Batch) -> None:
            if self._deletable(batch.tx, name, expected, dynamic=dynamic):
                self._remove(batch, name, dynamic=dynamic)

        while await self._committer.change(leave, heavy=True):
            pass
        # A dynamic group of a million members is one long statement: beside the loop, not on it.
        await self._committer.change(apply, heavy=True)

    @staticmethod
    def _deletable(tx: Transaction, name: str, expected: int | None, *, dynamic: bool) -> bool:
        group = find_group(tx, name)
        if group is None:
            return False
        check_version("thing group", name, group.version, expected)
        if (tx.one("dynamic_group_by_name", name=name) is not None) != dynamic:
            raise InvalidRequest(
                f"{name} is a static thing group: delete it with DeleteThingGroup"
                if dynamic
                else f"{name} is a dynamic thing group: delete it with DeleteDynamicThingGroup"
            )
        children = tx.one("group_children_count", name=name)
        if children and children["children"]:
            raise InvalidRequest(
                f"thing group {name} has {children['children']} child groups: delete them first"
            )
        return True

    def _remove(self, batch: Batch, name: str, *, dynamic: bool) -> None:
        tx = batch.tx
        self._membership.group_deleted(batch, name)
        self._index.group_ending(batch, name)
        tx.run("members_delete", group=name)
        tx.run("policy_targets_delete", target=f"thinggroup/{name}")
        tx.run("group_tree_delete", name=name)
        tx.run("group_delete", name=name)
        if dynamic:
            tx.run("dynamic_group_delete", name=name)
            tx.run("dynamic_group_fields_delete", group=name)
            batch.emit(IndexChanged())
            return
        self._index.group_deleted(batch)
        # Policies of this group or of those above it may have decided for any of its things.
        batch.emit(PrincipalChanged(None))

    def page(
        self,
        *,
        parent: str | None = None,
        prefix: str = "",
        recursive: bool = True,
        token: str | None = None,
        limit: int,
    ) -> Page[str]:
        """Names of groups: all, those at the root, the children of a parent, or all below it.

        Raises:
            NotFound: the parent does not exist.
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, str)
        bounds: dict[str, Any] = {
            "after": position[0] if position else "",
            "prefix": prefix,
            "prefix_end": prefix + PREFIX_END,
            "limit": limit + 1,
        }

        def ask(tx: Transaction) -> list[Row]:
            if parent is None:
                return tx.all("groups_page" if recursive else "groups_at_root_page", **bounds)
            group_or_refuse(tx, parent)
            return tx.all(
                "groups_below_page" if recursive else "groups_of_parent_page", parent=parent, **bounds
            )

        rows = self._committer.read(ask)
        more = encode_token([rows[limit - 1]["name"]]) if len(rows) > limit else None
        return Page([row["name"] for row in rows[:limit]], more)


def find_group(tx: Transaction, name: str) -> ThingGroup | None:
    """The group, or None."""
    row = tx.one("group_by_name", name=name)
    return None if row is None else _group(row)


def group_or_refuse(tx: Transaction, name: str) -> ThingGroup:
    """The group.

    Raises:
        NotFound: there is none of this name.
    """
    group = find_group(tx, name)
    if group is None:
        raise NotFound(f"thing group {name} does not exist")
    return group


def refuse_dynamic(tx: Transaction, name: str, reason: str) -> None:
    """Refuse what cannot be done with a dynamic group.

    Raises:
        InvalidRequest: it is one.
    """
    if tx.one("dynamic_group_by_name", name=name) is not None:
        raise InvalidRequest(f"thing group {name} is dynamic: it {reason}")


def write_group(tx: Transaction, group: ThingGroup) -> None:
    """Write a new group, with its place in the hierarchy."""
    tx.run("group_insert", **_columns(group))
    tx.run("group_tree_insert", name=group.name, parent=group.parent)


def group_columns(group: ThingGroup) -> dict[str, Any]:
    """The columns of a group that can change, and its name."""
    columns = _columns(group)
    return {key: columns[key] for key in ("name", "description", "attributes", "version")}


def _group(row: Row) -> ThingGroup:
    return ThingGroup(
        name=row["name"],
        id=row["id"],
        parent=row["parent"],
        root=row["root"],
        depth=row["depth"],
        description=row["description"],
        attributes=msgspec.json.decode(row["attributes"], type=dict[str, str]),
        tags=msgspec.json.decode(row["tags"], type=dict[str, str]),
        version=row["version"],
        created_at=row["created_at"],
    )


def _columns(group: ThingGroup) -> dict[str, Any]:
    return asdict(group) | {
        "attributes": msgspec.json.encode(group.attributes).decode(),
        "tags": msgspec.json.encode(group.tags).decode(),
    }
