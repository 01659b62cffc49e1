"""Jobs as people and programs manage them: create, describe, list (what changes them is in job_changes.py)."""

import json
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, NotFound, Refusal, Unavailable
from outfitter_server.jobs import pacing
from outfitter_server.jobs.configs import configs_text
from outfitter_server.jobs.documents import DOCUMENT_BYTES_MAX
from outfitter_server.jobs.proofs import proof_wanted
from outfitter_server.jobs.targets import GROUP
from outfitter_server.jobs.values import Job, JobStatus, NewJob, Target, TargetSelection
from outfitter_server.objects.urls import parse_object_url
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.destinations import Destinations
from outfitter_server.services.engine import Engine
from outfitter_server.services.ports import Transaction
from outfitter_server.services.records import job_of, target_of
from outfitter_server.services.rollout import FIRST_ROWS_MAX, LATEST_TIME, Steps
from outfitter_server.services.workspace import Workspace

ReadText = Callable[[str, str, int], Awaitable[str]]


class Jobs:
    """The job service's management side."""

    def __init__(
        self,
        committer: Committer,
        installation: Installation,
        engine: Engine,
        steps: Steps,
        read_text: ReadText,
    ) -> None:
        """``read_text(bucket, key, limit_bytes)`` reads an object of the store, for documentSource."""
        self._committer = committer
        self._installation = installation
        self._engine = engine
        self._steps = steps
        self._read_text = read_text
        self._destinations = Destinations(installation)

    async def read_document(self, url: str) -> str:
        """The document that ``documentSource`` names, read once.

        Raises:
            InvalidRequest: the URL names no object of the store, or the object can't be read.
        """
        address = parse_object_url(url)
        if address is None:
            raise InvalidRequest(
                f"documentSource: {url!r} is no S3 object URL (https://s3.REGION.amazonaws.com/BUCKET/KEY)"
            )
        try:
            return await self._read_text(address.bucket, address.key, DOCUMENT_BYTES_MAX)
        except Unavailable:
            raise
        except Refusal as refusal:  # the store's own names for what is wrong are not the job service's
            raise InvalidRequest(f"documentSource: {refusal.message}") from refusal

    async def create(self, new: NewJob) -> Job:
        """Store a job and queue the first batch of its executions.

        Raises:
            AlreadyExists: the id is taken, if only by a job being deleted.
            NotFound: a target, or a package version to install, does not exist.
            InvalidRequest: the document cannot be delivered, or is not about what the job installs.
        """
        weight = FIRST_ROWS_MAX if any(target.kind == GROUP for target in new.targets) else len(new.targets)
        return await self._committer.change(partial(self._create, new=new), weight=weight)

    def now(self) -> int:
        """The clock that jobs are timed by, milliseconds since the epoch."""
        return self._committer.now()

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: there is none with this id.
        """
        return self._committer.read(lambda tx: existing_job(tx, job_id))

    def describe(self, job_id: str) -> tuple[Job, list[Target]]:
        """One job as of one moment with its targets and their progress, in the order they were given.

        Raises:
            NotFound: there is none with this id.
        """

        def question(tx: Transaction) -> tuple[Job, list[Target]]:
            job = existing_job(tx, job_id)
            return job, [target_of(row) for row in tx.all("job_targets", job=job_id)]

        return self._committer.read(question)

    def document(self, job_id: str, *, raw: bool = False) -> str:
        """The document with placeholders for URLs in it; ``raw``, as it was given, before packages and parameters were filled in.

        Raises:
            NotFound: there is no such job.
        """

        def question(tx: Transaction) -> str:
            existing_job(tx, job_id)
            row = tx.one("job_document_stored", job=job_id)
            assert row is not None  # noqa: S101 - written with the job
            return str(row["raw" if raw else "stored"])

        return self._committer.read(question)

    def page(
        self,
        *,
        status: JobStatus | None,
        selection: TargetSelection | None,
        group: str | None,
        group_id: str | None = None,
        limit: int,
        token: str | None,
    ) -> Page[tuple[Job, str | None]]:
        """Jobs with the id of their first target group, newest first; those of one group in the order of their ids.

        Raises:
            NotFound: there is no group of that name, or of that id.
        """
        if group is not None or group_id is not None:
            group = self._committer.read(partial(_named_group, name=group, group_id=group_id))

        def question(tx: Transaction) -> list[tuple[Job, str | None]]:
            filters = {"selection": selection.value if selection else None, "limit": limit + 1}
            if group is not None:
                (after,) = decode_token(token, str) or ("",)
                status_value = status.value if status else None
                rows = tx.all("jobs_page_by_group", name=group, after=after, status=status_value, **filters)
            else:
                (before,) = decode_token(token, int) or (LATEST_TIME,)
                if status is None:
                    rows = tx.all("jobs_page", before=before, **filters)
                else:
                    rows = tx.all("jobs_page_by_status", before=before, status=status.value, **filters)
            return [(job, _first_group(tx, job.id)) for job in map(job_of, rows)]

        found = self._committer.read(question)
        if len(found) <= limit:
            return Page(found)
        last = found[limit - 1][0]
        return Page(found[:limit], encode_token([last.id if group is not None else last.seq]))

    def _create(self, batch: Batch, new: NewJob) -> Job:
        tx = batch.tx
        if tx.one("job_by_id", id=new.id) is not None:
            raise AlreadyExists(
                f"Job {new.id} already exists",
                resourceId=new.id,
                resourceArn=self._installation.iot_arn("job", new.id),
            )
        check_targets(tx, new.targets, self._installation)
        resolved = self._destinations.resolve(
            tx, document=new.stored, arns=new.configs.packages, role_arn=new.role_arn
        )
        tx.run(
            "job_insert",
            id=new.id,
            status=JobStatus.IN_PROGRESS.value,
            selection=new.selection.value,
            description=new.description,
            document_source=new.document_source,
            role_arn=new.role_arn,
            url_expires_seconds=new.url_expires_seconds,
            now=batch.now,
            configs=configs_text(
                msgspec.structs.replace(
                    new.configs, installs=resolved.installs, confirm=proof_wanted(resolved.delivered)
                )
            ),
            tags=json.dumps(new.tags),
        )
        raw = new.stored if new.raw is None else new.raw
        tx.run(
            "job_document_insert",
            job=new.id,
            stored=resolved.document,
            delivered=resolved.delivered,
            raw=None if raw == resolved.document else raw,
        )
        insert_targets(tx, new.id, new.targets, new.selection)
        self._engine.heads.forget(new.id)
        space = Workspace(batch, self._engine)
        job = space.jobs.get(new.id)
        assert job is not None  # noqa: S101 - it was written above
        space.jobs.put(pacing.look(job, batch.now))
        self._steps.step_in(space, new.id, rows_max=FIRST_ROWS_MAX)
        space.flush()
        return existing_job(tx, new.id)


def _named_group(tx: Transaction, name: str | None, group_id: str | None) -> str:
    row = tx.one("thing_group_by_id", id=group_id) if name is None else tx.one("group_by_name", name=name)
    if row is None or (group_id is not None and row["id"] != group_id):
        wanted = " and ".join(text for text in (name, group_id) if text)
        raise NotFound(f"Thing group {wanted} was not found")
    return str(row["name"])


def check_targets(tx: Transaction, targets: Iterable[Target], installation: Installation) -> None:
    """Refuse targets that are not there.

    Raises:
        NotFound: one of them.
    """
    for target in targets:
        statement = "thing_group_exists" if target.kind == GROUP else "thing_exists"
        if tx.one(statement, name=target.name) is None:
            arn = installation.iot_arn(target.kind, target.name)
            raise NotFound(f"Target {arn} does not exist; create it, or correct the ARN")


def insert_targets(
    tx: Transaction, job_id: str, targets: Iterable[Target], selection: TargetSelection
) -> None:
    """Targets of a job, not rolled out yet; things join those of a continuous job from now on."""
    joinable = int(selection is TargetSelection.CONTINUOUS)
    tx.run_many(
        "job_target_insert",
        [
            {"job": job_id, "position": t.position, "kind": t.kind, "name": t.name, "open": joinable}
            for t in targets
        ],
    )


def existing_job(tx: Transaction, job_id: str) -> Job:
    """A job by its id.

    Raises:
        NotFound: there is none.
    """
    row = tx.one("job_by_id", id=job_id)
    if row is None:
        raise NotFound(f"Job {job_id} was not found")
    return job_of(row)


def _first_group(tx: Transaction, job_id: str) -> str | None:
    row = tx.one("job_first_group", job=job_id)
    return None if row is None else str(row["id"])
