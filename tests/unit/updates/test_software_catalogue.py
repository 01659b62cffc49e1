"""Versions of software: names, attributes, where their images lie."""

import pytest
from outfitter_updates.catalogue.problems import BadImage, Conflict
from outfitter_updates.catalogue.software import (
    Image,
    Location,
    Publication,
    attributes,
    check_names,
    default_bucket,
    from_catalogue,
    location_for,
    same_image,
    unknown_package,
    unknown_version,
    version_order,
)

DIGEST = "0123456789abcdef" * 4


def image(**changes):
    told = {"name": "pump", "version": "1.4.0", "device_types": ("a", "b"), "sha256": DIGEST, "size_bytes": 7}
    return Image(**{**told, **changes})


def test_what_is_written_is_what_is_read():
    where = location_for(image(), "bucket")
    told = attributes(image(), where, "us-east-1")
    assert told == {
        "sha256": DIGEST,
        "size": "7",
        "device_types": "a,b",
        "url": "https://s3.us-east-1.amazonaws.com/bucket/software/pump/1.4.0/pump-1.4.0.tar.gz",
    }
    known = from_catalogue("pump", "1.4.0", "PUBLISHED", told, where)
    assert known.image == image()
    assert known.publication is Publication.PUBLISHED
    assert known.title == "pump 1.4.0"


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({"sha256": DIGEST, "size": "7"}, None),
        ({"size": "7"}, Location(bucket="b", key="k")),
        ({"sha256": DIGEST}, Location(bucket="b", key="k")),
        ({"sha256": DIGEST, "size": "-7"}, Location(bucket="b", key="k")),
        ({"sha256": "xyz", "size": "7"}, Location(bucket="b", key="k")),
    ],
)
def test_a_version_without_an_image_is_told(told, where):
    with pytest.raises(Conflict, match="without an image"):
        from_catalogue("pump", "1", "DRAFT", told, where)


@pytest.mark.parametrize(
    "changes", [{"name": "a:b"}, {"name": ""}, {"version": "1+2"}, {"version": "1" * 65}]
)
def test_names_that_the_catalogue_would_refuse(changes):
    with pytest.raises(BadImage):
        check_names(image(**changes))


def test_a_version_never_changes():
    known = from_catalogue(
        "pump", "1.4.0", "DRAFT", {"sha256": DIGEST, "size": "7"}, Location(bucket="b", key="k")
    )
    same_image(image(), known)
    with pytest.raises(Conflict, match="never changes"):
        same_image(image(sha256="f" * 64), known)


def test_versions_are_ordered_as_people_count():
    versions = ["1.10.0", "1.9", "nightly", "1.10.0-rc.1", "1.2"]
    assert sorted(versions, key=version_order) == ["nightly", "1.2", "1.9", "1.10.0-rc.1", "1.10.0"]
    assert "1.2, 1.9, 1.10.0" in str(unknown_version("pump", "7", ["1.10.0", "1.2", "1.9"]))
    assert "Its versions: none." in str(unknown_version("pump", "7", []))


def test_unknown_software_brings_suggestions():
    assert "Did you mean pump?" in str(unknown_package("pmp", ["pump", "valve"]))
    assert "upload" in str(unknown_package("pmp", []))


def test_who_may_run_it():
    known = from_catalogue(
        "pump",
        "1",
        "DRAFT",
        {"sha256": DIGEST, "size": "7", "device_types": "a,b"},
        Location(bucket="b", key="k"),
    )
    assert known.runs_on("a")
    assert not known.runs_on("c")
    assert not known.runs_on(None)


def test_places():
    assert default_bucket("000000000000", "eu-west-1") == "outfitter-software-000000000000-eu-west-1"
    assert (
        Location(bucket="b", key="ä b").url("cn-north-1")
        == "https://s3.cn-north-1.amazonaws.com.cn/b/%C3%A4%20b"
    )
