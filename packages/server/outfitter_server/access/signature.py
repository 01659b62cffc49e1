"""AWS Signature Version 4, both sides: verify what clients sign, pre-sign URLs for devices.

Sources: the SigV4 specification and, for what the specification leaves open, what botocore sends (it is the oracle of
the tests). Requests are signed in their headers or, pre-signed, in their query; S3 bodies may be signed block by block.

Canonical paths: every service but S3 signs the path encoded once more than it stands on the wire, dot segments and
doubled slashes removed; S3 signs it as it stands. Clients that leave legal characters bare on the wire and sign them
encoded (curl does) are accepted on S3 too. Any region is accepted.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from outfitter_server.access.claims import (
    ALGORITHM,
    UNSIGNED_PAYLOAD,
    Claim,
    Headers,
    SignatureRefused,
    format_timestamp,
    read_claim,
)

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
SKEW_MS_MAX: Final = 15 * 60 * 1000
EXPIRES_SECONDS_MAX: Final = 7 * 24 * 3600

_CANONICAL_QUERY = re.compile(r"[A-Za-z0-9\-._~=&]*\Z")
_CANONICAL_VALUE = re.compile(r"[!-~]+\Z")

__all__ = [
    "EMPTY_SHA256",
    "UNSIGNED_PAYLOAD",
    "Claim",
    "Credentials",
    "Headers",
    "SignatureRefused",
    "SignedRequest",
    "SigningContext",
    "chunk_signature",
    "declared_payload_hash",
    "presign_url",
    "read_claim",
    "trailer_signature",
    "verify",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key. ``session_token`` is set for temporary keys only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as it stood on the wire.

    Attributes:
        raw_path: percent-encoded as received, without the query.
        raw_query: what follows the question mark, as received.
        headers: lower-case names in their original order; a name may come more than once.
        payload_hash: hex SHA-256 of the body, or what ``x-amz-content-sha256`` declares (S3).
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Headers
    payload_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningContext:
    """What the signatures of a body's blocks continue from. ``timestamp`` in ISO 8601 basic form."""

    signing_key: bytes = field(repr=False)
    scope: str
    timestamp: str
    seed_signature: str = field(repr=False)


def verify(request: SignedRequest, claim: Claim, credentials: Credentials, now: int) -> SigningContext:
    """Check the claim's time, its session token and its signature over the request. ``now`` in milliseconds.

    Raises:
        SignatureRefused: RequestTimeTooSkewed, AccessDenied (a pre-signed URL outside its time, or unsigned ``x-amz-``
            headers on S3), InvalidToken, SignatureDoesNotMatch.
    """
    _check_time(claim, now)
    _check_session_token(claim, credentials)
    key = _signing_key(credentials.secret_access_key, claim.date, claim.region, claim.service)
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    timestamp = format_timestamp(claim.timestamp)
    headers = _canonical_headers(request.headers, claim)
    query = _canonical_query(request.raw_query, presigned=claim.presigned)
    names = ";".join(claim.signed_headers)
    for path in _canonical_paths(request.raw_path, claim.service):
        canonical = f"{request.method}\n{path}\n{query}\n{headers}\n{names}\n{request.payload_hash}"
        expected = _signature(key, timestamp, scope, canonical)
        if hmac.compare_digest(expected, claim.signature):
            return SigningContext(
                signing_key=key, scope=scope, timestamp=timestamp, seed_signature=claim.signature
            )
    raise SignatureRefused(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your secret access key and signing method.",
    )


def declared_payload_hash(claim: Claim | None, request_headers: Mapping[str, str]) -> str:
    """The payload hash that an S3 request was signed with; what it promises is for the reader of the body to check."""
    if claim is not None and claim.presigned and "x-amz-content-sha256" not in claim.signed_headers:
        return UNSIGNED_PAYLOAD
    return request_headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)


def chunk_signature(context: SigningContext, previous: str, chunk_sha256: str) -> str:
    """The signature of one block of an ``aws-chunked`` body; ``previous`` is the one before it, first the seed."""
    return _continued(context, "AWS4-HMAC-SHA256-PAYLOAD", f"{previous}\n{EMPTY_SHA256}\n{chunk_sha256}")


def trailer_signature(context: SigningContext, previous: str, trailers: Iterable[tuple[str, str]]) -> str:
    """The signature of the trailing headers of an ``aws-chunked`` body; ``previous`` is the last block's."""
    text = "".join(f"{name.lower()}:{value.strip()}\n" for name, value in sorted(trailers))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return _continued(context, "AWS4-HMAC-SHA256-TRAILER", f"{previous}\n{digest}")


