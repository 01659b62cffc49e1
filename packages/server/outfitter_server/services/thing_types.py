"""Thing types: created, deprecated and brought back, listed, deleted."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.things.registry import check_searchable, same_type
from outfitter_server.things.values import Tags, ThingType


class ThingTypes:
    """The registry of thing types."""

    def __init__(self, committer: Committer, installation: Installation, new_id: Callable[[], str]) -> None:
        """``new_id`` makes a fresh UUID text."""
        self._committer = committer
        self._installation = installation
        self._new_id = new_id

    async def create(
        self, name: str, description: str | None, searchable: Sequence[str], tags: Tags
    ) -> ThingType:
        """Make a type; a repeat with the same properties returns the existing one.

        Raises:
            AlreadyExists: it has other properties.
            InvalidRequest: more than three searchable attributes.
        """
        identifier = self._new_id()

        def apply(batch: Batch) -> ThingType:
            wanted = ThingType(
                name=name,
                id=identifier,
                description=description,
                searchable_attributes=check_searchable(searchable),
                tags=tags,
                created_at=batch.now,
            )
            existing = find_type(batch.tx, name)
            if existing is not None:
                return same_type(existing, wanted, self._installation.iot_arn("thingtype", name))
            texts = {
                "searchable_attributes": msgspec.json.encode(wanted.searchable_attributes).decode(),
                "tags": msgspec.json.encode(wanted.tags).decode(),
            }
            batch.tx.run("thing_type_insert", **(asdict(wanted) | texts))
            return wanted

        return await self._committer.change(apply)

    def describe(self, name: str) -> ThingType:
        """One type.

        Raises:
            NotFound: there is none of this name.
        """
        return self._committer.read(lambda tx: _type_or_refuse(tx, name))

    async def deprecate(self, name: str, *, undo: bool = False) -> None:
        """Deprecate a type, or take that back; repeating is nothing to do.

        Raises:
            NotFound: there is none of this name.
        """

        def apply(batch: Batch) -> None:
            found = _type_or_refuse(batch.tx, name)
            if undo:
                batch.tx.run("thing_type_deprecate", name=name, deprecated_at=None)
            elif found.deprecated_at is None:
                batch.tx.run("thing_type_deprecate", name=name, deprecated_at=batch.now)

        await self._committer.change(apply)

    async def delete(self, name: str) -> None:
        """Remove a type; an unknown one is nothing to do.

        Raises:
            InvalidRequest: it is not deprecated, or things have it.
        """

        def apply(batch: Batch) -> None:
            found = find_type(batch.tx, name)
            if found is None:
                return
            if found.deprecated_at is None:
                raise InvalidRequest(f"thing type {name} is not deprecated: deprecate it before deleting it")
            user = batch.tx.one("thing_of_type", type=name)
            if user is not None:
                raise InvalidRequest(
                    f"thing type {name} is in use, by thing {user['name']} for one: change those things first"
                )
            batch.tx.run("thing_type_delete", name=name)

        await self._committer.change(apply)

    def page(self, *, name: str | None = None, token: str | None = None, limit: int) -> Page[ThingType]:
        """Types by name, or only the one of this name.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        if name is not None:
            found = self._committer.read(lambda tx: find_type(tx, name))
            return Page([found] if found else [])
        position = decode_token(token, str)
        after = position[0] if position else ""
        rows = self._committer.read(lambda tx: tx.all("thing_types_page", after=after, limit=limit + 1))
        more = encode_token([rows[limit - 1]["name"]]) if len(rows) > limit else None
        return Page([_type(row) for row in rows[:limit]], more)


def find_type(tx: Transaction, name: str) -> ThingType | None:
    """The type, or None."""
    row = tx.one("thing_type_by_name", name=name)
    return None if row is None else _type(row)


def _type_or_refuse(tx: Transaction, name: str) -> ThingType:
    found = find_type(tx, name)
    if found is None:
        raise NotFound(f"thing type {name} does not exist")
    return found


def _type(row: Row) -> ThingType:
    return ThingType(
        name=row["name"],
        id=row["id"],
        description=row["description"],
        searchable_attributes=msgspec.json.decode(row["searchable_attributes"], type=tuple[str, ...]),
        tags=msgspec.json.decode(row["tags"], type=dict[str, str]),
        created_at=row["created_at"],
        deprecated_at=row["deprecated_at"],
    )
