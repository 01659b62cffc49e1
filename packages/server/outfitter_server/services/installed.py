"""What runs where: kept by the jobs that succeeded, read as AWS's reserved named shadow ``$package``.

AWS keeps this record in a shadow of the thing; here it is a table, because what is asked of it is which things run a
version. It is kept once UpdatePackageConfiguration has turned it on. Source: AWS IoT developer guide, "Reserved named
shadow" (Software Package Catalog).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import Validation
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.ports import Transaction

SHADOW_NAME: Final = "$package"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageConfiguration:
    """Whether jobs that succeed keep the record, and the role that AWS would write it with."""

    enabled: bool
    role_arn: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledVersion:
    """One package on a thing; a version that left the catalogue has no attributes any more."""

    package: str
    version: str
    attributes: Mapping[str, str]
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageShadow:
    """Everything that a thing is known to run; ``version`` rises with each change from 1."""

    version: int
    updated_at: int
    packages: tuple[InstalledVersion, ...]


class Installed:
    """The record of what runs where."""

    def __init__(self, committer: Committer) -> None:
        """``committer`` owns the state."""
        self._committer = committer

    def configuration(self) -> PackageConfiguration:
        """Whether the record is kept."""
        return self._committer.read(_configuration)

    async def configure(self, *, enabled: bool | None, role_arn: str | None) -> None:
        """Turn the record on or off; None leaves a member as it is.

        Raises:
            Validation: turned on without a role, which AWS needs to write it.
        """

        def apply(batch: Batch) -> None:
            before = _configuration(batch.tx)
            on = before.enabled if enabled is None else enabled
            role = role_arn or before.role_arn
            if on and role is None:
                raise Validation(
                    "versionUpdateByJobsConfig: enabled needs roleArn, the role that writes the record"
                )
            batch.tx.run("package_configuration_update", enabled=int(on), role_arn=role)

        await self._committer.change(apply)

    def shadow(self, thing: str) -> PackageShadow | None:
        """What a thing is known to run, None when that is nothing."""
        return self._committer.read(lambda tx: package_shadow(tx, thing))

    def things(self, package: str, version: str, *, token: str | None = None, limit: int) -> Page[str]:
        """The things that run a version, by name.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        (after,) = decode_token(token, str) or ("",)
        rows = self._committer.read(
            lambda tx: tx.all(
                "things_running_page", package=package, version=version, after=after, limit=limit + 1
            )
        )
        names = [str(row["thing"]) for row in rows[:limit]]
        return Page(names, encode_token([names[-1]]) if len(rows) > limit else None)


def record(batch: Batch, thing: str, installs: Iterable[tuple[str, str]]) -> bool:
    """An execution that installs these (package, version) has succeeded on a thing.

    Returns:
        Whether the record has changed: it is kept, and these were not in it.
    """
    tx = batch.tx
    if not _configuration(tx).enabled:
        return False
    changed = 0
    for package, version in installs:
        changed += tx.run(
            "installed_package_set", thing=thing, package=package, version=version, now=batch.now
        )
    if changed:
        tx.run("package_shadow_changed", thing=thing, now=batch.now)
    return bool(changed)


def forget(batch: Batch, thing: str) -> None:
    """A thing goes, and its record with it."""
    batch.tx.run("installed_packages_delete", thing=thing)
    batch.tx.run("package_shadow_delete", thing=thing)


def package_shadow(tx: Transaction, thing: str) -> PackageShadow | None:
    """What a thing is known to run, None when that is nothing."""
    head = tx.one("package_shadow", thing=thing)
    if head is None:
        return None
    packages = tuple(
        InstalledVersion(
            package=row["package"],
            version=row["version"],
            attributes=msgspec.json.decode(row["attributes"] or "{}", type=dict[str, str]),
            updated_at=row["updated_at"],
        )
        for row in tx.all("installed_packages_of_thing", thing=thing)
    )
    return PackageShadow(version=head["version"], updated_at=head["updated_at"], packages=packages)


def _configuration(tx: Transaction) -> PackageConfiguration:
    row = tx.one("package_configuration")
    assert row is not None  # noqa: S101 - the migration makes the one row
    return PackageConfiguration(enabled=bool(row["enabled"]), role_arn=row["role_arn"])
