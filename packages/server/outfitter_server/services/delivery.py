"""Job documents as they leave for a device: placeholders replaced by URLs signed there and then.

Which host a URL shows: the name by which the device itself called, else the first advertised name, else the address that
the device's connection reached. The scheme is https when there is such a listener, with that listener's port.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from outfitter_server.access.signature import Credentials, presign_url
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.documents import (
    Placeholder,
    PlaceholderKind,
    placeholders,
    substituted,
    upload_key,
)
from outfitter_server.jobs.values import Execution, JobHead
from outfitter_server.objects.urls import ObjectAddress, parse_object_url

_ENCODED_VERSION: Final = re.compile(r"%3[Ff]versionId%3[Dd]")
_UNENCODED: Final = frozenset({PlaceholderKind.DOWNLOAD, PlaceholderKind.DOWNLOAD_V1})
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
        self, installation: Installation, credentials: Credentials, clock: Callable[[], int]
    ) -> None:
        """``credentials`` sign the URLs."""
        self._region = installation.region
        self._credentials = credentials
        self._clock = clock
        self.endpoint = ObjectsEndpoint(scheme="http", port=80)

    def document(
        self, head: JobHead, execution: Execution, host: str | None, local: str | None = None
    ) -> str:
        """The compact JSON text of a document, its URLs fresh."""
        return substituted(head.document, lambda found: self._url(found, head, execution, host, local))

    def _url(
        self, found: Placeholder, head: JobHead, execution: Execution, host: str | None, local: str | None
    ) -> str:
        address = placeholder_address(found)
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


def placeholder_address(found: Placeholder) -> ObjectAddress:
    """The object that a placeholder names.

    Raises:
        InvalidRequest: it names none.
    """
    url = found.argument
    if found.kind is PlaceholderKind.UPLOAD:
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


def check_placeholders(delivered: str, *, thing: str, job: str, role_arn: str | None) -> None:
    """Whether a compact document can be delivered.

    Raises:
        InvalidRequest: a placeholder names no object, has a wrong keyword, or there is no role to sign with.
    """
    for found in placeholders(delivered):
        address = placeholder_address(found)
        if found.kind is PlaceholderKind.UPLOAD:
            upload_key(address.key, thing=thing, job=job, number=1)
        if role_arn is None:
            raise InvalidRequest(f"document: it has placeholders for pre-signed URLs; {_ROLE_HINT}")
