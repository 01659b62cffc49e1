"""The software catalogue: packages, their versions, and the files that these point at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import Conflict, NotFound, Validation
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.installed import Installed
from outfitter_server.services.ports import Row, Transaction
from outfitter_server.things.packages import (
    PackageVersion,
    VersionChange,
    VersionStatus,
    check_attributes,
    check_default,
    updated_package,
    updated_version,
)
from outfitter_server.things.values import Artifact, Package, Tags

ObjectExists = Callable[[str, str], bool]

ONLY_OBJECT_VERSION: Final = "null"
_PACKAGE_COLUMNS: Final = ("name", "description", "default_version", "created_at", "modified_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What CreatePackageVersion gives."""

    package: str
    name: str
    description: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    artifact: Artifact | None = None
    recipe: str | None = None
    tags: Tags = field(default_factory=dict)
    client_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """A version as listings show it."""

    package: str
    name: str
    status: VersionStatus
    created_at: int
    modified_at: int


class Packages:
    """The catalogue."""

    def __init__(self, committer: Committer, object_exists: ObjectExists) -> None:
        """``object_exists(bucket, key)`` tells whether the store has an object."""
        self._committer = committer
        self.installed = Installed(committer)
        self._object_exists = object_exists

    async def create(
        self, name: str, description: str | None, tags: Tags, client_token: str | None
    ) -> Package:
        """Make a package; a retry (same client token) returns what it made.

        Raises:
            Conflict: the name is taken.
        """

        def apply(batch: Batch) -> Package:
            row = batch.tx.one("package_by_name", name=name)
            if row is not None:
                if client_token is None or row["client_token"] != client_token:
                    raise Conflict(f"package {name} already exists", resourceId=name)
                return _package(row)
            now = batch.now
            made = Package(
                name=name,
                description=description,
                default_version=None,
                tags=tags,
                created_at=now,
                modified_at=now,
            )
            columns = {key: getattr(made, key) for key in _PACKAGE_COLUMNS}
            text = msgspec.json.encode(tags).decode()
            batch.tx.run("package_insert", **columns, tags=text, client_token=client_token)
            return made

        return await self._committer.change(apply)

    def describe(self, name: str) -> Package:
        """One package.

        Raises:
            NotFound: there is none of this name.
        """
        return self._committer.read(lambda tx: _package_or_refuse(tx, name))

    async def update(
        self, name: str, *, description: str | None, default: str | None, unset_default: bool = False
    ) -> None:
        """Change description or default version.

        Raises:
            NotFound: there is no such package.
            Validation: the default does not exist or is a draft; see things.packages.
        """

        def apply(batch: Batch) -> None:
            after = updated_package(
                _package_or_refuse(batch.tx, name),
                description=description,
                default=default,
                unset_default=unset_default,
                now=batch.now,
            )
            if default is not None:
                check_default(name, default, find_version(batch.tx, name, default))
            columns = {key: getattr(after, key) for key in _PACKAGE_COLUMNS if key != "created_at"}
            batch.tx.run("package_update", **columns)

        await self._committer.change(apply)

    async def delete(self, name: str) -> None:
        """Remove a package; an unknown one is nothing to do.

        Raises:
            Validation: it has versions.
        """

        def apply(batch: Batch) -> None:
            if batch.tx.all("package_versions_page", package=name, after="", limit=1):
                raise Validation(f"package {name} has versions: delete them first")
            batch.tx.run("package_delete", name=name)

        await self._committer.change(apply)

    def page(self, *, token: str | None = None, limit: int) -> Page[Package]:
        """Packages by name.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        after = _position(token)
        rows = self._committer.read(lambda tx: tx.all("packages_page", after=after, limit=limit + 1))
        more = encode_token([rows[limit - 1]["name"]]) if len(rows) > limit else None
        return Page([_package(row) for row in rows[:limit]], more)

    async def create_version(self, new: NewVersion) -> PackageVersion:
        """Make a version, DRAFT; a retry (same client token) returns what it made.

        Raises:
            Conflict: the package has a version of this name.
            Validation: no such package, attributes too long, an artifact that the store does not have.
        """
        check_attributes(new.attributes)

        def apply(batch: Batch) -> PackageVersion:
            if batch.tx.one("package_by_name", name=new.package) is None:
                raise Validation(f"package {new.package} does not exist: create it first")
            row = batch.tx.one("package_version", package=new.package, name=new.name)
            if row is not None:
                if new.client_token is None or row["client_token"] != new.client_token:
                    raise Conflict(
                        f"package {new.package} already has a version {new.name}", resourceId=new.name
                    )
                return _version(row)
            self._check_artifact(new.artifact)
            made = PackageVersion(
                package=new.package,
                name=new.name,
                description=new.description,
                attributes=new.attributes,
                artifact=new.artifact,
                recipe=new.recipe,
                status=VersionStatus.DRAFT,
                tags=new.tags,
                created_at=batch.now,
                modified_at=batch.now,
            )
            text = msgspec.json.encode(new.tags).decode()
            columns = _version_columns(made)
            batch.tx.run(
                "package_version_insert",
                **columns,
                tags=text,
                client_token=new.client_token,
                created_at=batch.now,
            )
            return made

        return await self._committer.change(apply)

    def describe_version(self, package: str, name: str) -> PackageVersion:
        """One version.

        Raises:
            NotFound: there is no such package or version.
        """
        return self._committer.read(lambda tx: _version_or_refuse(tx, package, name))

    async def update_version(
        self, package: str, name: str, change: VersionChange, client_token: str | None = None
    ) -> None:
        """Change content, publish or deprecate; see things.packages.updated_version. A retry is nothing to do.

        Raises:
            NotFound: there is no such version.
            Conflict, Validation: see there; and an artifact that the store does not have.
        """

        def apply(batch: Batch) -> None:
            before = _version_or_refuse(batch.tx, package, name)
            row = batch.tx.one("package_version_update_token", package=package, name=name)
            if client_token is not None and row is not None and row["update_token"] == client_token:
                return  # what it set may be fixed by now, because it also published
            after = updated_version(before, change, batch.now)
            if after.artifact != before.artifact or (
                before.status is VersionStatus.DRAFT and after.status is VersionStatus.PUBLISHED
            ):
                # What is published is promised to devices: the file must be there at that moment.
                self._check_artifact(after.artifact)
            batch.tx.run("package_version_update", **_version_columns(after), update_token=client_token)

        await self._committer.change(apply)

    async def delete_version(self, package: str, name: str) -> None:
        """Remove a version; an unknown one is nothing to do.

        Raises:
            Validation: it is the default of its package.
        """

        def apply(batch: Batch) -> None:
            row = batch.tx.one("package_by_name", name=package)
            if row is not None and row["default_version"] == name:
                raise Validation(
                    f"version {name} is the default of package {package}: unset that first with UpdatePackage"
                )
            batch.tx.run("package_version_delete", package=package, name=name)

        await self._committer.change(apply)

    def versions(
        self, package: str, *, status: str | None = None, token: str | None = None, limit: int
    ) -> Page[VersionLine]:
        """Versions of a package by name, of one status when given; none for an unknown package, as in AWS.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        after = _position(token)

        def ask(tx: Transaction) -> list[Row]:
            if status is None:
                return tx.all("package_versions_page", package=package, after=after, limit=limit + 1)
            return tx.all(
                "package_versions_of_status_page",
                package=package,
                status=status,
                after=after,
                limit=limit + 1,
            )

        rows = self._committer.read(ask)
        lines = [
            VersionLine(
                package=package,
                name=row["name"],
                status=VersionStatus(row["status"]),
                created_at=row["created_at"],
                modified_at=row["modified_at"],
            )
            for row in rows[:limit]
        ]
        return Page(lines, encode_token([lines[-1].name]) if len(rows) > limit else None)

    def _check_artifact(self, artifact: Artifact | None) -> None:
        if artifact is not None and artifact.version not in {None, ONLY_OBJECT_VERSION}:
            raise Validation(
                f"artifact: the store keeps one version of an object, called {ONLY_OBJECT_VERSION}: leave version out"
            )
        if artifact is not None and not self._object_exists(artifact.bucket, artifact.key):
            raise Validation(
                f"the store has no object {artifact.key} in bucket {artifact.bucket}: upload it first"
            )


