"""Device certificates: issued, listed, activated, revoked, deleted; and the installation's CA as the registry shows it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from outfitter_server.access.certificates import (
    CertificateFacts,
    Status,
    check_deletion,
    check_new_status,
    read_certificate,
)
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import NotFound
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import PrincipalChanged, TrustChanged
from outfitter_server.services.ports import Authority, IssuedCertificate, Row, Transaction

_NEWEST: Final = (2**62, "g")  # before every row in falling order: hex digits end at f
_OLDEST: Final = (-1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """A registered certificate; times in milliseconds since the epoch, ``issuer_id`` the id of its registered CA."""

    id: str
    pem: str
    status: Status
    issuer_id: str | None
    generation_id: str
    version: int
    not_before: int
    not_after: int
    created_at: int
    modified_at: int
    mode: str
    anchored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLine:
    """A certificate as listings show it."""

    id: str
    status: Status
    created_at: int
    mode: str


class Certificates:
    """The registry of certificates."""

    def __init__(
        self, committer: Committer, authority: Authority, clock: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        """``clock`` gives milliseconds since the epoch, ``new_id`` a fresh UUID text."""
        self._committer = committer
        self._authority = authority
        self._clock = clock
        self._new_id = new_id
        self._ca = read_certificate(authority.ca_pem())

    async def create(self, *, active: bool) -> IssuedCertificate:
        """Issue a key pair with its certificate and register that; the private key is kept nowhere."""
        issued = await asyncio.to_thread(self._authority.issue_device, self._clock())
        await self._register(issued, active=active)
        return issued

    async def create_from_request(self, csr_pem: str, *, active: bool) -> IssuedCertificate:
        """Issue and register a certificate with the subject and key of a signing request.

        Raises:
            InvalidRequest: the request is not one, or its key is too weak.
        """
        issued = await asyncio.to_thread(self._authority.sign_request, csr_pem, self._clock())
        await self._register(issued, active=active)
        return issued

    def describe(self, identifier: str) -> CertificateRecord:
        """One certificate.

        Raises:
            NotFound: it is not registered.
        """
        return self._committer.read(lambda tx: certificate_or_refuse(tx, identifier))

    async def set_status(self, identifier: str, wanted: str) -> None:
        """Activate, deactivate or revoke; connections with it are judged anew.

        Raises:
            NotFound: it is not registered.
            InvalidRequest: a status that only the service sets.
        """
        status = check_new_status(wanted)
        await self._committer.change(lambda batch: set_status_in(batch, identifier, status))

    async def delete(self, identifier: str, *, force: bool) -> None:
        """Remove a certificate; ``force`` detaches its policies first.

        Raises:
            NotFound, CertificateState, DeleteConflict: see access.certificates.check_deletion.
        """
        target = f"cert/{identifier}"

        def apply(batch: Batch) -> None:
            tx = batch.tx
            record = certificate_or_refuse(tx, identifier)
            check_deletion(
                identifier,
                record.status,
                has_things=bool(
                    tx.all("things_of_certificate_page", certificate=identifier, after="", limit=1)
                ),
                has_policies=bool(tx.all("policies_of_target", target=target)),
                force=force,
            )
            tx.run("policy_targets_delete", target=target)
            tx.run("certificate_delete", id=identifier)
            batch.emit(PrincipalChanged(identifier))
            if record.anchored:
                batch.emit(TrustChanged())

        await self._committer.change(apply)

    def page(self, *, ascending: bool = False, token: str | None = None, limit: int) -> Page[CertificateLine]:
        """Certificates by their creation, the newest first unless ``ascending``.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, int, str) or (_OLDEST if ascending else _NEWEST)
        statement = "certificates_oldest_page" if ascending else "certificates_newest_page"
        rows = self._committer.read(
            lambda tx: tx.all(statement, created_at=position[0], id=position[1], limit=limit + 1)
        )
        lines = [
            CertificateLine(
                id=row["id"], status=Status(row["status"]), created_at=row["created_at"], mode=row["mode"]
            )
            for row in rows[:limit]
        ]
        return Page(lines, encode_token([lines[-1].created_at, lines[-1].id]) if len(rows) > limit else None)

    async def _register(self, issued: IssuedCertificate, *, active: bool) -> None:
        read = read_certificate(issued.certificate_pem)
        status = Status.ACTIVE if active else Status.INACTIVE
        await self._committer.change(
            lambda batch: register_in(
                batch, read, status=status, issuer_id=self._ca.id, generation_id=self._new_id()
            )
        )


def register_in(
    batch: Batch,
    read: CertificateFacts,
    *,
    status: Status,
    issuer_id: str | None,
    generation_id: str,
    mode: str = "DEFAULT",
    anchored: bool = False,
) -> None:
    """Write a certificate that is not registered yet; ``anchored``: no trusted authority vouches for it."""
    batch.tx.run(
        "certificate_insert",
        id=read.id,
        pem=read.pem,
        status=status,
        subject=msgspec.json.encode(read.variables).decode(),
        issuer_id=issuer_id,
        generation_id=generation_id,
        not_before=read.not_before,
        not_after=read.not_after,
        mode=mode,
        anchored=int(anchored),
        now=batch.now,
    )


def set_status_in(batch: Batch, identifier: str, status: Status) -> None:
    """``Certificates.set_status`` within a transaction that does more."""
    if certificate_or_refuse(batch.tx, identifier).status is not status:
        batch.tx.run("certificate_status", id=identifier, status=status, now=batch.now)
        batch.emit(PrincipalChanged(identifier))


def certificate_or_refuse(tx: Transaction, identifier: str) -> CertificateRecord:
    """The certificate.

    Raises:
        NotFound: it is not registered.
    """
    row = tx.one("certificate_by_id", id=identifier)
    if row is None:
        raise NotFound(f"certificate {identifier} does not exist")
    return _record(row)


def _record(row: Row) -> CertificateRecord:
    return CertificateRecord(
        id=row["id"],
        pem=row["pem"],
        status=Status(row["status"]),
        issuer_id=row["issuer_id"],
        generation_id=row["generation_id"],
        version=row["version"],
        not_before=row["not_before"],
        not_after=row["not_after"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
        mode=row["mode"],
        anchored=bool(row["anchored"]),
    )
