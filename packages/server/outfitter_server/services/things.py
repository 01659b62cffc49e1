"""Things: registered, described, changed, listed, deleted."""

from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any, Final, Protocol

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.services import installed
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import PrincipalChanged
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.thing_types import find_type
from outfitter_server.things.query import ATTRIBUTES, THING_TYPE
from outfitter_server.things.registry import check_type, check_version, new_thing, same_thing, updated_thing
from outfitter_server.things.values import AttributeChange, Thing

# Sorts after every character that AWS allows in names and attribute values.
PREFIX_END: Final = "\x7f"


class Membership(Protocol):
    """What the job service must know of things and groups, told inside the transaction that changes them."""

    def joined(self, batch: Batch, thing: str, group: str) -> None:
        """The thing is now a direct member of the group (the row is there)."""

    def left(self, batch: Batch, thing: str, group: str) -> None:
        """The thing is no longer a direct member of the group (the row is gone)."""

    def thing_deleted(self, batch: Batch, thing: str) -> None:
        """The thing goes; its memberships are still there to be read."""

    def group_deleted(self, batch: Batch, group: str) -> None:
        """The group goes; its members are still there to be read."""


class Index(Protocol):
    """What the fleet index must know of things and groups, told inside the transaction that changes them."""

    def created(self, batch: Batch, thing: str) -> None:
        """The thing is registered."""

    def changed(self, batch: Batch, thing: str, names: Collection[str]) -> None:
        """These fields of it (things/query.py) have other values now."""

    def deleted(self, batch: Batch, thing: str) -> None:
        """It goes, with its memberships."""

    def left_group(self, batch: Batch, thing: str) -> None:
        """It is in one static group less."""

    def make_room(self, batch: Batch, thing: str) -> None:
        """It is to join a static group even if it must leave a dynamic one."""

    def group_ending(self, batch: Batch, group: str) -> None:
        """A group is about to go; its members are still there to be read."""

    def group_deleted(self, batch: Batch) -> None:
        """A static group is gone."""


