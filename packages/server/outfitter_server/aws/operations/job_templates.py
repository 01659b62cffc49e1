"""Job templates of the ``iot`` model, one's own and AWS's managed ones."""

from typing import Any, Final

import msgspec

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.job_configs import configs_of_call, described_template
from outfitter_server.aws.operations.members import page_size, seconds, tag_map
from outfitter_server.aws.operations.presigned import described_presigned, presigned_of
from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import decode_token, encode_token
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.managed_templates import MANAGED, ManagedTemplate, managed_template
from outfitter_server.jobs.templates import Template, configs_for_template, stand_in_document
from outfitter_server.services.delivery import check_placeholders
from outfitter_server.services.destinations import destination_packages
from outfitter_server.services.jobs import Jobs
from outfitter_server.services.templates import ARN_KIND, Templates

_SOURCES: Final = ("jobArn", "document", "documentSource")


class JobTemplateOperations:
    """Handlers of the operations on one's own job templates."""

    def __init__(self, templates: Templates, jobs: Jobs, installation: Installation) -> None:
        """``jobs`` are what templates may be made from; ``installation`` prints ARNs."""
        self._templates = templates
        self._jobs = jobs
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateJobTemplate": self._create,
            "DescribeJobTemplate": self._describe,
            "ListJobTemplates": self._list,
            "DeleteJobTemplate": self._delete,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        tags = tag_map(given)
        base = await self._base(given)
        role_arn, expires = presigned_of(given) or (base.role_arn, base.url_expires_seconds)
        configs = configs_of_call(given, self._jobs.now(), base=base.configs)
        packages = tuple(given.get("destinationPackageVersions", configs.packages))
        destination_packages(packages, self._installation)
        check_placeholders(stand_in_document(base.document), thing="thing", job=base.id, role_arn=role_arn)
        template = await self._templates.create(
            msgspec.structs.replace(
                base,
                role_arn=role_arn,
                url_expires_seconds=expires,
                configs=msgspec.structs.replace(configs, packages=packages),
            ),
            tags,
        )
        return self._named(template)

    async def _base(self, given: dict[str, Any]) -> Template:
        """What the call names to make the template from: a job, or a document."""
        named = [member for member in _SOURCES if given.get(member) is not None]
        if len(named) != 1:
            raise InvalidRequest(f"give one of {', '.join(_SOURCES)}, not {' and '.join(named) or 'none'}")
        template_id, description = given["jobTemplateId"], given["description"]
        if "jobArn" not in given:
            source = given.get("documentSource")
            document = given["document"] if source is None else await self._jobs.read_document(source)
            return Template(
                id=template_id, description=description, document=document, document_source=source
            )
        kind, job_id = iot_resource(given["jobArn"], self._installation)
        if kind != "job":
            raise InvalidRequest(f"jobArn: {given['jobArn']!r} is the ARN of a {kind}, not of a job")
        job = self._jobs.get(job_id)
        return Template(
            id=template_id,
            description=description,
            # Parameters of a managed template belong to it alone; packages are filled in anew.
            document=self._jobs.document(job_id, raw=job.configs.document_parameters is None),
            document_source=job.document_source,
            role_arn=job.role_arn,
            url_expires_seconds=job.url_expires_seconds,
            configs=configs_for_template(job),
        )

    async def _describe(self, call: Call) -> dict[str, Any]:
        template = self._templates.describe(call.parameters["jobTemplateId"])
        return {
            **self._named(template),
            "description": template.description,
            "documentSource": template.document_source,
            "document": template.document,
            "createdAt": seconds(template.created_at),
            "presignedUrlConfig": described_presigned(template.role_arn, template.url_expires_seconds),
            **described_template(template.configs),
        }

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._templates.page(token=given.get("nextToken"), limit=page_size(given))
        summaries = [
            {
                **self._named(template),
                "description": template.description,
                "createdAt": seconds(template.created_at),
            }
            for template in page.items
        ]
        return {"jobTemplates": summaries, "nextToken": page.next_token}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._templates.delete(call.parameters["jobTemplateId"])
        return {}

    def _named(self, template: Template) -> dict[str, Any]:
        return {
            "jobTemplateArn": self._installation.iot_arn(ARN_KIND, template.id),
            "jobTemplateId": template.id,
        }


class ManagedTemplateOperations:
    """Handlers of the operations on AWS's managed job templates."""

    def __init__(self, installation: Installation) -> None:
        """``installation`` knows the region that their ARNs show."""
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"ListManagedJobTemplates": self._list, "DescribeManagedJobTemplate": self._describe}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        name, limit = given.get("templateName"), page_size(given)
        (after,) = decode_token(given.get("nextToken"), str) or ("",)
        wanted = [managed_template(name)] if name else MANAGED.values()
        found = [template for template in wanted if template.name > str(after)]
        more = encode_token([found[limit - 1].name]) if len(found) > limit else None
        return {
            "managedJobTemplates": [self._summary(template) for template in found[:limit]],
            "nextToken": more,
        }

    async def _describe(self, call: Call) -> dict[str, Any]:
        template = managed_template(call.parameters["templateName"], call.parameters.get("templateVersion"))
        return {
            **self._summary(template),
            "documentParameters": [msgspec.structs.asdict(parameter) for parameter in template.parameters],
            "document": template.document,
        }

    def _summary(self, template: ManagedTemplate) -> dict[str, Any]:
        return {
            "templateArn": template.arn(self._installation.region),
            "templateName": template.name,
            "description": template.description,
            "environments": list(template.environments),
            "templateVersion": template.version,
        }
