"""The queue of events at work: what is due is run, a few at a time, and tried again as ``functions/retries.py`` says.

The queue is a table: an event leaves it only when its function returned, or when it was tried as often as AWS would. A server
that ends in the middle runs the event again, so that functions may see one twice, as on AWS.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from outfitter_server.base.refusals import NotFound, Refusal
from outfitter_server.functions.retries import (
    BUSY_PAUSE_MS_MAX,
    FAILURE_PAUSES_MS,
    Ended,
    QueuedEvent,
    RetryDecision,
    after_try,
)
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import Effect, EventQueued, FunctionChanged
from outfitter_server.services.functions import Functions
from outfitter_server.services.ports import Row, Sandbox, Transaction

AT_ONCE_MAX: Final = 4
_RETRY_SECONDS: Final = 1.0
_SLEEP_SECONDS_MAX: Final = 60.0

_log = logging.getLogger(__name__)


class EventQueue:
    """Construct it, ``start`` it; ``close`` leaves what is under way in the queue."""

    def __init__(
        self,
        committer: Committer,
        functions: Functions,
        sandbox: Sandbox,
        failure_pauses_ms: tuple[int, ...] = FAILURE_PAUSES_MS,
    ) -> None:
        """Listens to the committer for events and for changes of functions."""
        self._committer = committer
        self._functions = functions
        self._sandbox = sandbox
        self._pauses_ms = failure_pauses_ms
        self._work = asyncio.Event()
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        committer.listen(self._hear)

    @property
    def waiting(self) -> int:
        """How many events are in the queue, at most."""
        span = self._committer.read(lambda tx: tx.one("function_events_span"))
        if span is None or span["first"] is None:
            return 0
        return int(span["last"] - span["first"] + 1)

    def start(self) -> None:
        """Begin, with whatever the store holds from before."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; events under way stay in the store and run again after the next start."""
        tasks = [task for task in (self._task, *self._busy.values()) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _hear(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, EventQueued):
                self._work.set()
            elif isinstance(effect, FunctionChanged):
                self._sandbox.retire(effect.name)

    async def _run(self) -> None:
        while True:
            self._work.clear()
            try:
                pause = self._begin_due()
            except Refusal as refusal:
                _log.warning("events wait: %s", refusal.message)
                pause = _RETRY_SECONDS
            # Not wait_for, which in Python 3.11 loses a cancellation that comes together with the work.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._work.wait()

    def _begin_due(self) -> float:
        """Start what is due; the seconds until there may be more."""
        now = self._committer.now()
        room = AT_ONCE_MAX - len(self._busy)
        if room > 0:
            for row in self._committer.read(lambda tx: self._due(tx, now)):
                if row["seq"] not in self._busy and len(self._busy) < AT_ONCE_MAX:
                    self._begin(row)
        if len(self._busy) >= AT_ONCE_MAX:
            return _SLEEP_SECONDS_MAX  # the end of one of them wakes this
        following = self._committer.read(lambda tx: tx.one("function_events_next", now=now))
        if following is None:
            return _SLEEP_SECONDS_MAX
        seconds: float = (following["due_at"] - now) / 1000
        return min(_SLEEP_SECONDS_MAX, max(0.0, seconds))

    def _due(self, tx: Transaction, now: int) -> list[Row]:
        following = tx.one("function_events_next", now=now)
        # No pause is that long: it was planned by a clock that has been set back since.
        if following is not None and following["due_at"] - now > max(BUSY_PAUSE_MS_MAX, *self._pauses_ms):
            now = following["due_at"]
        return tx.all("function_events_due", now=now, limit=2 * AT_ONCE_MAX)

    def _begin(self, row: Row) -> None:
        seq: int = row["seq"]
        task = asyncio.get_running_loop().create_task(self._try(row))
        self._busy[seq] = task
        task.add_done_callback(lambda _done: self._finished(seq))

    def _finished(self, seq: int) -> None:
        del self._busy[seq]
        self._work.set()

    async def _try(self, row: Row) -> None:
        event = QueuedEvent(queued_at=row["queued_at"], failures=row["failures"], refusals=row["refusals"])
        ended = await self._run_once(row)
        decision = after_try(event, ended, self._committer.now(), self._pauses_ms)
        if decision.due_at is None and ended is not Ended.SUCCEEDED:
            _log.warning("event %s of function %s is given up", row["request_id"], row["function"])
        while True:
            try:
                await self._committer.change(lambda batch: _settle(batch, row["seq"], decision))
            except Refusal as refusal:
                _log.warning("the end of an event cannot be written yet: %s", refusal.message)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _run_once(self, row: Row) -> Ended:
        try:
            found = self._functions.runnable(row["function"])
        except NotFound:
            return Ended.SUCCEEDED  # deleted meanwhile, and its events with it
        try:
            outcome = await self._sandbox.invoke(
                found, row["request_id"], row["payload"], row["client_context"]
            )
        except Refusal as refusal:
            _log.info(
                "event %s of function %s waits: %s", row["request_id"], row["function"], refusal.message
            )
            return Ended.NOT_RUN
        except Exception:  # noqa: BLE001 - an event must not stop the queue
            _log.exception("event %s of function %s could not be run", row["request_id"], row["function"])
            return Ended.NOT_RUN
        return Ended.SUCCEEDED if outcome.error is None else Ended.FAILED


def _settle(batch: Batch, seq: int, decision: RetryDecision) -> None:
    if decision.due_at is None:
        batch.tx.run("function_event_delete", seq=seq)
    else:
        batch.tx.run(
            "function_event_delay",
            seq=seq,
            due_at=decision.due_at,
            failures=decision.failures,
            refusals=decision.refusals,
        )
