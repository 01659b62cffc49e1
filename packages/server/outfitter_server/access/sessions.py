"""Temporary access keys that need no table: id and secret follow from a token that only the root key can make.

The token is the session (who, until when) and a mark of the root key over it; the key's id and its secret are derived from
the token. So a key survives restarts and the worker that it was made for, ends at its time, and all of them end with the
root key.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from outfitter_server.access.signature import Credentials, SignatureRefused

KEY_PREFIX: Final = "ASIA"
LIFE_SECONDS_MAX: Final = 12 * 3_600
TOKEN_CHARACTERS_MAX: Final = 2_048
_ID_CHARACTERS: Final = 16
_MARK_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who a temporary key stands for; ``expires_at`` in milliseconds since the epoch."""

    arn: str
    expires_at: int


def make_session(root: Credentials, session: Session, nonce: str) -> Credentials:
    """The key of a new session; ``nonce`` makes it differ from others of the same."""
    body = f"{session.expires_at} {nonce} {session.arn}".encode()
    token = base64.urlsafe_b64encode(_mark(root, b"session", body) + body).decode()
    return _derive(root, token)


def read_session(root: Credentials, access_key_id: str, token: str, now: int) -> tuple[Credentials, Session]:
    """The key and the session in a token that came with a request; ``now`` in milliseconds.

    Raises:
        SignatureRefused: InvalidToken, for a token that the root key did not make or one of another key; ExpiredToken.
    """
    session = _parse(root, token) if len(token) <= TOKEN_CHARACTERS_MAX else None
    credentials = None if session is None else _derive(root, token)
    if (
        session is None
        or credentials is None
        or not hmac.compare_digest(
            credentials.access_key_id.encode(), access_key_id.encode("utf-8", "surrogateescape")
        )
    ):
        raise SignatureRefused("InvalidToken", "The security token included in the request is invalid.")
    if session.expires_at <= now:
        raise SignatureRefused("ExpiredToken", "The security token included in the request is expired", 400)
    return credentials, session


@lru_cache(maxsize=256)
def _parse(root: Credentials, token: str) -> Session | None:
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mark, body = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
    if not hmac.compare_digest(mark, _mark(root, b"session", body)):
        return None
    expires_at, _, arn = body.decode().split(" ", 2)
    return Session(arn=arn, expires_at=int(expires_at))


@lru_cache(maxsize=256)
def _derive(root: Credentials, token: str) -> Credentials:
    number = hashlib.sha256(token.encode()).digest()
    return Credentials(
        access_key_id=KEY_PREFIX + base64.b32encode(number).decode()[:_ID_CHARACTERS],
        secret_access_key=base64.urlsafe_b64encode(_mark(root, b"secret", token.encode()))
        .decode()
        .rstrip("="),
        session_token=token,
    )


def _mark(root: Credentials, purpose: bytes, data: bytes) -> bytes:
    return hmac.digest(root.secret_access_key.encode(), b"outfitter/" + purpose + b"\n" + data, "sha256")
