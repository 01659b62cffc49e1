import pytest
from outfitter_server.base.refusals import Conflict, Validation
from outfitter_server.things.packages import (
    PackageVersion,
    VersionAction,
    VersionChange,
    VersionStatus,
    check_default,
    updated_package,
    updated_version,
)
from outfitter_server.things.values import Artifact, Package

FILE = Artifact(bucket="b", key="k")


def version(status: VersionStatus) -> PackageVersion:
    return PackageVersion(
        package="p",
        name="1",
        description="d",
        attributes={"a": "1"},
        artifact=FILE,
        recipe=None,
        status=status,
        tags={},
        created_at=0,
        modified_at=0,
    )


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        ("DRAFT", "PUBLISH", "PUBLISHED"),
        ("DRAFT", "DEPRECATE", None),
        ("PUBLISHED", "PUBLISH", "PUBLISHED"),
        ("PUBLISHED", "DEPRECATE", "DEPRECATED"),
        ("DEPRECATED", "PUBLISH", "PUBLISHED"),
        ("DEPRECATED", "DEPRECATE", "DEPRECATED"),
    ],
)
def test_life_of_a_version(before: str, action: str, after: str | None) -> None:
    change = VersionChange(action=VersionAction(action))
    if after is None:
        with pytest.raises(Conflict):
            updated_version(version(VersionStatus(before)), change, 1)
    else:
        assert updated_version(version(VersionStatus(before)), change, 1).status == after


@pytest.mark.parametrize("status", [VersionStatus.PUBLISHED, VersionStatus.DEPRECATED])
@pytest.mark.parametrize("change", [VersionChange(attributes={}), VersionChange(artifact=FILE)])
def test_what_is_published_stands(status: VersionStatus, change: VersionChange) -> None:
    with pytest.raises(Conflict, match="fixed once published"):
        updated_version(version(status), change, 1)


def test_a_draft_is_changed_and_published_at_once() -> None:
    change = VersionChange(attributes={"b": "2"}, recipe="r", action=VersionAction.PUBLISH)
    after = updated_version(version(VersionStatus.DRAFT), change, 7)
    assert (after.attributes, after.recipe, after.status, after.modified_at) == (
        {"b": "2"},
        "r",
        "PUBLISHED",
        7,
    )
    assert (after.description, after.artifact) == ("d", FILE)
    edited = updated_version(after, VersionChange(description="new", recipe="s"), 8)
    assert (edited.description, edited.recipe) == ("new", "s")


def test_attributes_have_a_length() -> None:
    with pytest.raises(Validation):
        updated_version(version(VersionStatus.DRAFT), VersionChange(attributes={"a": "x" * 3072}), 1)


def test_a_default_is_a_version_that_devices_can_get() -> None:
    check_default("p", "1", version(VersionStatus.DEPRECATED))
    for found in (None, version(VersionStatus.DRAFT)):
        with pytest.raises(Validation):
            check_default("p", "1", found)
    package = Package(name="p", description=None, default_version="1", tags={}, created_at=0, modified_at=0)
    assert (
        updated_package(package, description="d", default=None, unset_default=True, now=1).default_version
        is None
    )
    with pytest.raises(Validation):
        updated_package(package, description=None, default="2", unset_default=True, now=1)
