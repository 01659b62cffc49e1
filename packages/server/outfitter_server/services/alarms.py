"""Wakes when a timer is due: one task for all of them, asleep until the earliest."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from outfitter_server.base.refusals import Unavailable
from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import DueAt, Effect
from outfitter_server.services.timers import (
    DUE_ROWS_MAX,
    Place,
    Timers,
    jobs_planned_otherwise,
    next_due,
    timers_ahead,
)

# The clock on the wall may be set while the task sleeps by another one: it looks again after so long.
_SLEEP_SECONDS_MAX: Final = 30.0
_RETRY_SECONDS: Final = 1.0
_SET_BACK_MS: Final = 60_000
# What the clock did while the server stood still nobody knows; a machine whose own clock is wrong is set right meanwhile.
_SETTLING_SECONDS: Final = 300.0
_BEGINNING: Final = (0, 0)

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
        self._look_at_all_at: float | None = time.monotonic() + _SETTLING_SECONDS
        self._asked_monotonic, self._asked_at = time.monotonic(), committer.now()
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
                if self._set_back():
                    self._look_at_all_at = time.monotonic()
                if self._look_at_all_at is not None and self._look_at_all_at <= time.monotonic():
                    await self._look_at_all()
                    self._look_at_all_at = None
                self._next_at = self._committer.read(next_due)
            except Exception:  # noqa: BLE001 - whatever it is, later timers must fire
                _log.exception("timers wait")
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            # Not wait_for, which in Python 3.11 loses a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds()):
                    await self._earlier.wait()

    async def _fire(self) -> None:
        while self._committer.read(next_due) is not None:
            try:
                more = await self._committer.change(self._timers.fire, weight=DUE_ROWS_MAX)
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001 - one job's trouble holds up no other's time
                await self._fire_one_by_one()
                continue
            if not more:
                return

    async def _fire_one_by_one(self) -> None:
        now = self._committer.now()
        for job_id in self._committer.read(lambda tx: self._timers.due_jobs(tx, now)):
            await self._look_at(job_id)
        await self._committer.change(self._timers.time_out, weight=DUE_ROWS_MAX)

    async def _look_at(self, job_id: str) -> None:
        try:
            await self._committer.change(partial(self._timers.look_at, job_id=job_id))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the others go on
            _log.warning("job %s cannot be looked at, and rests: %s", job_id, error)
            self._timers.rest(job_id, self._committer.now())

    def _set_back(self) -> bool:
        """Whether the clock on the wall was set back by minutes since it was asked last."""
        passed = (time.monotonic() - self._asked_monotonic) * 1000
        now = self._committer.now()
        lost = passed - (now - self._asked_at)
        self._asked_monotonic, self._asked_at = time.monotonic(), now
        if lost > _SET_BACK_MS:
            _log.warning("the clock was set back: whatever waits for a time is looked at")
        return lost > _SET_BACK_MS

    async def _look_at_all(self) -> None:
        """What was planned by a clock that ran ahead would wait until it is that time again."""
        after: Place | None = _BEGINNING
        while after is not None:
            jobs, after = self._committer.read(
                partial(jobs_planned_otherwise, now=self._committer.now(), after=after)
            )
            for job_id in jobs:
                await self._look_at(job_id)
            await asyncio.sleep(0)
        page: Place | None = _BEGINNING
        while page is not None:
            ahead, following = self._committer.read(
                partial(timers_ahead, now=self._committer.now(), after=page)
            )
            if ahead:
                await self._committer.change(partial(self._timers.set_back, after=page), weight=DUE_ROWS_MAX)
            page = following
            await asyncio.sleep(0)

    def _seconds(self) -> float:
        if self._next_at is None:
            return _SLEEP_SECONDS_MAX
        least = _RETRY_SECONDS if self._timers.resting else 0.0
        return min(max(least, (self._next_at - self._committer.now()) / 1000), _SLEEP_SECONDS_MAX)
