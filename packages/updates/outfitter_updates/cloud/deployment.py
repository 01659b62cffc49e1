"""Brings page and function to where they belong; what is there as it should be is left alone."""

import json
from collections.abc import Callable
from typing import Any, Final

from outfitter_updates.catalogue.problems import CloudRefused, Conflict
from outfitter_updates.catalogue.software import default_bucket
from outfitter_updates.cloud.bundle import code_digest, entity_tag, function_zip, page_files
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.operations.deployment import (
    FUNCTION_NAME,
    HANDLER,
    MEMORY_MEGABYTES,
    RUNTIME,
    SETTINGS_KEY,
    TIMEOUT_SECONDS,
    Deployment,
    DeploymentOrder,
    Site,
    bucket_cors,
    console_bucket,
    function_cors,
    is_of_page,
    object_headers,
    page_settings,
    page_url,
    public_read,
)

_URL_AUTHORISATION: Final = "AWS_IAM"


class Deployments:
    """Deploys with the rights of the caller."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def deploy(self, order: DeploymentOrder, tell: Callable[[str], None]) -> Deployment:
        """All of it; ``tell`` hears each change as it is made. The same again changes nothing."""
        connection = self._connection
        site = Site(
            region=connection.region,
            endpoint=None if connection.iot.is_aws else connection.iot.endpoint,
            bucket=order.bucket or console_bucket(connection.account.account, connection.region),
        )
        changes: list[str] = []

        def changed(what: str) -> None:
            changes.append(what)
            tell(what)

        page = _Page(connection, site, changed)
        page.buckets()
        function = _Function(connection, site, order.role_arn, changed)
        arn, url = function.code(), function.url()
        # The settings go last: a page that is there has a function that answers.
        page.put({**page_files(), SETTINGS_KEY: page_settings(site, url)})
        return Deployment(
            page_url=page_url(site),
            function_url=url,
            function_arn=arn,
            bucket=site.bucket,
            changes=tuple(changes),
        )


class _Page:
    """The bucket that everybody may read, and its files."""

    def __init__(self, connection: Connection, site: Site, changed: Callable[[str], None]) -> None:
        self._connection, self._site, self._changed = connection, site, changed

    def buckets(self) -> None:
        """The page's, open to everybody, and that of software and configurations, which is not."""
        s3, name = self._connection.s3, self._site.bucket
        for each in (name, default_bucket(self._connection.account.account, self._site.region)):
            if s3.find("head_bucket", Bucket=each) is None:
                elsewhere = self._site.region != "us-east-1"
                where = {"LocationConstraint": self._site.region} if elsewhere else None
                s3.call("create_bucket", Bucket=each, CreateBucketConfiguration=where)
                self._changed(f"Made the bucket {each}.")
        self._check_contents()
        policy = public_read(name, self._connection.account.partition)
        if _json(self._told("get_bucket_policy", "Policy", "NoSuchBucketPolicy")) != json.loads(policy):
            if s3.is_aws:
                # New buckets of AWS refuse every public policy until this goes.
                s3.call("delete_public_access_block", Bucket=name)
            s3.call("put_bucket_policy", Bucket=name, Policy=policy)
            self._changed(f"Everybody may read what is in {name}.")
        rules = bucket_cors()
        if self._told("get_bucket_cors", "CORSRules", "NoSuchCORSConfiguration") != rules["CORSRules"]:
            s3.call("put_bucket_cors", Bucket=name, CORSConfiguration=rules)
            self._changed(f"Set the CORS rules of {name}.")

    def _check_contents(self) -> None:
        """Raises Conflict when there is more in the bucket than a page: it would be open to everybody."""
        told = self._connection.s3.call("list_objects_v2", Bucket=self._site.bucket)
        keys = [each["Key"] for each in told.get("Contents", ())]
        foreign = [key for key in keys if not is_of_page(key)]
        if foreign:
            raise Conflict(
                f"The bucket {self._site.bucket} holds {foreign[0]!r}, which everybody could read then: choose a bucket"
                " for the page alone."
            )

    def put(self, found: dict[str, bytes]) -> None:
        s3 = self._connection.s3
        for key, content in sorted(found.items(), key=lambda item: item[0] == SETTINGS_KEY):
            headers = object_headers(key)
            there = s3.find("head_object", Bucket=self._site.bucket, Key=key) or {}
            same_headers = all(there.get(name) == value for name, value in headers.items())
            if there.get("ETag") == entity_tag(content) and same_headers:
                continue
            s3.call("put_object", Bucket=self._site.bucket, Key=key, Body=content, **headers)
            self._changed(f"Stored {key}.")

    def _told(self, operation: str, member: str, nothing: str) -> Any:
        try:
            return self._connection.s3.call(operation, Bucket=self._site.bucket)[member]
        except CloudRefused as refused:
            if refused.code != nothing:
                raise
            return None


