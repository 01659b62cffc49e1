"""Why: for a thing or one execution, what happened, because of what, and what it waits for. Answered by indexes alone."""

from collections.abc import Callable, Collection
from typing import Final

import msgspec
from outfitter_contract.execution import PENDING, Status

from outfitter_server.base.refusals import NotFound
from outfitter_server.jobs.device import not_found
from outfitter_server.jobs.values import Execution, Job, QueuedBy
from outfitter_server.jobs.why import Moment, RolloutStep, not_yet, timeline, waits_for
from outfitter_server.services.committer import Committer
from outfitter_server.services.ports import Transaction
from outfitter_server.services.records import HELD_CODE, STATUS_CODES, execution_of, job_of
from outfitter_server.services.rollout import LATEST_TIME
from outfitter_server.services.traces import Traces
from outfitter_server.services.workspace import pending_lists

EXECUTIONS_SHOWN: Final = 10
ROLLOUTS_SHOWN: Final = 10
_OTHER_CODES: Final = (HELD_CODE, *(code for status, code in STATUS_CODES.items() if status not in PENDING))


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One execution and its causes."""

    execution: Execution
    waits_for: str | None
    moments: list[Moment]


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose rollout has not come to the thing yet."""

    job: Job
    waits_for: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known: ``executions`` pending ones first, then the newest; bounded."""

    thing: str
    connected: bool
    executions: list[Told]
    expected: list[Expected]


class Why:
    """Asks the committed state, and what the gateway remembers."""

    def __init__(self, committer: Committer, traces: Traces, clients: Callable[[], Collection[str]]) -> None:
        """``clients`` gives the ids of the clients that are connected now."""
        self._committer = committer
        self._traces = traces
        self._clients = clients

    def thing(self, name: str, job: str | None = None, number: int | None = None) -> Answer:
        """Why a thing has the executions that it has; of one job only, or one number of it, when given.

        Raises:
            NotFound: there is no such thing, or no such execution.
        """

        def question(tx: Transaction) -> Answer:
            if tx.one("thing_exists", name=name) is None:
                raise NotFound(f"Thing {name} was not found")
            connected = name in self._clients()
            front = next(iter(pending_lists(tx, [name], 1)[name]), None)
            executions = _executions(tx, name, job, number)
            return Answer(
                thing=name,
                connected=connected,
                executions=[self._told(tx, each, front, connected=connected) for each in executions],
                expected=_expected(tx, name, self._committer.now()) if job is None else [],
            )

        return self._committer.read(question)

    def _told(
        self, tx: Transaction, execution: Execution, front: Execution | None, *, connected: bool
    ) -> Told:
        row = tx.one("job_by_id", id=execution.job)
        job = None if row is None else job_of(row)
        step = _step(tx, execution) if execution.queued_by is QueuedBy.ROLLOUT else None
        waiting = (
            None
            if job is None
            else waits_for(execution, job, front, self._committer.now(), connected=connected)
        )
        return Told(
            execution=execution,
            waits_for=waiting,
            moments=timeline(execution, job, step, self._traces.of(execution.thing)),
        )


def _executions(tx: Transaction, thing: str, job: str | None, number: int | None) -> list[Execution]:
    if job is not None:
        before = LATEST_TIME if number is None else number + 1
        limit = EXECUTIONS_SHOWN if number is None else 1
        rows = tx.all(
            "executions_of_thing_and_job", thing=thing, job=job, status=None, before=before, limit=limit
        )
        found = [execution_of(row) for row in rows]
        if not found or number not in (None, found[0].number):
            raise not_found(thing, job, number)
        return found
    # Pending ones from the front of the list on; of all others the newest.
    found = pending_lists(tx, [thing], EXECUTIONS_SHOWN)[thing]
    found += [
        execution_of(row)
        for code in _OTHER_CODES
        for row in tx.all(
            "executions_of_thing_in_status",
            thing=thing,
            status=code,
            before=LATEST_TIME,
            limit=EXECUTIONS_SHOWN,
        )
    ]
    found.sort(
        key=lambda each: (
            each.status not in PENDING,
            each.held,
            each.status is not Status.IN_PROGRESS,
            each.id if each.status in PENDING else -each.id,
        )
    )
    return found[:EXECUTIONS_SHOWN]


def _step(tx: Transaction, execution: Execution) -> RolloutStep | None:
    row = tx.one("job_step_of", job=execution.job, id=execution.id)
    return None if row is None else RolloutStep(row["step"], row["at"], row["number"])


def _expected(tx: Transaction, thing: str, now: int) -> list[Expected]:
    jobs = [
        job_of(row)
        for row in tx.all("jobs_rolling_towards_thing", thing=thing, limit=ROLLOUTS_SHOWN + EXECUTIONS_SHOWN)
    ]
    without = [job for job in jobs if tx.one("execution_latest", thing=thing, job=job.id) is None]
    return [Expected(job=job, waits_for=not_yet(job, now)) for job in without[:ROLLOUTS_SHOWN]]
