"""The configuration file: checked, merged, replaced whole, put back."""

import hashlib
import json

import pytest
from outfitter_agent.hands.configuration import ConfigurationFile
from outfitter_agent.plans.troubles import Trouble

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "interval_seconds": {"type": "integer", "minimum": 1},
        "password": {"type": "string", "minLength": 8},
        "site": {"$ref": "#/$defs/site"},
        "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}]},
    },
    "required": ["interval_seconds"],
    "additionalProperties": False,
    "$defs": {"site": {"properties": {"halls": {"items": {"type": "integer"}}}}},
}
OWN = b'{"a": 1,\n  "b": 2}'


class Place:
    def __init__(self, folder, schema=None, bytes_max=1000):
        self.path = folder / "etc" / "device.json"
        self.downloaded = folder / "download"
        self.state = folder / "state"
        if schema is not None:
            (folder / "schema.json").write_text(schema if isinstance(schema, str) else json.dumps(schema))
        self.file = ConfigurationFile(
            self.path,
            self.state,
            schema=None if schema is None else folder / "schema.json",
            bytes_max=bytes_max,
        )

    def holds(self, content):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(content)
        return self

    def prepare(self, content, *, merge=False):
        self.downloaded.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return self.file.prepare(self.downloaded, merge=merge).sha256


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_replaced_and_put_back(place):
    place.holds(OWN)
    digest = place.prepare({"a": 3})
    assert place.path.read_bytes() == OWN, "nothing is touched yet"
    place.file.apply()
    assert json.loads(place.path.read_bytes()) == {"a": 3}
    assert place.file.read(leaving=True).sha256 == digest == hashlib.sha256(b'{"a": 3}').hexdigest()
    place.file.restore(existed=True)
    assert place.path.read_bytes() == OWN
    assert (place.state / "previous.json").read_bytes() == OWN


def test_first_one_and_none_again(place):
    assert place.file.read(leaving=True) is None
    place.prepare({"a": 1})
    place.file.apply()
    assert place.path.stat().st_mode & 0o777 == 0o600
    place.file.restore(existed=False)
    place.file.restore(existed=False)
    assert place.file.read(leaving=True) is None


def test_mode_and_link_stay(place, tmp_path):
    place.holds(OWN)
    place.path.chmod(0o640)
    real = tmp_path / "real.json"
    place.path.rename(real)
    place.path.symlink_to(real)
    place.prepare({"a": 3})
    place.file.apply()
    assert place.path.is_symlink()
    assert json.loads(real.read_bytes()) == {"a": 3}
    assert real.stat().st_mode & 0o777 == 0o640
    assert list((tmp_path / "etc").iterdir()) == [place.path], "no temporary file stays"


def test_merged(place):
    place.holds(OWN)
    place.prepare({"b": {"x": 1}, "c": 3}, merge=True)
    place.file.apply()
    assert json.loads(place.path.read_bytes()) == {"a": 1, "b": {"x": 1}, "c": 3}


def test_merged_with_nothing_new_is_the_same_file(place):
    place.holds(OWN)
    assert place.prepare({"b": 2}, merge=True) == place.file.read(leaving=True).sha256


def test_merged_with_nothing_at_all(place):
    place.prepare({"b": 2}, merge=True)
    place.file.apply()
    assert json.loads(place.path.read_bytes()) == {"b": 2}


