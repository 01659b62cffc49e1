"""Who calls: access keys and the identities behind them.

One root key, and temporary keys of functions, which carry its rights; keys of users and roles join here without the doors
noticing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from outfitter_server.access.sessions import KEY_PREFIX, Session, make_session, read_session
from outfitter_server.access.signature import Credentials
from outfitter_server.base.installation import Installation


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller.

    Attributes:
        access_key_id: the key that signed; empty for a device that came with its certificate.
        certificate_id: of the device's certificate, None for everyone else.
    """

    account: str
    access_key_id: str
    arn: str
    certificate_id: str | None = None


class Callers:
    """The access keys of this installation."""

    def __init__(
        self, root: Credentials, installation: Installation, clock: Callable[[], int] = lambda: 0
    ) -> None:
        """``clock`` in milliseconds since the epoch: temporary keys end."""
        self._root = root
        self._account = installation.account
        self._clock = clock
        self._caller = Caller(
            account=installation.account,
            access_key_id=root.access_key_id,
            arn=f"arn:aws:iam::{installation.account}:root",
        )

    def credentials(self, access_key_id: str, session_token: str | None = None) -> Credentials | None:
        """The key with this id; None when there is none.

        Raises:
            SignatureRefused: the session token is not one of this key, or has expired.
        """
        if access_key_id == self._root.access_key_id:
            return self._root
        session = self._session(access_key_id, session_token)
        return None if session is None else session[0]

    def caller(self, access_key_id: str, session_token: str | None = None) -> Caller | None:
        """The identity behind a key whose signature was verified; None when there is no such key.

        Raises:
            SignatureRefused: the session token is not one of this key, or has expired.
        """
        if access_key_id == self._root.access_key_id:
            return self._caller
        session = self._session(access_key_id, session_token)
        if session is None:
            return None
        return Caller(account=self._account, access_key_id=access_key_id, arn=session[1].arn)

    def root(self) -> Credentials:
        """The key that signs what the server itself hands out, such as pre-signed URLs."""
        return self._root

    def lend(self, arn: str, life_seconds: int, nonce: str) -> Credentials:
        """A temporary key for somebody who goes by this ARN."""
        expires_at = self._clock() + life_seconds * 1000
        return make_session(self._root, Session(arn=arn, expires_at=expires_at), nonce)

    def _session(self, access_key_id: str, token: str | None) -> tuple[Credentials, Session] | None:
        if token is None or not access_key_id.startswith(KEY_PREFIX):
            return None
        return read_session(self._root, access_key_id, token, self._clock())
