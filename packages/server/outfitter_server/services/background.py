"""One task that works when it is woken, and sleeps when there is nothing to do: the frame of all background work."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import Effect

_RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Background:
    """Construct it, ``start`` it; ``close`` stops it. What is left to do is in the store, so nothing is lost by either."""

    def __init__(
        self,
        committer: Committer,
        woken_by: type[Effect],
        work: Callable[[], Awaitable[None]],
        *,
        trouble: str,
    ) -> None:
        """``work`` runs at the start and after each such effect; when it fails, ``trouble`` is logged and it is tried again."""
        self._woken_by = woken_by
        self._work = work
        self._trouble = trouble
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        committer.listen(self._hear)

    def start(self) -> None:
        """Begin, with whatever the store holds from before."""
        self._woken.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """There is work."""
        self._woken.set()

    async def close(self) -> None:
        """Stop after the step under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _hear(self, effects: Sequence[Effect]) -> None:
        if any(isinstance(effect, self._woken_by) for effect in effects):
            self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._work()
            except Exception:  # noqa: BLE001 - whatever it is, the work must go on
                _log.exception("%s", self._trouble)
                await asyncio.sleep(_RETRY_SECONDS)
                self._woken.set()
