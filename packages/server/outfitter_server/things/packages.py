"""Rules of the software catalogue: packages and their versions.

    DRAFT ──PUBLISH──► PUBLISHED ⇄ DEPRECATED        (PUBLISH and DEPRECATE)

A version is written while DRAFT; once published its attributes and artifact stand as they are, its description and recipe
may still be edited. An action that has already been done is nothing to do. Any version may be deleted unless it is the default of its package. Source: AWS IoT developer guide,
"Software Package Catalog".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from outfitter_server.base.refusals import Conflict, Validation
from outfitter_server.things.values import Artifact, Package, Tags

ATTRIBUTES_CHARACTERS_MAX: Final = 3_072  # keys and values together


class VersionStatus(StrEnum):
    """Where a package version is in its life."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    DEPRECATED = "DEPRECATED"


class VersionAction(StrEnum):
    """What UpdatePackageVersion can do to the status."""

    PUBLISH = "PUBLISH"
    DEPRECATE = "DEPRECATE"


_NEXT: Final[Mapping[tuple[VersionStatus, VersionAction], VersionStatus]] = {
    (VersionStatus.DRAFT, VersionAction.PUBLISH): VersionStatus.PUBLISHED,
    (VersionStatus.PUBLISHED, VersionAction.PUBLISH): VersionStatus.PUBLISHED,
    (VersionStatus.DEPRECATED, VersionAction.PUBLISH): VersionStatus.PUBLISHED,
    (VersionStatus.PUBLISHED, VersionAction.DEPRECATE): VersionStatus.DEPRECATED,
    (VersionStatus.DEPRECATED, VersionAction.DEPRECATE): VersionStatus.DEPRECATED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageVersion:
    """One version of a package; ``recipe`` is free text of the installer's, times are milliseconds since the epoch."""

    package: str
    name: str
    description: str | None
    attributes: Mapping[str, str]
    artifact: Artifact | None
    recipe: str | None
    status: VersionStatus
    tags: Tags
    created_at: int
    modified_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """What UpdatePackageVersion gives; None leaves a member as it is."""

    description: str | None = None
    attributes: Mapping[str, str] | None = None
    artifact: Artifact | None = None
    recipe: str | None = None
    action: VersionAction | None = None


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse attributes that are too long together.

    Raises:
        Validation: more than 3,072 characters.
    """
    size = sum(len(name) + len(value) for name, value in attributes.items())
    if size > ATTRIBUTES_CHARACTERS_MAX:
        raise Validation(
            f"attributes have at most {ATTRIBUTES_CHARACTERS_MAX} characters together, got {size}"
        )


def updated_version(version: PackageVersion, change: VersionChange, now: int) -> PackageVersion:
    """The version after a change; content is changed first, then the action applies.

    Raises:
        Conflict: attributes or artifact of a published version, or an action that its status does not allow.
        Validation: attributes too long.
    """
    label = f"version {version.name} of package {version.package}"
    if version.status is not VersionStatus.DRAFT and (
        change.attributes is not None or change.artifact is not None
    ):
        raise Conflict(
            f"{label} is {version.status}: attributes and artifact are fixed once published, create another version",
            resourceId=version.name,
        )
    attributes = version.attributes if change.attributes is None else change.attributes
    check_attributes(attributes)
    status = version.status
    if change.action is not None:
        found = _NEXT.get((status, change.action))
        if found is None:
            raise Conflict(f"{label} is {status}, {change.action} does not apply", resourceId=version.name)
        status = found
    return replace(
        version,
        description=version.description if change.description is None else change.description,
        attributes=attributes,
        artifact=version.artifact if change.artifact is None else change.artifact,
        recipe=version.recipe if change.recipe is None else change.recipe,
        status=status,
        modified_at=now,
    )


def check_default(package: str, name: str, found: PackageVersion | None) -> None:
    """Refuse a default that devices could not be given.

    Raises:
        Validation: there is no such version, or it is a draft.
    """
    if found is None:
        raise Validation(f"package {package} has no version {name}")
    if found.status is VersionStatus.DRAFT:
        raise Validation(
            f"version {name} of package {package} is a draft: publish it before making it the default"
        )


def updated_package(
    package: Package, *, description: str | None, default: str | None, unset_default: bool, now: int
) -> Package:
    """The package after UpdatePackage.

    Raises:
        Validation: a default both given and unset.
    """
    if default is not None and unset_default:
        raise Validation("defaultVersionName cannot be given when unsetDefaultVersion is true")
    return replace(
        package,
        description=package.description if description is None else description,
        default_version=None if unset_default else default or package.default_version,
        modified_at=now,
    )
