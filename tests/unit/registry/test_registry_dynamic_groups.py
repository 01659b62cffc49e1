"""Dynamic groups on a real store: who joins, who leaves, what is refused; and a model that finds the members anew each time."""

import asyncio
import itertools
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from outfitter_server.base.refusals import (
    AlreadyExists,
    InvalidQuery,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    VersionConflict,
)
from outfitter_server.services.fleet_index import dynamic_groups
from outfitter_server.services.group_builder import GroupBuilder
from outfitter_server.things.indexing import DYNAMIC_GROUPS_MAX
from outfitter_server.things.query import Connectivity, Document, matches
from outfitter_server.things.query_parser import parse

BERLIN = "attributes.site:berlin"


async def thing(registry, name, **attributes):
    await registry("CreateThing", thingName=name, attributePayload={"attributes": attributes})


async def dynamic(registry, name, query, **more):
    return await registry("CreateDynamicThingGroup", thingGroupName=name, queryString=query, **more)


async def set_to(registry, name, **attributes):
    payload = {"attributes": attributes, "merge": True}
    await registry("UpdateThing", thingName=name, attributePayload=payload)


async def built(registry):
    """Every group is ACTIVE: its builder has looked at all things."""
    while registry.committer.read(lambda tx: tx.all("dynamic_groups_with_work")):
        for row in registry.committer.read(lambda tx: tx.all("dynamic_groups_with_work")):
            await registry.committer.change(lambda batch, row=row: step(registry, batch, row["name"]))


def step(registry, batch, name, things_max=3):
    registry.fleet.builder.step(batch, name, things_max)


async def members(registry, group):
    return (await registry("ListThingsInThingGroup", thingGroupName=group))["things"]


@pytest.fixture
def idle_builder(monkeypatch):
    """Nobody builds in the background: the test takes the steps."""

    async def round_of_nothing(self):
        return None

    monkeypatch.setattr(GroupBuilder, "_round", round_of_nothing)


async def test_it_is_built_over_what_is_there(registry, idle_builder):
    for number in range(10):
        await thing(registry, f"t{number}", site="Berlin" if number % 2 else "Paris")
    made = await dynamic(registry, "berlin", BERLIN, tags=[{"Key": "k", "Value": "v"}])
    assert {key: made[key] for key in ("indexName", "queryString", "queryVersion")} == {
        "indexName": "AWS_Things",
        "queryString": BERLIN,
        "queryVersion": "2017-09-30",
    }
    assert (await registry("DescribeThingGroup", thingGroupName="berlin"))["status"] == "BUILDING"
    await built(registry)
    described = await registry("DescribeThingGroup", thingGroupName="berlin")
    assert (described["status"], described["queryString"], described["version"]) == ("ACTIVE", BERLIN, 1)
    assert await members(registry, "berlin") == ["t1", "t3", "t5", "t7", "t9"]
    assert registry.ear.told == []  # no job targets the group, so nobody needs to hear of each thing
    listed = await registry("ListThingGroups")
    assert [group["groupName"] for group in listed["thingGroups"]] == ["berlin"]
    of_thing = await registry("ListThingGroupsForThing", thingName="t1")
    assert [group["groupName"] for group in of_thing["thingGroups"]] == ["berlin"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("*", 12),
        ("thingName:t-1*", 3),
        ("thingName:T-11", 1),
        ("attributes.site:b*", 6),
        ("attributes.hours:[300 TO 500]", 3),
        ('attributes.site:["a" TO "c"]', 6),
        ("attributes.hours:300.00", 1),
        ("thingTypeName:KIND", 12),
        ("thingGroupNames:HALL", 4),
        ("thingGroupNames:hall attributes.site:berlin", 2),
        ("NOT attributes.site:berlin", 6),
        ("attributes.site:berlin OR attributes.hours:100", 7),
        ("connectivity.connected:true", 2),
        ("connectivity.connected:false", 10),
        ("shadow.name.$package.reported.app.version:V1", 3),
        ("shadow.name.$package.reported.app.version:v*", 5),
    ],
)
async def test_every_way_of_finding_members(registry, idle_builder, query, wanted):
    await registry("CreateThingType", thingTypeName="kind")
    await registry("CreateThingGroup", thingGroupName="hall")
    installs = {1: "V1", 2: "v1", 3: "v2", 4: "V2", 5: "v1"}
    for number in range(12):
        name = f"t-{number}"
        await registry(
            "CreateThing",
            thingName=name,
            thingTypeName="kind",
            attributePayload={
                "attributes": {"site": ("Berlin", "Paris")[number % 2], "hours": str(number * 100)}
            },
        )
        if number < 4:
            await registry("AddThingToThingGroup", thingName=name, thingGroupName="hall")
        if number in installs:
            await registry.committer.change(
                lambda batch, name=name, number=number: batch.tx.run(
                    "installed_package_set", thing=name, package="app", version=installs[number], now=1
                )
            )
    for client in ("t-1", "t-7", "someone"):
        registry.fleet.live.came(client)
    await dynamic(registry, "found", query)
    await built(registry)
    found = await members(registry, "found")
    assert len(found) == len(set(found)) == wanted


