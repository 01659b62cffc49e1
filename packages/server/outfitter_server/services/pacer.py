"""The pacer: does the background work of jobs, chunk by chunk, in turn, and sleeps when there is none.

Work is in the store, so a restart goes on where the last commit left off. There is one task, not one a job; what it costs
grows with the work that is left, never with the fleet.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import Effect, WorkQueued
from outfitter_server.services.ports import Transaction
from outfitter_server.services.rollout import Steps

_JOBS_A_ROUND: Final = 100
_RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Pacer:
    """Construct it, ``start`` it; ``close`` stops it after the step under way."""

    def __init__(self, committer: Committer, steps: Steps) -> None:
        """Listens to the committer for work."""
        self._committer = committer
        self._steps = steps
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._resting: set[str] = set()
        committer.listen(self._hear)

    def start(self) -> None:
        """Begin, with whatever work the store holds from before."""
        self._work.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; what is left stays in the store."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _hear(self, effects: Sequence[Effect]) -> None:
        if any(isinstance(effect, WorkQueued) for effect in effects):
            self._work.set()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._round()
            except Exception:  # noqa: BLE001 - whatever it is, the work must go on
                _log.exception("background work waits")
                await asyncio.sleep(_RETRY_SECONDS)
                self._work.set()

    async def _round(self) -> None:
        after = 0
        while True:
            rows = self._committer.read(partial(_with_work, after=after))
            for job, seq in rows:
                after = seq
                if job not in self._resting:
                    await self._step(job)
            if len(rows) < _JOBS_A_ROUND:
                return

    async def _step(self, job: str) -> None:
        try:
            await self._committer.change(partial(self._steps.step, job_id=job), heavy=True)
        except Exception as error:  # noqa: BLE001 - one job's trouble holds up no other's work
            _log.warning("background work of job %s waits: %s", job, error)
            self._resting.add(job)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wake, job)

    def _wake(self, job: str) -> None:
        self._resting.discard(job)
        self._work.set()


def _with_work(tx: Transaction, *, after: int) -> list[tuple[str, int]]:
    rows = tx.all("jobs_with_work", after=after, limit=_JOBS_A_ROUND)
    return [(row["id"], row["seq"]) for row in rows]
