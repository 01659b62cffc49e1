import asyncio

import pytest
from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, NotFound, VersionConflict
from outfitter_server.services import groups

ARN = "arn:aws:iot:us-east-1:000000000000:"


async def tree(registry):
    """plant > hall > row, plant > yard, and lone; two things in each but plant."""
    for name, parent in (
        ("plant", None),
        ("hall", "plant"),
        ("row", "hall"),
        ("yard", "plant"),
        ("lone", None),
    ):
        above = {"parentGroupName": parent} if parent else {}
        await registry("CreateThingGroup", thingGroupName=name, **above)
    for group in ("hall", "row", "yard", "lone"):
        for number in (1, 2):
            await registry("CreateThing", thingName=f"{group}-{number}")
            await registry("AddThingToThingGroup", thingName=f"{group}-{number}", thingGroupName=group)


async def test_a_group_shows_its_place(registry):
    await tree(registry)
    described = await registry("DescribeThingGroup", thingGroupName="row")
    assert described["thingGroupMetadata"] == {
        "parentGroupName": "hall",
        "rootToParentThingGroups": [
            {"groupName": "plant", "groupArn": ARN + "thinggroup/plant"},
            {"groupName": "hall", "groupArn": ARN + "thinggroup/hall"},
        ],
        "creationDate": 1.7e9,
    }
    assert (described["thingGroupArn"], described["version"]) == (ARN + "thinggroup/row", 1)
    with pytest.raises(NotFound):
        await registry("DescribeThingGroup", thingGroupName="nowhere")
    with pytest.raises(NotFound):
        await registry("CreateThingGroup", thingGroupName="x", parentGroupName="nowhere")


async def test_repeats_compare_everything(registry):
    given = {
        "thingGroupName": "g",
        "thingGroupProperties": {
            "thingGroupDescription": "d",
            "attributePayload": {"attributes": {"a": "1"}},
        },
        "tags": [{"Key": "k", "Value": "v"}],
    }
    made = await registry("CreateThingGroup", **given)
    assert await registry("CreateThingGroup", **given) == made
    for other in ({"tags": []}, {"thingGroupProperties": {}}, {"parentGroupName": "p"}):
        await registry("CreateThingGroup", thingGroupName="p")
        with pytest.raises(AlreadyExists):
            await registry("CreateThingGroup", **{**given, **other})


async def test_updates_raise_the_version(registry):
    await registry(
        "CreateThingGroup", thingGroupName="g", thingGroupProperties={"thingGroupDescription": "d"}
    )
    change = {"attributePayload": {"attributes": {"a": "1"}}}
    updated = await registry(
        "UpdateThingGroup", thingGroupName="g", thingGroupProperties=change, expectedVersion=1
    )
    assert updated == {"version": 2}
    shown = await registry("DescribeThingGroup", thingGroupName="g")
    assert shown["thingGroupProperties"] == {
        "thingGroupDescription": "d",
        "attributePayload": {"attributes": {"a": "1"}},
    }
    with pytest.raises(VersionConflict):
        await registry("UpdateThingGroup", thingGroupName="g", thingGroupProperties=change, expectedVersion=1)


async def test_groups_go_from_the_leaves_and_keep_their_things(registry):
    await tree(registry)
    registry.ear.told.clear()
    with pytest.raises(InvalidRequest, match="child groups"):
        await registry("DeleteThingGroup", thingGroupName="hall")
    with pytest.raises(VersionConflict):
        await registry("DeleteThingGroup", thingGroupName="row", expectedVersion=9)
    await registry("DeleteThingGroup", thingGroupName="row")
    await registry("DeleteThingGroup", thingGroupName="row")
    await registry("DeleteThingGroup", thingGroupName="hall")
    assert registry.ear.told == [
        ("group_deleted", "row", ["row-1", "row-2"]),
        ("group_deleted", "hall", ["hall-1", "hall-2"]),
    ]
    assert (await registry("ListThingGroupsForThing", thingName="row-1"))["thingGroups"] == []
    found = await registry("ListThingsInThingGroup", thingGroupName="plant", recursive=True)
    assert found["things"] == ["yard-1", "yard-2"]


