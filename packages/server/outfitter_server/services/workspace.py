"""The executions that one batch works on: loaded in one query, changed in memory, written in one.

Every change of an execution's status goes through here, whoever asks for it, so that counters, pending lists, revisions
and notifications can't drift from the executions.
"""

import json
from collections.abc import Iterable
from functools import partial
from typing import Final

import msgspec
from outfitter_contract.execution import PENDING, Status

from outfitter_server.jobs.device import front, listed, pending_order
from outfitter_server.jobs.lifecycle import ACTIVE
from outfitter_server.jobs.retries import retry
from outfitter_server.jobs.targets import THING
from outfitter_server.jobs.values import (
    PENDING_SHOWN,
    Execution,
    Job,
    Notification,
    QueuedBy,
    TargetSelection,
)
from outfitter_server.services.committer import Batch
from outfitter_server.services.effects import DueAt, ExecutionsEnded, PendingChanged
from outfitter_server.services.engine import Engine
from outfitter_server.services.heads import Heads
from outfitter_server.services.job_book import JobBook
from outfitter_server.services.ports import Transaction
from outfitter_server.services.records import HELD_CODE, STATUS_CODES, execution_of, execution_values

# A few more than are shown, so that the list stays known while several of a thing's executions end in one batch.
_LOADED: Final = PENDING_SHOWN + 6
# Most things have a job or two: asked for without a bound for each, they cost half as much; when there are more, again.
_FEW_EACH: Final = 2
_FEW_MORE: Final = 16
Key = tuple[str, str]
Change = (
    tuple[bool, bool] | str
)  # (pending list, front), or the job that a rollout put at the end of the list


