"""Policies: documents in versions, of which the default one decides, attached to certificates and thing groups."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from outfitter_server.access.policy import parse_policy
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import (
    AlreadyExists,
    DeleteConflict,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    VersionsLimitExceeded,
)
from outfitter_server.services.certificates import certificate_or_refuse
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import PrincipalChanged
from outfitter_server.services.groups import group_or_refuse, refuse_dynamic
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.things.values import Tags

VERSIONS_MAX: Final = 5
POLICIES_OF_A_TARGET_MAX: Final = 10
# With more targets than these, every connection is judged anew instead of each by name.
_TOLD_BY_NAME_MAX: Final = 100
_NEWEST: Final = (2**62, "\U0010ffff")
_OLDEST: Final = (-1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """A policy with the document of its default version; times in milliseconds since the epoch."""

    name: str
    document: str
    default_version: int
    generation_id: str
    created_at: int
    modified_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version; ``document`` is empty in listings."""

    policy: str
    version: int
    document: str
    is_default: bool
    generation_id: str
    created_at: int
    modified_at: int


class Policies:
    """The registry of policies. A target is the end of its ARN: ``cert/{id}`` or ``thinggroup/{name}``."""

    def __init__(self, committer: Committer, new_id: Callable[[], str]) -> None:
        """``new_id`` makes a fresh UUID text."""
        self._committer = committer
        self._new_id = new_id

    async def create(self, name: str, document: str, tags: Tags, arn: str) -> None:
        """Make a policy with its version 1.

        Raises:
            AlreadyExists: the name is taken (``arn`` is told then); AWS does not compare documents.
            MalformedPolicy: the document is no policy.
        """
        await self._committer.change(lambda batch: self.create_in(batch, name, document, tags, arn))

    def create_in(self, batch: Batch, name: str, document: str, tags: Tags, arn: str) -> None:
        """``create`` within a transaction that does more."""
        parse_policy(document)
        if batch.tx.one("policy_by_name", name=name) is not None:
            raise AlreadyExists(
                f"policy {name} already exists: create a version of it instead", resourceArn=arn
            )
        text = msgspec.json.encode(tags).decode()
        batch.tx.run("policy_insert", name=name, generation_id=self._new_id(), tags=text, now=batch.now)
        batch.tx.run("policy_version_insert", policy=name, version=1, document=document, now=batch.now)

    def describe(self, name: str) -> PolicyRecord:
        """One policy.

        Raises:
            NotFound: there is none of this name.
        """
        return self._committer.read(lambda tx: _policy_or_refuse(tx, name))

    async def delete(self, name: str) -> None:
        """Remove a policy.

        Raises:
            NotFound: there is none of this name.
            DeleteConflict: it has versions besides the default (looked at first) or is attached.
        """

        def apply(batch: Batch) -> None:
            tx = batch.tx
            _policy_or_refuse(tx, name)
            if len(tx.all("policy_versions", policy=name)) > 1:
                raise DeleteConflict(f"policy {name} has more than one version: delete the others first")
            if tx.all("targets_of_policy_page", policy=name, after="", limit=1):
                raise DeleteConflict(f"policy {name} is attached: detach it from its targets first")
            tx.run("policy_versions_delete", policy=name)
            tx.run("policy_delete", name=name)

        await self._committer.change(apply)

    def page(self, *, ascending: bool = False, token: str | None = None, limit: int) -> Page[str]:
        """Names of policies by creation, the newest first unless ``ascending``.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, int, str) or (_OLDEST if ascending else _NEWEST)
        statement = "policies_oldest_page" if ascending else "policies_newest_page"
        rows = self._committer.read(
            lambda tx: tx.all(statement, created_at=position[0], name=position[1], limit=limit + 1)
        )
        more = rows[limit - 1] if len(rows) > limit else None
        token = encode_token([more["created_at"], more["name"]]) if more is not None else None
        return Page([row["name"] for row in rows[:limit]], token)

    async def create_version(self, name: str, document: str, *, as_default: bool) -> PolicyVersion:
        """Add a version; numbers rise and are never used again.

        Raises:
            NotFound: there is no such policy.
            MalformedPolicy: the document is no policy.
            VersionsLimitExceeded: it has five.
        """
        parse_policy(document)

        def apply(batch: Batch) -> PolicyVersion:
            tx = batch.tx
            row = tx.one("policy_by_name", name=name)
            if row is None:
                raise _unknown(name)
            if len(tx.all("policy_versions", policy=name)) >= VERSIONS_MAX:
                raise VersionsLimitExceeded(f"policy {name} has {VERSIONS_MAX} versions: delete one first")
            version = row["last_version"] + 1
            tx.run("policy_version_insert", policy=name, version=version, document=document, now=batch.now)
            tx.run("policy_new_version", name=name, version=version, now=batch.now)
            if as_default:
                tx.run("policy_default", name=name, version=version, now=batch.now)
                _tell_targets(batch, name)
            return _version_or_refuse(tx, name, version)

        return await self._committer.change(apply)

    def version(self, name: str, version: int) -> PolicyVersion:
        """One version with its document.

        Raises:
            NotFound: there is no such policy or version.
        """
        return self._committer.read(lambda tx: _version_or_refuse(tx, name, version))

    def versions(self, name: str) -> list[PolicyVersion]:
        """Every version, the newest first, without documents.

        Raises:
            NotFound: there is no such policy.
        """

        def ask(tx: Transaction) -> list[PolicyVersion]:
            policy = _policy_or_refuse(tx, name)
            return [
                PolicyVersion(
                    policy=name,
                    version=row["version"],
                    document="",
                    is_default=row["version"] == row["default_version"],
                    generation_id=policy.generation_id,
                    created_at=row["created_at"],
                    modified_at=policy.modified_at,
                )
                for row in tx.all("policy_versions", policy=name)
            ]

        return self._committer.read(ask)

    async def set_default(self, name: str, version: int) -> None:
        """Make a version the one that decides; connections are judged anew.

        Raises:
            NotFound: there is no such policy or version.
        """

        def apply(batch: Batch) -> None:
            if _version_or_refuse(batch.tx, name, version).is_default:
                return
            batch.tx.run("policy_default", name=name, version=version, now=batch.now)
            _tell_targets(batch, name)

        await self._committer.change(apply)

    async def delete_version(self, name: str, version: int) -> None:
        """Remove a version.

        Raises:
            NotFound: there is no such policy or version.
            DeleteConflict: it is the default.
        """

        def apply(batch: Batch) -> None:
            if _version_or_refuse(batch.tx, name, version).is_default:
                raise DeleteConflict(
                    f"version {version} is the default of policy {name}: make another the default first"
                )
            batch.tx.run("policy_version_delete", policy=name, version=version)

        await self._committer.change(apply)

    async def attach(self, name: str, target: str) -> None:
        """Attach; a repeat is nothing to do.

        Raises:
            NotFound: there is no such policy or target.
            InvalidRequest: the target is a dynamic group.
            LimitExceeded: the target has ten policies.
        """
        await self._committer.change(lambda batch: attach_in(batch, name, target))

    async def detach(self, name: str, target: str) -> None:
        """Detach; what is not attached, or does not exist, is nothing to do."""

        def apply(batch: Batch) -> None:
            if batch.tx.run("policy_target_delete", target=target, policy=name):
                batch.emit(_changed(target))

        await self._committer.change(apply)

    def of_target(self, target: str, *, recursive: bool = False) -> list[str]:
        """Names of the policies on a target; ``recursive``: also on the groups above a group. At most seventy.

        Raises:
            NotFound: there is no such target.
        """
        kind, _, name = target.partition("/")

        def ask(tx: Transaction) -> list[str]:
            _check_target(tx, target)
            if recursive and kind == "thinggroup":
                return [row["policy"] for row in tx.all("policies_of_group_and_above", group=name)]
            return [row["policy"] for row in tx.all("policies_of_target", target=target)]

        return self._committer.read(ask)

    def of_target_by_age(self, target: str, *, ascending: bool) -> list[str]:
        """Names of the policies on a target by their creation, the newest first unless ``ascending``.

        Raises:
            NotFound: there is no such target.
        """

        def ask(tx: Transaction) -> list[Row]:
            _check_target(tx, target)
            return tx.all("policies_of_target", target=target)

        rows = sorted(self._committer.read(ask), key=lambda row: row["created_at"], reverse=not ascending)
        return [row["policy"] for row in rows]

    def targets(self, name: str, *, token: str | None = None, limit: int) -> Page[str]:
        """Targets that a policy is attached to.

        Raises:
            NotFound: there is no such policy.
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, str)
        after = position[0] if position else ""

        def ask(tx: Transaction) -> list[Row]:
            _policy_or_refuse(tx, name)
            return tx.all("targets_of_policy_page", policy=name, after=after, limit=limit + 1)

        rows = self._committer.read(ask)
        more = encode_token([rows[limit - 1]["target"]]) if len(rows) > limit else None
        return Page([row["target"] for row in rows[:limit]], more)


