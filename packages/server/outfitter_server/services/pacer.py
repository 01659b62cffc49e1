"""The pacer: does the background work of jobs, chunk by chunk, in turn, and sleeps when there is none.

Work is in the store, so a restart goes on where the last commit left off. There is one task, not one a job; what it costs
grows with the work that is left, never with the fleet.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from outfitter_server.services.background import Background
from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import WorkQueued
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
        self._resting: set[str] = set()
        self._background = Background(committer, WorkQueued, self._round, trouble="background work waits")

    def start(self) -> None:
        """Begin, with whatever work the store holds from before."""
        self._background.start()

    async def close(self) -> None:
        """Stop; what is left stays in the store."""
        await self._background.close()

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
        self._background.wake()


def _with_work(tx: Transaction, *, after: int) -> list[tuple[str, int]]:
    rows = tx.all("jobs_with_work", after=after, limit=_JOBS_A_ROUND)
    return [(row["id"], row["seq"]) for row in rows]
