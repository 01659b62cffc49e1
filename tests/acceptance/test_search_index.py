"""SearchIndex with boto3: things that are connected now."""

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
    assert (told["thingName"], told["connectivity"]) == (lamp, {"connected": True})
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
        ({"queryString": "attributes.hall:north"}, "InvalidQueryException"),
        ({"queryString": "connectivity.connected:false"}, "InvalidQueryException"),
        ({"queryString": CONNECTED, "indexName": "AWS_ThingGroups"}, "ResourceNotFoundException"),
        ({"queryString": CONNECTED, "nextToken": "x"}, "InvalidRequestException"),
    ],
)
def test_what_it_does_not_answer_is_refused(fleet, arguments, code):
    with pytest.raises(ClientError) as refused:
        fleet.iot.search_index(**arguments)
    assert refused.value.response["Error"]["Code"] == code
