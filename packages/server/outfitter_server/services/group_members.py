"""Which things are in which groups. Each change is told to the job service inside its transaction."""

from collections.abc import Sequence
from typing import Any, Final

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.groups import find_group, group_or_refuse, refuse_dynamic
from outfitter_server.services.ports import Transaction
from outfitter_server.services.things import Index, Membership, tell_connections, thing_or_refuse
from outfitter_server.things.groups import check_joining
from outfitter_server.things.query import GROUPS

_BY_QUERY: Final = "has the members that its query finds: change the things or the query"


class GroupMembers:
    """Members of static groups; those of dynamic ones are listed here, and found by services/fleet_index.py."""

    def __init__(self, committer: Committer, membership: Membership, index: Index) -> None:
        """``membership`` is the job service's ear, ``index`` the fleet index's."""
        self._committer = committer
        self._membership = membership
        self._index = index

    async def add(self, thing: str, group: str, *, override: bool = False) -> None:
        """Put a thing into a group; one that is there already stays, and nothing happens.

        ``override``: a thing that is in ten groups leaves its youngest dynamic one.

        Raises:
            NotFound: the thing or the group does not exist.
            InvalidRequest: it is in ten groups, or in another of the same hierarchy, or the group is dynamic.
        """
        await self._committer.change(lambda batch: self.add_in(batch, thing, group, override=override))

    async def remove(self, thing: str, group: str) -> None:
        """Take a thing out of a group; from a group that does not exist, or that it is not in, is nothing to do.

        Raises:
            NotFound: the thing does not exist.
            InvalidRequest: the group is dynamic.
        """
        await self._committer.change(lambda batch: self.remove_in(batch, thing, group))

    async def replace(
        self, thing: str, add: Sequence[str], remove: Sequence[str], *, override: bool = False
    ) -> None:
        """Both at once, removals first, all or nothing.

        Raises:
            NotFound, InvalidRequest: as in ``add`` and ``remove``.
        """

        def apply(batch: Batch) -> None:
            for group in remove:
                self.remove_in(batch, thing, group)
            for group in add:
                self.add_in(batch, thing, group, override=override)

        await self._committer.change(apply)

    def groups_of(self, thing: str) -> list[str]:
        """The names of the groups that the thing is directly in, at most ten.

        Raises:
            NotFound: the thing does not exist.
        """

        def ask(tx: Transaction) -> list[str]:
            thing_or_refuse(tx, thing)
            return [row["group_name"] for row in tx.all("groups_of_thing", thing=thing)]

        return self._committer.read(ask)

    def page(self, group: str, *, recursive: bool = False, token: str | None = None, limit: int) -> Page[str]:
        """Names of the things in a group, or (``recursive``) in it and in every group below it.

        Raises:
            NotFound: the group does not exist.
            InvalidRequest: the token is not of such a listing.
        """
        position: Sequence[Any]
        if recursive:
            position = decode_token(token, str, str) or ("", "")
        else:
            position = [group, *(decode_token(token, str) or ("",))]
        within, after = str(position[0]), str(position[1])

        def ask(tx: Transaction) -> list[tuple[str, str]]:
            group_or_refuse(tx, group)
            found: list[tuple[str, str]] = [
                (within, row["thing"])
                for row in tx.all("members_page", group=within, after=after, limit=limit + 1)
            ]
            if recursive and len(found) <= limit:
                rest = tx.all(
                    "members_below_page", group=group, after_group=within, limit=limit + 1 - len(found)
                )
                found += [(row["group_name"], row["thing"]) for row in rest]
            return found

        found = self._committer.read(ask)
        more = (
            encode_token(found[limit - 1] if recursive else found[limit - 1][1:])
            if len(found) > limit
            else None
        )
        return Page([thing for _, thing in found[:limit]], more)

    def add_in(self, batch: Batch, thing: str, name: str, *, override: bool) -> None:
        """``add`` within a transaction that does more."""
        tx = batch.tx
        group = group_or_refuse(tx, name)
        thing_or_refuse(tx, thing)
        refuse_dynamic(tx, name, _BY_QUERY)
        if tx.one("member_exists", group=name, thing=thing) is not None:
            return
        if override:
            self._index.make_room(batch, thing)
        check_joining(
            thing, group, [(row["group_name"], row["root"]) for row in tx.all("groups_of_thing", thing=thing)]
        )
        tx.run("member_insert", group=name, thing=thing)
        self._membership.joined(batch, thing, name)
        self._index.changed(batch, thing, (GROUPS,))
        tell_connections(batch, thing)

    def remove_in(self, batch: Batch, thing: str, name: str) -> None:
        """``remove`` within a transaction that does more."""
        tx = batch.tx
        thing_or_refuse(tx, thing)
        if find_group(tx, name) is None:
            return
        refuse_dynamic(tx, name, _BY_QUERY)
        if not tx.run("member_delete", group=name, thing=thing):
            return
        self._membership.left(batch, thing, name)
        self._index.left_group(batch, thing)
        tell_connections(batch, thing)
