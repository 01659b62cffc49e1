"""Job documents as they leave for a device: placeholders replaced by URLs signed there and then.

Which host a URL shows: the name by which the device itself called, else the first advertised name, else the address that
the device's connection reached. The scheme is https when there is such a listener, with that listener's port.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from outfitter_server.access.signature import Credentials, presign_url
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.documents import (
    BEGINNING,
    Placeholder,
    PlaceholderKind,
    placeholders,
    substituted,
    upload_key,
)
from outfitter_server.jobs.values import Execution, JobHead
from outfitter_server.jobs.why import Kind
from outfitter_server.objects.names import is_bucket_name
from outfitter_server.objects.urls import ObjectAddress, parse_object_url
from outfitter_server.services.ports import Transaction
from outfitter_server.services.traces import Traces

_ENCODED_VERSION: Final = re.compile(r"%3[Ff]versionId%3[Dd]")
_UNENCODED: Final = frozenset({PlaceholderKind.DOWNLOAD, PlaceholderKind.DOWNLOAD_V1})
_SERVICE_HOST: Final = re.compile(r"s3[.-].+")
# What an upload is called that the document gives no key: each execution has its own.
GENERATED_KEY: Final = "${jobId}/${thingName}/${executionNumber}"
_ROLE_HINT: Final = "give presignedUrlConfig.roleArn, the role that signs the URLs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsEndpoint:
    """Where devices reach the store.

    Attributes:
        scheme: ``https`` or ``http``.
        port: the listener's port.
        advertised: names in order of preference.
    """

    scheme: str
    port: int
    advertised: Sequence[str] = ()

    def authority(self, host: str | None, local: str | None) -> str:
        """``host:port`` for a URL to a device that called ``host`` on the address ``local``."""
        name = host or (self.advertised[0] if self.advertised else None) or local or "127.0.0.1"
        name = name.strip("[]")
        return f"[{name}]:{self.port}" if ":" in name else f"{name}:{self.port}"


class Delivery:
    """Fills in documents. ``endpoint`` is set by main once the listeners are bound."""

    def __init__(
        self, installation: Installation, credentials: Credentials, clock: Callable[[], int], traces: Traces
    ) -> None:
        """``credentials`` sign the URLs; ``traces`` remembers who got what."""
        self._traces = traces
        self._region = installation.region
        self._uploads_bucket = uploads_bucket(installation)
        self._credentials = credentials
        self._clock = clock
        self.endpoint = ObjectsEndpoint(scheme="http", port=80)

    def document(
        self, head: JobHead, execution: Execution, host: str | None, local: str | None = None
    ) -> str:
        """The compact JSON text of a document, its URLs fresh."""
        urls = 0

        def url(found: Placeholder) -> str:
            nonlocal urls
            urls += 1
            return self._url(found, head, execution, host, local)

        document = substituted(head.document, url)
        self._traces.note(execution, Kind.DOCUMENT_SENT, self._clock(), urls)
        return document

    def _url(
        self, found: Placeholder, head: JobHead, execution: Execution, host: str | None, local: str | None
    ) -> str:
        address = placeholder_address(found, self._uploads_bucket)
        method, key = "GET", address.key
        if found.kind is PlaceholderKind.UPLOAD:
            method = "PUT"
            key = upload_key(key, thing=execution.thing, job=execution.job, number=execution.number)
        return presign_url(
            method=method,
            scheme=self.endpoint.scheme,
            host=self.endpoint.authority(host, local),
            raw_path=f"/{address.bucket}/{quote(key, safe='/-._~')}",
            query={"versionId": address.version_id} if address.version_id else {},
            region=self._region,
            service="s3",
            credentials=self._credentials,
            expires_seconds=head.url_expires_seconds,
            now=self._clock(),
        )


def uploads_bucket(installation: Installation) -> str:
    """The bucket of uploads whose placeholder names none."""
    return f"outfitter-uploads-{installation.account}-{installation.region}"


def artifact_placeholder(address: ObjectAddress, region: str) -> str:
    """The placeholder that the file of a package version is delivered by."""
    url = f"https://s3.{region}.amazonaws.com/{address.bucket}/{quote(address.key, safe='/-._~')}"
    version = f"%3FversionId%3D{quote(address.version_id, safe='')}" if address.version_id else ""
    return f"{BEGINNING}{PlaceholderKind.DOWNLOAD_V2}:{url}{version}}}"


def placeholder_address(found: Placeholder, default_bucket: str | None = None) -> ObjectAddress:
    """The object that a placeholder names; an upload may name its bucket alone, or nothing (``default_bucket``).

    Raises:
        InvalidRequest: it names none.
    """
    url = found.argument
    if found.kind is PlaceholderKind.UPLOAD:
        generated = _generated_address(url, default_bucket)
        if generated is not None:
            return generated
        # The keywords' braces are no URL characters; they stand for text without any.
        url = url.replace("${", "%24%7B").replace("}", "%7D")
    if found.kind is PlaceholderKind.DOWNLOAD_V2:
        # Its URL is percent-encoded as a whole, and so is the suffix that pins a version.
        url = _ENCODED_VERSION.sub("?versionId=", url)
    elif found.kind in _UNENCODED:
        # Its URL is taken as it is written: nothing in it is an escape, a query or a fragment.
        url = url.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    address = parse_object_url(url)
    if address is None:
        raise InvalidRequest(
            f"document: ${{aws:iot:{found.kind.value}:{found.argument}}} names no object; "
            "write https://s3.REGION.amazonaws.com/BUCKET/KEY after the last colon"
        )
    return address


def _generated_address(url: str, default_bucket: str | None) -> ObjectAddress | None:
    """Where an upload goes whose placeholder names no key; None when it names one, or is no URL of the store."""
    if not url:
        return None if default_bucket is None else ObjectAddress(bucket=default_bucket, key=GENERATED_KEY)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not _SERVICE_HOST.fullmatch(host):
        return None
    bucket, _, key = unquote(parts.path)[1:].partition("/")
    bucket = bucket or default_bucket or ""
    if key or parts.query or not is_bucket_name(bucket):
        return None
    return ObjectAddress(bucket=bucket, key=GENERATED_KEY)


def check_placeholders(delivered: str, *, thing: str, job: str, role_arn: str | None) -> None:
    """Whether a compact document can be delivered.

    Raises:
        InvalidRequest: a placeholder names no object, has a wrong keyword, or there is no role to sign with.
    """
    for found in placeholders(delivered):
        address = placeholder_address(found, "outfitter-uploads")
        if found.kind is PlaceholderKind.UPLOAD:
            upload_key(address.key, thing=thing, job=job, number=1)
        if role_arn is None:
            raise InvalidRequest(f"document: it has placeholders for pre-signed URLs; {_ROLE_HINT}")


def check_upload_buckets(tx: Transaction, delivered: str, installation: Installation) -> None:
    """Whether what devices are to upload has a bucket to go to.

    Raises:
        InvalidRequest: the store has no bucket of the name.
    """
    for found in placeholders(delivered):
        if found.kind is not PlaceholderKind.UPLOAD:
            continue
        bucket = placeholder_address(found, uploads_bucket(installation)).bucket
        if tx.one("bucket_by_name", name=bucket) is None:
            raise InvalidRequest(
                f"document: ${{aws:iot:{found.kind.value}:{found.argument}}} is for bucket {bucket}, "
                "which the store does not have: create it first"
            )
