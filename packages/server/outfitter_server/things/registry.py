"""Rules for things and thing types: what a request makes of what is there."""

from collections.abc import Sequence
from dataclasses import replace

from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, NotFound, VersionConflict
from outfitter_server.things.attributes import SEARCHABLE_MAX, apply_change, check_thing_attributes
from outfitter_server.things.values import AttributeChange, Thing, ThingType


def check_version(kind: str, name: str, stored: int, expected: int | None) -> None:
    """Refuse a change that was meant for another version.

    Raises:
        VersionConflict: ``expected`` is given and is not ``stored``.
    """
    if expected is not None and expected != stored:
        raise VersionConflict(
            f"{kind} {name} is at version {stored}, not {expected}: describe it and try again"
        )


def check_type(name: str | None, found: ThingType | None) -> None:
    """Refuse to give a thing a type that does not exist or is deprecated.

    Raises:
        NotFound: no such type.
        InvalidRequest: deprecated.
    """
    if name is None:
        return
    if found is None:
        raise NotFound(f"thing type {name} does not exist: create it first")
    if found.deprecated_at is not None:
        raise InvalidRequest(f"thing type {name} is deprecated and takes no new things")


def same_thing(existing: Thing, wanted: Thing, arn: str) -> Thing:
    """Answer a repeated creation: the existing thing when the content is the same.

    Raises:
        AlreadyExists: it has another type or other attributes.
    """
    if existing.type != wanted.type or existing.attributes != wanted.attributes:
        raise AlreadyExists(
            f"thing {existing.name} already exists with another type or other attributes: update it instead",
            resourceId=existing.id,
            resourceArn=arn,
        )
    return existing


def new_thing(
    name: str, identifier: str, thing_type: str | None, change: AttributeChange | None, now: int
) -> Thing:
    """A thing as first registered.

    Raises:
        InvalidRequest: too many attributes.
    """
    attributes = apply_change({}, change)
    check_thing_attributes(attributes, typed=thing_type is not None)
    return Thing(name=name, id=identifier, type=thing_type, attributes=attributes, version=1, created_at=now)


def updated_thing(
    thing: Thing,
    change: AttributeChange | None,
    thing_type: str | None,
    *,
    remove_type: bool,
    expected: int | None,
) -> Thing:
    """The thing after UpdateThing; its version rises even when nothing else changes, as in AWS.

    Raises:
        VersionConflict: it is not at the expected version.
        InvalidRequest: a type both given and removed, or too many attributes for what it then is.
    """
    check_version("thing", thing.name, thing.version, expected)
    if remove_type and thing_type is not None:
        raise InvalidRequest("removeThingType cannot be true when thingTypeName is given")
    kind = None if remove_type else thing_type or thing.type
    attributes = apply_change(thing.attributes, change)
    check_thing_attributes(attributes, typed=kind is not None)
    return replace(thing, type=kind, attributes=attributes, version=thing.version + 1)


def check_searchable(attributes: Sequence[str]) -> tuple[str, ...]:
    """The searchable attributes of a type, in a fixed order because AWS compares them unordered.

    Raises:
        InvalidRequest: more than three.
    """
    unique = tuple(sorted(set(attributes)))
    if len(unique) > SEARCHABLE_MAX:
        raise InvalidRequest(
            f"a thing type has at most {SEARCHABLE_MAX} searchable attributes, got {len(unique)}"
        )
    return unique


def same_type(existing: ThingType, wanted: ThingType, arn: str) -> ThingType:
    """Answer a repeated creation: the existing type when the content is the same.

    Raises:
        AlreadyExists: it has other properties.
    """
    if (existing.description, existing.searchable_attributes) != (
        wanted.description,
        wanted.searchable_attributes,
    ):
        raise AlreadyExists(
            f"thing type {existing.name} already exists with other properties",
            resourceId=existing.id,
            resourceArn=arn,
        )
    return existing
