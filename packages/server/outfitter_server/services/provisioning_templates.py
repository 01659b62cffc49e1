"""Provisioning templates in versions, of which the default one is applied."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import (
    AlreadyExists,
    DeleteConflict,
    InvalidRequest,
    NotFound,
    VersionsLimitExceeded,
)
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.things.provisioning import parse_template
from outfitter_server.things.values import Tags

FLEET: Final = "FLEET_PROVISIONING"
JUST_IN_TIME: Final = "JITP"
VERSIONS_MAX: Final = 5
HOOK_PAYLOADS: Final = frozenset({"2020-04-01"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """The function that is asked before a device is provisioned, by its ARN."""

    target_arn: str
    payload_version: str = "2020-04-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTemplate:
    """A template with the body of its default version; times in milliseconds since the epoch."""

    name: str
    description: str | None
    type: str
    enabled: bool
    role_arn: str
    hook: Hook | None
    default_version: int = 1
    last_version: int = 1
    body: str = ""
    created_at: int = 0
    modified_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One version; ``body`` is empty in listings."""

    version: int
    body: str
    is_default: bool
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChange:
    """What UpdateProvisioningTemplate changes; None leaves a member as it is."""

    description: str | None = None
    enabled: bool | None = None
    default_version: int | None = None
    role_arn: str | None = None
    hook: Hook | None = None
    remove_hook: bool = False