class _Function:
    """The function and its URL."""

    def __init__(
        self, connection: Connection, site: Site, role_arn: str, changed: Callable[[str], None]
    ) -> None:
        self._connection, self._lambda, self._site = connection, connection.functions, site
        self._role_arn, self._changed = role_arn, changed

    def code(self) -> str:
        """Creates or updates it; its ARN."""
        content = function_zip()
        there = self._lambda.find("get_function_configuration", FunctionName=FUNCTION_NAME)
        if there is None:
            made = self._lambda.call(
                "create_function", FunctionName=FUNCTION_NAME, Code={"ZipFile": content}, **self._settings()
            )
            self._settled("function_active_v2")
            self._changed(f"Made the function {FUNCTION_NAME}.")
            return str(made["FunctionArn"])
        if there["CodeSha256"] != code_digest(content):
            self._lambda.call("update_function_code", FunctionName=FUNCTION_NAME, ZipFile=content)
            self._settled("function_updated_v2")
            self._changed(f"Updated the code of {FUNCTION_NAME}.")
        wanted = self._settings()
        if any(there.get(name) != value for name, value in wanted.items()):
            self._lambda.call("update_function_configuration", FunctionName=FUNCTION_NAME, **wanted)
            self._settled("function_updated_v2")
            self._changed(f"Updated the settings of {FUNCTION_NAME}.")
        return str(there["FunctionArn"])

    def url(self) -> str:
        """Creates or updates its URL, which only signed requests pass."""
        cors = function_cors(self._site)
        wanted: dict[str, Any] = {"AuthType": _URL_AUTHORISATION, "Cors": cors}
        there = self._lambda.find("get_function_url_config", FunctionName=FUNCTION_NAME)
        if there is None:
            made = self._lambda.call("create_function_url_config", FunctionName=FUNCTION_NAME, **wanted)
            self._changed(f"Gave {FUNCTION_NAME} a URL.")
            return str(made["FunctionUrl"])
        same = {name: there.get("Cors", {}).get(name) for name in cors} == cors
        if there["AuthType"] != _URL_AUTHORISATION or not same:
            self._lambda.call("update_function_url_config", FunctionName=FUNCTION_NAME, **wanted)
            self._changed(f"Updated the URL of {FUNCTION_NAME}.")
        return str(there["FunctionUrl"])

    def _settings(self) -> dict[str, Any]:
        account = self._connection.account.account
        return {
            "Runtime": RUNTIME,
            "Handler": HANDLER,
            "Role": self._role_arn,
            "Timeout": TIMEOUT_SECONDS,
            "MemorySize": MEMORY_MEGABYTES,
            "Description": "Makes the jobs that the console asks for",
            "Environment": {
                "Variables": {
                    "OUTFITTER_ROLE_ARN": self._role_arn,
                    "OUTFITTER_BUCKET": default_bucket(account, self._site.region),
                }
            },
        }

    def _settled(self, state: str) -> None:
        self._lambda.wait(state, FunctionName=FUNCTION_NAME)


def _json(text: object) -> object:
    return json.loads(text) if isinstance(text, str) else None
