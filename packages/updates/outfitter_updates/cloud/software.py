"""Software images in the file store, software versions in the package catalogue."""

from collections.abc import Callable
from pathlib import Path

from outfitter_updates.catalogue.deltas import StoredDelta, delta_at, delta_location, delta_prefix
from outfitter_updates.catalogue.problems import CloudRefused, Conflict, NotFound
from outfitter_updates.catalogue.software import (
    Image,
    Location,
    Publication,
    SoftwareVersion,
    attributes,
    default_bucket,
    from_answer,
    location_for,
    same_image,
    same_signature,
    unknown_package,
    unknown_version,
    version_order,
)
from outfitter_updates.cloud.buckets import need_bucket
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.refusals import translated

EXISTS = "ConflictException"


class Software:
    """The catalogue and the store behind it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, name: str | None) -> tuple[SoftwareVersion, ...]:
        """Every version that has an image, by name and then oldest version first."""
        names = [name] if name else self._names()
        found = [each for package in names for each in self._versions(package)]
        if name and not found and name not in self._names():
            raise unknown_package(name, self._names())
        return tuple(found)

    def need(self, name: str, version: str) -> SoftwareVersion:
        """The version; raises NotFound that lists what there is, Conflict when it has no image."""
        found = self.find(name, version)
        if found is None:
            names = self._names()
            if name not in names:
                raise unknown_package(name, names)
            raise unknown_version(name, version, self._version_names(name))
        return found

    def find(self, name: str, version: str) -> SoftwareVersion | None:
        """The version, if the catalogue has it; raises Conflict when it has no image."""
        told = self._connection.iot.find("get_package_version", packageName=name, versionName=version)
        return from_answer(told) if told else None

    def upload(
        self,
        image: Image,
        file: Path,
        *,
        bucket: str | None,
        publish: bool,
        progress: Callable[[int], None],
    ) -> SoftwareVersion:
        """Stores the image and enters it in the catalogue; the same image again changes nothing.

        ``progress`` hears of each stretch of bytes sent. Raises Conflict when the version holds another image.
        """
        existing = self.find(image.name, image.version)
        if existing is None:
            location = location_for(image, self._bucket(bucket))
            self._store(file, location, progress)
            self._enter(image, location)
        else:
            same_image(image, existing)
            self._sign(image, existing)
            progress(image.size_bytes)
        if publish and (existing is None or existing.publication is not Publication.PUBLISHED):
            self._connection.iot.call(
                "update_package_version", packageName=image.name, versionName=image.version, action="PUBLISH"
            )
        return self.need(image.name, image.version)

    def deltas(self, software: SoftwareVersion) -> tuple[StoredDelta, ...]:
        """The deltas that make the version, newest first."""
        where = software.location.bucket
        listed = self._connection.s3.pages(
            "list_objects_v2", "Contents", Bucket=where, Prefix=delta_prefix(software)
        )
        newest_first = sorted(listed, key=lambda each: each["LastModified"], reverse=True)
        found = (delta_at(Location(bucket=where, key=each["Key"]), each["Size"]) for each in newest_first)
        return tuple(each for each in found if each is not None)

    def store_delta(
        self,
        software: SoftwareVersion,
        file: Path,
        *,
        base: str,
        sha256: str,
        progress: Callable[[int], None],
    ) -> Location:
        """Stores a delta that makes the version out of the image with the digest ``base``; tells where."""
        location = delta_location(software, base, sha256)
        self._store(file, location, progress)
        return location

    def _sign(self, image: Image, existing: SoftwareVersion) -> None:
        """A draft takes the signature; raises Conflict when what is published has another one."""
        if existing.publication is not Publication.DRAFT:
            same_signature(image, existing)
        elif image.signed is not None and image.signed != existing.image.signed:
            self._connection.iot.call(
                "update_package_version",
                packageName=image.name,
                versionName=image.version,
                attributes=attributes(image, existing.location, self._connection.region),
            )

    def _bucket(self, name: str | None) -> str:
        connection = self._connection
        return need_bucket(connection, name or default_bucket(connection.account.account, connection.region))

    def _store(self, file: Path, location: Location, progress: Callable[[int], None]) -> None:
        s3 = self._connection.s3
        with translated("Upload", s3.endpoint):
            s3.client.upload_file(
                str(file),
                location.bucket,
                location.key,
                ExtraArgs={"ContentType": _content_type(location.key)},
                Callback=progress,
            )

    def _enter(self, image: Image, location: Location) -> None:
        iot = self._connection.iot
        try:
            iot.call("create_package", packageName=image.name)
        except CloudRefused as refused:
            if refused.code != EXISTS:
                raise
        iot.call(
            "create_package_version",
            packageName=image.name,
            versionName=image.version,
            attributes=attributes(image, location, self._connection.region),
            artifact={"s3Location": {"bucket": location.bucket, "key": location.key}},
        )

    def _names(self) -> tuple[str, ...]:
        told = self._connection.iot.pages("list_packages", "packageSummaries")
        return tuple(sorted(each["packageName"] for each in told))

    def _version_names(self, name: str) -> tuple[str, ...]:
        told = self._connection.iot.pages(
            "list_package_versions", "packageVersionSummaries", packageName=name
        )
        return tuple(sorted((each["versionName"] for each in told), key=version_order))

    def _versions(self, name: str) -> tuple[SoftwareVersion, ...]:
        found = []
        try:
            names = self._version_names(name)
        except NotFound:
            return ()
        for version in names:
            try:
                known = self.find(name, version)
            except Conflict:
                continue
            if known is not None:
                found.append(known)
        return tuple(found)


def _content_type(key: str) -> str:
    return "application/gzip" if key.endswith(".gz") else "application/octet-stream"
