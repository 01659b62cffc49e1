"""An intended update in, the arguments of CreateJob out."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from outfitter_contract.document import Delta, DeltaPolicy, JobDocument, build_document
from outfitter_contract.operations import Operation

from outfitter_updates.catalogue.deltas import StoredDelta
from outfitter_updates.catalogue.problems import Conflict, WrongUsage
from outfitter_updates.catalogue.software import Location, Publication, SoftwareVersion

JOB_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
JOB_ID_MAX: Final = 64
URL_LIFE_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateIntention:
    """One version for one target."""

    target_arn: str
    software: SoftwareVersion
    forced: bool
    """Install it although it is not newer than what runs."""
    continuous: bool
    """Go on with the devices that join the group later."""
    region: str
    role_arn: str
    """Whose privileges the pre-signed URLs carry."""
    job_id: str | None
    deltas: tuple[StoredDelta, ...] = ()
    """What devices may make the image with instead of downloading it."""
    delta_policy: DeltaPolicy = DeltaPolicy.FULL
    """What a device does that has no use for the deltas."""
    confirm: bool = False
    """Let the service accept success only with the proof of version and digest."""


def role_arn(partition: str, account: str) -> str:
    """The role that signs download URLs unless another is named."""
    return f"arn:{partition}:iam::{account}:role/outfitter-updates"


def make_job_id(software: SoftwareVersion, now: int, token: str) -> str:
    """A job id that tells people what and when (UTC): ``update-NAME-VERSION-20260131T235959-TOKEN``.

    ``now`` in milliseconds, ``token`` at least four letters or digits. Name and version give way to the limit.
    """
    return stamped_job_id(f"update-{software.image.name}-{software.image.version}", now, token)


def stamped_job_id(what: str, now: int, token: str, length_max: int = JOB_ID_MAX) -> str:
    """``WHAT-20260131T235959-TOKEN``, with what no job id may hold as hyphens; WHAT gives way to the limit."""
    moment = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    ending = f"-{moment}-{token}"
    return re.sub(r"[^a-zA-Z0-9_-]+", "-", what)[: length_max - len(ending)] + ending


def job_document(
    software: SoftwareVersion,
    *,
    forced: bool,
    region: str,
    confirm: bool = False,
    deltas: tuple[StoredDelta, ...] = (),
    delta_policy: DeltaPolicy = DeltaPolicy.FULL,
) -> dict[str, object]:
    """The document that devices get, with a placeholder where the service puts the pre-signed URL."""
    return build_document(
        JobDocument(
            operation=Operation.INSTALL,
            url=_url(software.location, region),
            forced=forced,
            name=software.image.name,
            version=software.image.version,
            sha256=software.image.sha256,
            size=software.image.size_bytes,
            signed=software.image.signed,
            confirm=proof(software) if confirm else None,
            deltas=tuple(
                Delta(
                    base=each.base,
                    url=_url(each.location, region),
                    sha256=each.sha256,
                    size=each.size_bytes,
                )
                for each in deltas
            ),
            delta_policy=delta_policy,
        )
    )


def _url(location: Location, region: str) -> str:
    """The placeholder where the service puts the pre-signed URL."""
    return f"${{aws:iot:s3-presigned-url-v2:{location.url(region)}}}"


def proof(software: SoftwareVersion) -> dict[str, str]:
    """The status details of a device that runs the version."""
    return {"version": software.image.version, "sha256": software.image.sha256}


def version_arn(software: SoftwareVersion, neighbour: str) -> str:
    """The ARN of a version in the catalogue that ``neighbour``, another ARN of the service, is beside.

    A job that names it has the service record which device runs what, once that is turned on.
    """
    beginning = ":".join(neighbour.split(":")[:5])
    return f"{beginning}:package/{software.image.name}/version/{software.image.version}"


def plan_update(intention: UpdateIntention, now: int, token: str) -> dict[str, Any]:
    """The arguments of CreateJob.

    Raises WrongUsage for an impossible job id or a continuous job without a group, Conflict for a draft.
    """
    software = intention.software
    if intention.job_id is not None and not JOB_ID.fullmatch(intention.job_id):
        raise WrongUsage(f"{intention.job_id!r} is no job id: 1 to 64 letters, digits, '-' and '_'.")
    if intention.continuous and ":thinggroup/" not in intention.target_arn:
        raise WrongUsage(
            "--continuous goes on with devices that join a group: aim it at a group, not at a device."
        )
    if software.publication is Publication.DRAFT:
        raise Conflict(
            f"{software.title} is a draft. Publish it first: `outfitter software upload FILE --publish` with the"
            " same file."
        )
    document = job_document(
        software,
        forced=intention.forced,
        region=intention.region,
        confirm=intention.confirm,
        deltas=intention.deltas,
        delta_policy=intention.delta_policy,
    )
    return {
        "jobId": intention.job_id or make_job_id(software, now, token),
        "targets": [intention.target_arn],
        "document": json.dumps(document),
        "description": f"Install {software.title}",
        "presignedUrlConfig": {"roleArn": intention.role_arn, "expiresInSec": URL_LIFE_SECONDS},
        "targetSelection": "CONTINUOUS" if intention.continuous else "SNAPSHOT",
        "destinationPackageVersions": [version_arn(software, intention.target_arn)],
    }


def cancel_job(job_id: str, *, force: bool, comment: str | None) -> dict[str, Any]:
    """The arguments of CancelJob."""
    arguments: dict[str, Any] = {"jobId": job_id, "force": force, "reasonCode": "CANCELED_BY_USER"}
    if comment:
        arguments["comment"] = comment
    return arguments