async def test_changes_of_a_thing_move_it_at_once(registry, idle_builder):
    await dynamic(registry, "berlin", BERLIN)
    await dynamic(registry, "lamps", "thingTypeName:lamp")
    await dynamic(registry, "elsewhere", "NOT attributes.site:berlin")
    await registry("CreateThingType", thingTypeName="lamp")
    await thing(registry, "t", site="Berlin")
    assert registry.ear.told == [("joined", "t", "berlin")]
    registry.ear.told.clear()
    await set_to(registry, "t", hours="5")
    assert registry.ear.told == []
    await registry("UpdateThing", thingName="t", thingTypeName="lamp")
    await set_to(registry, "t", site="")
    assert registry.ear.told == [
        ("joined", "t", "lamps"),
        ("left", "t", "berlin"),
        ("joined", "t", "elsewhere"),
    ]
    registry.ear.told.clear()
    await registry("DeleteThing", thingName="t")
    assert registry.ear.told == [("thing_deleted", "t", ["elsewhere", "lamps"])]
    assert await members(registry, "lamps") == []


async def test_static_membership_is_asked_too(registry, idle_builder):
    await registry("CreateThingGroup", thingGroupName="hall")
    await registry("CreateThingGroup", thingGroupName="row", parentGroupName="hall")
    await dynamic(registry, "in-hall", "thingGroupNames:hall")
    await thing(registry, "t")
    await thing(registry, "below")
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="hall")
    await registry("AddThingToThingGroup", thingName="below", thingGroupName="row")
    assert await members(registry, "in-hall") == ["t"]
    await registry("RemoveThingFromThingGroup", thingName="t", thingGroupName="hall")
    assert await members(registry, "in-hall") == []
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="hall")
    await built(registry)
    await registry("DeleteThingGroup", thingGroupName="row")
    await registry("DeleteThingGroup", thingGroupName="hall")
    assert (await registry("DescribeThingGroup", thingGroupName="in-hall"))["status"] == "REBUILDING"
    await built(registry)
    assert await members(registry, "in-hall") == []


async def test_what_a_job_installs_is_asked_too(registry, idle_builder):
    await registry(
        "UpdatePackageConfiguration",
        versionUpdateByJobsConfig={"enabled": True, "roleArn": "arn:aws:iam::000000000000:role/jobs"},
    )
    await dynamic(registry, "old", "NOT shadow.name.$package.reported.app.version:2")
    await thing(registry, "t")
    assert await members(registry, "old") == ["t"]
    for version, wanted in (("1", ["t"]), ("2", []), ("3", ["t"])):
        await registry.committer.change(
            lambda batch, version=version: registry.fleet.index.recorded(batch, "t", [("app", version)])
        )
        assert await members(registry, "old") == wanted


async def test_a_refused_change_moves_nothing(registry, idle_builder):
    await dynamic(registry, "berlin", BERLIN)
    await thing(registry, "t", site="Paris")

    def install_and_refuse(batch):
        batch.defer(lambda _: pytest.fail("the request was refused"))
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        await registry.committer.change(install_and_refuse)
    with pytest.raises(VersionConflict):
        await registry(
            "UpdateThing",
            thingName="t",
            attributePayload={"attributes": {"site": "Berlin"}},
            expectedVersion=9,
        )
    assert await members(registry, "berlin") == []


