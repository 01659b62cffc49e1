"""Signatures of requests that carry them in headers or query, checked against the keys of the installation."""

from collections.abc import Callable
from typing import Final

from outfitter_server.access.signature import Claim, SignatureRefused, SignedRequest, SigningContext, verify
from outfitter_server.https.reading import RequestHead
from outfitter_server.services.callers import Caller, Callers

UNKNOWN_S3_KEY: Final = "The AWS Access Key Id you provided does not exist in our records."


class Signatures:
    """Who signed a request, and whether they did."""

    def __init__(self, callers: Callers, clock: Callable[[], int]) -> None:
        """``clock`` in milliseconds since the epoch."""
        self._callers = callers
        self._clock = clock

    def caller(self, claim: Claim) -> Caller:
        """Who the claim names, not verified yet.

        Raises:
            SignatureRefused: there is no such key, or its session token is not its own or has expired.
        """
        caller = self._callers.caller(claim.access_key_id, claim.session_token)
        if caller is None:
            raise unknown_key(claim)
        return caller

    def verify(self, head: RequestHead, claim: Claim, payload_hash: str) -> SigningContext:
        """Check the signature over the request's head and this payload hash.

        Raises:
            SignatureRefused: it is not what the key would have made.
        """
        credentials = self._callers.credentials(claim.access_key_id, claim.session_token)
        if credentials is None:
            raise unknown_key(claim)
        signed = SignedRequest(
            method=head.method,
            raw_path=head.raw_path,
            raw_query=head.raw_query,
            headers=head.headers,
            payload_hash=payload_hash,
        )
        return verify(signed, claim, credentials, self._clock())


def unknown_key(claim: Claim) -> SignatureRefused:
    """The refusal of a key that nobody has."""
    if claim.service == "s3":
        message = UNKNOWN_S3_KEY
    else:
        message = "The security token included in the request is invalid."
    return SignatureRefused("InvalidAccessKeyId", message)