def _position(token: str | None) -> str:
    position = decode_token(token, str)
    return str(position[0]) if position else ""


def _package_or_refuse(tx: Transaction, name: str) -> Package:
    row = tx.one("package_by_name", name=name)
    if row is None:
        raise NotFound(f"package {name} does not exist")
    return _package(row)


def _package(row: Row) -> Package:
    tags = msgspec.json.decode(row["tags"], type=dict[str, str])
    return Package(**{key: row[key] for key in _PACKAGE_COLUMNS}, tags=tags)


def find_version(tx: Transaction, package: str, name: str) -> PackageVersion | None:
    """A version, or None."""
    row = tx.one("package_version", package=package, name=name)
    return None if row is None else _version(row)


def _version_or_refuse(tx: Transaction, package: str, name: str) -> PackageVersion:
    found = find_version(tx, package, name)
    if found is None:
        raise NotFound(f"package {package} has no version {name}")
    return found


def _version(row: Row) -> PackageVersion:
    artifact = None
    if row["artifact_bucket"] is not None:
        artifact = Artifact(
            bucket=row["artifact_bucket"], key=row["artifact_key"], version=row["artifact_version"]
        )
    return PackageVersion(
        package=row["package"],
        name=row["name"],
        description=row["description"],
        attributes=msgspec.json.decode(row["attributes"], type=dict[str, str]),
        artifact=artifact,
        recipe=row["recipe"],
        status=VersionStatus(row["status"]),
        tags=msgspec.json.decode(row["tags"], type=dict[str, str]),
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )


def _version_columns(version: PackageVersion) -> dict[str, Any]:
    artifact = version.artifact
    return {
        "package": version.package,
        "name": version.name,
        "description": version.description,
        "attributes": msgspec.json.encode(version.attributes).decode(),
        "artifact_bucket": artifact.bucket if artifact else None,
        "artifact_key": artifact.key if artifact else None,
        "artifact_version": artifact.version if artifact else None,
        "recipe": version.recipe,
        "status": version.status,
        "modified_at": version.modified_at,
    }
