"""Certificate authorities: registered, described, changed, deleted; the installation's own beside them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from outfitter_server.access.authorities import Signed, check_authority, check_verification, read_signed
from outfitter_server.access.certificates import Status, read_certificate
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import (
    AlreadyExists,
    CertificateState,
    InvalidRequest,
    LimitExceeded,
    NotFound,
)
from outfitter_server.services.certificates import CertificateLine
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import TrustChanged
from outfitter_server.services.ports import Authority, Row, Transaction
from outfitter_server.services.provisioning_templates import JUST_IN_TIME, template_or_refuse
from outfitter_server.things.provisioning import parse_template
from outfitter_server.things.values import Tags

AUTHORITIES_MAX: Final = 1_000
SAME_NAME_MAX: Final = 10
ANCHORED_MAX: Final = 10_000  # certificates that are trusted by themselves
DEFAULT: Final = "DEFAULT"
SNI_ONLY: Final = "SNI_ONLY"
_NEWEST: Final = (2**62, "g")
_OLDEST: Final = (-1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationConfig:
    """How devices are provisioned that an authority vouches for, when they come for the first time."""

    template: str | None = None
    body: str | None = None
    role_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """A CA as the registry shows it; times in milliseconds since the epoch."""

    id: str
    pem: str
    status: Status
    mode: str
    registers: bool
    config: RegistrationConfig
    generation_id: str
    version: int
    not_before: int
    not_after: int
    created_at: int
    modified_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityLine:
    """A CA as listings show it."""

    id: str
    status: Status
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAuthority:
    """What RegisterCACertificate is given."""

    pem: str
    verification_pem: str | None
    mode: str
    active: bool
    registers: bool
    config: RegistrationConfig
    tags: Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityChange:
    """What UpdateCACertificate changes; None leaves a member as it is."""

    status: str | None = None
    registers: bool | None = None
    config: RegistrationConfig | None = None
    remove_config: bool = False


class Authorities:
    """The registry of CAs. The installation's own is shown with them and cannot be changed."""

    def __init__(
        self,
        committer: Committer,
        authority: Authority,
        new_id: Callable[[], str],
        new_code: Callable[[], str],
        arn: Callable[[str], str],
    ) -> None:
        """``new_code`` makes 64 hex digits that nobody can guess; ``arn`` tells the ARN of a CA."""
        self._committer = committer
        self._new_id = new_id
        self._new_code = new_code
        self._arn = arn
        self._own = read_certificate(authority.ca_pem())

    async def code(self) -> str:
        """The registration code, made when there is none."""
        code = self._new_code()

        def apply(batch: Batch) -> str:
            row = batch.tx.one("registration_code")
            if row is not None:
                return str(row["code"])
            batch.tx.run("registration_code_insert", code=code)
            return code

        return await self._committer.change(apply)

    async def forget_code(self) -> None:
        """Delete the registration code; the next one is another.

        Raises:
            NotFound: there is none.
        """

        def apply(batch: Batch) -> None:
            if not batch.tx.run("registration_code_delete"):
                raise NotFound("there is no registration code")

        await self._committer.change(apply)

    async def register(self, new: NewAuthority) -> str:
        """Register a CA; its id.

        Raises:
            CertificateInvalid, RegistrationCodeInvalid: see access.authorities.
            InvalidRequest: DEFAULT mode without a verification certificate, or SNI_ONLY with one.
            AlreadyExists, LimitExceeded: it is registered, or too many are.
        """
        read = read_signed(new.pem)
        check_authority(read)
        if (new.verification_pem is None) is (new.mode == DEFAULT):
            raise InvalidRequest(
                "mode DEFAULT needs a verificationCertificate that the CA signed, and SNI_ONLY takes none"
            )

        def apply(batch: Batch) -> str:
            tx = batch.tx
            if new.verification_pem is not None:
                row = tx.one("registration_code")
                check_verification(read, new.verification_pem, "" if row is None else row["code"])
            self._refuse_known(tx, read)
            _check_config(tx, new.config)
            tx.run(
                "authority_insert",
                id=read.facts.id,
                pem=read.facts.pem,
                subject=read.subject,
                status=Status.ACTIVE if new.active else Status.INACTIVE,
                mode=new.mode,
                auto_registration=int(new.registers),
                generation_id=self._new_id(),
                tags=msgspec.json.encode(new.tags).decode(),
                not_before=read.facts.not_before,
                not_after=read.facts.not_after,
                now=batch.now,
                **_config_columns(new.config),
            )
            batch.emit(TrustChanged())
            return read.facts.id

        return await self._committer.change(apply)

    def describe(self, identifier: str) -> AuthorityRecord:
        """One CA.

        Raises:
            NotFound: it is not registered.
        """
        if identifier == self._own.id:
            return self._shown_own()
        return self._committer.read(lambda tx: authority_or_refuse(tx, identifier))

    async def update(self, identifier: str, change: AuthorityChange) -> None:
        """Change status, registration of devices, or how those are provisioned.

        Raises:
            NotFound: it is not registered.
            InvalidRequest: it is the installation's own, or the template does not fit.
        """
        self._refuse_own(identifier)

        def apply(batch: Batch) -> None:
            before = authority_or_refuse(batch.tx, identifier)
            config = RegistrationConfig() if change.remove_config else change.config or before.config
            _check_config(batch.tx, config)
            after = replace(
                before,
                status=Status(change.status) if change.status else before.status,
                registers=before.registers if change.registers is None else change.registers,
            )
            batch.tx.run(
                "authority_update",
                id=identifier,
                status=after.status,
                auto_registration=int(after.registers and not change.remove_config),
                now=batch.now,
                **_config_columns(config),
            )

        await self._committer.change(apply)

    async def delete(self, identifier: str) -> None:
        """Remove a CA; the certificates that it signed keep their own status, and are trusted by themselves from then on.

        Raises:
            NotFound: it is not registered.
            CertificateState: it is ACTIVE.
            InvalidRequest: it is the installation's own, or its certificates are too many to be trusted by themselves.
        """
        self._refuse_own(identifier)

        def apply(batch: Batch) -> None:
            if authority_or_refuse(batch.tx, identifier).status is Status.ACTIVE:
                raise CertificateState(
                    f"CA certificate {identifier} is ACTIVE: set it INACTIVE before deleting it"
                )
            _anchor(batch.tx, identifier)
            batch.tx.run("authority_delete", id=identifier)
            batch.emit(TrustChanged())

        await self._committer.change(apply, heavy=True)

    def page(
        self, *, template: str | None, ascending: bool, token: str | None, limit: int
    ) -> Page[AuthorityLine]:
        """CAs: the installation's own, then those that were registered, the newest first unless ``ascending``.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        lines: list[AuthorityLine] = []
        position = decode_token(token, int, str)
        if position is None:
            position = _OLDEST if ascending else _NEWEST
            if template is None:
                lines = [
                    AuthorityLine(id=self._own.id, status=Status.ACTIVE, created_at=self._own.not_before)
                ]
        statement = "authorities_oldest_page" if ascending else "authorities_newest_page"
        room = limit - len(lines)
        rows = self._committer.read(
            lambda tx: tx.all(
                statement, created_at=position[0], id=position[1], template=template, limit=room + 1
            )
        )
        found = [
            AuthorityLine(id=row["id"], status=Status(row["status"]), created_at=row["created_at"])
            for row in rows[:room]
        ]
        more = None
        if len(rows) > room:
            more = encode_token([found[-1].created_at, found[-1].id] if found else position)
        return Page([*lines, *found], more)

    def certificates(
        self, identifier: str, *, ascending: bool, token: str | None, limit: int
    ) -> Page[CertificateLine]:
        """The certificates that a CA signed, by their creation.

        Raises:
            NotFound: it is not registered.
            InvalidRequest: the token is not of this listing.
        """
        self.describe(identifier)
        position = decode_token(token, int, str) or (_OLDEST if ascending else _NEWEST)
        order = "oldest" if ascending else "newest"
        rows = self._committer.read(
            lambda tx: tx.all(
                f"certificates_of_authority_{order}_page",
                issuer=identifier,
                created_at=position[0],
                id=position[1],
                limit=limit + 1,
            )
        )
        lines = [
            CertificateLine(
                id=row["id"], status=Status(row["status"]), created_at=row["created_at"], mode=row["mode"]
            )
            for row in rows[:limit]
        ]
        return Page(lines, encode_token([lines[-1].created_at, lines[-1].id]) if len(rows) > limit else None)

    def _refuse_known(self, tx: Transaction, read: Signed) -> None:
        known = read.facts.id == self._own.id or tx.one("authority_by_id", id=read.facts.id) is not None
        if known:
            raise AlreadyExists(
                "the CA certificate is registered already",
                resourceId=read.facts.id,
                resourceArn=self._arn(read.facts.id),
            )
        if len(tx.all("authorities_by_subject", subject=read.subject)) >= SAME_NAME_MAX:
            raise LimitExceeded(f"{SAME_NAME_MAX} CA certificates of this subject are registered already")
        if tx.one("authorities_beyond", count=AUTHORITIES_MAX - 1) is not None:
            raise LimitExceeded(f"{AUTHORITIES_MAX} CA certificates are registered already")

    def _refuse_own(self, identifier: str) -> None:
        if identifier == self._own.id:
            raise InvalidRequest("this is the installation's own CA: it cannot be changed or deleted")

    def _shown_own(self) -> AuthorityRecord:
        own = self._own
        return AuthorityRecord(
            id=own.id,
            pem=own.pem,
            status=Status.ACTIVE,
            mode=DEFAULT,
            registers=False,
            config=RegistrationConfig(),
            generation_id="",
            version=1,
            not_before=own.not_before,
            not_after=own.not_after,
            created_at=own.not_before,
            modified_at=own.not_before,
        )


def authority_or_refuse(tx: Transaction, identifier: str) -> AuthorityRecord:
    """The registered CA.

    Raises:
        NotFound: it is not registered.
    """
    row = tx.one("authority_by_id", id=identifier)
    if row is None:
        raise NotFound(f"CA certificate {identifier} does not exist")
    return read_authority(row)


def read_authority(row: Row) -> AuthorityRecord:
    """The CA in a row of ``ca_certificates``."""
    return AuthorityRecord(
        id=row["id"],
        pem=row["pem"],
        status=Status(row["status"]),
        mode=row["mode"],
        registers=bool(row["auto_registration"]),
        config=RegistrationConfig(
            template=row["template"], body=row["template_body"], role_arn=row["role_arn"]
        ),
        generation_id=row["generation_id"],
        version=row["version"],
        not_before=row["not_before"],
        not_after=row["not_after"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _anchor(tx: Transaction, identifier: str) -> None:
    many = tx.one("certificates_of_authority_beyond", issuer=identifier, count=ANCHORED_MAX) is not None
    if not many:
        tx.run("certificates_of_authority_anchor", id=identifier)
        many = tx.one("anchored_beyond", count=ANCHORED_MAX) is not None
    if many:
        raise InvalidRequest(
            f"without CA certificate {identifier} more than {ANCHORED_MAX} certificates would have to be trusted by themselves:"
            " keep it INACTIVE, or delete certificates that it signed"
        )


def _check_config(tx: Transaction, config: RegistrationConfig) -> None:
    if config.body is not None and config.template is not None:
        raise InvalidRequest("registrationConfig has a templateName or a templateBody, not both")
    if config.body is not None:
        parse_template(config.body)
    if config.template is not None and template_or_refuse(tx, config.template).type != JUST_IN_TIME:
        raise InvalidRequest(f"provisioning template {config.template} is not of type {JUST_IN_TIME}")


def _config_columns(config: RegistrationConfig) -> dict[str, Any]:
    return {"template": config.template, "template_body": config.body, "role_arn": config.role_arn}
