"""The fleet index with boto3: searching, and what is indexed."""

import time

import pytest
from botocore.exceptions import ClientError

CONNECTED = "connectivity.connected:true"


def names(answer):
    return [thing["thingName"] for thing in answer["things"]]


def test_connected_things_are_found(fleet, link):
    lamp, dark = fleet.thing(), fleet.thing()
    device = fleet.device(lamp, link)
    found = fleet.iot.search_index(queryString=CONNECTED, maxResults=500)
    assert lamp in names(found)
    assert dark not in names(found)
    (told,) = fleet.iot.search_index(queryString=f"thingName:{lamp}")["things"]
    assert (told["thingName"], told["connectivity"]["connected"]) == (lamp, True)
    assert abs(told["connectivity"]["timestamp"] / 1000 - time.time()) < 60
    assert told["thingId"] == fleet.iot.describe_thing(thingName=lamp)["thingId"]
    (told,) = fleet.iot.search_index(queryString=f"thingName:{dark}")["things"]
    assert told["connectivity"] == {"connected": False}
    device.drop()


def test_who_is_gone_is_not_found(fleet, make_link, eventually):
    lamp = fleet.thing()
    device = fleet.device(lamp, make_link(5, False))
    assert lamp in names(fleet.iot.search_index(queryString=CONNECTED))
    device.drop()
    eventually(lambda: lamp not in names(fleet.iot.search_index(queryString=CONNECTED)))
    lost = f"thingName:{lamp} connectivity.disconnectReason:CONNECTION_LOST"
    (told,) = eventually(lambda: fleet.iot.search_index(queryString=lost)["things"])
    assert told["connectivity"]["connected"] is False
    assert abs(told["connectivity"]["timestamp"] / 1000 - time.time()) < 60


def test_who_is_taken_over_stays_connected(fleet, make_link):
    lamp = fleet.thing()
    first = fleet.device(lamp, make_link(5, False))
    fleet.device(lamp, make_link(5, False))
    assert first.closed.wait(10)
    assert lamp in names(fleet.iot.search_index(queryString=CONNECTED))
    lost = f"thingName:{lamp} connectivity.disconnectReason:DUPLICATE_CLIENTID"
    assert names(fleet.iot.search_index(queryString=lost)) == []


def test_a_goodbye_is_told_from_a_loss(fleet, make_link, eventually):
    lamp = fleet.thing()
    fleet.device(lamp, make_link(5, False)).disconnect()
    left = f"thingName:{lamp} connectivity.disconnectReason:CLIENT_INITIATED_DISCONNECT"
    eventually(lambda: fleet.iot.search_index(queryString=left)["things"])


def test_it_is_read_page_by_page(fleet, make_link):
    lamps = {fleet.thing() for _ in range(3)}
    for lamp in lamps:
        fleet.device(lamp, make_link(4, False))
    seen, token = [], {}
    while True:
        page = fleet.iot.search_index(queryString=CONNECTED, maxResults=1, **token)
        assert len(page["things"]) <= 1
        seen += names(page)
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert seen == sorted(set(seen))
    assert lamps <= set(seen)


def test_clients_that_are_no_things_are_not_listed(fleet, make_link):
    lamp = fleet.thing()
    fleet.device(lamp, make_link(4, False))
    fleet.iot.delete_thing(thingName=lamp)
    assert lamp not in names(fleet.iot.search_index(queryString=CONNECTED))
    assert fleet.iot.search_index(queryString=f"thingName:{lamp}")["things"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"queryString": "colour:red"}, "InvalidQueryException"),
        ({"queryString": "thingName:"}, "InvalidQueryException"),
        ({"queryString": "shadow.reported.colour:red"}, "InvalidQueryException"),
        ({"queryString": "shadow.name.other.reported.colour:red"}, "InvalidQueryException"),
        ({"queryString": CONNECTED, "queryVersion": "2016-01-01"}, "InvalidRequestException"),
        ({"queryString": "attributes.a:1", "nextToken": "WyJ4IiwgInkiXQ"}, "InvalidRequestException"),
        ({"queryString": CONNECTED, "indexName": "AWS_ThingGroups"}, "ResourceNotFoundException"),
        ({"queryString": CONNECTED, "nextToken": "x"}, "InvalidRequestException"),
    ],
)
def test_what_it_does_not_answer_is_refused(fleet, arguments, code):
    with pytest.raises(ClientError) as refused:
        fleet.iot.search_index(**arguments)
    assert refused.value.response["Error"]["Code"] == code


