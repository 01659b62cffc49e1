"""What a target may be called, and which one is meant."""

import pytest
from outfitter_updates.catalogue.devices import Device, Group
from outfitter_updates.catalogue.problems import NotFound, WrongUsage, did_you_mean
from outfitter_updates.operations.target import ANY, TargetKind, TargetName, choose_target, parse_target

DEVICE = Device(name="a", arn="arn:thing/a", device_type=None, attributes={})
GROUP = Group(name="a", arn="arn:thinggroup/a")


@pytest.mark.parametrize(
    ("text", "name", "kinds"),
    [
        ("pumps", "pumps", ANY),
        ("group:pumps", "pumps", (TargetKind.GROUP,)),
        ("thing:pump-1", "pump-1", (TargetKind.THING,)),
        ("thing:group:x", "group:x", (TargetKind.THING,)),
        ("hall:pump-1", "hall:pump-1", ANY),
    ],
)
def test_targets_are_read(text, name, kinds):
    assert parse_target(text) == TargetName(name, kinds)


@pytest.mark.parametrize("text", ["", "group:", "thing:a b", "ä", "x" * 129, "a/b"])
def test_impossible_names_are_wrong_usage(text):
    with pytest.raises(WrongUsage, match="can be no device or group"):
        parse_target(text)


def test_the_one_that_exists_is_meant():
    assert choose_target(TargetName("a", ANY), DEVICE, None) is DEVICE
    assert choose_target(TargetName("a", ANY), None, GROUP) is GROUP


def test_two_of_a_name_must_be_told_apart():
    with pytest.raises(WrongUsage, match=r"thing:a or group:a"):
        choose_target(TargetName("a", ANY), DEVICE, GROUP)


def test_an_unknown_target_brings_suggestions():
    with pytest.raises(NotFound, match=r"no device or group named 'pmps'. Did you mean pumps\?"):
        choose_target(TargetName("pmps", ANY), None, None, ["pumps", "valves"])


@pytest.mark.parametrize(
    ("name", "existing", "words"),
    [
        ("x", [], "nothing there"),
        ("PUMP", ["pump"], "Did you mean pump?"),
        ("zzz", ["a", "b"], "There are: a, b."),
        ("zzz", [f"device-{number:03}" for number in range(25)], "and 5 more."),
    ],
)
def test_suggestions(name, existing, words):
    assert did_you_mean(name, existing, nothing="nothing there").endswith(words)
