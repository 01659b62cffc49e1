"""Clients for AWS's services, from the usual credentials, profiles, regions and endpoints."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import InvalidRegionError

from outfitter_updates.catalogue.problems import NoCredentials, NotFound, WrongUsage
from outfitter_updates.cloud.refusals import SIGN_IN, translated

SELF_HOSTED_REGION: Final = "us-east-1"
"""Signs requests to a server of one's own when no region is set; such a server accepts every region."""
REGION_VARIABLE: Final = "AWS_REGION"
"""What every AWS tool reads but boto3, which knows AWS_DEFAULT_REGION alone."""
CREDENTIALS_VARIABLE: Final = "AWS_SHARED_CREDENTIALS_FILE"
RETRIES_MAX: Final = 3
CONNECT_TIMEOUT_SECONDS: Final = 5
READ_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose credentials these are."""

    account: str
    partition: str


class Service:
    """One client; every error leaves it as a Problem."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.endpoint = str(client.meta.endpoint_url)
        self.name = str(client.meta.service_model.service_id)

    @property
    def is_aws(self) -> bool:
        """Whether the requests go to AWS itself."""
        host = urlsplit(self.endpoint).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer to an operation, such as ``describe_thing``; arguments that are None are not sent."""
        sent = {key: value for key, value in arguments.items() if value is not None}
        with translated(self._title(operation), self.endpoint):
            answer: dict[str, Any] = getattr(self.client, operation)(**sent)
            return answer

    def find(self, operation: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer, or None when the service says that there is no such thing."""
        try:
            return self.call(operation, **arguments)
        except NotFound:
            return None

    def pages(self, operation: str, member: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The items of a listing, page after page, as long as someone takes them."""
        sent = {key: value for key, value in arguments.items() if value is not None}
        with translated(self._title(operation), self.endpoint):
            for page in self.client.get_paginator(operation).paginate(**sent):
                yield from page.get(member, ())

    def wait(self, state: str, **arguments: Any) -> None:
        """Until the service tells that state, such as ``function_active_v2``; a Problem when it never does."""
        with translated(f"Waiting for {state}", self.endpoint):
            self.client.get_waiter(state).wait(**arguments)

    def _title(self, operation: str) -> str:
        return str(self.client.meta.method_to_api_mapping.get(operation, operation))


class Connection:
    """The session and its clients, each made when it is first needed."""

    def __init__(self, *, profile: str | None, region: str | None, endpoint_url: str | None) -> None:
        self._profile, self._region, self._endpoint_url = profile, region, endpoint_url

    @cached_property
    def _session(self) -> Any:
        with translated("Opening the session", ""):
            region = self._region or os.environ.get(REGION_VARIABLE) or None
            session = boto3.Session(profile_name=self._profile, region_name=region)
            if session.get_credentials() is None:
                raise NoCredentials(f"There are no AWS credentials. {_missing_file()}{SIGN_IN}")
            return session

    @cached_property
    def iot(self) -> Service:
        """Things, groups, certificates, packages and jobs."""
        return self._open("iot")

    @cached_property
    def iot_data(self) -> Service:
        """Retained messages."""
        return self._open("iot-data")

    @cached_property
    def functions(self) -> Service:
        """Functions and their URLs."""
        return self._open("lambda")

    @cached_property
    def sts(self) -> Service:
        """Who we are."""
        return self._open("sts")

    @cached_property
    def s3(self) -> Service:
        """The file store; a server of one's own is addressed by path, as its name has no subdomains."""
        service = self._open("s3")
        return service if service.is_aws else self._open("s3", s3={"addressing_style": "path"})

    @cached_property
    def region(self) -> str:
        """The region that requests are signed for."""
        return str(self.iot.client.meta.region_name)

    @cached_property
    def account(self) -> Account:
        """The account and the partition, asked once."""
        told = self.sts.call("get_caller_identity")
        return Account(account=told["Account"], partition=str(told["Arn"]).split(":")[1])

    def credentials(self) -> Any:
        """The keys to sign with, as botocore has them."""
        return self._session.get_credentials().get_frozen_credentials()

    def trust(self) -> str | bool:
        """The file of authorities to trust for https, True for the usual ones."""
        found = self._session._session.get_config_variable("ca_bundle")  # noqa: SLF001 - boto3 hides botocore's session
        return str(found) if found else True

    def _open(self, name: str, **settings: Any) -> Service:
        region = self._session.region_name or SELF_HOSTED_REGION
        config = Config(
            retries={"max_attempts": RETRIES_MAX, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            **settings,
        )
        with translated("Opening the session", self._endpoint_url or ""):
            try:
                client = self._session.client(
                    name, region_name=region, endpoint_url=self._endpoint_url, config=config
                )
                _ = urlsplit(str(client.meta.endpoint_url)).port
            except InvalidRegionError as error:
                raise WrongUsage(f"{region!r} is no region. A region is written like us-east-1.") from error
            except ValueError as error:
                raise WrongUsage(f"{error}. An endpoint is written like http://127.0.0.1:4566.") from error
        service = Service(client)
        if service.is_aws and self._session.region_name is None:
            raise NoCredentials("No AWS region is set. Set AWS_REGION, or give --region.")
        return service


def _missing_file() -> str:
    """A sentence about the file that should hold the credentials, when it is not there."""
    named = os.environ.get(CREDENTIALS_VARIABLE)
    if not named or Path(named).expanduser().exists():
        return ""
    return f"{CREDENTIALS_VARIABLE} names {named}, which is not there (yet). "