async def test_connections_move_things(registry):
    live = registry.fleet.live
    for name in ("t1", "t2"):
        await thing(registry, name)
    live.came("t1")
    await dynamic(registry, "online", "connectivity.connected:true")
    await dynamic(registry, "lost", "connectivity.disconnectReason:CONNECTION_LOST")
    await settled(registry)
    assert await members(registry, "online") == ["t1"]
    live.came("t2")
    live.came("no-thing")
    live.left("t1", "CONNECTION_LOST")
    live.left("no-thing", "CONNECTION_LOST")
    await settled(registry)
    assert (await members(registry, "online"), await members(registry, "lost")) == (["t2"], ["t1"])
    (told,) = (await registry("SearchIndex", queryString="connectivity.timestamp>0 NOT thingName:t2"))[
        "things"
    ]
    assert told["connectivity"] == {
        "connected": False,
        "timestamp": registry.clock[0],
        "disconnectReason": "CONNECTION_LOST",
    }
    live.came("t1")
    live.left("t1", "CLIENT_INITIATED_DISCONNECT")
    live.left("t1", "CONNECTION_LOST")  # the end of what has ended already says nothing
    await settled(registry)
    assert await members(registry, "lost") == []


async def settled(registry):
    """What was told of connections is written, and every group is built."""
    feed = registry.fleet._feed
    while feed._task is not None:
        await feed._task
    await registry.committer.change(lambda batch: None)
    while registry.committer.read(lambda tx: tx.all("dynamic_groups_with_work")):
        await registry.committer.change(lambda batch: None, heavy=True)


async def test_after_a_restart_nobody_is_connected(registry, idle_builder):
    await thing(registry, "t")
    registry.fleet.live.came("t")
    await dynamic(registry, "online", "connectivity.connected:true")
    await dynamic(registry, "berlin", BERLIN)
    await built(registry)
    assert await members(registry, "online") == ["t"]
    registry.fleet.live._since.clear()
    await registry.committer.change(registry.fleet.builder._forget_connections)
    assert (await registry("DescribeThingGroup", thingGroupName="online"))["status"] == "REBUILDING"
    assert (await registry("DescribeThingGroup", thingGroupName="berlin"))["status"] == "ACTIVE"
    await built(registry)
    assert await members(registry, "online") == []


async def test_a_new_query_finds_the_members_anew(registry, idle_builder):
    for number in range(20):
        await thing(registry, f"t{number:02}", site="Berlin" if number < 10 else "Paris")
    await dynamic(registry, "g", BERLIN)
    await built(registry)
    updated = await registry(
        "UpdateDynamicThingGroup",
        thingGroupName="g",
        thingGroupProperties={"thingGroupDescription": "d"},
        queryString="attributes.site:paris OR thingName:t01",
    )
    assert updated == {"version": 2}
    assert (await registry("DescribeThingGroup", thingGroupName="g"))["status"] == "REBUILDING"
    # While it is built, changes count by the new query, on both sides of where the walk is.
    await registry.committer.change(lambda batch: step(registry, batch, "g"))
    await set_to(registry, "t00", site="Paris")
    await set_to(registry, "t19", site="Berlin")
    await registry("DeleteThing", thingName="t18")
    await thing(registry, "a", site="Paris")
    await built(registry)
    assert await members(registry, "g") == ["a", "t00", "t01", *(f"t{n}" for n in range(10, 18))]
    assert (await registry("DescribeThingGroup", thingGroupName="g"))["status"] == "ACTIVE"


async def test_a_thing_is_in_ten_groups_the_oldest_first(registry, idle_builder):
    for number in range(12):
        await dynamic(registry, f"d{number:02}", "attributes.in:yes")
    await thing(registry, "t", **{"in": "yes"})
    assert await memberships(registry) == [f"d{n:02}" for n in range(10)]
    await registry("CreateThingGroup", thingGroupName="s")
    with pytest.raises(InvalidRequest, match="10"):
        await registry("AddThingToThingGroup", thingName="t", thingGroupName="s")
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="s", overrideDynamicGroups=True)
    assert await memberships(registry) == [*(f"d{n:02}" for n in range(9)), "s"]
    await registry("UpdateThingGroupsForThing", thingName="t", thingGroupsToRemove=["s"])
    assert await memberships(registry) == [f"d{n:02}" for n in range(10)]
    await registry("CreateThingGroup", thingGroupName="s2")
    await registry(
        "UpdateThingGroupsForThing", thingName="t", thingGroupsToAdd=["s", "s2"], overrideDynamicGroups=True
    )
    assert await memberships(registry) == [*(f"d{n:02}" for n in range(8)), "s", "s2"]
    # Building a younger group moves nobody out of the older ones.
    await dynamic(registry, "a-young-one", "*")
    await built(registry)
    assert await members(registry, "a-young-one") == []
    await set_to(registry, "t", **{"in": ""})
    assert await memberships(registry) == ["a-young-one", "s", "s2"]


