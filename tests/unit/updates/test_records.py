"""What devices are known to run: ``outfitter software where`` and ``outfitter software record``."""

import json

import pytest
from outfitter_updates.catalogue.problems import WrongUsage
from outfitter_updates.catalogue.records import is_indexed, running, where_query, with_index

INDEXED = {
    "thingIndexingMode": "REGISTRY",
    "namedShadowIndexingMode": "ON",
    "filter": {"namedShadowNames": ["$package"]},
}


def thing(name, version, package="pump", **more):
    shadow = {"name": {"$package": {"reported": {package: {"version": version}, "valve": {"version": "1"}}}}}
    return {"thingName": name, "shadow": json.dumps(shadow), **more}


@pytest.mark.parametrize(
    ("name", "version", "query"),
    [
        ("pump", None, "shadow.name.$package.reported.pump.version:*"),
        ("my.pump-2", "1.4.0-rc.1", "shadow.name.$package.reported.my.pump-2.version:1.4.0-rc.1"),
    ],
)
def test_what_is_asked_of_the_index(name, version, query):
    assert where_query(name, version) == query


@pytest.mark.parametrize(("name", "version"), [("a b", None), ("*", None), ("pump", "1 OR 2"), ("pump", "")])
def test_what_cannot_be_asked(name, version):
    with pytest.raises(WrongUsage):
        where_query(name, version)


def test_a_thing_of_the_index():
    found = running(thing("d1", "1.4.0", thingTypeName="pc", connectivity={"connected": True}), "pump")
    assert (found.thing, found.version, found.device_type, found.connected) == ("d1", "1.4.0", "pc", True)
    assert running({"thingName": "d1"}, "pump") is None
    assert running(thing("d1", "1", package="tap"), "pump") is None


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"thingIndexingMode": "OFF", "namedShadowIndexingMode": "OFF"},
        {**INDEXED, "thingIndexingMode": "OFF"},
        {**INDEXED, "namedShadowIndexingMode": "OFF"},
        {**INDEXED, "filter": {"namedShadowNames": ["other"], "geoLocations": []}},
        {
            "thingIndexingMode": "REGISTRY_AND_SHADOW",
            "thingConnectivityIndexingMode": "STATUS",
            "managedFields": [{"name": "thingId", "type": "String"}],
            "customFields": [{"name": "attributes.model", "type": "String"}],
        },
    ],
)
def test_the_index_keeps_what_it_had(told):
    assert not is_indexed(told)
    made = with_index(told)
    assert is_indexed(made)
    assert "managedFields" not in made
    for kept in ("customFields", "thingConnectivityIndexingMode"):
        assert made.get(kept) == told.get(kept)
    names = told.get("filter", {}).get("namedShadowNames", [])
    assert made["filter"] == {**told.get("filter", {}), "namedShadowNames": sorted({*names, "$package"})}
    if told.get("thingIndexingMode", "OFF") != "OFF":
        assert made["thingIndexingMode"] == told["thingIndexingMode"]


def test_where_reads_every_page_and_only_the_version(script, outfitter):
    script.answers["POST /indices/search"] = [
        {"things": [thing("d1", "1.1"), thing("d2", "1.10")], "nextToken": "more"},
        {"things": [thing("d3", "1.1", connectivity={"connected": False})]},
    ]
    done = outfitter("software", "where", "pump", "--version", "1.1", "--json")
    assert done.exit_code == 0, done.output
    assert [(each["thing"], each["version"]) for each in json.loads(done.stdout)] == [
        ("d1", "1.1"),
        ("d3", "1.1"),
    ]
    assert script.bodies["POST /indices/search"]["nextToken"] == "more"


def test_where_stops_at_its_limit(script, outfitter):
    script.answers["POST /indices/search"] = {
        "things": [thing("d1", "1"), thing("d2", "2")],
        "nextToken": "more",
    }
    done = outfitter("software", "where", "pump", "--limit", "3")
    assert done.stdout.split()[:4] == ["DEVICE", "VERSION", "TYPE", "CONNECTION"]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["d1", "d2", "d1"]


@pytest.mark.parametrize(
    ("enabled", "index", "said"),
    [
        (False, INDEXED, "No record is kept"),
        (True, {"thingIndexingMode": "OFF"}, "index does not have the record"),
        (True, INDEXED, "No device is known to run pump 9."),
    ],
)
def test_nothing_found_says_why(script, outfitter, enabled, index, said):
    script.answers |= {
        "POST /indices/search": {"things": []},
        "GET /package-configuration": {"versionUpdateByJobsConfig": {"enabled": enabled}},
        "GET /indexing/config": {"thingIndexingConfiguration": index},
    }
    done = outfitter("software", "where", "pump", "--version", "9")
    assert (done.exit_code, done.stdout) == (0, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    "told",
    [(404, "ResourceNotFoundException"), (400, "InvalidQueryException"), (400, "IndexNotReadyException")],
)
def test_an_index_that_cannot_tell(script, outfitter, told):
    script.answers["POST /indices/search"] = told
    done = outfitter("software", "where", "pump")
    assert done.exit_code == 1
    assert "software record --on" in done.stderr


def test_the_record_is_turned_on_with_its_index(script, outfitter):
    script.answers |= {
        "GET /package-configuration": {"versionUpdateByJobsConfig": {"enabled": True}},
        "PATCH /package-configuration": {},
        "GET /indexing/config": [
            {"thingIndexingConfiguration": {"thingIndexingMode": "OFF"}},
            {"thingIndexingConfiguration": INDEXED},
        ],
        "POST /indexing/config": {},
    }
    done = outfitter("software", "record", "--on")
    assert done.exit_code == 0, done.output
    assert "A record is kept" in done.stdout
    assert script.bodies["PATCH /package-configuration"] == {
        "versionUpdateByJobsConfig": {
            "enabled": True,
            "roleArn": "arn:aws:iam::000000000000:role/outfitter-updates",
        }
    }
    assert script.bodies["POST /indexing/config"] == {"thingIndexingConfiguration": INDEXED}


def test_the_record_is_told_of_and_turned_off(script, outfitter):
    script.answers |= {
        "GET /package-configuration": {"versionUpdateByJobsConfig": {"enabled": False}},
        "PATCH /package-configuration": {},
        "GET /indexing/config": {"thingIndexingConfiguration": INDEXED},
    }
    assert json.loads(outfitter("software", "record", "--json").stdout) == {"kept": False, "indexed": True}
    done = outfitter("software", "record", "--off")
    assert "No record is kept" in done.stdout
    assert script.bodies["PATCH /package-configuration"] == {"versionUpdateByJobsConfig": {"enabled": False}}
