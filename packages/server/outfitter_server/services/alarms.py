"""Wakes when a timer is due: one task for all of them, asleep until the earliest."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import DueAt, Effect
from outfitter_server.services.timers import DUE_ROWS_MAX, Timers, next_due

# The clock on the wall may be set while the task sleeps by another one: it looks again after so long.
_SLEEP_SECONDS_MAX: Final = 30.0
_RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Alarms:
    """Construct it, ``start`` it; ``close`` stops it after the batch under way."""

    def __init__(self, committer: Committer, timers: Timers) -> None:
        """Listens to the committer for due times."""
        self._committer = committer
        self._timers = timers
        self._earlier = asyncio.Event()
        self._next_at: int | None = None
        self._task: asyncio.Task[None] | None = None
        committer.listen(self._hear)

    def start(self) -> None:
        """Begin, with whatever became due while nobody looked."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def look(self) -> None:
        """Look now; for who moves the clock."""
        self._earlier.set()

    async def close(self) -> None:
        """Stop; due times stay in the store."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _hear(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, DueAt) and (self._next_at is None or effect.at < self._next_at):
                self._next_at = effect.at
                self._earlier.set()

    async def _run(self) -> None:
        while True:
            self._earlier.clear()
            try:
                await self._fire()
                self._next_at = self._committer.read(next_due)
            except Exception:  # noqa: BLE001 - whatever it is, later timers must fire
                _log.exception("timers wait")
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._earlier.wait(), self._seconds())

    async def _fire(self) -> None:
        while self._committer.read(next_due) is not None:
            if not await self._committer.change(self._timers.fire, weight=DUE_ROWS_MAX):
                return

    def _seconds(self) -> float:
        if self._next_at is None:
            return _SLEEP_SECONDS_MAX
        return min(max(0.0, (self._next_at - self._committer.now()) / 1000), _SLEEP_SECONDS_MAX)
