"""Who a connection is: from its certificate to its things and the policies that decide for it.

Asked at every connect: three reads by key, and documents that are compiled once for all who share them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from outfitter_server.access.certificates import Status, fingerprint
from outfitter_server.access.policy import PolicyDocument, parse_policy
from outfitter_server.services.committer import Committer
from outfitter_server.services.ports import Authority, Transaction
from outfitter_server.services.things import find_thing

PEMS_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """A registered certificate at the moment it was asked for.

    Attributes:
        certificate_id: 64 hex digits.
        status: only ACTIVE may connect.
        things: the things that it is attached to.
        documents: the default versions of the policies on it and on the groups (and those above) of its things.
        subject: policy variables that it gives, by full name, ``iot:CertificateId`` among them.
        temporary: a claim of CreateProvisioningClaim.
    """

    certificate_id: str
    status: Status
    things: frozenset[str]
    documents: tuple[PolicyDocument, ...]
    subject: Mapping[str, str]
    temporary: bool = False

    @property
    def active(self) -> bool:
        """Whether it may connect at all."""
        return self.status is Status.ACTIVE


class Devices:
    """Identities of devices."""

    def __init__(self, committer: Committer, authority: Authority) -> None:
        """``authority`` is whose certificates TLS trusts."""
        self._committer = committer
        self._authority = authority

    def identify(self, certificate_der: bytes) -> DeviceIdentity | None:
        """Who shows this certificate, None when it is not registered; the fingerprint decides, whatever signed it."""
        return self.identify_id(fingerprint(certificate_der))

    def identify_id(self, certificate_id: str) -> DeviceIdentity | None:
        """Who has the certificate with this id, None when it is not registered, or is a claim whose time is over."""
        return self._committer.read(lambda tx: _identity(tx, certificate_id, self._committer.now()))

    def variables(self, identity: DeviceIdentity, client_id: str) -> dict[str, str]:
        """The policy variables of a connection.

        Those of a thing are there only when the client id is the name of a thing that the certificate is attached to.
        """
        found = {**identity.subject, "iot:ClientId": client_id}
        attached = client_id in identity.things
        found["iot:Connection.Thing.IsAttached"] = "true" if attached else "false"
        thing = self._committer.read(lambda tx: find_thing(tx, client_id)) if attached else None
        if thing is not None:
            found["iot:Connection.Thing.ThingName"] = thing.name
            if thing.type is not None:
                found["iot:Connection.Thing.ThingTypeName"] = thing.type
            for name, value in thing.attributes.items():
                found[f"iot:Connection.Thing.Attributes[{name}]"] = value
        return found

    def trust_pem(self) -> str:
        """The certificates that the listeners' TLS contexts trust, PEM: CAs, and those that no CA vouches for."""
        own = self._authority.ca_pem()
        return own + self._committer.read(
            lambda tx: "".join([*_pems(tx, "authority_pems_page"), *_pems(tx, "anchored_pems_page")])
        )


def _pems(tx: Transaction, statement: str) -> Iterator[str]:
    after = ""
    while rows := tx.all(statement, after=after, limit=PEMS_PAGE):
        yield from (row["pem"] for row in rows)
        after = rows[-1]["id"]


def _identity(tx: Transaction, certificate_id: str, now: int) -> DeviceIdentity | None:
    row = tx.one("identity_by_id", id=certificate_id)
    if row is None:
        return _claim(tx, certificate_id, now)
    subject = msgspec.json.decode(row["subject"], type=dict[str, str])
    subject["iot:CertificateId"] = certificate_id
    return DeviceIdentity(
        certificate_id=certificate_id,
        status=Status(row["status"]),
        things=frozenset(
            found["thing"] for found in tx.all("things_of_certificate", certificate=certificate_id)
        ),
        documents=tuple(
            parse_policy(found["document"]) for found in tx.all("documents_of_certificate", id=certificate_id)
        ),
        subject=subject,
    )


def _claim(tx: Transaction, certificate_id: str, now: int) -> DeviceIdentity | None:
    """A certificate of CreateProvisioningClaim: not of the registry, and for its five minutes as good as one of it."""
    row = tx.one("claim_by_id", id=certificate_id)
    if row is None or row["expires_at"] <= now:
        return None
    return DeviceIdentity(
        certificate_id=certificate_id,
        status=Status.ACTIVE,
        things=frozenset(),
        documents=(parse_policy(row["document"]),),
        subject=msgspec.json.decode(row["subject"], type=dict[str, str])
        | {"iot:CertificateId": certificate_id},
        temporary=True,
    )
