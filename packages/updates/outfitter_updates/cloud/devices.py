"""Things and groups of the registry."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from outfitter_updates.catalogue.devices import Device, Group
from outfitter_updates.catalogue.problems import NotFound, did_you_mean
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.operations.target import TargetKind, TargetName, choose_target

NAMES_MAX: Final = 1_000
"""How many names are read to suggest from: enough for a hint, bounded for a fleet."""


class Devices:
    """What the registry knows of devices and groups."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, group: str | None, limit: int) -> tuple[Device, ...]:
        """Devices in name order of the service: all of them, or those of a group and its child groups."""
        iot = self._connection.iot
        if group is None:
            return tuple(_device(each) for each in islice(iot.pages("list_things", "things"), limit))
        self.need_group(group)
        names = iot.pages("list_things_in_thing_group", "things", thingGroupName=group, recursive=True)
        return tuple(_device(iot.call("describe_thing", thingName=name)) for name in islice(names, limit))

    def find(self, name: str) -> Device | None:
        """The device, if there is one."""
        told = self._connection.iot.find("describe_thing", thingName=name)
        return _device(told) if told else None

    def need(self, name: str) -> Device:
        """The device; raises NotFound with the names that come close."""
        found = self.find(name)
        if found is None:
            hint = did_you_mean(name, self._names(TargetKind.THING), nothing="There are no devices yet.")
            raise NotFound(f"There is no device named {name!r}. {hint}")
        return found

    def groups_of(self, name: str) -> tuple[str, ...]:
        """The names of the groups that a device is in."""
        told = self._connection.iot.pages("list_thing_groups_for_thing", "thingGroups", thingName=name)
        return tuple(sorted(each["groupName"] for each in told))

    def certificates_of(self, name: str) -> tuple[str, ...]:
        """The ARNs of what the device identifies itself with."""
        told = self._connection.iot.call("list_thing_principals", thingName=name)
        return tuple(told.get("principals", ()))

    def groups(self, limit: int) -> tuple[Group, ...]:
        """All groups."""
        told = self._connection.iot.pages("list_thing_groups", "thingGroups")
        return tuple(Group(name=each["groupName"], arn=each["groupArn"]) for each in islice(told, limit))

    def find_group(self, name: str) -> Group | None:
        """The group, if there is one."""
        told = self._connection.iot.find("describe_thing_group", thingGroupName=name)
        return Group(name=told["thingGroupName"], arn=told["thingGroupArn"]) if told else None

    def need_group(self, name: str) -> Group:
        """The group; raises NotFound with the names that come close."""
        found = self.find_group(name)
        if found is None:
            nothing = f"Create it: `outfitter group create {name}`."
            hint = did_you_mean(name, self._names(TargetKind.GROUP), nothing=nothing)
            raise NotFound(f"There is no group named {name!r}. {hint}")
        return found

    def create_group(self, name: str, parent: str | None, description: str | None) -> Group:
        """A group of that name; the same again is no error."""
        if parent is not None:
            self.need_group(parent)
        if parent is None and description is None and (existing := self.find_group(name)):
            return existing
        told = self._connection.iot.call(
            "create_thing_group",
            thingGroupName=name,
            parentGroupName=parent,
            thingGroupProperties={"thingGroupDescription": description} if description else None,
        )
        return Group(name=told["thingGroupName"], arn=told["thingGroupArn"])

    def join(self, group: str, names: Sequence[str]) -> None:
        """Puts devices into a group; all of them must exist before any is put there."""
        self.need_group(group)
        for name in names:
            self.need(name)
        for name in names:
            self._connection.iot.call("add_thing_to_thing_group", thingGroupName=group, thingName=name)

    def resolve(self, wanted: TargetName) -> Device | Group:
        """The device or group that a target means; raises NotFound or WrongUsage."""
        device = self.find(wanted.name) if TargetKind.THING in wanted.kinds else None
        group = self.find_group(wanted.name) if TargetKind.GROUP in wanted.kinds else None
        existing = () if device or group else [name for kind in wanted.kinds for name in self._names(kind)]
        return choose_target(wanted, device, group, existing)

    def _names(self, kind: TargetKind) -> Iterator[str]:
        iot = self._connection.iot
        if kind is TargetKind.THING:
            return (each["thingName"] for each in islice(iot.pages("list_things", "things"), NAMES_MAX))
        groups = islice(iot.pages("list_thing_groups", "thingGroups"), NAMES_MAX)
        return (each["groupName"] for each in groups)


def _device(told: dict[str, Any]) -> Device:
    return Device(
        name=told["thingName"],
        arn=told.get("thingArn", ""),
        device_type=told.get("thingTypeName"),
        attributes=dict(told.get("attributes", {})),
    )
