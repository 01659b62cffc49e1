"""What a job installs: its destinationPackageVersions, and what its document says of them.

Sources: AWS IoT developer guide, "Preparing AWS IoT Jobs" (Software Package Catalog); the ``iot`` model. A version must
be PUBLISHED or DEPRECATED when the job is made, and stands as it was then, whatever becomes of it or of the default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.jobs.documents import compact
from outfitter_server.jobs.substitution import (
    DEFAULT_VERSION,
    PackagePart,
    PackagePlaceholder,
    count_placeholders,
    with_packages,
)
from outfitter_server.objects.urls import ObjectAddress
from outfitter_server.services.delivery import artifact_placeholder, check_placeholders, check_upload_buckets
from outfitter_server.services.packages import find_version
from outfitter_server.services.ports import Transaction
from outfitter_server.things.packages import PackageVersion, VersionStatus

DESTINATIONS_MAX: Final = 25
_MEMBER: Final = "destinationPackageVersions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A job's document and destinations with everything in place that is known when the job is made.

    Attributes:
        document: what GetJobDocument shows: as given, but for the placeholders of packages.
        delivered: the same, compact, as devices get it.
        arns: destinationPackageVersions, ``$default`` replaced by the version that it stood for.
        installs: the same as (package, version).
    """

    document: str
    delivered: str
    arns: tuple[str, ...]
    installs: tuple[tuple[str, str], ...]


class Destinations:
    """Fills in what a job takes from the catalogue of packages."""

    def __init__(self, installation: Installation) -> None:
        """``installation`` prints ARNs and says whose they may be."""
        self._installation = installation

    def resolve(
        self, tx: Transaction, *, document: str, arns: Sequence[str], role_arn: str | None
    ) -> Resolved:
        """What a job with this document and these destinationPackageVersions is made of.

        Args:
            tx: the catalogue as the job finds it.
            document: as given; the parameters of a template are in place.
            arns: ``arn:aws:iot:REGION:ACCOUNT:package/NAME/version/VERSION``, VERSION may be ``$default``.
            role_arn: of presignedUrlConfig.

        Raises:
            NotFound: a package has no such version.
            InvalidRequest: a draft, two versions of a package, a package in the document that is not among the
                destinations, an attribute or artifact that the version does not have, a document that cannot be
                delivered.
        """
        versions = self._versions(tx, arns)
        count_placeholders(compact(document))
        filled = with_packages(document, lambda found: self._content(tx, found, versions))
        delivered = compact(filled)
        check_placeholders(delivered, thing="thing", job="job", role_arn=role_arn)
        check_upload_buckets(tx, delivered, self._installation)
        installs = tuple((version.package, version.name) for version in versions.values())
        return Resolved(
            document=filled,
            delivered=delivered,
            arns=tuple(package_version_arn(self._installation, *install) for install in installs),
            installs=installs,
        )

    def _versions(self, tx: Transaction, arns: Sequence[str]) -> Mapping[str, PackageVersion]:
        """The destinations by package, in the order in which they were given."""
        found: dict[str, PackageVersion] = {}
        for arn, (package, name) in zip(arns, destination_packages(arns, self._installation), strict=True):
            version = _version(tx, package, name, arn)
            if package in found and found[package].name != version.name:
                raise InvalidRequest(
                    f"{_MEMBER}: versions {found[package].name} and {version.name} of package {package}: a device runs one"
                )
            found[package] = version
        return found

    def _content(
        self, tx: Transaction, found: PackagePlaceholder, versions: Mapping[str, PackageVersion]
    ) -> str | Mapping[str, str]:
        version = _meant(tx, found, versions)
        if found.part is PackagePart.ATTRIBUTES:
            return version.attributes
        if found.part is PackagePart.ATTRIBUTE:
            value = version.attributes.get(found.attribute)
            if value is None:
                known = ", ".join(sorted(version.attributes)) or "none"
                raise InvalidRequest(
                    f"document: {found.text}: version {version.name} of package {version.package} has no such attribute; it has {known}"
                )
            return value
        if version.artifact is None:
            raise InvalidRequest(
                f"document: {found.text}: version {version.name} of package {version.package} has no artifact"
            )
        address = ObjectAddress(
            bucket=version.artifact.bucket, key=version.artifact.key, version_id=version.artifact.version
        )
        return artifact_placeholder(address, self._installation.region)


def destination_packages(arns: Sequence[str], installation: Installation) -> list[tuple[str, str]]:
    """The (package, version) that destinationPackageVersions name; a version may be ``$default``.

    Raises:
        InvalidRequest: too many, or one that is no ARN of a package version.
    """
    if len(arns) > DESTINATIONS_MAX:
        raise InvalidRequest(f"{_MEMBER}: at most {DESTINATIONS_MAX} versions, got {len(arns)}")
    named = []
    for arn in arns:
        kind, name = iot_resource(arn, installation)
        package, between, version = name.partition("/version/")
        if kind != "package" or not (between and package and version) or "/" in package + version:
            raise InvalidRequest(
                f"{_MEMBER}: {arn!r} is not arn:aws:iot:REGION:ACCOUNT:package/NAME/version/VERSION"
            )
        named.append((package, version))
    return named


def package_version_arn(installation: Installation, package: str, version: str) -> str:
    """The ARN of a package version; ``version`` may be ``$default``."""
    return installation.iot_arn("package", f"{package}/version/{version}")


def _meant(
    tx: Transaction, found: PackagePlaceholder, versions: Mapping[str, PackageVersion]
) -> PackageVersion:
    """The destination that a placeholder is about."""
    if not found.package and len(versions) != 1:
        raise InvalidRequest(
            f"document: {found.text} names no package, which takes exactly one in {_MEMBER}, not {len(versions)}"
        )
    package = found.package or next(iter(versions))
    version = versions.get(package)
    if version is None:
        raise InvalidRequest(f"document: {found.text}: package {package} is not among {_MEMBER}")
    wanted = found.version
    if wanted == DEFAULT_VERSION:
        wanted = _default(tx, package, found.text)
    if wanted and wanted != version.name:
        raise InvalidRequest(
            f"document: {found.text}: {_MEMBER} has version {version.name} of package {package}, not {wanted}"
        )
    return version


def _version(tx: Transaction, package: str, name: str, arn: str) -> PackageVersion:
    if name == DEFAULT_VERSION:
        name = _default(tx, package, arn)
    version = find_version(tx, package, name)
    if version is None:
        raise NotFound(f"{_MEMBER}: {arn}: package {package} has no version {name}")
    if version.status is VersionStatus.DRAFT:
        raise InvalidRequest(
            f"{_MEMBER}: {arn}: version {name} of package {package} is a draft: publish it before it is deployed"
        )
    return version


def _default(tx: Transaction, package: str, where: str) -> str:
    row = tx.one("package_by_name", name=package)
    if row is None or row["default_version"] is None:
        raise InvalidRequest(f"{where}: package {package} has no default version: set it with UpdatePackage")
    return str(row["default_version"])
