"""The committer: owner of the only write transaction.

Every mutation is a value (a lane and a request) sent to it. A batch is what arrived since the last one began; it is
read, decided and written inside one transaction, and only after the commit do answers go out, in the order of arrival,
and then the effects. There is no timer: an idle server answers at once, a busy one batches by itself. Only what says that it
can wait is gathered for a few milliseconds after the last of its kind: thousands that come together share what a sync costs.

Batches run on the event loop's thread: they are bounded, and no interpreter lock passes back and forth (docs/adr tells
the measurement). Heavy steps (a rollout chunk of thousands of rows) run in one worker thread, where SQLite releases the
interpreter; what arrives meanwhile waits for the step and no longer. What is neither small nor heavy (the first thousand
executions of a job) says its weight, so that a batch stays bounded however many of them come at once.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar

import msgspec

from outfitter_server.base.refusals import Refusal, Unavailable
from outfitter_server.services.effects import Effect
from outfitter_server.services.meters import Meters
from outfitter_server.services.ports import Store, Transaction

BATCH_MAX: Final = 1_000
QUEUE_MAX: Final = 20_000
REST_SECONDS: Final = 0.005  # between transactions of what can wait
CROWD: Final = (
    100  # requests that one of a well-behaved client may find before its own, because of others that are not
)

Result = TypeVar("Result")
Change = Callable[["Batch"], Result]
Outcome = Any  # an answer, or the Exception (mostly a Refusal) to answer with

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Late:
    """Effects that are found after the commit, when nothing else has changed yet."""

    ask: "Callable[[Transaction], Iterable[Effect]]"


@dataclass(slots=True)
class Batch:
    """One open transaction with its time (milliseconds since the epoch) and what is to be told after the commit."""

    tx: Transaction
    now: int
    aside: bool = False  # in the worker thread: the loop goes on meanwhile, and who listens may change
    effects: list[Effect | Late] = field(default_factory=list)
    deferred: "list[Callable[[Batch], None]]" = field(default_factory=list)

    def defer(self, step: "Callable[[Batch], None]") -> None:
        """Do this in the same transaction once every request is written; dropped with the request when it is refused."""
        self.deferred.append(step)

    def emit(self, effect: Effect) -> None:
        """Tell this after the commit; dropped with the request when the request is refused."""
        self.effects.append(effect)

    def emit_late(self, ask: "Callable[[Transaction], Iterable[Effect]]") -> None:
        """Tell what this finds right after the commit, on the loop's thread; for batches that run aside."""
        self.effects.append(Late(ask))


class Lane(Protocol):
    """How requests of one kind are applied to a batch."""

    def apply(self, batch: Batch, requests: Sequence[Any]) -> list[Outcome]:
        """One outcome a request, in order. A refused request leaves no trace in ``batch``."""


class ChangeLane:
    """The lane of everything that is not hot: each request is a function of the batch, in a savepoint of its own."""

    def apply(self, batch: Batch, requests: Sequence[Change[Any]]) -> list[Outcome]:
        """Call each; a Refusal undoes what that one did."""
        outcomes: list[Outcome] = []
        for change in requests:
            mark, deferred = len(batch.effects), len(batch.deferred)
            try:
                with batch.tx.savepoint():
                    outcomes.append(change(batch))
            except Refusal as refusal:
                del batch.effects[mark:]
                del batch.deferred[deferred:]
                outcomes.append(refusal.bare())
        return outcomes


class _Entry(msgspec.Struct, frozen=True):
    # One is made for each request of a device: a frozen dataclass takes ten times as long to make.
    lane: Lane
    request: Any
    reply: Callable[[Outcome], None]
    weight: int = 1


_Done = tuple[list[tuple[_Entry, Outcome]], list[Any]]  # answers, and the effects (Late ones among them)


