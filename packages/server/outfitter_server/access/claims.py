"""Who a request says signed it: the claim in its ``Authorization`` header or, pre-signed, in its query."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from outfitter_server.base.refusals import Refusal

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
DEVICE_GATEWAY: Final = "iotdevicegateway"  # the service that URLs of MQTT over WebSocket are signed for
UNSAID_EXPIRES_SECONDS: Final = 900

Headers = tuple[tuple[str, str], ...]

_TIMESTAMP = re.compile(r"([12]\d{3})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\Z", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}\Z")
_EXPIRES = re.compile(r"[0-9]{1,6}\Z")
_EXPIRES_SECONDS_MAX: Final = 7 * 24 * 3600
_CREDENTIAL_PARTS: Final = 5


class SignatureRefused(Refusal):
    """The signature, or the claim that goes with it, is not acceptable.

    ``code`` is S3's name for the fault; doors of other services map it to their own.
    """

    code: str  # type: ignore[misc]  # one class for S3's whole vocabulary of signature faults
    status: int  # type: ignore[misc]  # as above

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        """Keep S3's error code and its HTTP status."""
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request says about its signer; nothing of it is checked against a key yet.

    Attributes:
        date: of the credential scope, eight digits.
        signed_headers: lower-case names in the order of the claim.
        timestamp: when it was signed, milliseconds since the epoch.
        expires_seconds: life of a pre-signed request, None for one signed in its headers.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    presigned: bool
    timestamp: int
    expires_seconds: int | None = None
    session_token: str | None = field(default=None, repr=False)


def read_claim(method: str, raw_path: str, raw_query: str, headers: Headers) -> Claim | None:  # noqa: ARG001 - the whole request line, so that a later scheme needs no other signature
    """The claim of a request; None when it is not signed at all.

    Raises:
        SignatureRefused: it is signed, but by another scheme, twice, or the claim is malformed.
    """
    authorization = [value for name, value in headers if name == "authorization"]
    presigned = "X-Amz-Signature=" in raw_query or "X-Amz-Algorithm=" in raw_query
    if not authorization:
        return _read_query(raw_query) if presigned else None
    if presigned or len(authorization) > 1:
        raise SignatureRefused("InvalidArgument", "Only one auth mechanism allowed", 400)
    return _read_header(authorization[0], dict(headers))


@lru_cache(maxsize=256)
def format_timestamp(milliseconds: int) -> str:
    """ISO 8601 basic form in UTC, as SigV4 wants it."""
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y%m%dT%H%M%SZ}"


def _read_header(authorization: str, headers: dict[str, str]) -> Claim:
    scheme, _, rest = authorization.partition(" ")
    if scheme != ALGORITHM:
        raise SignatureRefused(
            "InvalidRequest",
            f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.",
            400,
        )
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parts.get(name)]
    if missing:
        raise _malformed(f"Authorization header requires '{missing[0]}' parameter")
    return _claim(
        parts["Credential"],
        parts["SignedHeaders"],
        parts["Signature"],
        timestamp=_signing_time(headers),
        session_token=headers.get("x-amz-security-token"),
    )


def _read_query(raw_query: str) -> Claim:
    members: dict[str, str] = {}
    for member in raw_query.split("&"):
        name, _, value = member.partition("=")
        if name.startswith("X-Amz-"):
            if name in members:
                raise _malformed_query(f"the query parameter {name} is given twice")
            members[name] = unquote(value)
    needed = ["Algorithm", "Credential", "Date", "SignedHeaders", "Signature"]
    if f"/{DEVICE_GATEWAY}/" not in members.get("X-Amz-Credential", ""):
        needed.insert(3, "Expires")  # of a WebSocket's URL some of AWS's SDKs do not say how long it lives
    missing = [name for name in needed if not members.get(f"X-Amz-{name}")]
    if missing:
        raise _malformed_query(f"the query parameter X-Amz-{missing[0]} is missing")
    if members["X-Amz-Algorithm"] != ALGORITHM:
        raise _malformed_query(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    expires = members.get("X-Amz-Expires") or str(UNSAID_EXPIRES_SECONDS)
    if not _EXPIRES.match(expires) or not 1 <= int(expires) <= _EXPIRES_SECONDS_MAX:
        raise _malformed_query(f"X-Amz-Expires must be a number of seconds from 1 to {_EXPIRES_SECONDS_MAX}")
    return _claim(
        members["X-Amz-Credential"],
        members["X-Amz-SignedHeaders"],
        members["X-Amz-Signature"],
        timestamp=_parse_timestamp(members["X-Amz-Date"]),
        expires_seconds=int(expires),
        session_token=members.get("X-Amz-Security-Token"),
    )


def _claim(
    credential: str,
    signed_headers: str,
    signature: str,
    *,
    timestamp: int | None,
    expires_seconds: int | None = None,
    session_token: str | None,
) -> Claim:
    # Access keys of temporary sessions may contain slashes; the scope is the last four parts.
    parts = credential.rsplit("/", _CREDENTIAL_PARTS - 1)
    if (
        len(parts) != _CREDENTIAL_PARTS
        or parts[-1] != "aws4_request"
        or not all(parts)
        or not credential.isascii()
    ):
        raise _malformed("the credential must be ACCESS_KEY/YYYYMMDD/REGION/SERVICE/aws4_request")
    if timestamp is None:
        raise SignatureRefused(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        )
    access_key_id, date, region, service, _ = parts
    if not format_timestamp(timestamp).startswith(date):
        raise SignatureRefused(
            "SignatureDoesNotMatch", "Date in Credential scope does not match the date of the request"
        )
    names = tuple(signed_headers.split(";"))
    if "host" not in names or list(names) != sorted({name.lower() for name in names}):
        raise _malformed("the signed headers must be lower-case, sorted, and contain host")
    if not _SIGNATURE.match(signature):
        raise SignatureRefused("SignatureDoesNotMatch", "the signature must be 64 hexadecimal digits")
    return Claim(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
        signature=signature,
        presigned=expires_seconds is not None,
        timestamp=timestamp,
        expires_seconds=expires_seconds,
        session_token=session_token,
    )


def _signing_time(headers: dict[str, str]) -> int | None:
    amz_date = headers.get("x-amz-date")
    if amz_date is not None:
        return _parse_timestamp(amz_date)
    date = headers.get("date", "")
    if _TIMESTAMP.match(date):
        return _parse_timestamp(date)
    try:
        return int(parsedate_to_datetime(date).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _parse_timestamp(text: str) -> int | None:
    match = _TIMESTAMP.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def _malformed(message: str) -> SignatureRefused:
    return SignatureRefused("AuthorizationHeaderMalformed", message, 400)


def _malformed_query(message: str) -> SignatureRefused:
    return SignatureRefused("AuthorizationQueryParametersError", message, 400)