async def memberships(registry, name="t"):
    groups = (await registry("ListThingGroupsForThing", thingName=name))["thingGroups"]
    return [group["groupName"] for group in groups]


async def test_repeats_and_versions(registry):
    made = await dynamic(registry, "g", BERLIN)
    assert await dynamic(registry, "g", BERLIN) == made
    for query, more in (
        ("*", {}),
        (BERLIN, {"tags": [{"Key": "k"}]}),
        (BERLIN, {"thingGroupProperties": {"thingGroupDescription": "d"}}),
    ):
        with pytest.raises(AlreadyExists):
            await dynamic(registry, "g", query, **more)
    await registry("CreateThingGroup", thingGroupName="s")
    with pytest.raises(AlreadyExists, match="static"):
        await dynamic(registry, "s", BERLIN)
    with pytest.raises(VersionConflict):
        await registry(
            "UpdateDynamicThingGroup", thingGroupName="g", thingGroupProperties={}, expectedVersion=2
        )
    with pytest.raises(VersionConflict):
        await registry("DeleteDynamicThingGroup", thingGroupName="g", expectedVersion=2)
    await registry("DeleteDynamicThingGroup", thingGroupName="g", expectedVersion=1)
    await registry("DeleteDynamicThingGroup", thingGroupName="g")
    with pytest.raises(NotFound):
        await registry("DescribeThingGroup", thingGroupName="g")


async def test_a_deleted_group_is_told_with_its_members(registry, idle_builder):
    await thing(registry, "t", site="Berlin")
    await dynamic(registry, "g", BERLIN)
    await built(registry)
    await registry("DeleteDynamicThingGroup", thingGroupName="g")
    assert registry.ear.told == [("group_deleted", "g", ["t"])]
    assert await memberships(registry) == []
    await set_to(registry, "t", site="Paris")
    await set_to(registry, "t", site="Berlin")
    assert registry.ear.told == [("group_deleted", "g", ["t"])]


async def test_what_dynamic_groups_are_not_for(registry):
    await thing(registry, "t")
    await dynamic(registry, "d", "*")
    await registry("CreateThingGroup", thingGroupName="s")
    policy = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    await registry("CreatePolicy", policyName="p", policyDocument=policy)
    arn = "arn:aws:iot:us-east-1:000000000000:thinggroup/d"
    for operation, given_ in (
        ("AddThingToThingGroup", {"thingName": "t", "thingGroupName": "d"}),
        ("RemoveThingFromThingGroup", {"thingName": "t", "thingGroupName": "d"}),
        ("UpdateThingGroupsForThing", {"thingName": "t", "thingGroupsToAdd": ["d"]}),
        ("CreateThingGroup", {"thingGroupName": "child", "parentGroupName": "d"}),
        ("UpdateThingGroup", {"thingGroupName": "d", "thingGroupProperties": {}}),
        ("DeleteThingGroup", {"thingGroupName": "d"}),
        ("UpdateDynamicThingGroup", {"thingGroupName": "s", "thingGroupProperties": {}}),
        ("DeleteDynamicThingGroup", {"thingGroupName": "s"}),
        ("AttachPolicy", {"policyName": "p", "target": arn}),
        ("CreateDynamicThingGroup", {"thingGroupName": "x", "queryString": "*", "queryVersion": "1"}),
    ):
        with pytest.raises(InvalidRequest, match=r"dynamic|static|queryVersion"):
            await registry(operation, **given_)
    with pytest.raises(NotFound, match="AWS_Things"):
        await dynamic(registry, "x", "*", indexName="AWS_ThingGroups")
    with pytest.raises(InvalidQuery, match="character 1"):
        await dynamic(registry, "x", "colour:red")
    with pytest.raises(InvalidQuery):
        await registry(
            "UpdateDynamicThingGroup", thingGroupName="d", thingGroupProperties={}, queryString="(a"
        )


async def test_a_hundred_groups(registry):
    for number in range(DYNAMIC_GROUPS_MAX):
        await dynamic(registry, f"d{number}", BERLIN)
    with pytest.raises(LimitExceeded, match="100"):
        await dynamic(registry, "one-more", BERLIN)
    await registry("DeleteDynamicThingGroup", thingGroupName="d7")
    await dynamic(registry, "one-more", BERLIN)