class Workspace:
    """One batch's view of executions. Use it, then ``flush`` it; nothing reaches the store before."""

    def __init__(self, batch: Batch, engine: Engine) -> None:
        """``engine.watched`` says for which things a notification is worth computing."""
        self.batch = batch
        self.now = batch.now
        self.jobs = JobBook(batch, engine)
        self._engine = engine
        self._tx = batch.tx
        self._watched = engine.watched
        self._known_lists = engine.known_lists
        self._latest: dict[Key, Execution | None] = {}
        self._pending: dict[str, list[Execution]] = {}
        self._truncated: set[str] = set()
        self._dirty: dict[int, Execution] = {}
        self._moved: set[int] = set()
        self._touched: dict[str, list[bool]] = {}
        self._rolled_out: dict[str, str] = {}
        self._ends: dict[str, int] = {}

    def load(self, keys: Iterable[Key], things: Iterable[str]) -> None:
        """Read the latest executions of these (thing, job) and the pending lists of these things."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._latest]
        if wanted:
            self._latest.update(dict.fromkeys(wanted))
            for row in self._tx.all("executions_latest", keys=json.dumps(wanted)):
                execution = execution_of(row)
                self._latest[execution.thing, execution.job] = execution
        names = [thing for thing in dict.fromkeys(things) if thing not in self._pending]
        if names:
            self._pending.update(pending_lists(self._tx, names, _LOADED))
            self._truncated.update(name for name in names if len(self._pending[name]) == _LOADED)

    def latest(self, thing: str, job: str) -> Execution | None:
        """The newest execution of a job on a thing."""
        key = (thing, job)
        if key not in self._latest:
            self.load([key], [])
        return self._latest[key]

    def numbered(self, thing: str, job: str, number: int | None) -> Execution | None:
        """One execution by its number; the newest for None."""
        newest = self.latest(thing, job)
        if number is None or newest is None or newest.number == number:
            return newest
        row = self._tx.one("execution_numbered", thing=thing, job=job, number=number)
        if row is None:
            return None
        execution = execution_of(row)
        return self._dirty.get(execution.id, execution)

    def pending(self, thing: str) -> list[Execution]:
        """The pending list of a thing, front first; at least the first PENDING_SHOWN of it."""
        if thing not in self._pending:
            # Rows changed in this batch must be on disk before the list is read.
            self._write_rows()
            self.load([], [thing])
        return self._pending[thing]

    def replace(self, before: Execution, after: Execution) -> None:
        """An execution changed; one that failed is queued again when its job says so."""
        moved = before.status is not after.status
        if not moved and before.held == after.held:
            self._keep(after)
            entries = self._pending.get(after.thing)
            if entries is not None and listed(after):
                self._pending[after.thing] = [after if entry.id == after.id else entry for entry in entries]
            return
        if moved:
            self.jobs.count(after.job, {before.status: -1, after.status: 1})
        # The list as it was, so before the change is kept: reading it may write what is kept.
        rest = self._without(before) if listed(before) or listed(after) else []
        self._moved.add(after.id)
        self._keep(after)
        if listed(after):
            self._relist(after.thing, sorted([*rest, after], key=pending_order), ended=before.held)
        elif listed(before):
            self._relist(after.thing, rest, ended=True)
        if after.status not in PENDING:
            self._ended(after)

    def add(
        self,
        thing: str,
        job: str,
        *,
        number: int,
        by: QueuedBy = QueuedBy.ROLLOUT,
        held: bool = False,
        attempt: int = 0,
        failed_retries: int = 0,
    ) -> Execution:
        """A new execution is queued; it is in the store at once, for its id."""
        row = self._tx.one(
            "execution_insert",
            thing=thing,
            job=job,
            number=number,
            status=HELD_CODE if held else STATUS_CODES[Status.QUEUED],
            now=self.now,
            attempt=attempt,
            failed_retries=failed_retries,
            queued_by=by,
        )
        assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
        execution = Execution(
            id=row[0],
            thing=thing,
            job=job,
            number=number,
            status=Status.QUEUED,
            queued_at=self.now,
            updated_at=self.now,
            attempt=attempt,
            failed_retries=failed_retries,
            queued_by=by,
            held=held,
        )
        self._latest[thing, job] = execution
        self._known_lists.forget(thing)
        self.jobs.count(job, {Status.QUEUED: 1})
        if not held:
            rest = self._without(execution)
            self._pending[thing] = rest
            self._relist(thing, sorted([*rest, execution], key=pending_order), ended=True)
        return execution

    def delete(self, execution: Execution) -> None:
        """An execution is gone; its job's counters forget it."""
        self._write_rows()
        rest = self._without(execution) if listed(execution) else []
        self._tx.run("execution_delete", id=execution.id)
        self._known_lists.forget(execution.thing)
        self._latest.pop((execution.thing, execution.job), None)
        self.jobs.count(execution.job, {execution.status: -1})
        if listed(execution):
            self._relist(execution.thing, rest, ended=True)
        self._engine.events.execution_deleted(self.batch, execution)

    def rolled_out(self, job: str, things: list[str]) -> None:
        """A rollout chunk queued ``job`` on these things and raised their revisions, all inside the store."""
        self.jobs.count(job, {Status.QUEUED: len(things)})
        for thing in things:
            self._known_lists.forget(thing)
        if self.batch.aside:
            self._rolled_out.update(dict.fromkeys(things, job))
        elif len(self._watched):
            self._rolled_out.update((thing, job) for thing in things if thing in self._watched)

    def flush(self) -> None:
        """Write what changed, settle the jobs, raise the revisions, emit the notifications."""
        self._write_rows()
        self.jobs.flush()
        self._notify()
        if self._ends:
            self.batch.emit(ExecutionsEnded(self._ends))
            self._ends = {}

    def _ended(self, execution: Execution) -> None:
        self._engine.events.execution_ended(self.batch, execution)
        status = execution.status.value
        self._ends[status] = self._ends.get(status, 0) + 1
        match execution.status:
            case Status.FAILED | Status.TIMED_OUT:
                self._retry(execution)
            case Status.SUCCEEDED:
                head = self._engine.heads.get(self._tx, execution.job)
                if head is not None and head.installs:
                    self._engine.record(self.batch, execution.thing, head.installs)
            case _:
                pass

    def _retry(self, failed: Execution) -> None:
        head = self._engine.heads.get(self._tx, failed.job)
        if head is None or not head.retries:
            return
        following = retry(
            head.retries, failed.status, attempt=failed.attempt, failed_retries=failed.failed_retries
        )
        job = self.jobs.get(failed.job)
        if following is None or job is None or job.status not in ACTIVE or job.ended:
            return
        newest = self.latest(failed.thing, failed.job)
        if newest is None or newest.id != failed.id or not still_reached(self._tx, job, failed.thing):
            return
        attempt, failed_retries = following
        self.add(
            failed.thing,
            failed.job,
            number=failed.number + 1,
            by=QueuedBy.RETRY,
            held=job.held,
            attempt=attempt,
            failed_retries=failed_retries,
        )

    def _keep(self, execution: Execution) -> None:
        self._dirty[execution.id] = execution
        self._known_lists.forget(execution.thing)
        newest = self._latest.get((execution.thing, execution.job))
        if newest is None or newest.id == execution.id:
            self._latest[execution.thing, execution.job] = execution

    def _without(self, execution: Execution) -> list[Execution]:
        return [entry for entry in self.pending(execution.thing) if entry.id != execution.id]

    def _relist(self, thing: str, after: list[Execution], *, ended: bool) -> None:
        before = self._pending[thing]
        if thing in self._truncated:
            # Of a list that goes on in the store, no more is known than what was loaded and has not left it since.
            after = after[: len(before)]
        self._pending[thing] = after
        touched = self._touched.setdefault(thing, [False, False])
        touched[0] |= ended
        touched[1] |= front(before) != front(after)
        if thing in self._truncated and len(after) < PENDING_SHOWN:
            self._truncated.discard(thing)
            del self._pending[thing]

    def _write_rows(self) -> None:
        if not self._dirty:
            return
        changed = self._dirty.values()
        # A status that stays is not written: the index of pending lists would be, too, though nothing in it changes.
        for statement, moved in (("execution_write", True), ("execution_progress", False)):
            rows = [execution_values(entry) for entry in changed if (entry.id in self._moved) is moved]
            if rows:
                self._tx.run_many(statement, rows)
        due = min((entry.expires_at for entry in changed if entry.expires_at is not None), default=None)
        if due is not None:
            self.batch.emit(DueAt(due))
        self._dirty.clear()
        self._moved.clear()

    def _notify(self) -> None:
        if self._touched:
            self._tx.run_many(
                "revision_raise",
                [
                    {"thing": thing, "pending": int(pending), "next": int(following)}
                    for thing, (pending, following) in self._touched.items()
                ],
            )
        changes = self._changes()
        heard = {thing: change for thing, change in changes.items() if thing in self._watched}
        self.load([], heard)
        for effect in _told(self._tx, self._engine.heads, heard, self._pending, self.now):
            self.batch.emit(effect)
        if self.batch.aside and len(heard) < len(changes):
            unheard = {thing: change for thing, change in changes.items() if thing not in heard}
            self.batch.emit_late(partial(self._tell_late, unheard))
        self._touched.clear()
        self._rolled_out.clear()

    def _changes(self) -> dict[str, Change]:
        if not (self._rolled_out or len(self._watched) or self.batch.aside):
            return {}
        changes: dict[str, Change] = {thing: (flags[0], flags[1]) for thing, flags in self._touched.items()}
        return changes | self._rolled_out

    def _tell_late(self, unheard: "dict[str, Change]", tx: Transaction) -> list[PendingChanged]:
        """For whom began to listen while this batch ran beside the loop: before its commit, so they must hear of it."""
        heard = {thing: change for thing, change in unheard.items() if thing in self._watched}
        return _told(tx, self._engine.heads, heard, pending_lists(tx, heard, PENDING_SHOWN), self.now)