REFUSED = {
    "no json": (b"pump: 7", "the configuration is refused: it is not JSON"),
    "no utf-8": (b'{"a": "\xff"}', "not UTF-8"),
    "no object": (b"[1]", "not a JSON object"),
    "twice": (b'{"a": 1, "a": 2}', "'a' stands twice"),
    "nan": (b'{"a": NaN}', "NaN is no JSON value"),
    "deep": (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested"),
    "empty name": (b'{"": 1}', "name is not a text"),
    "number without end": (b'{"a": ' + b"9" * 9000 + b"}", "number too long"),
    "empty": (b"", "not JSON"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(tmp_path, content, reason):
    place = Place(tmp_path, bytes_max=100_000).holds(OWN)
    with pytest.raises(Trouble, match=reason):
        place.prepare(content)
    assert place.path.read_bytes() == OWN


def test_too_large(place):
    with pytest.raises(Trouble, match=r"the configuration is larger than this device takes \(1000 bytes\)"):
        place.prepare({"a": "x" * 1000})
    place.holds(json.dumps({"own": "x" * 600}).encode())
    with pytest.raises(Trouble, match="the merged configuration is larger"):
        place.prepare({"a": "x" * 600}, merge=True)


def test_own_file_that_is_too_large_to_be_kept_is_not_touched(place):
    """What could be put back by half only is never replaced."""
    own = json.dumps({"own": "x" * 5000}).encode()
    place.holds(own)
    for attempt in (lambda: place.prepare({"a": 1}), lambda: place.file.read(leaving=False)):
        with pytest.raises(Trouble, match="this device's configuration is larger than this device takes"):
            attempt()
    assert place.path.read_bytes() == own


def test_link_in_the_way_is_not_followed(place, tmp_path):
    """Who may write beside the file cannot have the agent write elsewhere."""
    place.holds(OWN)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    place.path.with_name("device.json.new").symlink_to(elsewhere)
    place.prepare({"a": 1})
    with pytest.raises(OSError, match="symbolic links"):
        place.file.apply()
    assert elsewhere.read_text() == "precious"
    assert place.path.read_bytes() == OWN


def test_own_file_that_holds_none(place):
    place.holds(b"pump: 7")
    with pytest.raises(Trouble, match="this device's configuration is refused: it is not JSON"):
        place.file.read(leaving=True)
    assert place.file.read(leaving=False).content == b"pump: 7"
    place.prepare({"a": 1})
    place.file.apply()
    place.file.restore(existed=True)
    assert place.path.read_bytes() == b"pump: 7"
    with pytest.raises(Trouble, match="this device's configuration"):
        place.prepare({"a": 1}, merge=True)


KEEPS = {"interval_seconds": 5, "password": "long enough", "site": {"halls": [1]}, "pair": ["a", 1]}
BREAKS = {
    "missing": ({}, "the whole: 'interval_seconds' is a required property"),
    "type": ({"interval_seconds": "often"}, 'interval_seconds: breaks type "integer"'),
    "bound": ({"interval_seconds": 0}, "interval_seconds: breaks minimum 1"),
    "unknown": ({"interval_seconds": 5, "colour": 1}, "the whole: 'colour' not in the schema"),
    "inner": (KEEPS | {"site": {"halls": [1, "b"]}}, r"site.halls\[1\]: breaks type"),
    "new drafts": (KEEPS | {"pair": ["a", "b"]}, r"pair\[1\]: breaks type"),
    "many": ({"interval_seconds": 0, "password": "", "site": 1, "pair": [1, ""], "z": 1}, "and 2 more"),
}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("ruled"), SCHEMA)


@pytest.mark.parametrize(("parameters", "reason"), BREAKS.values(), ids=BREAKS.keys())
def test_schema_broken(ruled, parameters, reason):
    with pytest.raises(Trouble, match=f"the configuration breaks its schema: .*{reason}"):
        ruled.prepare(parameters)


def test_schema_kept(ruled):
    ruled.prepare(KEEPS)


def test_values_are_not_told(ruled):
    with pytest.raises(Trouble) as caught:
        ruled.prepare({"interval_seconds": 5, "password": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "password: breaks minLength 8" in str(caught.value)


def test_schema_of_the_merged(tmp_path):
    place = Place(tmp_path, SCHEMA).holds(b'{"interval_seconds": 5}')
    place.prepare({"password": "long enough"}, merge=True)
    with pytest.raises(Trouble, match="required property"):
        place.prepare({"password": "long enough"})


SCHEMAS = {
    "no json": ("{", "it is not JSON"),
    "no schema": ({"type": "whatever"}, "type: 'whatever' is not valid"),
    "elsewhere": ({"$ref": "http://127.0.0.1:9/schema.json"}, "which it does not hold"),
    "a file": ({"$ref": "file:///etc/hostname"}, "which it does not hold"),
}


@pytest.mark.parametrize(("schema", "reason"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_schema_that_cannot_be_used(tmp_path, schema, reason):
    with pytest.raises(
        Trouble, match=f"the schema of this device, .*schema.json, cannot be used: .*{reason}"
    ):
        Place(tmp_path, schema).prepare({"a": 1})


def test_schema_that_is_not_there(tmp_path):
    place = Place(tmp_path, SCHEMA)
    (tmp_path / "schema.json").unlink()
    with pytest.raises(Trouble, match="cannot be used: No such file"):
        place.prepare({"a": 1})


def test_schema_that_never_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("outfitter_agent.hands.schema.CHECK_SECONDS_MAX", 1)
    place = Place(tmp_path, {"properties": {"a": {"pattern": "^(a+)+$"}}})
    with pytest.raises(Trouble, match=r"could not be checked against .* within 1 s"):
        place.prepare({"a": "a" * 60 + "b"})
