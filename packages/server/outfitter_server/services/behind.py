"""Writing behind: what is noted in memory goes to disk in the next transaction, together with whatever was noted since.

For state that lives in memory and must survive. Who promises something of it waits for ``written``; others wait for nothing.
Several promises share one transaction, which may wait for more of them; a disk that is full delays them rather than breaks them.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from outfitter_server.services.committer import Batch, Committer, Outcome

_RETRY_SECONDS: Final = 1.0

Notes = TypeVar("Notes")

_log = logging.getLogger(__name__)


class Notebook(Protocol[Notes]):
    """Who keeps the state."""

    def take(self) -> Notes:
        """What was noted since the last time, which is now in the writer's hands."""

    def give_back(self, notes: Notes) -> None:
        """It could not be written: it counts as noted before whatever was noted since."""

    def write(self, batch: Batch, notes: Notes) -> None:
        """Write it; may be called twice with the same, when the first transaction was undone."""


class _Turn(Generic[Notes]):
    """One transaction's share: taken when the transaction begins, so that the latest notes are in it."""

    __slots__ = ("notes", "written")

    def __init__(self) -> None:
        self.notes: Notes | None = None
        self.written: asyncio.Future[None] | None = None


class Behind(Generic[Notes]):
    """The writer of one notebook; a lane of the committer. Use it on the event loop's thread."""

    def __init__(self, committer: Committer, notebook: Notebook[Notes]) -> None:
        """Nothing is noted yet."""
        self._committer = committer
        self._notebook = notebook
        self._asked = False
        self._written: asyncio.Future[None] | None = None

    def noted(self) -> None:
        """Something is to be written."""
        if not self._asked:
            self._asked = True
            turn = _Turn[Notes]()
            self._committer.submit_patiently(self, turn, partial(self._done, turn))

    def written(self) -> "asyncio.Future[None]":
        """Done when everything that has been noted so far is on disk; shared, and it never fails."""
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
            self.noted()
        return self._written

    def apply(self, batch: Batch, requests: Sequence[_Turn[Notes]]) -> list[Outcome]:
        """The committer's side."""
        for turn in requests:
            if turn.notes is None:
                self._asked = False
                turn.notes = self._notebook.take()
                turn.written, self._written = self._written, None
            self._notebook.write(batch, turn.notes)
        return [None] * len(requests)

    def _done(self, turn: _Turn[Notes], outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            self._put_off(turn, outcome)
        elif turn.written is not None:
            turn.written.set_result(None)

    def _put_off(self, turn: _Turn[Notes], error: Exception) -> None:
        _log.error("what sessions and topics keep waits to be written: %s", error)
        if turn.notes is None:
            self._asked = False
        else:
            self._notebook.give_back(turn.notes)
        waiting = turn.written
        if waiting is not None and self._written is None:
            self._written = waiting
        elif waiting is not None and self._written is not None:
            self._written.add_done_callback(lambda _: waiting.set_result(None))
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.noted)
