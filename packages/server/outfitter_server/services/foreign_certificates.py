"""Certificates that others signed: registered with their CA, alone, or at the device's first connection."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from outfitter_server.access.authorities import CertificateInvalid, Signed, read_signed, signed_by
from outfitter_server.access.certificates import Status
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import (
    AlreadyExists,
    CertificateState,
    InvalidRequest,
    LimitExceeded,
    Refusal,
)
from outfitter_server.services.authorities import (
    ANCHORED_MAX,
    DEFAULT,
    SNI_ONLY,
    AuthorityRecord,
    read_authority,
)
from outfitter_server.services.certificates import register_in
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import TrustChanged
from outfitter_server.services.fleet_provisioning import certificate_parameters
from outfitter_server.services.messages import Publish, Published
from outfitter_server.services.ports import Transaction
from outfitter_server.services.provisioning_templates import template_or_refuse
from outfitter_server.services.registrations import Registrations
from outfitter_server.things.provisioning import parse_template

REGISTERED: Final = "$aws/events/certificates/registered/"
_STATUSES: Final = frozenset({Status.ACTIVE, Status.INACTIVE, Status.REVOKED, Status.PENDING_ACTIVATION})

_log = logging.getLogger(__name__)


class ForeignCertificates:
    """Registers what it did not sign."""

    def __init__(
        self,
        committer: Committer,
        registrations: Registrations,
        installation: Installation,
        new_id: Callable[[], str],
        publish: Publish,
    ) -> None:
        """``registrations`` provisions devices whose CA has a template; ``publish`` tells of the others."""
        self._committer = committer
        self._registrations = registrations
        self._installation = installation
        self._new_id = new_id
        self._publish = publish
        self._tasks: set[asyncio.Task[None]] = set()

    async def register(self, pem: str, authority_pem: str | None, status: str) -> str:
        """Register a certificate that a registered, ACTIVE CA signed; its id.

        Raises:
            CertificateInvalid: it is none, or no registered CA signed it.
            CertificateState: the CA is INACTIVE.
            AlreadyExists: it is registered.
        """
        read = read_signed(pem)
        wanted = authority_pem and read_signed(authority_pem).facts.id
        return await self._committer.change(
            lambda batch: self.register_in(batch, read, wanted or None, _new_status(status))
        )

    def register_in(self, batch: Batch, read: Signed, authority: str | None, status: Status) -> str:
        """``register`` within a transaction that does more."""
        found = _signer(batch.tx, read, authority)
        if found.status is not Status.ACTIVE:
            raise CertificateState(f"CA certificate {found.id} is {found.status}: set it ACTIVE first")
        self._write(batch, read, status, issuer=found.id)
        return read.facts.id

    async def register_alone(self, pem: str, status: str) -> str:
        """Register a certificate whoever signed it; its id.

        Raises:
            CertificateInvalid: it is none.
            AlreadyExists, LimitExceeded: it is registered, or too many are trusted by themselves.
        """
        read = read_signed(pem)

        def apply(batch: Batch) -> str:
            if batch.tx.one("anchored_beyond", count=ANCHORED_MAX - 1) is not None:
                raise LimitExceeded(
                    f"{ANCHORED_MAX} certificates are trusted by themselves: register their CA instead"
                )
            self._write(batch, read, _new_status(status), issuer=None)
            batch.emit(TrustChanged())
            return read.facts.id

        return await self._committer.change(apply)

    def meet(self, certificate_der: bytes) -> bool:
        """A device shows a certificate that may not connect: whether it is one to be registered, now or once more.

        What follows is done in the background; the device is to be sent away without a word, and comes again.
        """
        try:
            read = read_signed(certificate_der)
        except CertificateInvalid:
            return False
        authority = self._committer.read(lambda tx: _registering(tx, read))
        if authority is None:
            return False
        task = asyncio.get_running_loop().create_task(self._welcome(read))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _welcome(self, read: Signed) -> None:
        def apply(batch: Batch) -> tuple[AuthorityRecord | None, int]:
            # Asked once more: it may have been revoked, or its CA switched off, since its device was met.
            authority = _registering(batch.tx, read)
            if authority is None:
                return None, batch.now
            if batch.tx.one("certificate_by_id", id=read.facts.id) is None:
                self._write(batch, read, Status.PENDING_ACTIVATION, issuer=authority.id)
            self._provision(batch, read.facts.id, authority)
            return authority, batch.now

        try:
            authority, now = await self._committer.change(apply)
        except Refusal as refusal:
            _log.warning("certificate %s is not registered: %s", read.facts.id, refusal.message)
            return
        if authority is not None and not _provisions(authority):
            self._publish(Published(REGISTERED + authority.id, self._event(read, authority, now), qos=1))

    def _provision(self, batch: Batch, certificate: str, authority: AuthorityRecord) -> None:
        if not _provisions(authority):
            return
        body = authority.config.body
        if authority.config.template is not None:
            template = template_or_refuse(batch.tx, authority.config.template)
            if not template.enabled:
                raise InvalidRequest(f"provisioning template {template.name} is not enabled")
            body = template.body
        plan = parse_template(body or "").plan(certificate_parameters(batch.tx, certificate))
        self._registrations.apply_in(batch, plan, certificate)

    def _write(self, batch: Batch, read: Signed, status: Status, *, issuer: str | None) -> None:
        identifier = read.facts.id
        if batch.tx.one("certificate_by_id", id=identifier) is not None:
            raise AlreadyExists(
                "the certificate is registered already",
                resourceId=identifier,
                resourceArn=self._installation.iot_arn("cert", identifier),
            )
        register_in(
            batch,
            read.facts,
            status=status,
            issuer_id=issuer,
            generation_id=self._new_id(),
            mode=SNI_ONLY if issuer is None else DEFAULT,
            anchored=issuer is None,
        )

    def _event(self, read: Signed, authority: AuthorityRecord, now: int) -> bytes:
        return msgspec.json.encode(
            {
                "certificateId": read.facts.id,
                "caCertificateId": authority.id,
                "timestamp": now,
                "certificateStatus": Status.PENDING_ACTIVATION.value,
                "awsAccountId": self._installation.account,
                "certificateRegistrationTimestamp": str(now),
            }
        )


def _new_status(wanted: str) -> Status:
    if wanted not in _STATUSES:
        raise InvalidRequest(f"a certificate cannot be registered as {wanted}: use ACTIVE or INACTIVE")
    return Status(wanted)


def _signer(tx: Transaction, read: Signed, wanted: str | None) -> AuthorityRecord:
    found = _authorities(tx, read)
    if wanted is not None:
        found = [each for each in found if each.id == wanted]
    found.sort(key=lambda each: each.status is not Status.ACTIVE)
    for authority in found:
        if signed_by(read.facts.pem, authority.pem):
            return authority
    raise CertificateInvalid(
        "no registered CA signed the certificate: register its CA first, or use RegisterCertificateWithoutCA"
    )


def _registering(tx: Transaction, read: Signed) -> AuthorityRecord | None:
    """The CA that signed it, if that registers devices when they come, and this one waits for it."""
    row = tx.one("certificate_by_id", id=read.facts.id)
    if row is not None and row["status"] != Status.PENDING_ACTIVATION:
        return None
    for authority in _authorities(tx, read):
        welcomes = authority.registers and authority.status is Status.ACTIVE
        if welcomes and signed_by(read.facts.pem, authority.pem):
            return authority
    return None


def _authorities(tx: Transaction, read: Signed) -> list[AuthorityRecord]:
    return [read_authority(row) for row in tx.all("authorities_by_subject", subject=read.issuer)]


def _provisions(authority: AuthorityRecord) -> bool:
    return authority.config.template is not None or authority.config.body is not None
