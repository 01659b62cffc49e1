"""Attributes of things and groups, and their limits (AWS: three without a thing type, fifty with one or on a group)."""

from collections.abc import Mapping
from typing import Final

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.things.values import AttributeChange

UNTYPED_MAX: Final = 3
TYPED_MAX: Final = 50
GROUP_MAX: Final = 50
SEARCHABLE_MAX: Final = 3


def apply_change(current: Mapping[str, str], change: AttributeChange | None) -> dict[str, str]:
    """The attributes after a change; None leaves them as they are."""
    if change is None:
        return dict(current)
    base = dict(current) if change.merge else {}
    base.update(change.attributes)
    return {name: value for name, value in base.items() if value}


def check_thing_attributes(attributes: Mapping[str, str], *, typed: bool) -> None:
    """Refuse more attributes than a thing with or without a type may have.

    Raises:
        InvalidRequest: too many.
    """
    most = TYPED_MAX if typed else UNTYPED_MAX
    if len(attributes) > most:
        hint = "" if typed else "; give it a thing type to have up to 50"
        raise InvalidRequest(
            f"a thing {'with' if typed else 'without'} a type has at most {most} attributes, got {len(attributes)}{hint}"
        )


def check_group_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse more attributes than a group may have.

    Raises:
        InvalidRequest: too many.
    """
    if len(attributes) > GROUP_MAX:
        raise InvalidRequest(f"a thing group has at most {GROUP_MAX} attributes, got {len(attributes)}")