class Things:
    """The registry of things."""

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

    async def create(self, name: str, thing_type: str | None, change: AttributeChange | None) -> Thing:
        """Register a thing; a repeat with the same content returns the existing one.

        Raises:
            AlreadyExists: the name has another type or other attributes.
            NotFound, InvalidRequest: the type does not exist, is deprecated, or there are too many attributes.
        """
        return await self._committer.change(lambda batch: self.create_in(batch, name, thing_type, change))

    def create_in(
        self, batch: Batch, name: str, thing_type: str | None, change: AttributeChange | None
    ) -> Thing:
        """``create`` within a transaction that does more."""
        wanted = new_thing(name, self._new_id(), thing_type, change, batch.now)
        existing = find_thing(batch.tx, name)
        if existing is not None:
            return same_thing(existing, wanted, self._installation.iot_arn("thing", name))
        check_type(thing_type, find_type(batch.tx, thing_type) if thing_type else None)
        batch.tx.run("thing_insert", **_columns(wanted))
        batch.tx.run_many("thing_attribute_insert", _attribute_rows(wanted))
        self._index.created(batch, name)
        return wanted

    def describe(self, name: str) -> Thing:
        """One thing.

        Raises:
            NotFound: it is not registered.
        """
        return self._committer.read(lambda tx: thing_or_refuse(tx, name))

    async def update(
        self,
        name: str,
        thing_type: str | None,
        change: AttributeChange | None,
        *,
        remove_type: bool = False,
        expected: int | None = None,
    ) -> Thing:
        """Change type or attributes; see things.registry.updated_thing for what is refused."""
        return await self._committer.change(
            lambda batch: self.update_in(
                batch, name, thing_type, change, remove_type=remove_type, expected=expected
            )
        )

    def update_in(
        self,
        batch: Batch,
        name: str,
        thing_type: str | None,
        change: AttributeChange | None,
        *,
        remove_type: bool = False,
        expected: int | None = None,
    ) -> Thing:
        """``update`` within a transaction that does more."""
        before = thing_or_refuse(batch.tx, name)
        after = updated_thing(before, change, thing_type, remove_type=remove_type, expected=expected)
        if thing_type != before.type:
            check_type(thing_type, find_type(batch.tx, thing_type) if thing_type else None)
        columns = _columns(after)
        batch.tx.run(
            "thing_update", **{key: columns[key] for key in ("name", "type", "attributes", "version")}
        )
        batch.tx.run_many("thing_attribute_delete", _attribute_rows(before))
        batch.tx.run_many("thing_attribute_insert", _attribute_rows(after))
        tell_connections(batch, name)
        self._index.changed(batch, name, _changed_fields(before, after))
        return after

    async def delete(self, name: str, expected: int | None = None) -> None:
        """Remove a thing with its memberships and job executions; an unknown one is nothing to do.

        Raises:
            VersionConflict: it is not at the expected version (looked at first).
            InvalidRequest: certificates are attached to it.
        """

        def apply(batch: Batch) -> None:
            thing = find_thing(batch.tx, name)
            if thing is None:
                return
            check_version("thing", name, thing.version, expected)
            if batch.tx.one("thing_has_principal", thing=name) is not None:
                raise InvalidRequest(f"thing {name} still has certificates attached: detach them first")
            self._membership.thing_deleted(batch, name)
            installed.forget(batch, name)
            batch.tx.run("memberships_of_thing_delete", thing=name)
            batch.tx.run_many("thing_attribute_delete", _attribute_rows(thing))
            batch.tx.run("thing_delete", name=name)
            self._index.deleted(batch, name)

        await self._committer.change(apply)

    def page(
        self,
        *,
        thing_type: str | None = None,
        attribute: tuple[str, str] | None = None,
        prefix: bool = False,
        token: str | None = None,
        limit: int,
    ) -> Page[Thing]:
        """Things by name; of a type; with an attribute's value or (``prefix``) the beginning of it.

        Raises:
            InvalidRequest: the token is not of such a listing.
        """
        if attribute is not None and prefix:
            return self._page_by_prefix(thing_type, attribute, token, limit)
        position = decode_token(token, str)
        after = position[0] if position else ""

        def ask(tx: Transaction) -> list[Row]:
            if attribute is not None:
                return tx.all(
                    "things_with_attribute_page",
                    attribute=attribute[0],
                    value=attribute[1],
                    type=thing_type,
                    after=after,
                    limit=limit + 1,
                )
            if thing_type is not None:
                return tx.all("things_of_type_page", type=thing_type, after=after, limit=limit + 1)
            return tx.all("things_page", after=after, limit=limit + 1)

        rows = self._committer.read(ask)
        more = encode_token([rows[limit - 1]["name"]]) if len(rows) > limit else None
        return Page([read_thing(row) for row in rows[:limit]], more)

    def _page_by_prefix(
        self, thing_type: str | None, attribute: tuple[str, str], token: str | None, limit: int
    ) -> Page[Thing]:
        name, beginning = attribute
        position = decode_token(token, str, str) or (beginning, "")
        rows = self._committer.read(
            lambda tx: tx.all(
                "things_with_attribute_prefix_page",
                attribute=name,
                after_value=position[0],
                after=position[1],
                value_end=beginning + PREFIX_END,
                type=thing_type,
                limit=limit + 1,
            )
        )
        last = rows[limit - 1] if len(rows) > limit else None
        more = encode_token([last["value"], last["name"]]) if last is not None else None
        return Page([read_thing(row) for row in rows[:limit]], more)


def find_thing(tx: Transaction, name: str) -> Thing | None:
    """The thing, or None."""
    row = tx.one("thing_by_name", name=name)
    return None if row is None else read_thing(row)


def thing_or_refuse(tx: Transaction, name: str) -> Thing:
    """The thing.

    Raises:
        NotFound: it is not registered.
    """
    thing = find_thing(tx, name)
    if thing is None:
        raise NotFound(f"thing {name} does not exist")
    return thing


def tell_connections(batch: Batch, thing: str) -> None:
    """Have the connections of a thing's certificates judged anew: its type, attributes or groups changed."""
    for row in batch.tx.all("certificates_of_thing", thing=thing):
        batch.emit(PrincipalChanged(row["certificate"]))


def read_thing(row: Row) -> Thing:
    """The thing in a row of ``things``."""
    return Thing(
        name=row["name"],
        id=row["id"],
        type=row["type"],
        attributes=msgspec.json.decode(row["attributes"], type=dict[str, str]),
        version=row["version"],
        created_at=row["created_at"],
    )


def _columns(thing: Thing) -> dict[str, Any]:
    return asdict(thing) | {"attributes": msgspec.json.encode(thing.attributes).decode()}


def _changed_fields(before: Thing, after: Thing) -> list[str]:
    changed = sorted(before.attributes.items() ^ after.attributes.items())
    fields = list(dict.fromkeys(ATTRIBUTES + name for name, _ in changed))
    return fields if before.type == after.type else [*fields, THING_TYPE]


def _attribute_rows(thing: Thing) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "thing": thing.name} for name, value in thing.attributes.items()]
