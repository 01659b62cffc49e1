"""Dynamic thing groups with boto3, and continuous jobs on them with a device at the broker."""

import json

import pytest
from botocore.exceptions import ClientError


def dynamic(fleet, query, **more):
    """CreateDynamicThingGroup, of a name that ``fleet.job`` takes as a group's; the name."""
    return fleet.iot.create_dynamic_thing_group(
        thingGroupName=fleet.name("group"), queryString=query, **more
    )["thingGroupName"]


def site(fleet, thing, value):
    payload = {"attributes": {"site": value}, "merge": True}
    fleet.iot.update_thing(thingName=thing, attributePayload=payload)


def members(fleet, group):
    return fleet.iot.list_things_in_thing_group(thingGroupName=group)["things"]


def active(fleet, group):
    return fleet.iot.describe_thing_group(thingGroupName=group)["status"] == "ACTIVE"


@pytest.fixture
def value(fleet):
    """A value of the attribute that nothing else has."""
    return fleet.name("site")


def test_life_of_a_group(fleet, value, eventually):
    lamps = [fleet.thing() for _ in range(3)]
    for lamp in lamps[:2]:
        site(fleet, lamp, value.upper())
    made = fleet.iot.create_dynamic_thing_group(
        thingGroupName=(name := fleet.name("group")),
        queryString=f"attributes.site:{value}",
        thingGroupProperties={
            "thingGroupDescription": "here",
            "attributePayload": {"attributes": {"a": "1"}},
        },
        tags=[{"Key": "k", "Value": "v"}],
    )
    assert (made["indexName"], made["queryVersion"]) == ("AWS_Things", "2017-09-30")
    assert made["queryString"] == f"attributes.site:{value}"
    eventually(lambda: active(fleet, name))
    assert members(fleet, name) == lamps[:2]
    assert [
        group["groupName"]
        for group in fleet.iot.list_thing_groups_for_thing(thingName=lamps[0])["thingGroups"]
    ] == [name]
    listed = fleet.iot.list_thing_groups(namePrefixFilter=name)["thingGroups"]
    assert [group["groupName"] for group in listed] == [name]
    fleet.iot.update_dynamic_thing_group(
        thingGroupName=name, thingGroupProperties={}, queryString=f"thingName:{lamps[2]}", expectedVersion=1
    )
    eventually(lambda: active(fleet, name))
    described = fleet.iot.describe_thing_group(thingGroupName=name)
    assert (described["version"], described["queryString"]) == (2, f"thingName:{lamps[2]}")
    assert described["thingGroupProperties"]["thingGroupDescription"] == "here"
    assert members(fleet, name) == [lamps[2]]
    fleet.iot.delete_dynamic_thing_group(thingGroupName=name)
    with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
        fleet.iot.describe_thing_group(thingGroupName=name)
    assert fleet.iot.list_thing_groups_for_thing(thingName=lamps[2])["thingGroups"] == []


