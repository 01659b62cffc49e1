"""Rules for static thing groups: hierarchies, membership and their limits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, NotFound
from outfitter_server.things.attributes import apply_change, check_group_attributes
from outfitter_server.things.registry import check_version
from outfitter_server.things.values import AttributeChange, Tags, ThingGroup

DEPTH_MAX: Final = 7
CHILDREN_MAX: Final = 100
GROUPS_OF_A_THING_MAX: Final = 10


def new_group(
    name: str,
    identifier: str,
    parent: tuple[str, ThingGroup | None] | None,
    *,
    siblings: int,
    description: str | None,
    change: AttributeChange | None,
    tags: Tags,
    now: int,
) -> ThingGroup:
    """A group as first made; ``parent`` is the parent's name and what was found under it, ``siblings`` its children now.

    Raises:
        NotFound: the parent does not exist.
        InvalidRequest: too deep, too many children, too many attributes.
    """
    above: ThingGroup | None = None
    if parent is not None:
        wanted, above = parent
        if above is None:
            raise NotFound(f"parent thing group {wanted} does not exist: create it first")
        if above.depth >= DEPTH_MAX:
            raise InvalidRequest(
                f"a hierarchy has at most {DEPTH_MAX} levels and {above.name} is at the last"
            )
        if siblings >= CHILDREN_MAX:
            raise InvalidRequest(
                f"a thing group has at most {CHILDREN_MAX} direct child groups and {above.name} has them"
            )
    attributes = apply_change({}, change)
    check_group_attributes(attributes)
    return ThingGroup(
        name=name,
        id=identifier,
        parent=above.name if above else None,
        root=above.root if above else name,
        depth=above.depth + 1 if above else 1,
        description=description,
        attributes=attributes,
        tags=tags,
        version=1,
        created_at=now,
    )


def same_group(existing: ThingGroup, wanted: ThingGroup, arn: str) -> ThingGroup:
    """Answer a repeated creation: the existing group when parent, properties and tags are the same.

    Raises:
        AlreadyExists: something differs.
    """
    if (existing.parent, existing.description, existing.attributes, existing.tags) != (
        wanted.parent,
        wanted.description,
        wanted.attributes,
        wanted.tags,
    ):
        raise AlreadyExists(
            f"thing group {existing.name} already exists with another parent, other properties or other tags",
            resourceId=existing.id,
            resourceArn=arn,
        )
    return existing


def updated_group(
    group: ThingGroup, description: str | None, change: AttributeChange | None, *, expected: int | None
) -> ThingGroup:
    """The group after UpdateThingGroup; a description that is not given stays.

    Raises:
        VersionConflict: it is not at the expected version.
        InvalidRequest: too many attributes.
    """
    check_version("thing group", group.name, group.version, expected)
    attributes = apply_change(group.attributes, change)
    check_group_attributes(attributes)
    return replace(
        group,
        description=group.description if description is None else description,
        attributes=attributes,
        version=group.version + 1,
    )


def check_joining(thing: str, group: ThingGroup, present: Sequence[tuple[str, str]]) -> None:
    """Refuse one group too many; ``present`` lists (name, root) of the groups that the thing is in.

    Raises:
        InvalidRequest: it is in ten groups, or in another group of the same hierarchy.
    """
    if len(present) >= GROUPS_OF_A_THING_MAX:
        raise InvalidRequest(
            f"thing {thing} is in {len(present)} groups already; at most {GROUPS_OF_A_THING_MAX} are allowed"
        )
    for name, root in present:
        if root == group.root:
            raise InvalidRequest(
                f"thing {thing} is in {name}, which is in the same hierarchy as {group.name}: remove it from {name} first"
            )
