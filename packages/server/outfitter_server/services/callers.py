"""Who calls: access keys and the identities behind them.

One root key now; keys of users and roles join here without the doors noticing.
"""

from dataclasses import dataclass

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

    def __init__(self, root: Credentials, installation: Installation) -> None:
        self._root = root
        self._caller = Caller(
            account=installation.account,
            access_key_id=root.access_key_id,
            arn=f"arn:aws:iam::{installation.account}:root",
        )

    def credentials(self, access_key_id: str) -> Credentials | None:
        """The key with this id; None when there is none."""
        return self._root if access_key_id == self._root.access_key_id else None

    def caller(self, access_key_id: str) -> Caller | None:
        """The identity behind a key whose signature was verified; None when there is no such key."""
        return self._caller if access_key_id == self._root.access_key_id else None

    def root(self) -> Credentials:
        """The key that signs what the server itself hands out, such as pre-signed URLs."""
        return self._root
