"""Jobs of the ``iot`` model: parameters to the job service and its values back."""

from typing import Any, Final

import msgspec

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.job_configs import (
    check_update,
    check_windows,
    configs_of_call,
    described_configs,
)
from outfitter_server.aws.operations.members import page_size, refuse_left_out, seconds, tag_map
from outfitter_server.aws.operations.presigned import described_presigned, presigned_of
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.configs import Configs
from outfitter_server.jobs.lifecycle import ACTIVE, concurrent
from outfitter_server.jobs.targets import parse_targets
from outfitter_server.jobs.templates import NO_TEMPLATE, Template, filled_document
from outfitter_server.jobs.values import Job, JobStatus, NewJob, TargetSelection
from outfitter_server.services.destinations import package_version_arn
from outfitter_server.services.job_changes import JobChange, JobChanges
from outfitter_server.services.jobs import Jobs
from outfitter_server.services.templates import Templates

# Members that AWS has and this service does not act on: refused, because a job that ignores them would lie.
_CREATE_LEFT_OUT: Final = ("namespaceId",)


class JobOperations:
    """Handlers of the Jobs operations."""

    def __init__(
        self, jobs: Jobs, changes: JobChanges, templates: Templates, installation: Installation
    ) -> None:
        """``templates`` are what jobs may be made from; ``installation`` prints ARNs."""
        self._jobs = jobs
        self._changes = changes
        self._templates = templates
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateJob": self._create,
            "DescribeJob": self._describe,
            "GetJobDocument": self._document,
            "ListJobs": self._list,
            "UpdateJob": self._update,
            "AssociateTargetsWithJob": self._associate,
            "CancelJob": self._cancel,
            "DeleteJob": self._delete,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, *_CREATE_LEFT_OUT)
        targets = tuple(parse_targets(given["targets"], self._installation))
        template_arn = given.get("jobTemplateArn")
        template = self._templates.read(template_arn) if template_arn else NO_TEMPLATE
        stored, raw, source = await self._given_document(given, template)
        role_arn, expires = presigned_of(given) or (template.role_arn, template.url_expires_seconds)
        job = await self._jobs.create(
            NewJob(
                id=given["jobId"],
                targets=targets,
                stored=stored,
                raw=raw,
                selection=TargetSelection(given.get("targetSelection", "SNAPSHOT")),
                description=given.get("description") or template.description or None,
                document_source=source,
                role_arn=role_arn,
                url_expires_seconds=expires,
                configs=self._given_configs(given, template),
                tags=tag_map(given),
            )
        )
        return self._named(job)

    async def _given_document(self, given: dict[str, Any], template: Template) -> tuple[str, str, str | None]:
        """The document, the same before parameters were filled in, and the URL that it was read from.

        The call's own document takes the place of the template's.
        """
        document, source = given.get("document"), given.get("documentSource")
        own = document is not None or source is not None
        filled = filled_document(template, given.get("documentParameters") or {}, own=own)
        if filled is not None:
            return filled, template.document, template.document_source
        if document is not None and source is None:
            return document, document, None
        if source is not None and document is None:
            document = await self._jobs.read_document(source)
            return document, document, source
        raise InvalidRequest("give document or documentSource, one of them, or jobTemplateArn")

    def _given_configs(self, given: dict[str, Any], template: Template) -> Configs:
        now = self._jobs.now()
        configs = configs_of_call(given, now, base=template.configs)
        check_windows(configs.schedule, now)
        # Not None says that the document is a managed template's, filled in: if only with nothing.
        own = "document" in given or "documentSource" in given
        parameters = None if own or template.managed is None else given.get("documentParameters") or {}
        return msgspec.structs.replace(
            configs,
            template_arn=given.get("jobTemplateArn"),
            document_parameters=parameters,
            packages=tuple(given.get("destinationPackageVersions", configs.packages)),
        )

    async def _describe(self, call: Call) -> dict[str, Any]:
        job, targets = self._jobs.describe(call.parameters["jobId"])
        arns = {target.position: self._installation.iot_arn(target.kind, target.name) for target in targets}
        counts = job.counts
        details: dict[str, Any] = {
            "processingTargets": [arns[target.position] for target in targets if not target.done] or None,
            "numberOfCanceledThings": counts.canceled,
            "numberOfSucceededThings": counts.succeeded,
            "numberOfFailedThings": counts.failed,
            "numberOfRejectedThings": counts.rejected,
            "numberOfQueuedThings": counts.queued,
            "numberOfInProgressThings": counts.in_progress,
            "numberOfRemovedThings": counts.removed,
            "numberOfTimedOutThings": counts.timed_out,
        }
        over = job.status not in ACTIVE or job.ended
        described = {
            "jobArn": self._installation.iot_arn("job", job.id),
            "jobId": job.id,
            "targetSelection": job.selection.value,
            "status": job.status.value,
            "forceCanceled": job.force_canceled or None,
            "reasonCode": job.reason_code,
            "comment": job.comment,
            "targets": [arns[target.position] for target in targets],
            "description": job.description,
            "presignedUrlConfig": described_presigned(job.role_arn, job.url_expires_seconds),
            "createdAt": seconds(job.created_at),
            "lastUpdatedAt": seconds(job.updated_at),
            "completedAt": seconds(job.completed_at),
            "jobProcessDetails": details,
            "isConcurrent": concurrent(job),
            **described_configs(job.configs, None if over else self._jobs.now()),
        }
        if not call.parameters.get("beforeSubstitution"):
            installs = [package_version_arn(self._installation, *each) for each in job.configs.installs]
            described["destinationPackageVersions"] = installs or None
        return {"documentSource": job.document_source, "job": described}

    async def _document(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        document = self._jobs.document(given["jobId"], raw=given.get("beforeSubstitution", False))
        return {"document": document}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "namespaceId")
        status = given.get("status")
        selection = given.get("targetSelection")
        page = self._jobs.page(
            status=JobStatus(status) if status else None,
            selection=TargetSelection(selection) if selection else None,
            group=given.get("thingGroupName"),
            group_id=given.get("thingGroupId"),
            limit=page_size(given),
            token=given.get("nextToken"),
        )
        return {
            "jobs": [self._summary(job, group) for job, group in page.items],
            "nextToken": page.next_token,
        }

    async def _cancel(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        job = await self._changes.cancel(
            given["jobId"],
            force=given.get("force", False),
            comment=given.get("comment"),
            reason_code=given.get("reasonCode"),
        )
        return self._named(job)

    async def _delete(self, call: Call) -> dict[str, Any]:
        refuse_left_out(call.parameters, "namespaceId")
        await self._changes.delete(call.parameters["jobId"], force=call.parameters.get("force", False))
        return {}

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "namespaceId")
        now = self._jobs.now()

        def configs(before: Configs) -> Configs:
            after = configs_of_call(given, now, base=before)
            check_update(before, after)
            return after

        change = JobChange(
            description=given.get("description"), presigned=presigned_of(given), configs=configs
        )
        await self._changes.update(given["jobId"], change)
        return {}

    async def _associate(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "namespaceId")
        targets = parse_targets(given["targets"], self._installation)
        return self._named(await self._changes.associate(given["jobId"], targets, given.get("comment")))

    def _named(self, job: Job) -> dict[str, Any]:
        return {
            "jobArn": self._installation.iot_arn("job", job.id),
            "jobId": job.id,
            "description": job.description,
        }

    def _summary(self, job: Job, group_id: str | None) -> dict[str, Any]:
        return {
            "jobArn": self._installation.iot_arn("job", job.id),
            "jobId": job.id,
            "thingGroupId": group_id,
            "targetSelection": job.selection.value,
            "status": job.status.value,
            "createdAt": seconds(job.created_at),
            "lastUpdatedAt": seconds(job.updated_at),
            "completedAt": seconds(job.completed_at),
            "isConcurrent": concurrent(job),
        }