class ProvisioningTemplates:
    """The registry of templates."""

    def __init__(self, committer: Committer, arn: Callable[[str], str]) -> None:
        """``arn`` tells the ARN of a template."""
        self._committer = committer
        self._arn = arn

    async def create(self, template: StoredTemplate, tags: Tags) -> None:
        """Make a template with its version 1.

        Raises:
            AlreadyExists: the name is taken.
            InvalidRequest: the body is no template, or the hook is of a payload version that there is not.
        """
        check_body(template.body, template.type)
        _check_hook(template.hook)

        def apply(batch: Batch) -> None:
            if batch.tx.one("provisioning_template_by_name", name=template.name) is not None:
                raise AlreadyExists(
                    f"provisioning template {template.name} already exists",
                    resourceId=template.name,
                    resourceArn=self._arn(template.name),
                )
            batch.tx.run(
                "provisioning_template_insert",
                name=template.name,
                type=template.type,
                tags=msgspec.json.encode(tags).decode(),
                now=batch.now,
                **_changeable(template),
            )
            batch.tx.run(
                "provisioning_version_insert",
                template=template.name,
                version=1,
                body=template.body,
                now=batch.now,
            )

        await self._committer.change(apply)

    def describe(self, name: str) -> StoredTemplate:
        """One template.

        Raises:
            NotFound: there is none of this name.
        """
        return self._committer.read(lambda tx: template_or_refuse(tx, name))

    async def update(self, name: str, change: TemplateChange) -> None:
        """Change what is given.

        Raises:
            NotFound: there is no such template or version.
            InvalidRequest: a hook both given and removed, or of a payload version that there is not.
        """
        _check_hook(change.hook)
        if change.remove_hook and change.hook is not None:
            raise InvalidRequest("removePreProvisioningHook cannot be true when preProvisioningHook is given")

        def apply(batch: Batch) -> None:
            before = template_or_refuse(batch.tx, name)
            version = change.default_version or before.default_version
            _version_or_refuse(batch.tx, name, version)
            after = replace(
                before,
                description=before.description if change.description is None else change.description,
                enabled=before.enabled if change.enabled is None else change.enabled,
                role_arn=change.role_arn or before.role_arn,
                hook=None if change.remove_hook else change.hook or before.hook,
            )
            batch.tx.run(
                "provisioning_template_update",
                name=name,
                default_version=version,
                now=batch.now,
                **_changeable(after),
            )

        await self._committer.change(apply)

    async def delete(self, name: str) -> None:
        """Remove a template.

        Raises:
            NotFound: there is none of this name.
            DeleteConflict: it has versions besides the default.
        """

        def apply(batch: Batch) -> None:
            template_or_refuse(batch.tx, name)
            if len(batch.tx.all("provisioning_versions", template=name)) > 1:
                raise DeleteConflict(
                    f"provisioning template {name} has more than one version: delete the others first"
                )
            batch.tx.run("provisioning_versions_delete", template=name)
            batch.tx.run("provisioning_template_delete", name=name)

        await self._committer.change(apply)

    def page(self, *, token: str | None = None, limit: int) -> Page[StoredTemplate]:
        """Templates by name, without bodies.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, str)
        after = position[0] if position else ""
        rows = self._committer.read(
            lambda tx: tx.all("provisioning_templates_page", after=after, limit=limit + 1)
        )
        found = [
            StoredTemplate(
                name=row["name"],
                description=row["description"],
                type=row["type"],
                enabled=bool(row["enabled"]),
                role_arn="",
                hook=None,
                created_at=row["created_at"],
                modified_at=row["modified_at"],
            )
            for row in rows[:limit]
        ]
        return Page(found, encode_token([found[-1].name]) if len(rows) > limit else None)

    async def create_version(self, name: str, body: str, *, as_default: bool) -> int:
        """Add a version; numbers rise and are never used again.

        Raises:
            NotFound: there is no such template.
            InvalidRequest: the body is no template.
            VersionsLimitExceeded: it has five.
        """

        def apply(batch: Batch) -> int:
            template = template_or_refuse(batch.tx, name)
            check_body(body, template.type)
            if len(batch.tx.all("provisioning_versions", template=name)) >= VERSIONS_MAX:
                raise VersionsLimitExceeded(
                    f"provisioning template {name} has {VERSIONS_MAX} versions: delete one first"
                )
            version = template.last_version + 1
            batch.tx.run(
                "provisioning_version_insert", template=name, version=version, body=body, now=batch.now
            )
            batch.tx.run("provisioning_template_new_version", name=name, version=version, now=batch.now)
            if as_default:
                batch.tx.run(
                    "provisioning_template_update",
                    name=name,
                    default_version=version,
                    now=batch.now,
                    **_changeable(template),
                )
            return version

        return await self._committer.change(apply)

    def version(self, name: str, version: int) -> TemplateVersion:
        """One version with its body.

        Raises:
            NotFound: there is no such template or version.
        """
        return self._committer.read(lambda tx: _version_or_refuse(tx, name, version))

    def versions(self, name: str) -> list[TemplateVersion]:
        """Every version, the oldest first, without bodies.

        Raises:
            NotFound: there is no such template.
        """

        def ask(tx: Transaction) -> list[Row]:
            template_or_refuse(tx, name)
            return tx.all("provisioning_versions", template=name)

        return [_version(row, "") for row in self._committer.read(ask)]

    async def delete_version(self, name: str, version: int) -> None:
        """Remove a version.

        Raises:
            NotFound: there is no such template or version.
            DeleteConflict: it is the default.
        """

        def apply(batch: Batch) -> None:
            if _version_or_refuse(batch.tx, name, version).is_default:
                raise DeleteConflict(
                    f"version {version} is the default of provisioning template {name}: make another the default first"
                )
            batch.tx.run("provisioning_version_delete", template=name, version=version)

        await self._committer.change(apply)


def template_or_refuse(tx: Transaction, name: str) -> StoredTemplate:
    """The template.

    Raises:
        NotFound: there is none of this name.
    """
    row = tx.one("provisioning_template_by_name", name=name)
    if row is None:
        raise NotFound(f"provisioning template {name} does not exist")
    hook = None
    if row["hook_arn"] is not None:
        hook = Hook(target_arn=row["hook_arn"], payload_version=row["hook_payload"])
    return StoredTemplate(
        name=row["name"],
        description=row["description"],
        type=row["type"],
        enabled=bool(row["enabled"]),
        role_arn=row["role_arn"],
        hook=hook,
        default_version=row["default_version"],
        last_version=row["last_version"],
        body=row["body"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def check_body(body: str, kind: str) -> None:
    """Refuse what no device could be provisioned with.

    Raises:
        InvalidRequest: not a template.
    """
    parse_template(body, by_reference=kind in {FLEET, JUST_IN_TIME})


def _check_hook(hook: Hook | None) -> None:
    if hook is not None and hook.payload_version not in HOOK_PAYLOADS:
        raise InvalidRequest(
            f"payloadVersion of preProvisioningHook cannot be {hook.payload_version}: use 2020-04-01"
        )


def _changeable(template: StoredTemplate) -> dict[str, Any]:
    return {
        "description": template.description,
        "enabled": int(template.enabled),
        "role_arn": template.role_arn,
        "hook_arn": template.hook.target_arn if template.hook else None,
        "hook_payload": template.hook.payload_version if template.hook else None,
    }


def _version_or_refuse(tx: Transaction, name: str, version: int) -> TemplateVersion:
    row = tx.one("provisioning_version", template=name, version=version)
    if row is None:
        template_or_refuse(tx, name)
        raise NotFound(f"provisioning template {name} has no version {version}")
    return _version(row, row["body"])


def _version(row: Row, body: str) -> TemplateVersion:
    return TemplateVersion(
        version=row["version"],
        body=body,
        is_default=row["version"] == row["default_version"],
        created_at=row["created_at"],
    )
