"""Which things are connected: those whose name is the client id of an open MQTT session, as AWS's fleet index has it."""

import heapq
from collections.abc import Callable, Collection

import msgspec

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.services.committer import Committer
from outfitter_server.services.things import find_thing, read_thing
from outfitter_server.things.values import Thing

Clients = Callable[[], Collection[str]]


class Presence:
    """What the registry and the connections of this process say together."""

    def __init__(self, committer: Committer, clients: Clients) -> None:
        """``clients`` gives the ids of the clients that are connected now."""
        self._committer = committer
        self._clients = clients

    def find(self, name: str) -> tuple[Thing, bool] | None:
        """A thing and whether it is connected; None when it is not registered."""
        thing = self._committer.read(lambda tx: find_thing(tx, name))
        return None if thing is None else (thing, name in self._clients())

    def connected(self, *, token: str | None, limit: int) -> Page[Thing]:
        """Things that are connected, by name; a page may have fewer than ``limit`` although more follow.

        Raises:
            InvalidRequest: the token is not one of this listing.
        """
        position = decode_token(token, str)
        after = "" if position is None else str(position[0])
        names = heapq.nsmallest(limit, (name for name in self._clients() if name > after))
        if not names:
            return Page(())
        wanted = msgspec.json.encode(names).decode()
        rows = self._committer.read(lambda tx: tx.all("things_named", names=wanted))
        more = encode_token((names[-1],)) if len(names) == limit else None
        return Page([read_thing(row) for row in rows], more)