def test_what_is_refused(fleet, value):
    group, lamp = dynamic(fleet, f"attributes.site:{value}"), fleet.thing()
    static = fleet.group()
    for code, operation, given in (
        ("InvalidRequestException", "add_thing_to_thing_group", {"thingGroupName": group, "thingName": lamp}),
        (
            "InvalidRequestException",
            "remove_thing_from_thing_group",
            {"thingGroupName": group, "thingName": lamp},
        ),
        ("InvalidRequestException", "delete_thing_group", {"thingGroupName": group}),
        ("InvalidRequestException", "delete_dynamic_thing_group", {"thingGroupName": static}),
        ("InvalidRequestException", "create_thing_group", {"thingGroupName": "x", "parentGroupName": group}),
        (
            "InvalidQueryException",
            "create_dynamic_thing_group",
            {"thingGroupName": "x", "queryString": "site:a"},
        ),
        (
            "ResourceAlreadyExistsException",
            "create_dynamic_thing_group",
            {"thingGroupName": group, "queryString": "*"},
        ),
        (
            "ResourceNotFoundException",
            "update_dynamic_thing_group",
            {"thingGroupName": "x", "thingGroupProperties": {}},
        ),
        (
            "VersionConflictException",
            "update_dynamic_thing_group",
            {"thingGroupName": group, "thingGroupProperties": {}, "expectedVersion": 7},
        ),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(fleet.iot, operation)(**given)
        assert refused.value.response["Error"]["Code"] == code, operation


@pytest.fixture
def watched(fleet, link, value):
    """A thing at the broker, a dynamic group that it is not in, and a continuous job on the group."""
    lamp = fleet.thing()
    group = dynamic(fleet, f"attributes.site:{value}")
    device = fleet.device(lamp, link)
    device.subscribe("notify", "notify-next")
    job = fleet.job(group, targetSelection="CONTINUOUS")
    return lamp, group, device, job


def statuses(fleet, lamp, job):
    """By execution number."""
    found = fleet.iot.list_job_executions_for_job(jobId=job)["executionSummaries"]
    mine = [each["jobExecutionSummary"] for each in found if each["thingArn"].endswith(f"/{lamp}")]
    return {each["executionNumber"]: each["status"] for each in mine}


def told(device):
    """The next two messages are notify and notify-next; the jobs queued and the job that is next."""
    queued = device.take_named("notify")["jobs"].get("QUEUED", [])
    following = device.take_named("notify-next").get("execution", {})
    return [entry["jobId"] for entry in queued], following.get("jobId")


def test_a_continuous_job_follows_who_joins_and_leaves(fleet, watched, value):
    lamp, _, device, job = watched
    assert fleet.counts(job) == {}
    site(fleet, lamp, value)
    assert told(device) == ([job], job)
    site(fleet, lamp, "elsewhere")
    assert told(device) == ([], None)
    assert statuses(fleet, lamp, job) == {1: "REMOVED"}
    site(fleet, lamp, value)
    assert told(device) == ([job], job)
    device.ask("start-next")
    # What is IN_PROGRESS stays so when the thing leaves, and joining then queues nothing new.
    site(fleet, lamp, "elsewhere")
    site(fleet, lamp, value)
    device.quiet()
    assert statuses(fleet, lamp, job) == {1: "REMOVED", 2: "IN_PROGRESS"}
    device.publish(f"{job}/update", {"status": "SUCCEEDED"})
    device.take_named(f"{job}/update/accepted")
    assert told(device) == ([], None)
    site(fleet, lamp, "elsewhere")
    site(fleet, lamp, value)
    assert told(device) == ([job], job)
    assert statuses(fleet, lamp, job) == {1: "REMOVED", 2: "SUCCEEDED", 3: "QUEUED"}
    assert fleet.status(job) == "IN_PROGRESS"


def test_the_end_of_the_group_takes_back_what_is_queued(fleet, watched, value):
    lamp, group, device, job = watched
    site(fleet, lamp, value)
    assert told(device) == ([job], job)
    fleet.iot.delete_dynamic_thing_group(thingGroupName=group)
    assert told(device) == ([], None)
    assert statuses(fleet, lamp, job) == {1: "REMOVED"}


def test_a_thing_that_is_made_to_match_gets_the_job(fleet, value):
    group = dynamic(fleet, f"attributes.site:{value}")
    job = fleet.job(group, targetSelection="CONTINUOUS")
    lamp = fleet.name("thing")
    fleet.iot.create_thing(thingName=lamp, attributePayload={"attributes": {"site": value}})
    assert statuses(fleet, lamp, job) == {1: "QUEUED"}


def test_a_snapshot_job_takes_who_is_in_the_group(fleet, value, eventually):
    lamps = [fleet.thing() for _ in range(3)]
    site(fleet, lamps[0], value)
    site(fleet, lamps[1], value)
    group = dynamic(fleet, f"attributes.site:{value}")
    eventually(lambda: active(fleet, group))
    job = fleet.job(group)
    site(fleet, lamps[2], value)
    site(fleet, lamps[1], "elsewhere")
    eventually(lambda: fleet.counts(job) == {"Queued": 2})
    assert [statuses(fleet, lamp, job) for lamp in lamps] == [{1: "QUEUED"}, {1: "QUEUED"}, {}]


def test_a_job_reaches_devices_as_they_come_online(fleet, make_link, eventually):
    lamp = fleet.thing()
    group = dynamic(fleet, f"connectivity.connected:true thingName:{lamp}")
    job = fleet.job(group, targetSelection="CONTINUOUS")
    assert members(fleet, group) == []
    device = fleet.device(lamp, make_link(5, False))
    eventually(lambda: members(fleet, group) == [lamp])
    assert statuses(fleet, lamp, job) == {1: "QUEUED"}
    device.drop()
    eventually(lambda: members(fleet, group) == [])
    assert statuses(fleet, lamp, job) == {1: "REMOVED"}


def test_groups_survive_kill_9_and_nobody_is_connected_then(own_server, tmp_path, eventually):
    iot = own_server.client("iot")
    for number in range(50):
        iot.create_thing(thingName=f"t{number:02}", attributePayload={"attributes": {"n": str(number)}})
    iot.create_dynamic_thing_group(thingGroupName="online", queryString="connectivity.connected:true")
    iot.create_dynamic_thing_group(thingGroupName="high", queryString="attributes.n>=40")
    own_server.kill()
    own_server.start()
    iot = own_server.client("iot")

    def ready(name):
        return iot.describe_thing_group(thingGroupName=name)["status"] == "ACTIVE"

    eventually(lambda: ready("online") and ready("high"))
    assert iot.list_things_in_thing_group(thingGroupName="online")["things"] == []
    assert len(iot.list_things_in_thing_group(thingGroupName="high")["things"]) == 10
    assert len(iot.search_index(queryString="attributes.n:4*")["things"]) == 11


@pytest.fixture
def package(fleet):
    """A package with a published version 1.20, and the record of what runs where turned on."""
    name = fleet.name("app")
    fleet.iot.create_package(packageName=name)
    fleet.iot.create_package_version(packageName=name, versionName="1.20")
    fleet.iot.update_package_version(packageName=name, versionName="1.20", action="PUBLISH")
    role = "arn:aws:iam::000000000000:role/jobs"
    fleet.iot.update_package_configuration(versionUpdateByJobsConfig={"enabled": True, "roleArn": role})
    return name


def test_a_job_brings_a_version_to_all_that_do_not_run_it(fleet, value, package):
    lamps = [fleet.thing() for _ in range(2)]
    field = f"shadow.name.$package.reported.{package}.version"
    group = dynamic(fleet, f"attributes.site:{value} NOT {field}:1.20")
    arn = f"arn:aws:iot:us-east-1:000000000000:package/{package}/version/1.20"
    job = fleet.job(group, targetSelection="CONTINUOUS", destinationPackageVersions=[arn])
    for lamp in lamps:
        site(fleet, lamp, value)
    assert (members(fleet, group), fleet.counts(job)) == (lamps, {"Queued": 2})
    fleet.data.start_next_pending_job_execution(thingName=lamps[0], statusDetails={})
    fleet.data.update_job_execution(thingName=lamps[0], jobId=job, status="SUCCEEDED")
    assert (members(fleet, group), fleet.counts(job)) == (lamps[1:], {"Queued": 1, "Succeeded": 1})
    fleet.data.update_job_execution(thingName=lamps[1], jobId=job, status="SUCCEEDED")
    assert (members(fleet, group), fleet.counts(job)) == ([], {"Succeeded": 2})
    assert statuses(fleet, lamps[0], job) == {1: "SUCCEEDED"}
    found = fleet.iot.search_index(queryString=f"{field}:1.20")["things"]
    assert [thing["thingName"] for thing in found] == lamps
    shadow = {"name": {"$package": {"reported": {package: {"version": "1.20"}}}}}
    assert [json.loads(thing["shadow"]) for thing in found] == [shadow, shadow]
    assert fleet.iot.search_index(queryString=f"{field}:1.2")["things"] == []
