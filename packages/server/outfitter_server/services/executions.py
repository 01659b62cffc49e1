"""Job executions as people and programs manage them: describe, list, cancel, delete."""

import heapq
from collections.abc import Callable, Iterable

from outfitter_contract.execution import Status

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import NotFound, VersionConflict
from outfitter_server.jobs.device import not_found
from outfitter_server.jobs.lifecycle import ended_by_service, may_cancel, may_delete
from outfitter_server.jobs.values import EndedBy, Execution
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.engine import Engine
from outfitter_server.services.jobs import existing_job
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.records import STATUS_CODES, codes_of, execution_of
from outfitter_server.services.rollout import LATEST_TIME
from outfitter_server.services.workspace import Workspace


class Executions:
    """The management side of executions."""

    def __init__(self, committer: Committer, engine: Engine) -> None:
        """Shared with everything else that changes executions."""
        self._committer = committer
        self._engine = engine

    def now(self) -> int:
        """The clock that executions are timed by, milliseconds since the epoch."""
        return self._committer.now()

    def get(self, thing: str, job: str, number: int | None) -> Execution:
        """One execution; the newest of the job on the thing for None.

        Raises:
            NotFound: there is none.
        """

        def question(tx: Transaction) -> Row | None:
            if number is None:
                return tx.one("execution_latest", thing=thing, job=job)
            return tx.one("execution_numbered", thing=thing, job=job, number=number)

        row = self._committer.read(question)
        if row is None:
            raise not_found(thing, job, number)
        return execution_of(row)

    def page_of_job(
        self, job: str, *, status: Status | None, limit: int, token: str | None
    ) -> Page[Execution]:
        """Executions of a job, newest update first.

        Raises:
            NotFound: there is no such job.
        """
        before = decode_token(token, int, int) or (LATEST_TIME, LATEST_TIME)

        def question(tx: Transaction) -> list[Execution]:
            existing_job(tx, job)
            return _newest(
                lambda code: tx.all(
                    "executions_of_job_in_status",
                    job=job,
                    status=code,
                    before_time=before[0],
                    before_id=before[1],
                    limit=limit + 1,
                ),
                status,
                lambda execution: (execution.updated_at, execution.id),
            )

        return _page(self._committer.read(question), limit, lambda last: [last.updated_at, last.id])

    def page_of_thing(
        self, thing: str, *, job: str | None, status: Status | None, limit: int, token: str | None
    ) -> Page[Execution]:
        """Executions of a thing, newest first; with ``job`` the runs of that job.

        Raises:
            NotFound: there is no such thing.
        """
        (before,) = decode_token(token, int) or (LATEST_TIME,)

        def question(tx: Transaction) -> list[Execution]:
            if tx.one("thing_exists", name=thing) is None:
                raise NotFound(f"Thing {thing} was not found")
            if job is not None:
                code = None if status is None else STATUS_CODES[status]
                rows = tx.all(
                    "executions_of_thing_and_job",
                    thing=thing,
                    job=job,
                    status=code,
                    before=before,
                    limit=limit + 1,
                )
                return list(map(execution_of, rows))
            return _newest(
                lambda code: tx.all(
                    "executions_of_thing_in_status", thing=thing, status=code, before=before, limit=limit + 1
                ),
                status,
                lambda execution: (execution.id, 0),
            )

        found = self._committer.read(question)
        return _page(found, limit, lambda last: [last.id if job is None else last.number])

    async def cancel(
        self,
        thing: str,
        job: str,
        *,
        force: bool,
        expected_version: int | None,
        details: dict[str, str] | None,
    ) -> None:
        """Cancel the newest execution of a job on a thing.

        Raises:
            NotFound: there is none.
            VersionConflict: it has another version.
            InvalidStateTransition: it has ended, or runs and ``force`` is not set.
        """

        def apply(batch: Batch) -> None:
            space = Workspace(batch, self._engine)
            execution = space.latest(thing, job)
            if execution is None:
                raise not_found(thing, job)
            if expected_version is not None and expected_version != execution.version:
                raise VersionConflict(
                    f"Expected version {expected_version} but found version {execution.version}"
                )
            may_cancel(execution, force=force)
            space.replace(
                execution,
                ended_by_service(
                    execution,
                    Status.CANCELED,
                    batch.now,
                    EndedBy.EXECUTION_CANCELED,
                    force=force,
                    details=details,
                ),
            )
            space.flush()

        await self._committer.change(apply)

    async def delete(self, thing: str, job: str, number: int, *, force: bool) -> None:
        """Delete one execution; its number may come again.

        Raises:
            NotFound: there is none with this number.
            InvalidStateTransition: it runs and ``force`` is not set.
        """

        def apply(batch: Batch) -> None:
            space = Workspace(batch, self._engine)
            execution = space.numbered(thing, job, number)
            if execution is None:
                raise not_found(thing, job, number)
            may_delete(execution, force=force)
            space.delete(execution)
            space.flush()

        await self._committer.change(apply)


def _newest(
    rows_in: Callable[[int], Iterable[Row]],
    status: Status | None,
    key: Callable[[Execution], tuple[int, int]],
) -> list[Execution]:
    # One short range of an index a status, merged: no index carries the order over all statuses.
    ranges = [[execution_of(row) for row in rows_in(code)] for code in codes_of(status)]
    return list(heapq.merge(*ranges, key=key, reverse=True))


def _page(
    found: list[Execution], limit: int, key: Callable[[Execution], list[str | int | None]]
) -> Page[Execution]:
    if len(found) <= limit:
        return Page(found)
    return Page(found[:limit], encode_token(key(found[limit - 1])))
