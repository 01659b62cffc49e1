"""Marks in the schema: what is the device's own is never overwritten, what is secret never leaves."""

import json

import pytest
from outfitter_agent.hands.configuration import ConfigurationFile
from outfitter_agent.plans.annotations import Marks, for_this_device, read_marks, without_secrets
from outfitter_agent.plans.troubles import Trouble

OWN = {"x-outfitter": "device"}
SECRET = {"writeOnly": True}


def marks(**schema):
    return read_marks(json.dumps(schema).encode())


SCHEMA = {
    "properties": {
        "interval": {"type": "integer"},
        "serial": {"type": "string", **OWN},
        "site": {"properties": {"hall": OWN, "line": {"type": "string"}}},
        "wifi": {"properties": {"name": {}, "password": SECRET}},
        "key": {"x-outfitter": ["device", "secret"]},
    }
}


def test_marks_are_found_where_they_are():
    assert marks(**SCHEMA) == Marks(
        device=(("key",), ("serial",), ("site", "hall")), secret=(("key",), ("wifi", "password"))
    )
    assert marks(properties={"a": {"writeOnly": False}}) == Marks()


@pytest.mark.parametrize(
    "schema",
    [
        {
            "$defs": {"p": {"writeOnly": True}},
            "properties": {"a": {"properties": {"b": {"$ref": "#/$defs/p"}}}},
        },
        {"allOf": [{"properties": {"a": {"properties": {"b": SECRET}}}}]},
        {"if": {}, "then": {"properties": {"a": {"anyOf": [{"properties": {"b": SECRET}}]}}}},
        {"properties": {"a": {"dependentSchemas": {"c": {"properties": {"b": SECRET}}}}}},
        {"$ref": "#/$defs/all", "$defs": {"all": {"properties": {"a": {"properties": {"b": SECRET}}}}}},
    ],
)
def test_marks_behind_branches_and_references(schema):
    assert marks(**schema).secret == (("a", "b"),)


@pytest.mark.parametrize(
    "within",
    [
        {"items": {"properties": {"b": SECRET}}},
        {"prefixItems": [{}, SECRET]},
        {"additionalProperties": SECRET},
        {"patternProperties": {"^p": {"properties": {"b": SECRET}}}},
    ],
)
def test_mark_without_a_name_of_its_own_counts_for_the_whole(within):
    assert marks(properties={"a": within}).secret == (("a",),)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"additionalProperties": SECRET}, "as a whole"),
        ({"properties": {"a": {"x-outfitter": "devise"}}}, "'devise'"),
        ({"properties": {"a": SECRET, "b": {"$ref": "other.json"}}}, "refers to other.json"),
        ({"properties": {"a": SECRET, "b": {"$dynamicRef": "#b"}}}, "refers to #b"),
        ({"properties": {"a": SECRET, "b": {"$ref": "#/$defs/none"}}}, "refers to #/\\$defs/none"),
        ({"properties": {"a": {"properties": {"s": SECRET, "b": {"$ref": "#"}}}}}, "in a circle"),
    ],
)
def test_what_cannot_be_told_for_certain_is_refused(schema, reason):
    with pytest.raises(Trouble, match=reason):
        marks(**schema)


def test_secrets_are_left_out():
    own = {"interval": 1, "key": "k", "wifi": {"name": "n", "password": "p"}}
    kept, left_out = without_secrets(own, marks(**SCHEMA))
    assert (kept, left_out) == ({"interval": 1, "wifi": {"name": "n"}}, ("key", "wifi.password"))
    assert own["wifi"] == {"name": "n", "password": "p"}


def test_own_values_stay_and_secrets_that_are_not_named():
    own = {"serial": "7", "site": {"hall": 4, "line": "a"}, "wifi": {"password": "p"}, "key": "k"}
    sent = {"serial": "8", "site": {"line": "b"}, "interval": 2, "key": "other"}
    result, ignored = for_this_device(sent, own, marks(**SCHEMA))
    assert result == {
        "serial": "7",
        "site": {"line": "b", "hall": 4},
        "interval": 2,
        "key": "k",
        "wifi": {"password": "p"},
    }
    assert ignored == ("key", "serial")
    assert for_this_device({"wifi": {"password": "new"}}, own, marks(**SCHEMA))[0]["wifi"] == {
        "password": "new"
    }


def test_own_value_that_the_device_does_not_have_is_not_set():
    assert for_this_device({"serial": "8"}, {}, marks(**SCHEMA)) == ({}, ("serial",))
    assert for_this_device({"serial": True}, {"serial": 1}, marks(**SCHEMA)) == ({"serial": 1}, ("serial",))


def test_no_place_for_an_own_value():
    with pytest.raises(Trouble, match=r"own site\.hall"):
        for_this_device({"site": 5}, {"site": {"hall": 4}}, marks(**SCHEMA))


@pytest.fixture
def kept(tmp_path):
    schema, path = tmp_path / "schema.json", tmp_path / "device.json"
    schema.write_text(json.dumps(SCHEMA))
    return path, ConfigurationFile(path, tmp_path / "state", schema=schema, bytes_max=1000)


def test_file_without_secrets_leaves_and_with_them_stays(kept):
    path, file = kept
    path.write_text('{"interval": 1, "wifi": {"password": "topsecret"}}')
    sent = file.read(leaving=True)
    assert (b"topsecret" in sent.content, sent.left_out) == (False, ("wifi.password",))
    assert file.read(leaving=False).content == path.read_bytes()


@pytest.mark.parametrize("merge", [False, True])
def test_what_a_device_sent_comes_back_to_it_as_nothing_new(kept, tmp_path, merge):
    path, file = kept
    path.write_text('{"interval": 1, "serial": "7",\n "wifi": {"name": "n", "password": "topsecret"}}')
    (tmp_path / "sent").write_bytes(file.read(leaving=True).content)
    prepared = file.prepare(tmp_path / "sent", merge=merge)
    assert (prepared.sha256, prepared.ignored) == (file.read(leaving=False).sha256, ())


def test_one_for_true_is_a_change(kept, tmp_path):
    path, file = kept
    path.write_text('{"flag": 1}')
    (tmp_path / "sent").write_text('{"flag": true}')
    file.prepare(tmp_path / "sent", merge=True)
    file.apply()
    assert json.loads(path.read_bytes())["flag"] is True