def attach_in(batch: Batch, name: str, target: str) -> None:
    """``Policies.attach`` within a transaction that does more."""
    tx = batch.tx
    _policy_or_refuse(tx, name)
    _check_target(tx, target)
    kind, _, group = target.partition("/")
    if kind == "thinggroup":
        refuse_dynamic(tx, group, "takes no policies")
    present = {row["policy"] for row in tx.all("policies_of_target", target=target)}
    if name in present:
        return
    if len(present) >= POLICIES_OF_A_TARGET_MAX:
        raise LimitExceeded(f"{target} has {len(present)} policies already: detach one first")
    tx.run("policy_target_insert", target=target, policy=name)
    batch.emit(_changed(target))


def policy_document(tx: Transaction, name: str) -> str | None:
    """The document that decides for a policy, None when there is none of this name."""
    row = tx.one("policy_by_name", name=name)
    return None if row is None else str(row["document"])


def _unknown(name: str) -> NotFound:
    return NotFound(f"policy {name} does not exist")


def _policy_or_refuse(tx: Transaction, name: str) -> PolicyRecord:
    row = tx.one("policy_by_name", name=name)
    if row is None:
        raise _unknown(name)
    return PolicyRecord(
        name=row["name"],
        document=row["document"],
        default_version=row["default_version"],
        generation_id=row["generation_id"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _version_or_refuse(tx: Transaction, name: str, version: int) -> PolicyVersion:
    row = tx.one("policy_version", policy=name, version=version)
    if row is None:
        _policy_or_refuse(tx, name)
        raise NotFound(f"policy {name} has no version {version}")
    return PolicyVersion(
        policy=name,
        version=version,
        document=row["document"],
        is_default=version == row["default_version"],
        generation_id=row["generation_id"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _check_target(tx: Transaction, target: str) -> None:
    kind, _, name = target.partition("/")
    if kind == "cert":
        certificate_or_refuse(tx, name)
    elif kind == "thinggroup":
        group_or_refuse(tx, name)
    else:
        raise InvalidRequest(f"a policy is attached to a certificate or a thing group, not to a {kind}")


def _changed(target: str) -> PrincipalChanged:
    kind, _, name = target.partition("/")
    return PrincipalChanged(name if kind == "cert" else None)


def _tell_targets(batch: Batch, name: str) -> None:
    rows = batch.tx.all("targets_of_policy_page", policy=name, after="", limit=_TOLD_BY_NAME_MAX + 1)
    changes = {_changed(row["target"]) for row in rows}
    if len(rows) > _TOLD_BY_NAME_MAX or PrincipalChanged(None) in changes:
        changes = {PrincipalChanged(None)}
    for change in changes:
        batch.emit(change)
