"""Whether a thing is connected, since when, and why it left: from the connections, else from what the index recorded."""

import msgspec

from outfitter_server.services.committer import Committer
from outfitter_server.services.connections import Board, ClientState
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.things import thing_or_refuse


class ThingConnectivity:
    """Answers for things, whose client id is their name."""

    def __init__(self, committer: Committer, board: Board) -> None:
        """``board`` knows the connections."""
        self._committer = committer
        self._board = board

    def of(self, thing: str) -> ClientState:
        """The state of a thing; not connected and nothing more when it never was, or that is not known any more.

        Raises:
            NotFound: it is not registered.
        """
        recorded = self._committer.read(lambda tx: _recorded(tx, thing))
        found = self._board.find(thing) or ClientState(client_id=thing, connected=False)
        if found.since is None and recorded is not None:
            found = msgspec.structs.replace(found, since=recorded["at"], reason=recorded["reason"])
        return found


def _recorded(tx: Transaction, thing: str) -> Row | None:
    thing_or_refuse(tx, thing)
    rows = tx.all("disconnections_of_things", things=msgspec.json.encode([thing]).decode())
    return rows[0] if rows else None