@pytest.fixture
def lamps(fleet):
    """Six lamps of two types and sites, the first two in a hall."""
    prefix = fleet.name("Lamp")
    hall = fleet.group()
    kinds = [fleet.name("type") for _ in range(2)]
    for kind in kinds:
        fleet.iot.create_thing_type(thingTypeName=kind)
    made = []
    for number in range(6):
        attributes = {"site": ("Berlin", "Paris")[number % 2], "hours": str(number * 100), "run": prefix}
        name = f"{prefix}-{number}"
        fleet.iot.create_thing(
            thingName=name, thingTypeName=kinds[number // 3], attributePayload={"attributes": attributes}
        )
        if number < 2:
            fleet.iot.add_thing_to_thing_group(thingName=name, thingGroupName=hall)
        made.append(name)
    return {"prefix": prefix, "hall": hall, "kinds": kinds, "names": made}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("thingName:{prefix}*", [0, 1, 2, 3, 4, 5]),
        ("thingName:{prefix}-?", [0, 1, 2, 3, 4, 5]),
        ("attributes.run:{lower} attributes.site:berlin", [0, 2, 4]),
        ("attributes.run:{prefix} attributes.hours>=300", [3, 4, 5]),
        ("attributes.hours:[100 TO 300}} attributes.run:{prefix}", [1, 2]),
        ("attributes.hours:100.0 attributes.run:{prefix}", [1]),
        ("thingGroupNames:{hall}", [0, 1]),
        ("thingGroupNames:{hall} -attributes.site:paris", [0]),
        ("thingTypeName:{kind}", [3, 4, 5]),
        ("attributes.site:(berlin OR rome) {prefix}", [0, 2, 4]),
        ("{prefix} AND NOT thingGroupNames:{hall} AND connectivity.connected:false", [2, 3, 4, 5]),
        ("attributes.run:{prefix} shadow.name.$package.reported.app.version:*", []),
    ],
)
def test_the_language(fleet, lamps, query, numbers):
    text = query.format(
        prefix=lamps["prefix"],
        lower=lamps["prefix"].lower(),
        hall=lamps["hall"],
        kind=lamps["kinds"][1].upper(),
    )
    found = fleet.iot.search_index(queryString=text, indexName="AWS_Things", queryVersion="2017-09-30")
    assert sorted(names(found)) == [lamps["names"][number] for number in numbers]


def test_a_thing_is_shown_whole(fleet, lamps):
    (told,) = fleet.iot.search_index(queryString=f"thingName:{lamps['names'][0].lower()}")["things"]
    assert told.pop("thingId")
    assert told == {
        "thingName": lamps["names"][0],
        "thingTypeName": lamps["kinds"][0],
        "thingGroupNames": [lamps["hall"]],
        "attributes": {"site": "Berlin", "hours": "0", "run": lamps["prefix"]},
        "connectivity": {"connected": False},
    }


@pytest.mark.parametrize("size", [1, 2, 4, 6])
@pytest.mark.parametrize("query", ["attributes.run:{0}", "thingName:{0}*", "{0}", "attributes.hours>=0 {0}"])
def test_pages_hold_everything_once(fleet, lamps, query, size):
    seen, token = [], {}
    while True:
        page = fleet.iot.search_index(queryString=query.format(lamps["prefix"]), maxResults=size, **token)
        seen += names(page)
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert sorted(seen) == lamps["names"]


def test_what_is_indexed_is_told_and_changed(own_server):
    iot = own_server.client("iot")
    told = iot.get_indexing_configuration()["thingIndexingConfiguration"]
    assert (told["thingIndexingMode"], told["thingConnectivityIndexingMode"]) == ("REGISTRY", "STATUS")
    assert told["filter"] == {"namedShadowNames": ["$package"]}
    assert iot.describe_index(indexName="AWS_Things")["schema"] == "REGISTRY_AND_CONNECTIVITY_STATUS"
    assert iot.list_indices()["indexNames"] == ["AWS_Things"]
    iot.create_thing(thingName="lamp")
    iot.update_indexing_configuration(thingIndexingConfiguration={"thingIndexingMode": "REGISTRY"})
    assert names(iot.search_index(queryString="thingName:lamp")) == ["lamp"]
    assert "connectivity" not in iot.search_index(queryString="*")["things"][0]
    for query in (CONNECTED, "shadow.name.$package.reported.app.version:1"):
        with pytest.raises(iot.exceptions.InvalidQueryException, match="UpdateIndexingConfiguration"):
            iot.search_index(queryString=query)
    iot.update_indexing_configuration(thingIndexingConfiguration={"thingIndexingMode": "OFF"})
    assert iot.list_indices()["indexNames"] == []
    for ask in (
        lambda: iot.search_index(queryString="*"),
        lambda: iot.describe_index(indexName="AWS_Things"),
        lambda: iot.create_dynamic_thing_group(thingGroupName="all", queryString="*"),
    ):
        with pytest.raises(iot.exceptions.ResourceNotFoundException, match="UpdateIndexingConfiguration"):
            ask()
    own_server.stop()
    own_server.start()
    told = own_server.client("iot").get_indexing_configuration()["thingIndexingConfiguration"]
    assert told["thingIndexingMode"] == "OFF"


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ({"thingIndexingMode": "OFF", "thingConnectivityIndexingMode": "STATUS"}, "turn them OFF too"),
        ({"thingIndexingMode": "REGISTRY", "deviceDefenderIndexingMode": "VIOLATIONS"}, "Device Defender"),
        (
            {"thingIndexingMode": "REGISTRY", "customFields": [{"name": "a", "type": "String"}]},
            "customFields",
        ),
        (
            {"thingIndexingMode": "REGISTRY", "filter": {"namedShadowNames": ["a"]}},
            "namedShadowIndexingMode ON",
        ),
    ],
)
def test_configurations_that_are_refused(fleet, things, words):
    with pytest.raises(fleet.iot.exceptions.InvalidRequestException, match=words):
        fleet.iot.update_indexing_configuration(thingIndexingConfiguration=things)
