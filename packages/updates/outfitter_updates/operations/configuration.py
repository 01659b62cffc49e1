"""Configurations to and from devices: an intention in, the arguments of CreateJob out."""

import json
from dataclasses import dataclass
from typing import Any, Final

from outfitter_contract.document import JobDocument, build_document
from outfitter_contract.operations import Operation

from outfitter_updates.catalogue.configurations import StoredConfiguration, uploaded_location
from outfitter_updates.catalogue.problems import WrongUsage
from outfitter_updates.operations.update import JOB_ID, URL_LIFE_SECONDS, stamped_job_id

TARGETS_MAX: Final = 100
"""AWS's limit of targets a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadIntention:
    """The configuration of a device, or of each device of a group, into the store."""

    target_arn: str
    bucket: str
    region: str
    role_arn: str
    """Whose privileges the pre-signed URLs carry."""
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadIntention:
    """One configuration for some devices and groups."""

    target_arns: tuple[str, ...]
    configuration: StoredConfiguration
    merge: bool
    """Parameters that it does not name stay as they are on each device."""
    forced: bool
    """Apply it, and reload, also where it is in force already."""
    continuous: bool
    """Go on with the devices that join the group later."""
    region: str
    role_arn: str
    job_id: str | None


def upload_document(bucket: str, region: str) -> dict[str, object]:
    """What devices get for ``config-upload``; each puts its file where its own name and the job's say."""
    place = uploaded_location(bucket, "${thingName}", "${jobId}")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = f"https://s3.{region}.{suffix}/{place.bucket}/{place.key}"
    return {
        "operation": Operation.CONFIG_UPLOAD.value,
        "url": f"${{aws:iot:s3-presigned-url-upload:{url}}}",
    }


def download_document(
    configuration: StoredConfiguration, *, merge: bool, forced: bool, region: str
) -> dict[str, object]:
    """What devices get for ``config-download``."""
    return build_document(
        JobDocument(
            operation=Operation.CONFIG_DOWNLOAD,
            url=f"${{aws:iot:s3-presigned-url-v2:{configuration.location.url(region)}}}",
            forced=forced,
            sha256=configuration.sha256,
            size=configuration.size_bytes,
            merge=merge,
        )
    )


def plan_upload(intention: UploadIntention, now: int, token: str) -> dict[str, Any]:
    """The arguments of CreateJob; raises WrongUsage for an impossible job id."""
    name = intention.target_arn.rpartition("/")[2]
    return {
        "jobId": _job_id(intention.job_id, f"config-upload-{name}", now, token),
        "targets": [intention.target_arn],
        "document": json.dumps(upload_document(intention.bucket, intention.region)),
        "description": f"Fetch the configuration of {name}",
        "presignedUrlConfig": {"roleArn": intention.role_arn, "expiresInSec": URL_LIFE_SECONDS},
        "targetSelection": "SNAPSHOT",
    }


def plan_download(intention: DownloadIntention, now: int, token: str) -> dict[str, Any]:
    """The arguments of CreateJob; raises WrongUsage for what cannot be."""
    arns = intention.target_arns
    if len(arns) > TARGETS_MAX:
        raise WrongUsage(
            f"{len(arns)} targets are more than the {TARGETS_MAX} that a job takes: put the devices into a group."
        )
    if intention.continuous and not all(":thinggroup/" in arn for arn in arns):
        raise WrongUsage("Only a group has devices that join later: aim a continuous job at groups.")
    digest = intention.configuration.sha256[:12]
    document = download_document(
        intention.configuration, merge=intention.merge, forced=intention.forced, region=intention.region
    )
    return {
        "jobId": _job_id(intention.job_id, f"config-download-{digest}", now, token),
        "targets": list(arns),
        "document": json.dumps(document),
        "description": f"Apply the configuration {digest}",
        "presignedUrlConfig": {"roleArn": intention.role_arn, "expiresInSec": URL_LIFE_SECONDS},
        "targetSelection": "CONTINUOUS" if intention.continuous else "SNAPSHOT",
    }


def _job_id(wanted: str | None, what: str, now: int, token: str) -> str:
    if wanted is not None and not JOB_ID.fullmatch(wanted):
        raise WrongUsage(f"{wanted!r} is no job id: 1 to 64 letters, digits, '-' and '_'.")
    return wanted or stamped_job_id(what, now, token)
