"""S3's older pre-signed URLs (``?AWSAccessKeyId=…&Signature=…&Expires=…``), which AWS's own clients still make.

``aws s3 presign`` and boto3's ``generate_presigned_url`` use this scheme unless a profile asks for ``s3v4``. It is taken for
pre-signed S3 requests only: HMAC-SHA1 over method, Content-MD5, Content-Type, expiry, the x-amz- headers and the resource.
Source: Amazon S3 API reference, "Signing and authenticating REST requests" (signature version 2).
"""

import hashlib
import hmac
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from outfitter_server.access.claims import Headers, SignatureRefused
from outfitter_server.access.signature import Credentials

_SUB_RESOURCES: Final = frozenset(
    [
        "acl",
        "cors",
        "delete",
        "lifecycle",
        "location",
        "logging",
        "notification",
        "partNumber",
        "policy",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    ]
)
_EPOCH_SECONDS: Final = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryClaim:
    """What a pre-signed URL of the older scheme says; ``expires`` in seconds since the epoch."""

    access_key_id: str
    signature: str = field(repr=False)
    expires: int
    session_token: str | None = field(default=None, repr=False)


def read_query_claim(raw_query: str) -> QueryClaim | None:
    """The claim in a query; None when it has none of this scheme.

    Raises:
        SignatureRefused: a part of the claim is missing or malformed.
    """
    if "AWSAccessKeyId=" not in raw_query:
        return None
    given = dict(parse_qsl(raw_query, keep_blank_values=True))
    if "AWSAccessKeyId" not in given:
        return None
    expires = given.get("Expires", "")
    if not given.get("Signature") or not _EPOCH_SECONDS.fullmatch(expires):
        raise SignatureRefused(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        )
    return QueryClaim(
        access_key_id=given["AWSAccessKeyId"],
        signature=given["Signature"],
        expires=int(expires),
        session_token=given.get("x-amz-security-token"),
    )


def verify_query(
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Headers,
    *,
    bucket: str | None,
    claim: QueryClaim,
    credentials: Credentials,
    now: int,
) -> None:
    """Whether the URL was signed with the key and still lives; ``now`` in milliseconds.

    ``bucket`` is the one in front of the host, as whoever serves the request reads it: it belongs to the signed resource,
    and read in two ways one signature would open two objects.

    Raises:
        SignatureRefused: expired (AccessDenied), or another signature.
    """
    if now // 1000 >= claim.expires:
        raise SignatureRefused("AccessDenied", "Request has expired")
    query = parse_qsl(raw_query, keep_blank_values=True)
    signed = sorted((name, value) for name, value in query if name in _SUB_RESOURCES)
    resource_query = "&".join(f"{name}={value}" if value else name for name, value in signed)
    found = dict(reversed(headers))  # the first of a name counts, as for those who serve the request
    amazon = sorted((name, value.strip()) for name, value in headers if name.startswith("x-amz-"))
    token = dict(query).get("x-amz-security-token")
    if token is not None:
        amazon = sorted([*amazon, ("x-amz-security-token", token)])
    head = "\n".join(
        [method, found.get("content-md5", ""), found.get("content-type", ""), str(claim.expires)]
        + [f"{name}:{value}" for name, value in amazon]
    )
    for path in _resource_paths(raw_path, bucket):
        text = f"{head}\n{path}{'?' if resource_query else ''}{resource_query}"
        digest = hmac.new(
            credentials.secret_access_key.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1
        )
        if hmac.compare_digest(
            b64encode(digest.digest()), claim.signature.encode("utf-8", "surrogateescape")
        ):
            return
    raise SignatureRefused(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    )


def _resource_paths(raw_path: str, bucket: str | None) -> tuple[str, ...]:
    """As what a signer may have written the path."""
    if bucket is not None:
        return (f"/{bucket}{raw_path}",)
    # AWS's clients ask for ``/bucket`` and sign ``/bucket/``, which is the same resource.
    return (raw_path, f"{raw_path}/") if "/" not in raw_path[1:] and raw_path != "/" else (raw_path,)
