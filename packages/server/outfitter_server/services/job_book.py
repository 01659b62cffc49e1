"""The jobs that one batch works on: read once, changed in memory, written once, and told of once."""

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial

import msgspec
from outfitter_contract.execution import Status

from outfitter_server.jobs.lifecycle import settled
from outfitter_server.jobs.values import Job, JobStatus, TargetSelection
from outfitter_server.services.committer import Batch
from outfitter_server.services.effects import DueAt, WorkQueued
from outfitter_server.services.engine import Engine
from outfitter_server.services.records import job_of, job_values


class JobBook:
    """One batch's view of jobs. ``flush`` writes it; nothing reaches the store before."""

    def __init__(self, batch: Batch, engine: Engine) -> None:
        """Nothing is read yet."""
        self._batch = batch
        self._engine = engine
        self._before: dict[str, Job | None] = {}
        self._now: dict[str, Job | None] = {}
        self._deltas: dict[str, Counter[Status]] = {}
        self._working: set[str] = set()

    def get(self, job_id: str) -> Job | None:
        """A job as this batch has it so far; the counters lack what ``count`` was told."""
        if job_id not in self._now:
            row = self._batch.tx.one("job_by_id", id=job_id)
            self._before[job_id] = self._now[job_id] = None if row is None else job_of(row)
        return self._now[job_id]

    def put(self, job: Job) -> None:
        """The job is this from now on."""
        assert job.id in self._now  # noqa: S101 - what was not read cannot have been changed
        self._now[job.id] = job

    def count(self, job: str, deltas: Mapping[Status, int]) -> None:
        """Executions of the job moved; it is settled with this flush, even by an empty move."""
        counter = self._deltas.setdefault(job, Counter())
        for status, delta in deltas.items():
            counter[status] += delta

    def remove(self, job_id: str) -> None:
        """The job is gone, with its document, its targets and the record of its rollout."""
        before = self.get(job_id)
        targets = self._targets(job_id)
        self._engine.events.job_changed(self._batch, before, None, lambda: targets)
        for statement in ("job_document_delete", "job_targets_delete", "job_steps_delete"):
            self._batch.tx.run(statement, job=job_id)
        self._batch.tx.run("job_delete", id=job_id)
        self._engine.heads.forget(job_id)
        self._now.pop(job_id, None)
        self._deltas.pop(job_id, None)
        self._working.discard(job_id)

    def keep_working(self, job_id: str) -> None:
        """Its background work goes on after this step, even if nothing of its row changes."""
        self._working.add(job_id)

    def flush(self) -> None:
        """Settle the jobs whose executions moved, write what changed, queue what is to be done."""
        self._settle()
        changed = [(self._before[key], job) for key, job in self._now.items() if job is not None]
        changed = [(before, job) for before, job in changed if job != before]
        self._working.update(job.id for _, job in changed if job.work is not None)
        for job_id in self._working:
            self._batch.emit(WorkQueued(job_id))
        self._working.clear()
        if not changed:
            return
        self._batch.tx.run_many("job_write", [job_values(job) for _, job in changed])
        for before, job in changed:
            self._tell(before, job)
            self._before[job.id] = job

    def _settle(self) -> None:
        if not self._deltas:
            return
        unread = [job for job in self._deltas if job not in self._now]
        if unread:
            for row in self._batch.tx.all("jobs_by_ids", ids=json.dumps(unread)):
                job = job_of(row)
                self._before[job.id] = self._now[job.id] = job
        for key, deltas in self._deltas.items():
            found = self._now.get(key)
            if found is not None:
                self._now[key] = settled(found, deltas, self._batch.now)
        self._deltas.clear()

    def _tell(self, before: Job | None, job: Job) -> None:
        if job.due_at is not None and (before is None or job.due_at != before.due_at):
            self._batch.emit(DueAt(job.due_at))
        if job.status is JobStatus.COMPLETED and job.selection is TargetSelection.CONTINUOUS:
            self._batch.tx.run(
                "job_targets_stop", job=job.id
            )  # who joins or leaves need not look at it any more
        if before is None or _remembered(before) != _remembered(job):
            self._engine.heads.forget(job.id)
        self._engine.events.job_changed(self._batch, before, job, partial(self._targets, job.id))

    def _targets(self, job_id: str) -> list[str]:
        rows = self._batch.tx.all("job_targets", job=job_id)
        return [self._engine.installation.iot_arn(row["kind"], row["name"]) for row in rows]


def _remembered(job: Job) -> tuple[object, ...]:
    configs = msgspec.structs.replace(job.configs, rollout=None, abort=(), schedule=None)
    return job.role_arn, job.url_expires_seconds, configs
