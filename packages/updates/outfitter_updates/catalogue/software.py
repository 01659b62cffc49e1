"""Software in versions: how one is named, described in the catalogue, and found in the store.

A version is an AWS IoT package version: its attributes hold what a device must know before it downloads, its artifact
says where the image lies. Attribute values are non-empty strings without control characters.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from outfitter_contract.version import SortKey, is_version, sort_key

from outfitter_updates.catalogue.problems import BadImage, Conflict, NotFound, did_you_mean

PACKAGE_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
VERSION_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Publication(StrEnum):
    """Where a package version stands in its life."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    DEPRECATED = "DEPRECATED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A software image as its maker describes it, with the digest of the file."""

    name: str
    version: str
    device_types: tuple[str, ...]
    """The device types that it runs on; empty: any."""
    sha256: str
    size_bytes: int
    signed: str | None = None
    """The signed text that vouches for it, if there is one; not verified here."""
    suffix: str = ".tar.gz"
    """How the name of its file ends in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where an image lies in the store."""

    bucket: str
    key: str

    def url(self, region: str) -> str:
        """The object's address in AWS's path style, percent-encoded as the v2 placeholder wants it."""
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://s3.{region}.{suffix}/{self.bucket}/{quote(self.key, safe='/~')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareVersion:
    """One version in the catalogue."""

    image: Image
    publication: Publication
    location: Location

    @property
    def title(self) -> str:
        """The name and the version, for people."""
        return f"{self.image.name} {self.image.version}"

    def runs_on(self, device_type: str | None) -> bool:
        """Whether a device of the type may install it; a device without a type takes what is made for any."""
        return not self.image.device_types or device_type in self.image.device_types


def check_names(image: Image) -> None:
    """Raise BadImage when AWS's package catalogue would not take the image's name or version."""
    if not PACKAGE_NAME.fullmatch(image.name):
        raise BadImage(
            f"The name {image.name!r} is no package name: 1 to 128 letters, digits, '-', '_' and '.'."
        )
    if not VERSION_NAME.fullmatch(image.version):
        raise BadImage(
            f"The version {image.version!r} is no package version: 1 to 64 letters, digits, '-', '_' and '.'"
            " ('+' of build numbers is not among them)."
        )


def default_bucket(account: str, region: str) -> str:
    """The bucket that holds the software of an account and a region."""
    return f"outfitter-software-{account}-{region}"


def location_for(image: Image, bucket: str) -> Location:
    """Where an image of that name and version is kept."""
    return Location(
        bucket=bucket,
        key=f"software/{image.name}/{image.version}/{image.name}-{image.version}{image.suffix}",
    )


def attributes(image: Image, location: Location, region: str) -> dict[str, str]:
    """The attributes of the package version."""
    told = {
        "sha256": image.sha256,
        "size": str(image.size_bytes),
        "device_types": ",".join(image.device_types),
        "url": location.url(region),
        "signed": image.signed or "",
    }
    return {key: value for key, value in told.items() if value}


def from_catalogue(
    name: str, version: str, publication: str, told: Mapping[str, str], location: Location | None
) -> SoftwareVersion:
    """A version as the catalogue describes it; raises Conflict when it was not made by a software upload."""
    digest, size = told.get("sha256", ""), told.get("size", "")
    if location is None or not SHA256.fullmatch(digest) or not size.isdecimal():
        raise Conflict(
            f"Version {version} of {name} is in the catalogue without an image: it needs an artifact and the"
            " attributes sha256 and size, as `outfitter software upload` writes them."
        )
    types = tuple(each for each in told.get("device_types", "").split(",") if each)
    return SoftwareVersion(
        image=Image(
            name=name,
            version=version,
            device_types=types,
            sha256=digest,
            size_bytes=int(size),
            signed=told.get("signed"),
        ),
        publication=Publication(publication),
        location=location,
    )


def from_answer(told: Mapping[str, Any]) -> SoftwareVersion:
    """A version as GetPackageVersion answers it; raises Conflict as from_catalogue does."""
    where = told.get("artifact", {}).get("s3Location", {})
    location = (
        Location(bucket=where["bucket"], key=where["key"]) if {"bucket", "key"} <= where.keys() else None
    )
    return from_catalogue(
        told["packageName"], told["versionName"], told["status"], told.get("attributes", {}), location
    )


def same_image(wanted: Image, existing: SoftwareVersion) -> None:
    """Raise Conflict when a version of that name holds another image: versions never change."""
    if existing.image.sha256 != wanted.sha256:
        raise Conflict(
            f"{existing.title} is in the catalogue already, with another image (sha256 {existing.image.sha256},"
            f" yours has {wanted.sha256}). A version never changes: give the new image a new version."
        )


def same_signature(wanted: Image, existing: SoftwareVersion) -> None:
    """Raise Conflict when a version that may not change any more lacks the signature that it should have."""
    if wanted.signed is not None and wanted.signed != existing.image.signed:
        raise Conflict(
            f"{existing.title} is in the catalogue already, without this signature, and what is published does not"
            " change. `outfitter update --signed FILE` sends the signature along with an update."
        )


def unknown_package(name: str, existing: Iterable[str]) -> NotFound:
    """The problem of software that the catalogue does not have."""
    hint = did_you_mean(name, existing, nothing="The catalogue is empty: `outfitter software upload FILE`.")
    return NotFound(f"There is no software named {name!r}. {hint}")


def unknown_version(name: str, version: str, existing: Iterable[str]) -> NotFound:
    """The problem of a version that the software does not have; lists those it has."""
    versions = ", ".join(sorted(existing, key=version_order)) or "none"
    return NotFound(f"{name} has no version {version!r}. Its versions: {versions}.")


def version_order(version: str) -> tuple[int, SortKey | str]:
    """A sort key from old to new, 1.10 after 1.9; what is no version by the contract's grammar comes first."""
    return (1, sort_key(version)) if is_version(version) else (0, version)
