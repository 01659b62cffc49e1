"""The values of the registry. Times are milliseconds since the epoch; names are AWS's (1 to 128 characters)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """AWS's attributePayload: ``merge`` adds to what is there, without it the map is replaced; an empty value removes."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    merge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A device as the registry knows it; ``version`` rises with each update from 1."""

    name: str
    id: str
    type: str | None
    attributes: Mapping[str, str]
    version: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThingType:
    """A kind of thing; a deprecated one takes no new things."""

    name: str
    id: str
    description: str | None
    searchable_attributes: tuple[str, ...]
    tags: Tags
    created_at: int
    deprecated_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThingGroup:
    """A static group; ``depth`` is 1 at the root of its hierarchy, ``parent`` is fixed for life."""

    name: str
    id: str
    parent: str | None
    root: str
    depth: int
    description: str | None
    attributes: Mapping[str, str]
    tags: Tags
    version: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Where a package version's file is: an object in the store."""

    bucket: str
    key: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A piece of software in the catalogue."""

    name: str
    description: str | None
    default_version: str | None
    tags: Tags
    created_at: int
    modified_at: int
