"""Thing groups of the ``iot`` model, and their members; dynamic_groups.py has what is made by a query."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.dynamic_groups import query_members
from outfitter_server.aws.operations.members import page_size, seconds, tag_map
from outfitter_server.aws.operations.things import attribute_change
from outfitter_server.base.arns import named
from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import decode_token, encode_token
from outfitter_server.services.dynamic_groups import DynamicGroups
from outfitter_server.services.group_members import GroupMembers
from outfitter_server.services.groups import Groups


class GroupOperations:
    """Handlers of the operations on thing groups."""

    def __init__(self, groups: Groups, dynamic: DynamicGroups, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._groups = groups
        self._dynamic = dynamic
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateThingGroup": self._create,
            "DescribeThingGroup": self._describe,
            "UpdateThingGroup": self._update,
            "DeleteThingGroup": self._delete,
            "ListThingGroups": self._list,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        properties = given.get("thingGroupProperties") or {}
        group = await self._groups.create(
            given["thingGroupName"],
            given.get("parentGroupName"),
            properties.get("thingGroupDescription"),
            attribute_change(properties.get("attributePayload")),
            tag_map(given),
        )
        return {
            "thingGroupName": group.name,
            "thingGroupArn": self._arn(group.name),
            "thingGroupId": group.id,
        }

    async def _describe(self, call: Call) -> dict[str, Any]:
        group, above = self._groups.describe(call.parameters["thingGroupName"])
        found = self._dynamic.find(group.name)
        return {
            "thingGroupName": group.name,
            "thingGroupId": group.id,
            "thingGroupArn": self._arn(group.name),
            "version": group.version,
            "thingGroupProperties": {
                "thingGroupDescription": group.description,
                "attributePayload": {"attributes": dict(group.attributes)},
            },
            "thingGroupMetadata": {
                "parentGroupName": group.parent,
                "rootToParentThingGroups": [named_group(name, self._installation) for name in above] or None,
                "creationDate": seconds(group.created_at),
            },
            **({} if found is None else {**query_members(found.query), "status": found.status}),
        }

    async def _update(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        properties = given["thingGroupProperties"]
        group = await self._groups.update(
            given["thingGroupName"],
            properties.get("thingGroupDescription"),
            attribute_change(properties.get("attributePayload")),
            given.get("expectedVersion"),
        )
        return {"version": group.version}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._groups.delete(call.parameters["thingGroupName"], call.parameters.get("expectedVersion"))
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._groups.page(
            parent=given.get("parentGroup"),
            prefix=given.get("namePrefixFilter", ""),
            recursive=given.get("recursive", True),
            token=given.get("nextToken"),
            limit=page_size(given),
        )
        found = [named_group(name, self._installation) for name in page.items]
        return {"thingGroups": found, "nextToken": page.next_token}

    def _arn(self, name: str) -> str:
        return self._installation.iot_arn("thinggroup", name)


class GroupMemberOperations:
    """Handlers of the operations on membership; names and ARNs are taken, and must agree when both are given."""

    def __init__(self, members: GroupMembers, installation: Installation) -> None:
        """``installation`` prints and reads ARNs."""
        self._members = members
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "AddThingToThingGroup": self._add,
            "RemoveThingFromThingGroup": self._remove,
            "UpdateThingGroupsForThing": self._replace,
            "ListThingsInThingGroup": self._list_things,
            "ListThingGroupsForThing": self._list_groups,
        }

    async def _add(self, call: Call) -> dict[str, Any]:
        override = call.parameters.get("overrideDynamicGroups", False)
        await self._members.add(*self._pair(call.parameters), override=override)
        return {}

    async def _remove(self, call: Call) -> dict[str, Any]:
        await self._members.remove(*self._pair(call.parameters))
        return {}

    async def _replace(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        thing = named("thing", given.get("thingName"), None, self._installation)
        await self._members.replace(
            thing,
            given.get("thingGroupsToAdd") or [],
            given.get("thingGroupsToRemove") or [],
            override=given.get("overrideDynamicGroups", False),
        )
        return {}

    async def _list_things(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._members.page(
            given["thingGroupName"],
            recursive=given.get("recursive", False),
            token=given.get("nextToken"),
            limit=page_size(given),
        )
        return {"things": list(page.items), "nextToken": page.next_token}

    async def _list_groups(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        position = decode_token(given.get("nextToken"), str)
        after = str(position[0]) if position else ""
        limit = page_size(given)
        # At most ten: read whole, cut here.
        names = [name for name in self._members.groups_of(given["thingName"]) if name > after]
        return {
            "thingGroups": [named_group(name, self._installation) for name in names[:limit]],
            "nextToken": encode_token([names[limit - 1]]) if len(names) > limit else None,
        }

    def _pair(self, given: dict[str, Any]) -> tuple[str, str]:
        thing = named("thing", given.get("thingName"), given.get("thingArn"), self._installation)
        group = named(
            "thinggroup", given.get("thingGroupName"), given.get("thingGroupArn"), self._installation
        )
        return thing, group


def named_group(name: str, installation: Installation) -> dict[str, str]:
    """A group as listings show it."""
    return {"groupName": name, "groupArn": installation.iot_arn("thinggroup", name)}