def presign_url(
    *,
    method: str,
    scheme: str,
    host: str,
    raw_path: str,
    query: Mapping[str, str],
    region: str,
    service: str,
    credentials: Credentials,
    expires_seconds: int,
    now: int,
) -> str:
    """A URL that carries its signature. ``host`` with the port when it is not the scheme's own; ``now`` in milliseconds.

    Raises:
        ValueError: the life is not between one second and seven days.
    """
    if not 1 <= expires_seconds <= EXPIRES_SECONDS_MAX:
        raise ValueError(f"a pre-signed URL lives 1 to {EXPIRES_SECONDS_MAX} seconds, not {expires_seconds}")
    timestamp = format_timestamp(now)
    host = host.removesuffix(":443" if scheme == "https" else ":80")
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    members = {
        **query,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires_seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token is not None:
        members["X-Amz-Security-Token"] = credentials.session_token
    canonical_query = "&".join(
        f"{_encode(name)}={_encode(members[name])}" for name in sorted(members, key=_encode)
    )
    payload_hash = UNSIGNED_PAYLOAD if service == "s3" else EMPTY_SHA256
    path = _canonical_paths(raw_path, service)[0]
    canonical = f"{method}\n{path}\n{canonical_query}\nhost:{host}\n\nhost\n{payload_hash}"
    key = _signing_key(credentials.secret_access_key, timestamp[:8], region, service)
    signature = _signature(key, timestamp, scope, canonical)
    return f"{scheme}://{host}{raw_path}?{canonical_query}&X-Amz-Signature={signature}"


def _check_time(claim: Claim, now: int) -> None:
    if claim.presigned:
        if claim.timestamp - now > SKEW_MS_MAX:
            raise SignatureRefused("AccessDenied", "Request is not yet valid")
        if claim.timestamp + (claim.expires_seconds or 0) * 1000 < now:
            raise SignatureRefused("AccessDenied", "Request has expired")
    elif abs(claim.timestamp - now) > SKEW_MS_MAX:
        raise SignatureRefused(
            "RequestTimeTooSkewed",
            f"The difference between the request time {format_timestamp(claim.timestamp)} and the current time "
            f"{format_timestamp(now)} is too large; set the clock of the client",
        )


def _check_session_token(claim: Claim, credentials: Credentials) -> None:
    given, stored = claim.session_token or "", credentials.session_token or ""
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), stored.encode()):
        raise SignatureRefused("InvalidToken", "The security token included in the request is invalid.")


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(key: bytes, timestamp: str, scope: str, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return hmac.digest(key, f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}".encode(), "sha256").hex()


def _continued(context: SigningContext, algorithm: str, rest: str) -> str:
    text = f"{algorithm}\n{context.timestamp}\n{context.scope}\n{rest}"
    return hmac.digest(context.signing_key, text.encode(), "sha256").hex()


def _canonical_headers(headers: Headers, claim: Claim) -> str:
    signed = claim.signed_headers
    values: dict[str, str] = {}
    for name, value in headers:
        if name in signed:
            # The usual value has no blanks at all and needs no folding.
            folded = value if _CANONICAL_VALUE.match(value) else " ".join(value.split())
            values[name] = f"{values[name]},{folded}" if name in values else folded
        elif claim.service == "s3" and name.startswith("x-amz-") and name != "x-amz-content-sha256":
            raise SignatureRefused(
                "AccessDenied", f"The header {name} was present in the request and was not signed"
            )
    return "".join(f"{name}:{values.get(name, '')}\n" for name in signed)


def _canonical_query(raw_query: str, *, presigned: bool) -> str:
    if not raw_query:
        return ""
    pairs = []
    for member in raw_query.split("&"):
        name, _, value = member.partition("=")
        if presigned and name == "X-Amz-Signature":
            continue
        if not _CANONICAL_QUERY.match(member):
            # Clients write a blank as "+" and sign it as "%20".
            name = _encode(unquote_to_bytes(name.replace("+", " ")))
            value = _encode(unquote_to_bytes(value.replace("+", " ")))
        if member:
            pairs.append((name, value))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def _canonical_paths(raw_path: str, service: str) -> tuple[str, ...]:
    path = raw_path or "/"
    if service != "s3":
        return (quote(_without_dot_segments(path), safe="/~"),)
    encoded = "/".join([_encode(unquote_to_bytes(segment)) for segment in path.split("/")])
    return (path,) if encoded == path else (path, encoded)


def _without_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4 with doubled slashes folded, as AWS normalises paths before signing."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    segments = [segment for segment in path.split("/") if segment not in {"", "."}]
    for segment in segments:
        if segment != "..":
            kept.append(segment)
        elif kept:
            kept.pop()
    tail = "/" if kept and path.endswith("/") else ""
    return "/" + "/".join(kept) + tail


def _encode(value: str | bytes) -> str:
    return quote(value, safe="-_.~")
