"""Which certificates belong to which things."""

from dataclasses import dataclass
from typing import Final

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.certificates import certificate_or_refuse
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import PrincipalChanged
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.services.things import thing_or_refuse

ATTACHED_MAX: Final = 100  # certificates of a thing, and things of a certificate: bounds what a connect reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A certificate on a thing; ``exclusive``: the certificate may be on no other."""

    thing: str
    certificate: str
    exclusive: bool


class Principals:
    """Certificates attached to things."""

    def __init__(self, committer: Committer) -> None:
        """Reads and writes go through ``committer``."""
        self._committer = committer

    async def attach(self, thing: str, certificate: str, *, exclusive: bool = False) -> None:
        """Attach; a repeat of the same is nothing to do.

        Raises:
            NotFound: the thing or the certificate does not exist.
            InvalidRequest: an exclusive certificate on a second thing, or a hundred are attached already.
        """
        await self._committer.change(lambda batch: attach_in(batch, thing, certificate, exclusive=exclusive))

    async def detach(self, thing: str, certificate: str) -> None:
        """Detach; one that is not attached is nothing to do.

        Raises:
            NotFound: the thing or the certificate does not exist.
        """

        def apply(batch: Batch) -> None:
            thing_or_refuse(batch.tx, thing)
            certificate_or_refuse(batch.tx, certificate)
            if batch.tx.run("principal_detach", thing=thing, certificate=certificate):
                batch.emit(PrincipalChanged(certificate))

        await self._committer.change(apply)

    def of_thing(self, thing: str, *, token: str | None = None, limit: int) -> Page[Attachment]:
        """The certificates of a thing.

        Raises:
            NotFound: the thing does not exist.
            InvalidRequest: the token is not of this listing.
        """

        def ask(tx: Transaction, after: str) -> list[Row]:
            thing_or_refuse(tx, thing)
            return tx.all("certificates_of_thing_page", thing=thing, after=after, limit=limit + 1)

        after = _position(token)
        rows = self._committer.read(lambda tx: ask(tx, after))
        found = [
            Attachment(thing=thing, certificate=row["certificate"], exclusive=bool(row["exclusive"]))
            for row in rows[:limit]
        ]
        return Page(found, encode_token([found[-1].certificate]) if len(rows) > limit else None)

    def of_certificate(self, certificate: str, *, token: str | None = None, limit: int) -> Page[Attachment]:
        """The things of a certificate.

        Raises:
            NotFound: the certificate does not exist.
            InvalidRequest: the token is not of this listing.
        """

        def ask(tx: Transaction, after: str) -> list[Row]:
            certificate_or_refuse(tx, certificate)
            return tx.all("things_of_certificate_page", certificate=certificate, after=after, limit=limit + 1)

        after = _position(token)
        rows = self._committer.read(lambda tx: ask(tx, after))
        found = [
            Attachment(thing=row["thing"], certificate=certificate, exclusive=bool(row["exclusive"]))
            for row in rows[:limit]
        ]
        return Page(found, encode_token([found[-1].thing]) if len(rows) > limit else None)


def attach_in(batch: Batch, thing: str, certificate: str, *, exclusive: bool) -> None:
    """``Principals.attach`` within a transaction that does more."""
    tx = batch.tx
    thing_or_refuse(tx, thing)
    certificate_or_refuse(tx, certificate)
    others = [
        row for row in tx.all("things_of_certificate", certificate=certificate) if row["thing"] != thing
    ]
    if others and (exclusive or any(row["exclusive"] for row in others)):
        raise InvalidRequest(
            f"certificate {certificate} is attached to thing {others[0]['thing']} and an exclusive one may be on"
            " one thing only: detach it there first"
        )
    present = tx.one("principal_of_thing", thing=thing, certificate=certificate)
    if present is not None and bool(present["exclusive"]) is exclusive:
        return
    if present is None:
        _check_room(tx, thing, certificate, len(others))
    tx.run("principal_detach", thing=thing, certificate=certificate)
    tx.run("principal_attach", thing=thing, certificate=certificate, exclusive=int(exclusive))
    batch.emit(PrincipalChanged(certificate))


def _check_room(tx: Transaction, thing: str, certificate: str, things: int) -> None:
    counted = tx.one("principals_of_thing_count", thing=thing)
    if counted is not None and counted["attached"] >= ATTACHED_MAX:
        raise InvalidRequest(f"thing {thing} has {ATTACHED_MAX} certificates already: detach one first")
    if things >= ATTACHED_MAX:
        raise InvalidRequest(
            f"certificate {certificate} is attached to {ATTACHED_MAX} things already: detach one first"
        )


def _position(token: str | None) -> str:
    position = decode_token(token, str)
    return str(position[0]) if position else ""
