import pytest
from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, NotFound, VersionConflict


async def test_a_thing_from_creation_to_deletion(registry):
    made = await registry(
        "CreateThing", thingName="a:1", attributePayload={"attributes": {"model": "x", "empty": ""}}
    )
    assert made == {
        "thingName": "a:1",
        "thingArn": "arn:aws:iot:us-east-1:000000000000:thing/a:1",
        "thingId": "id-1",
    }
    assert await registry("DescribeThing", thingName="a:1") == {
        "defaultClientId": "a:1",
        "thingName": "a:1",
        "thingId": "id-1",
        "thingArn": made["thingArn"],
        "thingTypeName": None,
        "attributes": {"model": "x"},
        "version": 1,
    }
    await registry(
        "UpdateThing",
        thingName="a:1",
        attributePayload={"attributes": {"b": "2"}, "merge": True},
        expectedVersion=1,
    )
    described = await registry("DescribeThing", thingName="a:1")
    assert (described["version"], described["attributes"]) == (2, {"model": "x", "b": "2"})
    await registry("DeleteThing", thingName="a:1", expectedVersion=2)
    with pytest.raises(NotFound):
        await registry("DescribeThing", thingName="a:1")
    assert (await registry("ListThings"))["things"] == []


async def test_repeats_and_their_limits(registry):
    first = await registry("CreateThing", thingName="t", attributePayload={"attributes": {"a": "1"}})
    assert await registry("CreateThing", thingName="t", attributePayload={"attributes": {"a": "1"}}) == first
    for other in ({}, {"attributePayload": {"attributes": {"a": "2"}}}):
        with pytest.raises(AlreadyExists):
            await registry("CreateThing", thingName="t", **other)
    await registry("DeleteThing", thingName="nobody")
    for operation in ("DescribeThing", "UpdateThing"):
        with pytest.raises(NotFound):
            await registry(operation, thingName="nobody")
    with pytest.raises(InvalidRequest, match="billingGroupName"):
        await registry("CreateThing", thingName="u", billingGroupName="b")


async def test_a_wrong_version_is_told_before_attached_certificates(registry):
    await registry("CreateThing", thingName="t")
    certificate = await registry("CreateKeysAndCertificate")
    await registry("AttachThingPrincipal", thingName="t", principal=certificate["certificateArn"])
    with pytest.raises(VersionConflict):
        await registry("DeleteThing", thingName="t", expectedVersion=7)
    with pytest.raises(InvalidRequest, match="attached"):
        await registry("DeleteThing", thingName="t")
    await registry("DetachThingPrincipal", thingName="t", principal=certificate["certificateArn"])
    await registry("DeleteThing", thingName="t")


async def test_a_deleted_thing_leaves_its_groups_and_is_told(registry):
    await registry("CreateThing", thingName="t")
    await registry("CreateThingGroup", thingGroupName="g")
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="g")
    await registry("DeleteThing", thingName="t")
    assert registry.ear.told == [("joined", "t", "g"), ("thing_deleted", "t", ["g"])]
    assert (await registry("ListThingsInThingGroup", thingGroupName="g"))["things"] == []


async def test_listing_filters_and_pages(registry):
    await registry("CreateThingType", thingTypeName="pump")
    for number in range(7):
        typed = {"thingTypeName": "pump"} if number % 2 else {}
        payload = {"attributes": {"site": "north" if number < 4 else f"south{number % 2}", "n": str(number)}}
        await registry("CreateThing", thingName=f"t{number}", attributePayload=payload, **typed)

    async def names(**given):
        pages = [page async for page in registry.pages("ListThings", "things", maxResults=2, **given)]
        assert all(len(page) == 2 for page in pages[:-1])
        return [int(thing["thingName"][1:]) for page in pages for thing in page]

    assert await names() == [0, 1, 2, 3, 4, 5, 6]
    assert await names(thingTypeName="pump") == [1, 3, 5]
    assert await names(attributeName="site", attributeValue="north") == [0, 1, 2, 3]
    assert await names(attributeName="site", attributeValue="north", thingTypeName="pump") == [1, 3]
    assert await names(attributeName="site", attributeValue="south", usePrefixAttributeValue=True) == [
        4,
        6,
        5,
    ]
    assert await names(attributeName="site", attributeValue="", usePrefixAttributeValue=True) == [
        0,
        1,
        2,
        3,
        4,
        6,
        5,
    ]
    assert await names(attributeName="site", attributeValue="sou") == []
    with pytest.raises(InvalidRequest, match="together"):
        await registry("ListThings", attributeName="site")
    with pytest.raises(InvalidRequest, match="nextToken"):
        await registry("ListThings", nextToken="nonsense")


