import pytest
from outfitter_server.base.arns import iot_resource, named
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import AlreadyExists, InvalidRequest, NotFound, VersionConflict
from outfitter_server.things.attributes import apply_change
from outfitter_server.things.groups import check_joining, new_group
from outfitter_server.things.registry import (
    check_searchable,
    check_type,
    new_thing,
    same_thing,
    updated_thing,
)
from outfitter_server.things.values import AttributeChange, ThingGroup, ThingType

HOME = Installation()


def attributes(count: int) -> AttributeChange:
    return AttributeChange(attributes={f"a{number}": "1" for number in range(count)})


def group(name: str, depth: int = 1) -> ThingGroup:
    return ThingGroup(
        name=name,
        id="i",
        parent=None,
        root="root",
        depth=depth,
        description=None,
        attributes={},
        tags={},
        version=1,
        created_at=0,
    )


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (None, {"a": "1", "b": "2"}),
        (AttributeChange(attributes={"c": "3"}), {"c": "3"}),
        (AttributeChange(attributes={"c": "3"}, merge=True), {"a": "1", "b": "2", "c": "3"}),
        (AttributeChange(attributes={"a": "", "b": "9"}, merge=True), {"b": "9"}),
        (AttributeChange(), {}),
    ],
)
def test_attributes_merge_replace_and_go_when_empty(
    change: AttributeChange | None, after: dict[str, str]
) -> None:
    assert apply_change({"a": "1", "b": "2"}, change) == after


@pytest.mark.parametrize(
    ("kind", "count", "fits"), [(None, 3, True), (None, 4, False), ("pump", 50, True), ("pump", 51, False)]
)
def test_a_type_makes_room_for_attributes(kind: str | None, count: int, fits: bool) -> None:
    if fits:
        assert len(new_thing("t", "i", kind, attributes(count), 0).attributes) == count
    else:
        with pytest.raises(InvalidRequest, match="at most"):
            new_thing("t", "i", kind, attributes(count), 0)


def test_a_repeated_creation_answers_only_for_the_same_content() -> None:
    thing = new_thing("t", "i", None, attributes(1), 5)
    assert same_thing(thing, new_thing("t", "other", None, attributes(1), 9), "arn") is thing
    with pytest.raises(AlreadyExists) as refused:
        same_thing(thing, new_thing("t", "other", None, attributes(2), 9), "arn")
    assert refused.value.members == {"resourceId": "i", "resourceArn": "arn"}


def test_updates_check_the_version_before_the_content() -> None:
    thing = new_thing("t", "i", "pump", attributes(1), 0)
    with pytest.raises(VersionConflict):
        updated_thing(thing, None, "pump", remove_type=True, expected=2)
    with pytest.raises(InvalidRequest, match="removeThingType"):
        updated_thing(thing, None, "pump", remove_type=True, expected=1)
    assert updated_thing(thing, None, None, remove_type=True, expected=1).version == 2


def test_a_thing_keeps_its_type_while_it_has_many_attributes() -> None:
    with pytest.raises(InvalidRequest, match="at most 3"):
        updated_thing(
            new_thing("t", "i", "pump", attributes(4), 0), None, None, remove_type=True, expected=None
        )


def test_types_must_exist_and_be_in_use() -> None:
    old = ThingType(
        name="old", id="i", description=None, searchable_attributes=(), tags={}, created_at=0, deprecated_at=1
    )
    check_type(None, None)
    with pytest.raises(NotFound):
        check_type("pump", None)
    with pytest.raises(InvalidRequest, match="deprecated"):
        check_type("old", old)
    assert check_searchable(["b", "a", "b"]) == ("a", "b")
    with pytest.raises(InvalidRequest):
        check_searchable(["a", "b", "c", "d"])


def test_hierarchies_end_at_seven_levels_and_a_hundred_children() -> None:
    def make(depth: int, siblings: int) -> ThingGroup:
        return new_group(
            "new",
            "i",
            ("above", group("above", depth)),
            siblings=siblings,
            description=None,
            change=None,
            tags={},
            now=0,
        )

    made = make(6, 99)
    assert (made.depth, made.root, made.parent) == (7, "root", "above")
    with pytest.raises(InvalidRequest, match="7 levels"):
        make(7, 0)
    with pytest.raises(InvalidRequest, match="100 direct"):
        make(1, 100)
    with pytest.raises(NotFound):
        new_group("new", "i", ("above", None), siblings=0, description=None, change=None, tags={}, now=0)


def test_a_thing_is_in_ten_groups_of_different_hierarchies() -> None:
    check_joining("t", group("g"), [(f"g{number}", f"r{number}") for number in range(9)])
    with pytest.raises(InvalidRequest, match="at most 10"):
        check_joining("t", group("g"), [(f"g{number}", f"r{number}") for number in range(10)])
    with pytest.raises(InvalidRequest, match="same hierarchy"):
        check_joining("t", group("g"), [("sibling", "root")])


@pytest.mark.parametrize(
    "arn",
    [
        "thing/x",
        "arn:aws:iot:r:000000000000:thing",
        "arn:aws:iot:r:000000000000:thing/",
        "arn:aws:s3:r:000000000000:thing/x",
        "arn:aws:iot:r:111111111111:thing/x",
        "",
    ],
)
def test_foreign_arns_are_refused(arn: str) -> None:
    with pytest.raises(InvalidRequest):
        iot_resource(arn, HOME)


def test_names_and_arns_must_agree() -> None:
    arn = "arn:aws:iot:eu-west-9:000000000000:thing/a:b"
    assert named("thing", None, arn, HOME) == "a:b"
    assert named("thing", "a:b", arn, HOME) == "a:b"
    with pytest.raises(InvalidRequest, match="do not name the same"):
        named("thing", "b", arn, HOME)
    with pytest.raises(InvalidRequest, match="names a thing"):
        named("thinggroup", None, arn, HOME)
    with pytest.raises(InvalidRequest, match="give the name"):
        named("thing", None, None, HOME)
