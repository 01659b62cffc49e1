"""The software catalogue of the ``iot`` model; its own error names (ValidationException, ConflictException)."""

import re
from typing import Any, Final

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, seconds
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Validation
from outfitter_server.base.tags import new_tags
from outfitter_server.services.destinations import package_version_arn
from outfitter_server.services.packages import NewVersion, Packages
from outfitter_server.things.packages import VersionAction, VersionChange
from outfitter_server.things.values import Artifact

_PAGE_LARGEST: Final = 100
_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)


class PackageOperations:
    """Handlers of the operations on packages and their versions."""

    def __init__(self, packages: Packages, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._packages = packages
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreatePackage": self._create,
            "GetPackage": self._get,
            "UpdatePackage": self._update,
            "ListPackages": self._list,
            "DeletePackage": self._delete,
            "CreatePackageVersion": self._create_version,
            "GetPackageVersion": self._get_version,
            "UpdatePackageVersion": self._update_version,
            "ListPackageVersions": self._list_versions,
            "DeletePackageVersion": self._delete_version,
            "GetPackageConfiguration": self._configuration,
            "UpdatePackageConfiguration": self._configure,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        package = await self._packages.create(
            given["packageName"], given.get("description"), _tags(given), given.get("clientToken")
        )
        return {
            "packageName": package.name,
            "packageArn": self._installation.iot_arn("package", package.name),
            "description": package.description,
        }

    async def _get(self, call: Call) -> dict[str, Any]:
        package = self._packages.describe(call.parameters["packageName"])
        return {
            "packageName": package.name,
            "packageArn": self._installation.iot_arn("package", package.name),
            "description": package.description,
            "defaultVersionName": package.default_version,
            "creationDate": seconds(package.created_at),
            "lastModifiedDate": seconds(package.modified_at),
        }

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        await self._packages.update(
            given["packageName"],
            description=given.get("description"),
            default=given.get("defaultVersionName"),
            unset_default=given.get("unsetDefaultVersion", False),
        )
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._packages.page(
            token=given.get("nextToken"), limit=page_size(given, largest=_PAGE_LARGEST)
        )
        lines = [
            {
                "packageName": package.name,
                "defaultVersionName": package.default_version,
                "creationDate": seconds(package.created_at),
                "lastModifiedDate": seconds(package.modified_at),
            }
            for package in page.items
        ]
        return {"packageSummaries": lines, "nextToken": page.next_token}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._packages.delete(call.parameters["packageName"])
        return {}

    async def _create_version(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        made = await self._packages.create_version(
            NewVersion(
                package=given["packageName"],
                name=given["versionName"],
                description=given.get("description"),
                attributes=given.get("attributes") or {},
                artifact=_artifact(given),
                recipe=given.get("recipe"),
                tags=_tags(given),
                client_token=given.get("clientToken"),
            )
        )
        return {
            "packageVersionArn": self._version_arn(made.package, made.name),
            "packageName": made.package,
            "versionName": made.name,
            "description": made.description,
            "attributes": dict(made.attributes),
            "status": made.status.value,
        }

    async def _get_version(self, call: Call) -> dict[str, Any]:
        found = self._packages.describe_version(
            call.parameters["packageName"], call.parameters["versionName"]
        )
        artifact = found.artifact
        location = artifact and {"bucket": artifact.bucket, "key": artifact.key, "version": artifact.version}
        return {
            "packageVersionArn": self._version_arn(found.package, found.name),
            "packageName": found.package,
            "versionName": found.name,
            "description": found.description,
            "attributes": dict(found.attributes),
            "artifact": location and {"s3Location": location},
            "status": found.status.value,
            "creationDate": seconds(found.created_at),
            "lastModifiedDate": seconds(found.modified_at),
            "recipe": found.recipe,
        }

    async def _update_version(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        action = given.get("action")
        change = VersionChange(
            description=given.get("description"),
            attributes=given.get("attributes"),
            artifact=_artifact(given),
            recipe=given.get("recipe"),
            action=None if action is None else VersionAction(action),
        )
        await self._packages.update_version(
            given["packageName"], given["versionName"], change, given.get("clientToken")
        )
        return {}

    async def _list_versions(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._packages.versions(
            given["packageName"],
            status=given.get("status"),
            token=given.get("nextToken"),
            limit=page_size(given, largest=_PAGE_LARGEST),
        )
        lines = [
            {
                "packageName": line.package,
                "versionName": line.name,
                "status": line.status.value,
                "creationDate": seconds(line.created_at),
                "lastModifiedDate": seconds(line.modified_at),
            }
            for line in page.items
        ]
        return {"packageVersionSummaries": lines, "nextToken": page.next_token}

    async def _delete_version(self, call: Call) -> dict[str, Any]:
        await self._packages.delete_version(call.parameters["packageName"], call.parameters["versionName"])
        return {}

    async def _configuration(self, _call: Call) -> dict[str, Any]:
        found = self._packages.installed.configuration()
        return {"versionUpdateByJobsConfig": {"enabled": found.enabled, "roleArn": found.role_arn}}

    async def _configure(self, call: Call) -> dict[str, Any]:
        given = call.parameters.get("versionUpdateByJobsConfig") or {}
        role_arn = given.get("roleArn")
        if role_arn is not None and not _ROLE_ARN.fullmatch(role_arn):
            raise Validation(f"roleArn {role_arn[:100]!r} is not arn:aws:iam::ACCOUNT:role/NAME")
        await self._packages.installed.configure(enabled=given.get("enabled"), role_arn=role_arn)
        return {}

    def _version_arn(self, package: str, name: str) -> str:
        return package_version_arn(self._installation, package, name)


def _tags(given: dict[str, Any]) -> dict[str, str]:
    return new_tags((given.get("tags") or {}).items(), Validation)


def _artifact(given: dict[str, Any]) -> Artifact | None:
    location = (given.get("artifact") or {}).get("s3Location")
    if not location:
        return None
    return Artifact(
        bucket=location.get("bucket", ""), key=location.get("key", ""), version=location.get("version")
    )
