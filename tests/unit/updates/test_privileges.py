"""Which statements speak of an action, and whether they apply."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_updates.operations.privileges import Why, _matches, explain, variables_of

KNOWN = variables_of("pump", "pump", "lamp", {"site": "a*b"})


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("a*c", "abbc", True),
        ("a*c", "abbcd", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("x/${iot:ClientId}/*", "x/pump/1", True),
        ("x/${iot:ClientId}/*", "x/other/1", False),
        ("x/${unknown}", "x/", False),
        ("x/${*}", "x/*", True),
        ("x/${*}", "x/1", False),
        ("x/${iot:Connection.Thing.Attributes[site]}", "x/a*b", True),
        ("x/${iot:Connection.Thing.Attributes[site]}", "x/a1b", False),
        ("x/${iot:Connection.Thing.ThingTypeName}", "x/lamp", True),
        ("a" + "*a" * 30, "a" * 40, True),
        ("a" + "*a" * 30 + "b", "a" * 60, False),
    ],
)
def test_patterns(pattern, text, fits):
    assert _matches(pattern, text, KNOWN) is fits


@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="ab", max_size=12))
def test_patterns_are_those_of_the_server(pattern, text):
    from outfitter_server.access.globs import Glob

    assert _matches(pattern, text, {}) is Glob.parse(pattern).matches(text)


def test_a_thing_has_variables_only_under_its_own_name():
    assert variables_of("pump", "other", "lamp", {"site": "x"}) == {
        "iot:ClientId": "other",
        "iot:Connection.Thing.IsAttached": "false",
    }


def test_denials_come_first_and_what_does_not_apply_last():
    documents = {
        "b": {
            "Statement": [
                {"Effect": "Allow", "Action": "iot:Publish", "Resource": "other"},
                {"Effect": "Allow", "Action": "IOT:*", "Resource": ["no", "t*"], "Sid": "Any"},
                {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
                {"Effect": "Allow", "Action": "iot:Publish", "Resource": "${iot:Certificate.Issuer.Country}"},
            ]
        },
        "c": {
            "Statement": {
                "Effect": "Deny",
                "Action": ["iot:Publish"],
                "Resource": "top?c",
                "Condition": {"x": 1},
            }
        },
    }
    texts = {name: json.dumps(document) for name, document in documents.items()}
    said = explain(texts, "iot:Publish", "topic", KNOWN)
    assert [(each.policy, each.number, each.why) for each in said] == [
        ("c", 1, Why.APPLIES),
        ("b", 2, Why.APPLIES),
        ("b", 1, Why.OTHER_RESOURCE),
        ("b", 4, Why.MISSING_VARIABLE),
    ]
    assert (said[0].conditional, said[0].effect) == (True, "Deny")
    assert (said[1].resources, said[1].sid) == (("t*",), "Any")
    assert said[3].missing == ("iot:Certificate.Issuer.Country",)