async def test_the_things_of_a_large_group_leave_it_in_steps_between_which_others_are_served(
    registry, monkeypatch
):
    monkeypatch.setattr(groups, "MEMBERS_A_STEP", 2)
    things = [f"t{number}" for number in range(7)]
    await registry("CreateThingGroup", thingGroupName="g")
    for thing in things:
        await registry("CreateThing", thingName=thing)
        await registry("AddThingToThingGroup", thingName=thing, thingGroupName="g")
    registry.ear.told.clear()
    with pytest.raises(VersionConflict):
        await registry("DeleteThingGroup", thingGroupName="g", expectedVersion=9)
    assert registry.ear.told == []
    deletion = asyncio.create_task(registry("DeleteThingGroup", thingGroupName="g"))
    served = []
    while not deletion.done():
        await registry.committer.change(
            lambda batch: served.append(batch.tx.one("member_exists", group="g", thing="t6"))
        )
    await deletion
    assert any(served)
    assert registry.ear.told == [
        *(("left", thing, "g") for thing in things[:6]),
        ("group_deleted", "g", ["t6"]),
    ]
    assert (await registry("ListThingGroupsForThing", thingName="t0"))["thingGroups"] == []
    with pytest.raises(NotFound):
        await registry("DescribeThingGroup", thingGroupName="g")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["hall", "lone", "plant", "row", "yard"]),
        ({"recursive": False}, ["lone", "plant"]),
        ({"parentGroup": "plant"}, ["hall", "row", "yard"]),
        ({"parentGroup": "plant", "recursive": False}, ["hall", "yard"]),
        ({"parentGroup": "plant", "namePrefixFilter": "r"}, ["row"]),
        ({"namePrefixFilter": "p"}, ["plant"]),
        ({"parentGroup": "lone"}, []),
    ],
)
async def test_listing_groups(registry, given, names):
    await tree(registry)
    pages = [page async for page in registry.pages("ListThingGroups", "thingGroups", maxResults=2, **given)]
    assert [group["groupName"] for page in pages for group in page] == names
    assert all(len(page) == 2 for page in pages[:-1])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
async def test_listing_members_in_and_below_a_group(registry, size):
    await tree(registry)

    async def members(**given):
        pages = [
            page
            async for page in registry.pages("ListThingsInThingGroup", "things", maxResults=size, **given)
        ]
        assert all(len(page) == size for page in pages[:-1])
        return [thing for page in pages for thing in page]

    everything = ["hall-1", "hall-2", "row-1", "row-2", "yard-1", "yard-2"]
    assert await members(thingGroupName="plant", recursive=True) == everything
    assert await members(thingGroupName="plant") == []
    assert await members(thingGroupName="hall") == ["hall-1", "hall-2"]
    assert await members(thingGroupName="hall", recursive=True) == ["hall-1", "hall-2", "row-1", "row-2"]


async def test_membership_takes_names_and_arns_that_agree(registry):
    await registry("CreateThing", thingName="t")
    await registry("CreateThingGroup", thingGroupName="g")
    arns = {"thingArn": ARN + "thing/t", "thingGroupArn": ARN + "thinggroup/g"}
    await registry("AddThingToThingGroup", **arns)
    await registry("AddThingToThingGroup", **arns, thingName="t", thingGroupName="g")
    assert registry.ear.told == [("joined", "t", "g")]
    for wrong in ({"thingName": "u"}, {"thingGroupName": "h"}, {"thingArn": ARN + "thinggroup/t"}):
        with pytest.raises(InvalidRequest):
            await registry("AddThingToThingGroup", **{**arns, **wrong})
    with pytest.raises(InvalidRequest, match="give the name"):
        await registry("AddThingToThingGroup", thingName="t")
    await registry("RemoveThingFromThingGroup", **arns)
    await registry("RemoveThingFromThingGroup", **arns)
    assert registry.ear.told[1:] == [("left", "t", "g")]


async def test_unknown_things_and_groups_in_membership(registry):
    await registry("CreateThing", thingName="t")
    await registry("CreateThingGroup", thingGroupName="g")
    for operation in ("AddThingToThingGroup", "RemoveThingFromThingGroup"):
        with pytest.raises(NotFound, match="thing nobody"):
            await registry(operation, thingName="nobody", thingGroupName="g")
    with pytest.raises(NotFound, match="group nowhere"):
        await registry("AddThingToThingGroup", thingName="t", thingGroupName="nowhere")
    await registry("RemoveThingFromThingGroup", thingName="t", thingGroupName="nowhere")


async def test_one_group_of_a_hierarchy_and_ten_in_all(registry):
    await tree(registry)
    with pytest.raises(InvalidRequest, match="same hierarchy"):
        await registry("AddThingToThingGroup", thingName="row-1", thingGroupName="yard")
    for number in range(9):
        await registry("CreateThingGroup", thingGroupName=f"g{number}")
        await registry("AddThingToThingGroup", thingName="row-1", thingGroupName=f"g{number}")
    with pytest.raises(InvalidRequest, match="at most 10"):
        await registry("AddThingToThingGroup", thingName="row-1", thingGroupName="lone")
    pages = [
        page
        async for page in registry.pages(
            "ListThingGroupsForThing", "thingGroups", thingName="row-1", maxResults=4
        )
    ]
    assert [len(page) for page in pages] == [4, 4, 2]


async def test_moving_is_all_or_nothing(registry):
    await tree(registry)
    registry.ear.told.clear()
    await registry(
        "UpdateThingGroupsForThing", thingName="row-1", thingGroupsToAdd=["yard"], thingGroupsToRemove=["row"]
    )
    assert registry.ear.told == [("left", "row-1", "row"), ("joined", "row-1", "yard")]
    with pytest.raises(NotFound):
        await registry(
            "UpdateThingGroupsForThing",
            thingName="row-1",
            thingGroupsToAdd=["nowhere"],
            thingGroupsToRemove=["yard"],
        )
    groups = (await registry("ListThingGroupsForThing", thingName="row-1"))["thingGroups"]
    assert [group["groupName"] for group in groups] == ["yard"]
