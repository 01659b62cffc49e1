"""What an update is aimed at, as a person writes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from outfitter_updates.catalogue.devices import REGISTRY_NAME, Device, Group
from outfitter_updates.catalogue.problems import NotFound, WrongUsage, did_you_mean


class TargetKind(StrEnum):
    """The two kinds of targets."""

    THING = "thing"
    GROUP = "group"


ANY: Final = tuple(TargetKind)


@dataclass(frozen=True, slots=True)
class TargetName:
    """A name and the kinds of things it may mean."""

    name: str
    kinds: tuple[TargetKind, ...]


def parse_target(text: str) -> TargetName:
    """``NAME``, ``thing:NAME`` or ``group:NAME``; raises WrongUsage when no thing or group can be called so."""
    kind, colon, rest = text.partition(":")
    explicit = bool(colon) and kind in ANY
    found = TargetName(rest, (TargetKind(kind),)) if explicit else TargetName(text, ANY)
    if not REGISTRY_NAME.fullmatch(found.name):
        raise WrongUsage(
            f"{found.name!r} can be no device or group: names have 1 to 128 letters, digits, ':', '_' and '-'."
        )
    return found


def choose_target(
    wanted: TargetName, device: Device | None, group: Group | None, existing: Iterable[str] = ()
) -> Device | Group:
    """The one that is meant; raises WrongUsage when both exist and NotFound when neither does."""
    if device and group:
        raise WrongUsage(
            f"There is a device and a group named {wanted.name!r}: write thing:{wanted.name} or group:{wanted.name}."
        )
    found = device or group
    if found is None:
        kinds = " or ".join("device" if kind is TargetKind.THING else "group" for kind in wanted.kinds)
        hint = did_you_mean(wanted.name, existing, nothing=f"There is no {kinds} at all yet.")
        raise NotFound(f"There is no {kinds} named {wanted.name!r}. {hint}")
    return found
