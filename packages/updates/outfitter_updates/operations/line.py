"""Factory lines: a group for each device type, with one continuous job for its software and one for its configuration.

The order counts: a device that joins gets the jobs in the order of their creation, and its software comes first. A job
of a newer version takes the place of the older one: it is created first and the older one canceled then, so that at
no moment a device joins a line without jobs.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from outfitter_contract.document import DocumentError, JobDocument, parse_document
from outfitter_contract.operations import Operation

from outfitter_updates.catalogue.configurations import StoredConfiguration
from outfitter_updates.catalogue.devices import REGISTRY_NAME, Group
from outfitter_updates.catalogue.problems import Conflict, WrongUsage
from outfitter_updates.catalogue.software import Publication, SoftwareVersion
from outfitter_updates.operations.configuration import download_document
from outfitter_updates.operations.progress import Job
from outfitter_updates.operations.update import URL_LIFE_SECONDS, job_document, stamped_job_id, version_arn

GROUP_PREFIX: Final = "line-"
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineJob:
    """A continuous job that aims at the group of a line and at nothing else."""

    job: Job
    text: str
    """Its document, as it was written."""
    document: JobDocument

    @property
    def operation(self) -> Operation:
        """What it is for: INSTALL or CONFIG_DOWNLOAD."""
        return self.document.operation


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOrder:
    """What a line shall bring to its devices."""

    device_type: str
    group: Group
    software: SoftwareVersion
    configuration: StoredConfiguration | None
    """None: whatever it brings now."""
    forced: bool
    region: str
    role_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlan:
    """What has to be done, in this order."""

    create: tuple[dict[str, Any], ...]
    """Arguments of CreateJob."""
    cancel: tuple[str, ...]
    """Ids of the jobs that others take the place of."""


def line_group(device_type: str) -> str:
    """The group of a device type's line; raises WrongUsage when no group can be called so."""
    name = f"{GROUP_PREFIX}{device_type}"
    if not device_type or not REGISTRY_NAME.fullmatch(name):
        raise WrongUsage(
            f"{device_type!r} can be no device type of a line: 1 to {128 - len(GROUP_PREFIX)} letters, digits, ':', '_'"
            " and '-'."
        )
    return name


def type_of(group: str) -> str:
    """The device type whose line the group is; "" when it is none."""
    return group.removeprefix(GROUP_PREFIX) if group.startswith(GROUP_PREFIX) else ""


def line_job(job: Job, text: str, group_arn: str) -> LineJob | None:
    """The job as one of the line; None when it aims at more, or is not for software or configuration."""
    if job.targets != (group_arn,) or not job.continuous:
        return None
    try:
        document = parse_document(json.loads(text))
    except (DocumentError, ValueError):
        return None
    if document.operation is Operation.CONFIG_UPLOAD:
        return None
    return LineJob(job=job, text=text, document=document)


def newest(jobs: Iterable[LineJob], operation: Operation) -> LineJob | None:
    """The job of that kind that was created last."""
    return max((each for each in jobs if each.operation is operation), key=_age, default=None)


def plan_line(order: LineOrder, present: Sequence[LineJob], now: int, token: str) -> LinePlan:
    """From the jobs that the line has to those it shall have; nothing to do when it has them already.

    Raises Conflict for a draft, and for software that is made for other device types.
    """
    _check(order)
    wanted = json.dumps(job_document(order.software, forced=order.forced, region=order.region))
    software, configuration = newest(present, Operation.INSTALL), newest(present, Operation.CONFIG_DOWNLOAD)
    create: list[dict[str, Any]] = []
    kept: list[str] = []
    if software is not None and _same(software.text, wanted):
        kept.append(software.job.job_id)
    else:
        what = f"line-{order.device_type}-{order.software.image.name}-{order.software.image.version}"
        job = _job(order, what, wanted, f"Line {order.device_type}: {order.software.title}", now, token)
        create.append({**job, "destinationPackageVersions": [version_arn(order.software, order.group.arn)]})
    wanted_then = _configuration(order, configuration)
    if wanted_then is not None:
        in_order = software is None or configuration is None or _age(configuration) >= _age(software)
        if configuration is not None and not create and in_order and _same(configuration.text, wanted_then):
            kept.append(configuration.job.job_id)
        else:
            create.append(_configuration_job(order, wanted_then, now, token))
    replaced = {parse_document(json.loads(each["document"])).operation for each in create} | {
        each.operation for each in present if each.job.job_id in kept
    }
    cancel = tuple(
        each.job.job_id
        for each in sorted(present, key=_age)
        if each.operation in replaced and each.job.job_id not in kept
    )
    return LinePlan(create=tuple(create), cancel=cancel)


def supersede(job_id: str) -> dict[str, Any]:
    """The arguments of CancelJob; devices in the middle of the job finish it."""
    return {
        "jobId": job_id,
        "force": False,
        "reasonCode": "SUPERSEDED",
        "comment": "A newer job of the line takes its place",
    }


def _check(order: LineOrder) -> None:
    software = order.software
    if software.publication is Publication.DRAFT:
        raise Conflict(
            f"{software.title} is a draft. Publish it first: `outfitter software upload FILE --publish` with the"
            " same file."
        )
    if not software.runs_on(order.device_type):
        made_for = ", ".join(software.image.device_types)
        raise Conflict(
            f"{software.title} is made for {made_for}: devices of the type {order.device_type} refuse it."
        )


def _configuration(order: LineOrder, present: LineJob | None) -> str | None:
    if order.configuration is None:
        return present.text if present else None
    return json.dumps(download_document(order.configuration, merge=False, forced=False, region=order.region))


def _configuration_job(order: LineOrder, text: str, now: int, token: str) -> dict[str, Any]:
    digest = (parse_document(json.loads(text)).sha256 or "unknown")[:12]
    what = f"line-{order.device_type}-configuration-{digest}"
    return _job(order, what, text, f"Line {order.device_type}: configuration {digest}", now, token)


def _job(order: LineOrder, what: str, text: str, description: str, now: int, token: str) -> dict[str, Any]:
    return {
        "jobId": stamped_job_id(what, now, token),
        "targets": [order.group.arn],
        "document": text,
        "description": description,
        "presignedUrlConfig": {"roleArn": order.role_arn, "expiresInSec": URL_LIFE_SECONDS},
        "targetSelection": "CONTINUOUS",
    }


def _same(first: str, second: str) -> bool:
    """Whether two documents bring the same, wherever it lies."""
    one, other = (replace(parse_document(json.loads(text)), url="") for text in (first, second))
    return one == other


def _age(each: LineJob) -> datetime:
    return each.job.created_at or _LONG_AGO
