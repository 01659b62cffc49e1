"""Job templates: jobs without targets, and what a job that is made from one takes over."""

from collections.abc import Mapping
from typing import Final

import msgspec

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.configs import NO_CONFIGS, Configs, Schedule
from outfitter_server.jobs.documents import BEGINNING, PlaceholderKind, compact
from outfitter_server.jobs.managed_templates import ManagedTemplate, check_parameters
from outfitter_server.jobs.substitution import (
    PackagePart,
    PackagePlaceholder,
    count_placeholders,
    with_packages,
    with_parameters,
)
from outfitter_server.jobs.values import Job

_STAND_IN_URL: Final = f"{BEGINNING}{PlaceholderKind.DOWNLOAD_V2}:https://s3.amazonaws.com/bucket/key}}"


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A job template.

    Attributes:
        document: JSON text as given; placeholders of packages are filled in when a job is made.
        role_arn, url_expires_seconds: presignedUrlConfig, None without one.
        configs: rollout, abort, timeout, retries, destination packages, and of a schedule the maintenance windows.
        managed: the managed template that it is, None for one of the account's own.
    """

    id: str
    description: str
    document: str
    document_source: str | None = None
    role_arn: str | None = None
    url_expires_seconds: int | None = None
    configs: Configs = NO_CONFIGS
    created_at: int = 0
    managed: ManagedTemplate | None = None


NO_TEMPLATE: Final = Template(id="", description="", document="")  # of a job that takes over nothing


def template_of(managed: ManagedTemplate) -> Template:
    """A managed template as a job is made from it."""
    return Template(
        id=managed.name, description=managed.description, document=managed.document, managed=managed
    )


def configs_for_template(job: Job) -> Configs:
    """What a template that is made from a job takes over of its configuration: all but times that pass."""
    windows = job.configs.schedule.windows if job.configs.schedule else ()
    return Configs(
        rollout=job.configs.rollout,
        abort=job.configs.abort,
        timeout_minutes=job.configs.timeout_minutes,
        retries=job.configs.retries,
        schedule=Schedule(windows=windows) if windows else None,
        packages=job.configs.packages,
    )


def filled_document(template: Template, parameters: Mapping[str, str], *, own: bool) -> str | None:
    """The document that a job gets from its template, with documentParameters in place.

    Args:
        template: NO_TEMPLATE for a job without one.
        parameters: documentParameters of CreateJob.
        own: the call brings a document of its own, which takes the place of the template's.

    Returns:
        None when there is no template, or the job has a document of its own.

    Raises:
        InvalidRequest: parameters where nothing asks for any, or they are not those of the managed template.
    """
    managed = template.managed
    if parameters and (managed is None or own):
        raise InvalidRequest(
            "documentParameters: only the document of an AWS managed template has parameters; "
            "give its ARN as jobTemplateArn and no document, or leave documentParameters out"
        )
    if own or template is NO_TEMPLATE:
        return None
    if managed is None:
        return template.document
    check_parameters(managed, parameters)
    declared = {parameter.key: not parameter.optional for parameter in managed.parameters}
    return with_parameters(template.document, parameters, declared)


def stand_in_document(document: str) -> str:
    """A template's document, compact, as a job might have it: anything stands for the content of packages.

    What it is checked by when the template is made; package versions are looked up when a job is made.

    Raises:
        InvalidRequest: no JSON, too long, too deep, too many placeholders, or a malformed one of a package.
    """
    count_placeholders(compact(document))
    return compact(with_packages(document, _stand_in))


def _stand_in(found: PackagePlaceholder) -> str | Mapping[str, str]:
    if found.part is PackagePart.ATTRIBUTES:
        return {}
    return "value" if found.part is PackagePart.ATTRIBUTE else _STAND_IN_URL