class Committer:
    """Batches mutations into transactions on one Store. Construct and use it on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        *,
        batch_max: int = BATCH_MAX,
        meters: Meters | None = None,
    ) -> None:
        """``clock`` gives milliseconds since the epoch."""
        self._store = store
        self._clock = clock
        self._batch_max = batch_max
        self._queue: deque[_Entry] = deque()
        self._weight = 0  # of all that is in it
        self._heavy: deque[_Entry] = deque()
        self._patient: deque[_Entry] = deque()
        self._stirred = False  # some of what was patient is in the queue
        self._rests_until = 0.0
        self._waking: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._busy = False
        self._listeners: list[Callable[[Sequence[Effect]], None]] = []
        self._room_waiters: list[Callable[[], None]] = []
        self._undo_listeners: list[Callable[[], None]] = []
        self._changes = ChangeLane()
        self._heavy_task: asyncio.Task[None] | None = None
        self.batches = 0
        self._meters = meters or Meters()
        self.listen(self._meters.hear)

    @property
    def waiting(self) -> int:
        """How many changes wait for their transaction."""
        return len(self._queue) + len(self._heavy) + len(self._patient)

    @property
    def full(self) -> bool:
        """Whether the doors should stop reading from their sockets."""
        return len(self._queue) >= QUEUE_MAX

    @property
    def crowded(self) -> bool:
        """Whether those who ask more than their share should wait."""
        return len(self._queue) >= CROWD

    def now(self) -> int:
        """The clock that batches are stamped with, milliseconds since the epoch."""
        return self._clock()

    def when_room(self, callback: Callable[[], None]) -> None:
        """Call back, once, when the queue has room again."""
        self._room_waiters.append(callback)

    def listen(self, listener: Callable[[Sequence[Effect]], None]) -> None:
        """Hear the effects of each batch, on the loop's thread, after its answers."""
        self._listeners.append(listener)

    def when_undone(self, callback: Callable[[], None]) -> None:
        """Call back, in any thread, whenever a transaction was undone: what was remembered of it is void."""
        self._undo_listeners.append(callback)

    def submit(self, lane: Lane, request: Any, reply: Callable[[Outcome], None]) -> None:
        """Queue a request; ``reply`` is called on the loop's thread after the commit that contains it."""
        self._queue.append(_Entry(lane, request, reply))
        self._weight += 1
        if not self._scheduled:
            self._schedule()

    def submit_patiently(self, lane: Lane, request: Any, reply: Callable[[Outcome], None]) -> None:
        """The same for a request that can wait for others like it: at once, or when the last one's rest is over."""
        self._patient.append(_Entry(lane, request, reply))
        if self._waking is None:
            loop = asyncio.get_running_loop()
            if loop.time() < self._rests_until:
                self._waking = loop.call_at(self._rests_until, self._wake)
            else:
                self._wake()

    def _wake(self) -> None:
        """What was patient waits no longer."""
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        if self._patient:
            self._stirred = True
            self._weight += len(self._patient)
            self._queue += self._patient
            self._patient.clear()
            self._schedule()

    async def change(self, change: Change[Result], *, heavy: bool = False, weight: int = 1) -> Result:
        """Apply a function to a batch and return its result once it is durable.

        ``weight`` says how many small requests it is worth; ``heavy`` that the event loop must not wait for it.

        Raises:
            Refusal: what the function raised; nothing of it was kept.
            Unavailable: the disk is full; nothing was kept.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        entry = _Entry(self._changes, change, partial(resolve, future), weight)
        if heavy:
            self._heavy.append(entry)
        else:
            self._queue.append(entry)
            self._weight += weight
        self._schedule()
        try:
            result: Result = result_of(await future)
            return result
        finally:
            del future, entry  # a refusal's traceback leads to this frame, which would lead back to it

    def read(self, question: Callable[[Transaction], Result]) -> Result:
        """Ask the committed state; on the loop's thread, so the question must be answered by an index."""
        with self._store.read() as tx:
            return question(tx)

    async def drain(self) -> None:
        """Return when nothing is queued or under way."""
        while self.waiting or self._busy:
            self._wake()
            await self.change(lambda _batch: None)
            if self._heavy_task is not None:
                await self._heavy_task

    def _schedule(self) -> None:
        if not self._scheduled and not self._busy:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._busy:
            return
        if self._queue:
            self._deliver(*self._run(self._take()))
            if self._stirred:
                self._stirred = False
                self._rests_until = asyncio.get_running_loop().time() + REST_SECONDS
            while self._room_waiters and not self.full:
                self._room_waiters.pop()()
        if self._heavy:
            self._busy = True
            self._heavy_task = asyncio.get_running_loop().create_task(self._run_heavy(self._heavy.popleft()))
        elif self._queue:
            self._schedule()

    def _take(self) -> list[_Entry]:
        queue = self._queue
        if self._weight <= self._batch_max:
            taken = list(queue)
            queue.clear()
            self._weight = 0
            return taken
        taken = [queue.popleft()]
        room = self._batch_max - taken[0].weight
        while queue and queue[0].weight <= room:
            taken.append(queue.popleft())
            room -= taken[-1].weight
        self._weight -= self._batch_max - room
        return taken

    async def _run_heavy(self, entry: _Entry) -> None:
        try:
            done, effects = await asyncio.to_thread(self._run, [entry], aside=True)
        finally:
            self._busy = False
        self._deliver(done, self._found(effects))
        if self._queue or self._heavy:
            self._schedule()

    def _found(self, effects: Iterable[Effect | Late]) -> list[Effect]:
        found: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, Late):
                found.append(effect)
                continue
            try:
                found += self.read(effect.ask)
            except Exception:  # noqa: BLE001 - the commit stands, and its answers must go out
                _log.exception("an effect could not be found")
        return found

    def _run(self, entries: list[_Entry], *, aside: bool = False) -> _Done:
        self.batches += 1
        try:
            return self._attempt(entries, aside=aside)
        except Unavailable as refusal:
            return [(entry, refusal) for entry in entries], []
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one request's answer
            if len(entries) == 1:
                _log.exception("a request failed")
                return [(entries[0], error)], []
        # One bad request must harm no other: replay each in a transaction of its own.
        done: list[tuple[_Entry, Outcome]] = []
        effects: list[Any] = []
        for entry in entries:
            outcomes, told = self._run([entry])
            done += outcomes
            effects += told
        return done, effects

    def _attempt(self, entries: list[_Entry], *, aside: bool) -> _Done:
        done: list[tuple[_Entry, Outcome]] = []
        began = time.perf_counter()
        try:
            with self._store.write() as tx:
                batch = Batch(tx, self._clock(), aside)
                for lane, group in groupby(entries, attrgetter("lane")):
                    taken = list(group)
                    outcomes = lane.apply(batch, [entry.request for entry in taken])
                    done += zip(taken, outcomes, strict=True)
                for step in batch.deferred:
                    step(batch)
        except BaseException:
            for callback in self._undo_listeners:
                callback()
            raise
        self._meters.changes += len(done)
        self._meters.commits.observe(time.perf_counter() - began)
        return done, batch.effects

    def _deliver(self, done: list[tuple[_Entry, Outcome]], effects: Sequence[Effect]) -> None:
        for entry, outcome in done:
            try:
                entry.reply(outcome)
            except Exception:  # noqa: BLE001 - a broken listener must not stop the committer
                _log.exception("an answer could not be delivered")
        if effects:
            for listener in self._listeners:
                try:
                    listener(effects)
                except Exception:  # noqa: BLE001 - a broken listener must not stop the committer
                    _log.exception("an effect could not be told")


def result_of(outcome: Outcome) -> Any:
    """What a request came to; raises what it was refused with, and keeps nothing of it."""
    if not isinstance(outcome, BaseException):
        return outcome
    try:
        raise outcome
    finally:
        del outcome


def resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """Tell who waits, if somebody still does."""
    with contextlib.suppress(asyncio.InvalidStateError):
        future.set_result(outcome)
