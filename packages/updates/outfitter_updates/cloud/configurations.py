"""Configurations in the file store."""

import hashlib
from typing import Final

from outfitter_updates.catalogue.configurations import (
    Configuration,
    StoredConfiguration,
    check_size,
    content_location,
    read_configuration,
    uploaded_location,
)
from outfitter_updates.catalogue.problems import Conflict
from outfitter_updates.catalogue.software import default_bucket
from outfitter_updates.cloud.buckets import need_bucket
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.refusals import translated

CONTENT_TYPE: Final = "application/json"


class Configurations:
    """Puts configurations where devices fetch them, and gets those that devices have sent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def bucket(self) -> str:
        """The bucket for what devices send, made when it is missing."""
        return need_bucket(self._connection, self._bucket_name())

    def store(self, configuration: Configuration) -> StoredConfiguration:
        """Stores it under its digest; the same again changes nothing."""
        content, sha256 = configuration.content, configuration.sha256
        location = content_location(self.bucket(), sha256)
        self._connection.s3.call(
            "put_object", Bucket=location.bucket, Key=location.key, Body=content, ContentType=CONTENT_TYPE
        )
        return StoredConfiguration(location=location, sha256=sha256, size_bytes=len(content))

    def fetch(self, thing: str, job_id: str, sha256: str) -> Configuration:
        """What the device has sent for the job; raises NotFound, BadConfiguration, Conflict when it is another.

        ``sha256``: what the device told of it; "" when it told nothing.
        """
        s3, location = self._connection.s3, uploaded_location(self._bucket_name(), thing, job_id)
        answer = s3.call("get_object", Bucket=location.bucket, Key=location.key)
        origin = f"The configuration of {thing}"
        with answer["Body"] as body, translated("GetObject", s3.endpoint):
            check_size(answer["ContentLength"], origin)
            content: bytes = body.read()
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256:
            raise Conflict(
                f"{origin} in s3://{location.bucket}/{location.key} has the SHA-256 {found}; the device told {sha256}."
            )
        return read_configuration(content, origin)

    def _bucket_name(self) -> str:
        return default_bucket(self._connection.account.account, self._connection.region)