async def test_what_a_group_needs_cannot_be_turned_off(registry):
    await dynamic(registry, "online", "connectivity.connected:true")
    for things, words in (
        ({"thingIndexingMode": "REGISTRY"}, "online needs what would go"),
        ({"thingIndexingMode": "OFF"}, "online needs the index"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            await registry("UpdateIndexingConfiguration", thingIndexingConfiguration=things)
    await registry("DeleteDynamicThingGroup", thingGroupName="online")
    await registry("UpdateIndexingConfiguration", thingIndexingConfiguration={"thingIndexingMode": "OFF"})


# A model: whatever happens, in whatever order, the members are what the queries find.

THINGS = ("a", "b", "c")
STATICS = ("s1", "s2")
GROUP_QUERIES = (
    "attributes.x:1",
    "NOT attributes.x:1",
    "attributes.x>1 OR thingGroupNames:s1",
    "thingGroupNames:s2 attributes.y:*",
    "connectivity.connected:true",
    "thingName:a connectivity.connected:false",
    "thingTypeName:kind",
    "kind",
    "1",
)
BROAD_QUERIES = ("*", "NOT attributes.x:1", "connectivity.connected:false", "thingName:*", "attributes.x:1")
GROUPS = tuple(f"g{number}" for number in range(12))

happenings = st.one_of(
    st.tuples(st.just("thing"), st.sampled_from(THINGS)),
    st.tuples(st.just("gone"), st.sampled_from(THINGS)),
    st.tuples(
        st.just("attributes"),
        st.sampled_from(THINGS),
        st.dictionaries(st.sampled_from("xy"), st.sampled_from(["1", "2", "1.0", ""])),
    ),
    st.tuples(st.just("type"), st.sampled_from(THINGS), st.booleans()),
    st.tuples(st.just("add"), st.sampled_from(THINGS), st.sampled_from(STATICS)),
    st.tuples(st.just("remove"), st.sampled_from(THINGS), st.sampled_from(STATICS)),
    st.tuples(st.just("came"), st.sampled_from(THINGS)),
    st.tuples(st.just("left"), st.sampled_from(THINGS)),
    st.tuples(st.just("group"), st.sampled_from(GROUPS), st.sampled_from(GROUP_QUERIES)),
    st.tuples(st.just("query"), st.sampled_from(GROUPS), st.sampled_from(GROUP_QUERIES)),
    st.tuples(st.just("no group"), st.sampled_from(GROUPS)),
    st.tuples(st.just("no static"), st.sampled_from(STATICS)),
    st.tuples(st.just("step")),
    st.tuples(st.just("built")),
    st.tuples(st.just("restart")),
)


class Model:
    """Things and groups as plain dictionaries."""

    def __init__(self):
        self.things = {}
        self.statics = {}
        self.live = set()
        self.groups = {}

    def wanted(self, name):
        kind, attributes = self.things[name]
        statics = tuple(sorted(group for group, inside in self.statics.items() if name in inside))
        document = Document(
            name=name,
            id="?",
            type=kind,
            attributes=attributes,
            groups=statics,
            connectivity=Connectivity(connected=name in self.live),
        )
        found = [group for group, query in self.groups.items() if matches(parse(query), document)]
        return sorted(found[: 10 - len(statics)] + list(statics))


async def happen(registry, model, what, *given_):
    live = registry.fleet.live
    match what, given_:
        case "thing", (name,) if name not in model.things:
            await registry("CreateThing", thingName=name)
            model.things[name] = (None, {})
        case "gone", (name,) if name in model.things:
            await registry("DeleteThing", thingName=name)
            del model.things[name]
            for inside in model.statics.values():
                inside.discard(name)
        case "attributes", (name, attributes) if name in model.things:
            await set_to(registry, name, **attributes)
            kind, before = model.things[name]
            after = {key: value for key, value in (before | attributes).items() if value}
            model.things[name] = (kind, after)
        case "type", (name, typed) if name in model.things:
            more = {"thingTypeName": "kind"} if typed else {"removeThingType": True}
            await registry("UpdateThing", thingName=name, **more)
            model.things[name] = ("kind" if typed else None, model.things[name][1])
        case "add", (name, group) if name in model.things:
            await registry("CreateThingGroup", thingGroupName=group)
            await registry(
                "AddThingToThingGroup", thingName=name, thingGroupName=group, overrideDynamicGroups=True
            )
            model.statics.setdefault(group, set()).add(name)
        case "remove", (name, group) if name in model.things and group in model.statics:
            await registry("RemoveThingFromThingGroup", thingName=name, thingGroupName=group)
            model.statics[group].discard(name)
        case "came", (name,):
            live.came(name)
            model.live.add(name)
        case "left", (name,):
            live.left(name, "CONNECTION_LOST")
            model.live.discard(name)
        case "group", (group, query) if group not in model.groups:
            await dynamic(registry, group, query)
            model.groups[group] = query
        case "query", (group, query) if group in model.groups:
            await registry(
                "UpdateDynamicThingGroup", thingGroupName=group, thingGroupProperties={}, queryString=query
            )
            model.groups[group] = query
        case "no group", (group,) if group in model.groups:
            await registry("DeleteDynamicThingGroup", thingGroupName=group)
            del model.groups[group]
        case "no static", (group,):
            await registry("DeleteThingGroup", thingGroupName=group)
            model.statics.pop(group, None)
        case "step", ():
            for group in registry.committer.read(dynamic_groups):
                await registry.committer.change(
                    lambda batch, group=group: step(registry, batch, group.name, 1)
                )
        case "built", ():
            await built(registry)
        case "restart", ():
            live._since.clear()
            model.live.clear()
            await registry.committer.change(registry.fleet.builder._forget_connections)
        case _:
            pass


runs = itertools.count()


ELEVEN = ["*"] * 11


@example(things=("a",), queries=ELEVEN, story=[("query", "g0", "attributes.x:1")])
@example(things=("a",), queries=ELEVEN, story=[("no group", "g0")])
@example(things=("a",), queries=ELEVEN, story=[("add", "a", "s1"), ("no static", "s1")])
@example(things=("a",), queries=ELEVEN, story=[("add", "a", "s1"), ("remove", "a", "s1")])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    things=st.sampled_from([(), THINGS]),
    queries=st.lists(st.sampled_from(GROUP_QUERIES), max_size=8)
    | st.lists(st.sampled_from(BROAD_QUERIES), min_size=8, max_size=len(GROUPS)),
    story=st.lists(happenings, min_size=1, max_size=30),
)
def test_members_are_what_the_queries_find(make_registry, idle_builder, things, queries, story):
    async def run():
        async with make_registry(f"run-{next(runs)}") as registry:
            model = Model()
            await registry("CreateThingType", thingTypeName="kind")
            before = [("thing", name) for name in things]
            before += [("group", *pair) for pair in zip(GROUPS, queries, strict=False)]
            for what in before:
                await happen(registry, model, *what)
            await built(registry)
            for what in story:
                await happen(registry, model, *what)
            feed = registry.fleet._feed
            while feed._task is not None:
                await feed._task
            await built(registry)
            for name in model.things:
                assert sorted(await memberships(registry, name)) == model.wanted(name)
            joined = set()
            for what, *who in registry.ear.told:
                if what == "joined":
                    assert tuple(who) not in joined, "joined twice"
                    joined.add(tuple(who))
                elif what == "left":
                    joined.discard(tuple(who))
                elif what == "thing_deleted":
                    joined = {pair for pair in joined if pair[0] != who[0]}
                else:
                    joined = {pair for pair in joined if pair[1] != who[0]}

    asyncio.run(run())


async def test_a_registration_replaces_static_groups_and_leaves_the_dynamic_ones_to_their_queries(registry):
    await thing(registry, "t", site="berlin")
    await dynamic(registry, "here", BERLIN)
    await built(registry)
    for name in ("old", "new"):
        await registry("CreateThingGroup", thingGroupName=name)
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="old")
    made = await registry("CreateKeysAndCertificate")
    thing_resource = {
        "Type": "AWS::IoT::Thing",
        "Properties": {"ThingName": "t", "ThingGroups": ["new"]},
        "OverrideSettings": {"ThingGroups": "REPLACE"},
    }
    certificate = {
        "Type": "AWS::IoT::Certificate",
        "Properties": {"CertificateId": made["certificateId"], "Status": "ACTIVE"},
        "OverrideSettings": {"Status": "REPLACE"},
    }
    body = {"Resources": {"thing": thing_resource, "certificate": certificate}}
    await registry("RegisterThing", templateBody=json.dumps(body), parameters={})
    groups = (await registry("ListThingGroupsForThing", thingName="t"))["thingGroups"]
    assert [group["groupName"] for group in groups] == ["here", "new"]
