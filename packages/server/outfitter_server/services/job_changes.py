"""What is done to a job after it was made: change, widen, pause, cancel, delete."""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, LimitExceeded
from outfitter_server.jobs import lifecycle, pacing
from outfitter_server.jobs.configs import Configs
from outfitter_server.jobs.targets import TARGETS_MAX
from outfitter_server.jobs.values import Job, JobStatus, Target, TargetSelection
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.engine import Engine
from outfitter_server.services.jobs import check_targets, existing_job, insert_targets
from outfitter_server.services.records import target_of
from outfitter_server.services.rollout import CHANGED_ROWS_MAX, FIRST_ROWS_MAX, Steps
from outfitter_server.services.workspace import Workspace

Rule = Callable[[Job, int], Job]


class JobChange(msgspec.Struct, frozen=True, kw_only=True):
    """What UpdateJob gives; None leaves a member as it is. ``configs`` makes the new ones of the old ones.

    Attributes:
        presigned: (roleArn, expiresInSec) of a presignedUrlConfig.
    """

    description: str | None = None
    presigned: tuple[str | None, int | None] | None = None
    configs: Callable[[Configs], Configs] | None = None


class JobChanges:
    """The management side of jobs that exist."""

    def __init__(
        self, committer: Committer, installation: Installation, engine: Engine, steps: Steps
    ) -> None:
        """``engine`` and ``steps`` are shared with everything else that changes jobs."""
        self._committer = committer
        self._installation = installation
        self._engine = engine
        self._steps = steps

    async def update(self, job_id: str, change: JobChange) -> Job:
        """UpdateJob: running deadlines stay where they are, a new rate counts from the next batch on.

        Raises:
            NotFound: there is no such job.
            InvalidRequest: it is not in progress, or the change is not allowed.
        """
        return await self._change(job_id, lambda job, now: _updated(job, change, now))

    async def pause(self, job_id: str) -> Job:
        """Stop the rollout and hold back what is QUEUED; see jobs/pacing.py.

        Raises:
            NotFound, InvalidRequest: there is no such job, or it has ended.
        """
        return await self._change(job_id, pacing.pause)

    async def resume(self, job_id: str) -> Job:
        """Take ``pause`` back.

        Raises:
            NotFound, InvalidRequest: there is no such job, or it has ended.
        """
        return await self._change(job_id, pacing.resume)

    async def cancel(self, job_id: str, *, force: bool, comment: str | None, reason_code: str | None) -> Job:
        """Cancel a job: its queued executions, and with ``force`` those in progress too.

        Raises:
            NotFound: there is no such job.
            InvalidRequest: it has completed or is being deleted.
        """
        return await self._change(
            job_id,
            lambda job, now: lifecycle.cancel(
                job, force=force, comment=comment, reason_code=reason_code, now=now
            ),
        )

    async def delete(self, job_id: str, *, force: bool) -> None:
        """Delete a job and its executions; large ones go on in the background.

        Raises:
            NotFound: there is no such job.
            InvalidStateTransition: it is in progress and ``force`` is not set, or is being deleted already.
            LimitExceeded: ten jobs are being deleted.
        """

        def apply(batch: Batch) -> None:
            count = batch.tx.one("jobs_being_deleted")
            being_deleted = count["number"] if count else 0
            self._apply(
                batch,
                job_id,
                lambda job, now: lifecycle.delete(job, force=force, being_deleted=being_deleted, now=now),
            )

        await self._committer.change(apply, weight=CHANGED_ROWS_MAX)

    async def associate(self, job_id: str, targets: Sequence[Target], comment: str | None) -> Job:
        """AssociateTargetsWithJob: further targets of a continuous job; those that it has already stay as they are.

        Raises:
            NotFound: there is no such job, or no such target.
            InvalidRequest: it is not a continuous job in progress.
            LimitExceeded: more than TARGETS_MAX altogether.
        """

        def apply(batch: Batch) -> Job:
            job = existing_job(batch.tx, job_id)
            if job.selection is not TargetSelection.CONTINUOUS or job.status is not JobStatus.IN_PROGRESS:
                raise InvalidRequest(
                    f"Job {job_id} is {job.selection.value} and {job.status.value}: targets can be added to "
                    "CONTINUOUS jobs that are IN_PROGRESS"
                )
            if job.ended:
                raise InvalidRequest(f"Job {job_id} is past its end time and takes no further targets")
            present = [target_of(row) for row in batch.tx.all("job_targets", job=job_id)]
            known = {(target.kind, target.name) for target in present}
            new = [target for target in targets if (target.kind, target.name) not in known]
            if len(present) + len(new) > TARGETS_MAX:
                raise LimitExceeded(
                    f"Job {job_id} would have {len(present) + len(new)} targets, at most {TARGETS_MAX} are allowed"
                )
            check_targets(batch.tx, targets, self._installation)
            following = max((target.position for target in present), default=-1) + 1
            placed = [
                msgspec.structs.replace(target, position=following + place)
                for place, target in enumerate(new)
            ]
            insert_targets(batch.tx, job_id, placed, job.selection)
            return self._apply(batch, job_id, partial(_widened, comment=comment, rolls=bool(new)))

        return await self._committer.change(apply, weight=FIRST_ROWS_MAX)

    async def _change(self, job_id: str, rule: Rule) -> Job:
        return await self._committer.change(
            lambda batch: self._apply(batch, job_id, rule), weight=CHANGED_ROWS_MAX
        )

    def _apply(self, batch: Batch, job_id: str, rule: Rule) -> Job:
        """Apply a rule to a job, and take the first step of the work that it asks for."""
        existing_job(batch.tx, job_id)
        space = Workspace(batch, self._engine)
        job = space.jobs.get(job_id)
        assert job is not None  # noqa: S101 - it exists
        changed = rule(job, batch.now)
        space.jobs.put(changed)
        space.jobs.count(job_id, {})  # an abort criterion that was changed may be met already
        # What the rule decided is written and told before what its first step makes of it.
        space.jobs.flush()
        self._steps.step_in(space, job_id)
        space.flush()
        return changed


def _updated(job: Job, change: JobChange, now: int) -> Job:
    if job.status is not JobStatus.IN_PROGRESS:
        raise InvalidRequest(f"Job {job.id} is {job.status.value}; only a job IN_PROGRESS can be updated")
    role_arn, expires = change.presigned or (job.role_arn, job.url_expires_seconds)
    after = msgspec.structs.replace(
        job,
        description=job.description if change.description is None else change.description,
        role_arn=role_arn,
        url_expires_seconds=expires,
        configs=job.configs if change.configs is None else change.configs(job.configs),
        updated_at=now,
    )
    return pacing.look(after, now)


def _widened(job: Job, now: int, *, comment: str | None, rolls: bool) -> Job:
    after = msgspec.structs.replace(
        job,
        comment=job.comment if comment is None else comment,
        rolling=job.rolling or rolls,
        updated_at=now,
    )
    return pacing.look(after, now)