def still_reached(tx: Transaction, job: Job, thing: str) -> bool:
    """Whether a continuous job still targets the thing, by itself or by a group; a snapshot's targets never leave it."""
    if job.selection is TargetSelection.SNAPSHOT:
        return True
    groups = {row["name"] for row in tx.all("groups_reaching_thing_without", thing=thing, group="")}
    return any(
        row["name"] == thing if row["kind"] == THING else row["name"] in groups
        for row in tx.all("job_targets", job=job.id)
    )


def pending_lists(tx: Transaction, things: Iterable[str], limit: int) -> dict[str, list[Execution]]:
    """The first executions of each thing's pending list, in order."""
    lists: dict[str, list[Execution]] = {thing: [] for thing in things}
    names = msgspec.json.encode(list(lists)).decode()
    few = _FEW_EACH * len(lists) + _FEW_MORE
    rows = tx.all("executions_pending_few", things=names, limit=few)
    if len(rows) == few:
        rows = tx.all("executions_pending", things=names, limit=limit)
    for row in rows:
        execution = execution_of(row)
        lists[execution.thing].append(execution)
    for entries in lists.values():
        if len(entries) > 1:
            entries.sort(key=pending_order)
            del entries[limit:]
    return lists


def _told(
    tx: Transaction,
    heads: Heads,
    changes: dict[str, Change],
    pending: dict[str, list[Execution]],
    now: int,
) -> list[PendingChanged]:
    if not changes:
        return []
    settled_changes = {
        thing: (True, pending[thing][0].job == change) if isinstance(change, str) else change
        for thing, change in changes.items()
    }
    found = notifications(tx, heads, settled_changes, pending, now).values()
    return [PendingChanged(told) for told in found if told.pending_changed or told.next_changed]


def notifications(
    tx: Transaction,
    heads: Heads,
    things: dict[str, tuple[bool, bool]],
    pending: dict[str, list[Execution]],
    now: int,
) -> dict[str, Notification]:
    """The notification of each thing; ``things`` says what changed of it: (pending list, front)."""
    revisions = dict.fromkeys(things, (0, 0))
    for row in tx.all("revisions_of_things", things=json.dumps(list(things))):
        revisions[row["thing"]] = (row["pending_revision"], row["next_revision"])
    return {
        thing: Notification(
            thing=thing,
            pending_changed=changed[0],
            next_changed=changed[1],
            pending_revision=revisions[thing][0],
            next_revision=revisions[thing][1],
            pending=tuple(pending[thing][:PENDING_SHOWN]),
            head=heads.get(tx, pending[thing][0].job) if pending[thing] else None,
            now=now,
        )
        for thing, changed in things.items()
    }
