"""The device plane: what devices ask over MQTT and HTTPS, applied to a batch at once."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from outfitter_contract.execution import Status
from outfitter_contract.topics import NEXT

from outfitter_server.base.refusals import NotFound, Refusal
from outfitter_server.jobs import device
from outfitter_server.jobs.lifecycle import ACTIVE
from outfitter_server.jobs.values import (
    PENDING_SHOWN,
    Describe,
    Described,
    DeviceAnswer,
    DeviceRequest,
    Execution,
    GetPending,
    JobHead,
    Notification,
    PendingList,
    StartNext,
    Update,
    Updated,
)
from outfitter_server.jobs.why import Kind
from outfitter_server.services.committer import Batch, Committer, resolve, result_of
from outfitter_server.services.engine import Engine
from outfitter_server.services.ports import Transaction
from outfitter_server.services.workspace import Workspace, notifications, pending_lists


class DevicePlane:
    """The four device operations; a lane of the committer."""

    def __init__(self, committer: Committer, engine: Engine) -> None:
        """``engine`` is shared with everything else that changes executions."""
        self._committer = committer
        self._engine = engine
        # By what was asked and what came of it.
        self.requests: defaultdict[tuple[type, type], int] = defaultdict(int)
        self._answers: Final[dict[type, Callable[[Workspace, Any], DeviceAnswer]]] = {
            Update: self._update,
            StartNext: self._start_next,
            Describe: self._describe,
            GetPending: self._get_pending,
        }
        committer.when_undone(engine.heads.clear)
        committer.when_undone(engine.known_lists.clear)

    def submit(self, request: DeviceRequest, reply: Callable[[DeviceAnswer | Exception], None]) -> None:
        """Queue a request; ``reply`` gets the answer, or the Refusal, once it is durable."""
        self._committer.submit(self, request, reply)

    def known(self, request: DeviceRequest) -> DeviceAnswer | None:
        """The answer that needs no transaction, None when it takes one.

        It tells what is committed: not for who waits for the outcome of an earlier request.
        """
        if isinstance(request, GetPending):
            pending = self._engine.known_lists.get(request.thing)
            if pending is not None:
                self.requests[GetPending, PendingList] += 1
            return pending
        if isinstance(request, Describe) and request.job == NEXT:
            pending = self._engine.known_lists.get(request.thing)
            front = None if pending is None else pending.front
            return None if front is None else self._known_front(front, request)
        return None

    def _known_front(self, front: Execution, request: Describe) -> Described | None:
        head = None
        if request.include_document:
            head = self._engine.heads.known(front.job)
            if head is None:
                return None
        self.requests[Describe, Described] += 1
        return Described(execution=front, head=head)

    async def ask(self, request: DeviceRequest) -> DeviceAnswer:
        """The answer to a request, once it is durable.

        Raises:
            Refusal: as the rules in jobs/device.py say.
        """
        known = self.known(request)
        if known is not None:
            return known
        future: asyncio.Future[DeviceAnswer | Exception] = asyncio.get_running_loop().create_future()
        self.submit(request, partial(resolve, future))
        try:
            answer: DeviceAnswer = result_of(await future)
            return answer
        finally:
            del future  # as in Committer.change

    def now(self) -> int:
        """The clock that executions are timed by, milliseconds since the epoch."""
        return self._committer.now()

    def watch(self, thing: str) -> None:
        """Somebody listens to this thing's notifications from now on."""
        self._engine.watched.add(thing)

    def unwatch(self, thing: str) -> None:
        """Takes back one ``watch``."""
        self._engine.watched.remove(thing)

    def current(self, thing: str) -> Notification:
        """The pending list of a thing as committed; for a session that resumes. Both changes are marked."""

        def question(tx: Transaction) -> Notification:
            pending = pending_lists(tx, [thing], PENDING_SHOWN)
            return notifications(
                tx, self._engine.heads, {thing: (True, True)}, pending, self._committer.now()
            )[thing]

        return self._committer.read(question)

    def apply(self, batch: Batch, requests: Sequence[DeviceRequest]) -> list[DeviceAnswer | Exception]:
        """The lane: every request against one workspace, in order."""
        space, answers = Workspace(batch, self._engine), self._answers
        self._prefetch(space, requests)
        outcomes: list[DeviceAnswer | Exception] = []
        for request in requests:
            try:
                outcomes.append(answers[type(request)](space, request))
            except Refusal as refusal:
                outcomes.append(refusal.bare())
        space.flush()
        for kinds, count in Counter(zip(map(type, requests), map(type, outcomes), strict=True)).items():
            self.requests[kinds] += count
        return outcomes

    def _prefetch(self, space: Workspace, requests: Sequence[DeviceRequest]) -> None:
        keys: list[tuple[str, str]] = []
        things: list[str] = []
        updates: list[Update] = []
        for request in requests:
            if type(request) is Update:
                updates.append(request)
                keys.append((request.thing, request.job))
            elif type(request) is Describe and request.job != NEXT:
                keys.append((request.thing, request.job))
            else:
                things.append(request.thing)
        if keys:
            space.load(keys, [])
        for update in updates:
            current = space.latest(update.thing, update.job)
            if current is not None and update.status != current.status.value:
                things.append(update.thing)
        if things:
            space.load([], things)

    def _update(self, space: Workspace, request: Update) -> Updated:
        device.requested_status(request.status)
        before = space.numbered(request.thing, request.job, request.number)
        if before is not None and request.status == Status.IN_PROGRESS and not self._may_begin(space, before):
            before = msgspec.structs.replace(before, held=True)
        confirm = self._proof(space, before) if request.status == Status.SUCCEEDED else None
        try:
            after = device.update(before, request, space.now, self._timeout(space, before), confirm)
        except device.Unproven as refusal:
            if before is not None:
                self._engine.traces.note(before, Kind.REFUSED, space.now, text=refusal.message)
            raise
        assert before is not None  # noqa: S101 - the rule refuses None
        space.replace(before, after)
        head = self._head(space, after) if request.include_document else None
        return Updated(execution=after, include_state=request.include_state, head=head)

    def _start_next(self, space: Workspace, request: StartNext) -> Described:
        pending = self._pending(space, request.thing)
        front = next((entry for entry in pending if self._may_begin(space, entry)), None)
        if front is None:
            return Described(execution=None, head=None)
        after = device.start(front, request, space.now, self._timeout(space, front))
        if after is not front:
            space.replace(front, after)
        return Described(execution=after, head=self._head(space, after))

    def _describe(self, space: Workspace, request: Describe) -> Described:
        if request.job == NEXT:
            execution = self._get_pending(space, request).front
        else:
            execution = device.describe(space.numbered(request.thing, request.job, request.number), request)
        if execution is None:
            return Described(execution=None, head=None)
        return Described(
            execution=execution, head=self._head(space, execution) if request.include_document else None
        )

    def _get_pending(self, space: Workspace, request: GetPending | Describe) -> PendingList:
        pending = self._pending(space, request.thing)[:PENDING_SHOWN]
        # In the order of the list: those IN_PROGRESS are its beginning.
        begun = 0
        while begun < len(pending) and pending[begun].status is Status.IN_PROGRESS:
            begun += 1
        answer = PendingList(in_progress=tuple(pending[:begun]), queued=tuple(pending[begun:]))
        if pending:
            self._engine.known_lists.keep(request.thing, answer)
        return answer

    def _pending(self, space: Workspace, thing: str) -> list[Execution]:
        pending = space.pending(thing)
        if not pending and space.batch.tx.one("thing_exists", name=thing) is None:
            raise NotFound(f"Thing {thing} was not found")
        return pending

    def _may_begin(self, space: Workspace, execution: Execution) -> bool:
        """Not when its job holds back, or is over: that holds from its answer on, and its executions follow in chunks."""
        if execution.status is not Status.QUEUED:
            return True
        job = space.jobs.get(execution.job)
        return job is None or (job.status in ACTIVE and not job.held)

    def _timeout(self, space: Workspace, execution: Execution | None) -> int | None:
        if execution is None or execution.status is not Status.QUEUED:
            return None
        head = self._head(space, execution)
        return None if head is None else head.timeout_minutes

    def _proof(self, space: Workspace, execution: Execution | None) -> Mapping[str, str] | None:
        head = None if execution is None else self._head(space, execution)
        return None if head is None else head.confirm

    def _head(self, space: Workspace, execution: Execution) -> JobHead | None:
        return self._engine.heads.get(space.batch.tx, execution.job)
