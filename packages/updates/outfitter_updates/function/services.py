"""AWS's services as the function uses them: what is asked for is looked up, decided by the operations, and created."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from outfitter_contract.operations import Operation

from outfitter_updates.catalogue.configurations import (
    StoredConfiguration,
    check_size,
    read_configuration,
    uploaded_location,
)
from outfitter_updates.catalogue.problems import CloudRefused, EndpointUnreachable, NotFound
from outfitter_updates.catalogue.software import SoftwareVersion, default_bucket, from_answer
from outfitter_updates.function.requests import JobRequest, Source
from outfitter_updates.operations.configuration import (
    DownloadIntention,
    UploadIntention,
    plan_download,
    plan_upload,
)
from outfitter_updates.operations.target import TargetKind, TargetName
from outfitter_updates.operations.update import UpdateIntention, plan_update, role_arn

ROLE_VARIABLE: Final = "OUTFITTER_ROLE_ARN"
BUCKET_VARIABLE: Final = "OUTFITTER_BUCKET"
_NOT_FOUND: Final = frozenset({"ResourceNotFoundException", "NoSuchKey", "NoSuchBucket", "404"})
# Shorter than the function's own time limit, so that the page gets a reason instead of a time-out.
_CONFIG: Final = Config(
    connect_timeout=3, read_timeout=8, retries={"max_attempts": 2, "mode": "standard"}, max_pool_connections=4
)


class Services:
    """Clients that live as long as the function's process does."""

    def __init__(self, function_arn: str) -> None:
        """``function_arn`` tells the partition, the region and the account."""
        _, partition, _, region, account, *_ = [*function_arn.split(":"), "", "", "", "", ""]
        self._region = os.environ.get("AWS_REGION") or region
        self._role_arn = os.environ.get(ROLE_VARIABLE) or role_arn(partition, account)
        # A server of one's own has no subdomains for buckets.
        style = {"addressing_style": "path"} if os.environ.get("AWS_ENDPOINT_URL") else {}
        self._iot = boto3.client("iot", region_name=self._region, config=_CONFIG)
        self._s3 = boto3.client("s3", region_name=self._region, config=_CONFIG.merge(Config(s3=style)))

    def plan(self, wanted: JobRequest, *, now: int, token: str) -> dict[str, Any]:
        """The arguments of CreateJob; raises the problem that stands in the way."""
        target_arn = self._target_arn(wanted.target)
        if wanted.operation is Operation.INSTALL:
            intention = UpdateIntention(
                target_arn=target_arn,
                software=self._software(wanted.software, wanted.version),
                forced=wanted.forced,
                continuous=wanted.continuous,
                region=self._region,
                role_arn=self._role_arn,
                job_id=wanted.job_id,
            )
            return plan_update(intention, now, token)
        if wanted.source is None:
            return plan_upload(
                UploadIntention(
                    target_arn=target_arn,
                    bucket=self._bucket(target_arn.split(":")[4]),
                    region=self._region,
                    role_arn=self._role_arn,
                    job_id=wanted.job_id,
                ),
                now,
                token,
            )
        return plan_download(
            DownloadIntention(
                target_arns=(target_arn,),
                configuration=self._configuration(wanted.source, target_arn.split(":")[4]),
                merge=False,
                forced=wanted.forced,
                continuous=wanted.continuous,
                region=self._region,
                role_arn=self._role_arn,
                job_id=wanted.job_id,
            ),
            now,
            token,
        )

    def start(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """CreateJob; its id and ARN."""
        with _translated("CreateJob"):
            made = self._iot.create_job(**arguments)
        return {"jobId": made["jobId"], "jobArn": made["jobArn"]}

    def _target_arn(self, target: TargetName) -> str:
        with _translated(f"There is no {target.kinds[0]} named {target.name!r}"):
            if target.kinds == (TargetKind.THING,):
                return str(self._iot.describe_thing(thingName=target.name)["thingArn"])
            return str(self._iot.describe_thing_group(thingGroupName=target.name)["thingGroupArn"])

    def _software(self, name: str, version: str) -> SoftwareVersion:
        with _translated(f"The catalogue has no version {version!r} of software {name!r}"):
            told = self._iot.get_package_version(packageName=name, versionName=version)
        return from_answer(told)

    def _bucket(self, account: str) -> str:
        return os.environ.get(BUCKET_VARIABLE) or default_bucket(account, self._region)

    def _configuration(self, source: Source, account: str) -> StoredConfiguration:
        """What the device handed over, checked: a configuration that no device takes makes no job."""
        place = uploaded_location(self._bucket(account), source.thing, source.job_id)
        origin = f"What {source.thing} handed over in {source.job_id}"
        with _translated(f"{source.thing} has handed over no configuration in {source.job_id}"):
            stored = self._s3.get_object(Bucket=place.bucket, Key=place.key)
            check_size(stored["ContentLength"], origin)
            found = read_configuration(stored["Body"].read(), origin)
        return StoredConfiguration(location=place, sha256=found.sha256, size_bytes=len(found.content))


@contextmanager
def _translated(sentence: str) -> Iterator[None]:
    """Whatever boto3 raises, as a problem; ``sentence`` is said when the service knows no such thing."""
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", "Unknown"))
        if code in _NOT_FOUND:
            raise NotFound(f"{sentence}.") from error
        raise CloudRefused(f"{error.operation_name}: {code}: {told.get('Message', '')}", code=code) from error
    except BotoCoreError as error:
        raise EndpointUnreachable(f"The service does not answer: {error}") from error