async def test_changed_and_deleted_attributes_are_not_found(registry):
    await registry("CreateThing", thingName="t", attributePayload={"attributes": {"a": "1", "b": "1"}})
    await registry("UpdateThing", thingName="t", attributePayload={"attributes": {"a": "2"}})
    found = {}
    for name, value in (("a", "1"), ("a", "2"), ("b", "1")):
        found[name, value] = len(
            (await registry("ListThings", attributeName=name, attributeValue=value))["things"]
        )
    assert found == {("a", "1"): 0, ("a", "2"): 1, ("b", "1"): 0}
    await registry("DeleteThing", thingName="t")
    assert (await registry("ListThings", attributeName="a", attributeValue="2"))["things"] == []


async def test_types_are_deprecated_before_they_are_deleted(registry):
    made = await registry(
        "CreateThingType",
        thingTypeName="pump",
        thingTypeProperties={"thingTypeDescription": "d", "searchableAttributes": ["b", "a"]},
    )
    again = {"thingTypeDescription": "d", "searchableAttributes": ["a", "b"]}
    assert await registry("CreateThingType", thingTypeName="pump", thingTypeProperties=again) == made
    with pytest.raises(AlreadyExists):
        await registry("CreateThingType", thingTypeName="pump")
    await registry("CreateThing", thingName="t", thingTypeName="pump")
    with pytest.raises(InvalidRequest, match="not deprecated"):
        await registry("DeleteThingType", thingTypeName="pump")
    await registry("DeprecateThingType", thingTypeName="pump")
    described = await registry("DescribeThingType", thingTypeName="pump")
    assert described["thingTypeMetadata"] == {
        "deprecated": True,
        "deprecationDate": 1.7e9,
        "creationDate": 1.7e9,
    }
    with pytest.raises(InvalidRequest, match="deprecated"):
        await registry("CreateThing", thingName="u", thingTypeName="pump")
    with pytest.raises(InvalidRequest, match="in use"):
        await registry("DeleteThingType", thingTypeName="pump")
    await registry("UpdateThing", thingName="t", removeThingType=True)
    await registry("DeleteThingType", thingTypeName="pump")
    await registry("DeleteThingType", thingTypeName="pump")
    with pytest.raises(NotFound):
        await registry("CreateThing", thingName="u", thingTypeName="pump")


async def test_deprecation_is_undone_and_types_are_listed(registry):
    for name in ("a", "b", "c"):
        await registry("CreateThingType", thingTypeName=name, tags=[{"Key": "k", "Value": "v"}])
    await registry("DeprecateThingType", thingTypeName="a")
    await registry("DeprecateThingType", thingTypeName="a", undoDeprecate=True)
    await registry("CreateThing", thingName="t", thingTypeName="a")
    pages = [page async for page in registry.pages("ListThingTypes", "thingTypes", maxResults=2)]
    assert [[found["thingTypeName"] for found in page] for page in pages] == [["a", "b"], ["c"]]
    assert len((await registry("ListThingTypes", thingTypeName="b"))["thingTypes"]) == 1
    with pytest.raises(InvalidRequest, match="mqtt5Configuration"):
        await registry(
            "CreateThingType", thingTypeName="d", thingTypeProperties={"mqtt5Configuration": {"x": 1}}
        )


@pytest.mark.parametrize("kind", ["iot:Jobs", "iot:Data"])
async def test_retired_endpoints_point_to_the_one_that_is_used(registry, kind):
    assert (await registry("DescribeEndpoint", endpointType="iot:Data-ATS")) == {
        "endpointAddress": "devices.example"
    }
    assert (await registry("DescribeEndpoint")) == {"endpointAddress": "devices.example"}
    with pytest.raises(InvalidRequest, match="use iot:Data-ATS"):
        await registry("DescribeEndpoint", endpointType=kind)
    with pytest.raises(InvalidRequest, match="no endpoint"):
        await registry("DescribeEndpoint", endpointType="iot:CredentialProvider")
