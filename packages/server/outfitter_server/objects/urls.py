"""The URLs by which AWS names an object, taken apart.

Path style (``https://s3.us-east-1.amazonaws.com/bucket/key``), virtual-hosted style
(``https://bucket.s3.us-east-1.amazonaws.com/key``), the older ``s3-region`` hosts, dual-stack, ``s3://bucket/key``, and
the same forms on any other host whose name begins with ``s3`` or has an ``s3`` label. The region is read past: an
installation has one.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from outfitter_server.objects.names import is_bucket_name

_SERVICE_HOST: Final = re.compile(r"s3(?:[.-].+)?")
# On AWS's own hosts the last ``s3`` label is the service's; elsewhere only the first can be told.
_AWS_HOST: Final = re.compile(r"(?P<bucket>.+)\.s3(?:[.-][a-z0-9.-]+)?\.amazonaws\.com(?:\.cn)?")
_VIRTUAL_HOST: Final = re.compile(r"(?P<bucket>.+?)\.s3[.-].+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAddress:
    """Where an object is.

    Attributes:
        bucket: a valid bucket name.
        key: decoded, not empty.
        version_id: what ``?versionId=`` says, if it is there.
    """

    bucket: str
    key: str
    version_id: str | None = None


def parse_object_url(url: str) -> ObjectAddress | None:
    """The object that a URL names; None when it is no S3 object URL."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        version = parse_qs(parts.query).get("versionId", [None])[0]
    except ValueError:
        return None
    path = unquote(parts.path)
    if parts.scheme == "s3":
        return _address(parts.netloc, path[1:], version)
    if parts.scheme not in {"http", "https"}:
        return None
    if _SERVICE_HOST.fullmatch(host):
        bucket, _, key = path[1:].partition("/")
        return _address(bucket, key, version)
    virtual = _AWS_HOST.fullmatch(host) or _VIRTUAL_HOST.fullmatch(host)
    return _address(virtual["bucket"], path[1:], version) if virtual else None


def _address(bucket: str, key: str, version: str | None) -> ObjectAddress | None:
    if not key or not is_bucket_name(bucket):
        return None
    return ObjectAddress(bucket=bucket, key=key, version_id=version)
