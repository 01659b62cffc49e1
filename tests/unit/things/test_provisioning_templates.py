"""What provisioning templates make of a device's parameters, and what is refused before any device comes."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.things.provisioning import Override, parse_template
from outfitter_server.things.template_values import TEXT_CHARACTERS_MAX, Values

CERTIFICATE = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
}
THING = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}}
ID = {"AWS::IoT::Certificate::Id": "ab" * 32}


def body(resources=None, **more):
    given = {"thing": THING, "certificate": CERTIFICATE} if resources is None else resources
    return json.dumps({"Parameters": {"Serial": {"Type": "String"}}, "Resources": given, **more})


VALUES = Values(
    {"a": "1", "b": "two", "empty": ""}, {"Map": {"top": {"second": "found", "list": ["x", "y"]}}}
)
RESOLVED = {
    "text": ("plain", "plain"),
    "number": (5, "5"),
    "true": (True, "true"),
    "Ref": ({"Ref": "b"}, "two"),
    "Join": ({"Fn::Join": ["-", [{"Ref": "a"}, "b", {"Ref": "b"}]]}, "1-b-two"),
    "Select": ({"Fn::Select": [{"Ref": "a"}, ["x", "y"]]}, "y"),
    "FindInMap": ({"Fn::FindInMap": ["Map", "top", "second"]}, "found"),
    "Select of a list in a map": ({"Fn::Select": ["0", {"Fn::FindInMap": ["Map", "top", "list"]}]}, "x"),
    "Join of Split": ({"Fn::Join": ["+", {"Fn::Split": ["|", "p|q"]}]}, "p+q"),
    "Sub": ({"Fn::Sub": "${a}/${b}${empty}"}, "1/two"),
    "Sub with values of its own": ({"Fn::Sub": ["${a}${own}", {"own": {"Ref": "b"}, "a": ""}]}, "two"),
}


@pytest.mark.parametrize(("node", "text"), RESOLVED.values(), ids=RESOLVED)
def test_values_come_to_texts(node, text):
    assert VALUES.text(node, "here") == text


@pytest.mark.parametrize(
    "node",
    [
        None,
        ["a"],
        {},
        {"Ref": "unknown"},
        {"Ref": ["a"]},
        {"Ref": "a", "Fn::Sub": "x"},
        {"Fn::Unknown": "x"},
        {"Fn::Join": "x"},
        {"Fn::Join": ["-", "x"]},
        {"Fn::Select": ["7", ["x"]]},
        {"Fn::Select": ["-1", ["x"]]},
        {"Fn::Select": ["²", ["x"]]},
        {"Fn::FindInMap": ["Map", "top", "third"]},
        {"Fn::FindInMap": ["Map", "top", "list"]},
        {"Fn::FindInMap": ["Map", "top"]},
        {"Fn::Sub": "${unknown}"},
        {"Fn::Sub": ["x", "y"]},
        {"Fn::Join": ["", [{"Ref": "long"}, {"Ref": "long"}]]},
    ],
)
def test_what_comes_to_no_text_is_refused(node):
    values = Values(
        {"a": "1", "long": "x" * TEXT_CHARACTERS_MAX}, {"Map": {"top": {"second": "s", "list": ["x"]}}}
    )
    with pytest.raises(InvalidRequest):
        values.text(node, "here")


def test_nesting_is_bounded():
    node = "x"
    for _ in range(50):
        node = {"Fn::Join": ["", [node]]}
    with pytest.raises(InvalidRequest, match="nested"):
        VALUES.text(node, "here")
    with pytest.raises(InvalidRequest, match="nested"):
        parse_template(body(DeviceConfiguration={"x": node}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Ref", "Fn::Join", "Fn::Select", "Fn::FindInMap", "Fn::Split", "Fn::Sub", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_value_is_a_text_or_a_refusal(node):
    with contextlib.suppress(InvalidRequest):
        assert isinstance(VALUES.text(node, "here"), str)


def test_a_plan_is_everything_that_a_registration_makes():
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["", ["d-", {"Ref": "Serial"}]]},
                "ThingTypeName": "lamp",
                "AttributePayload": {"serial": {"Ref": "Serial"}},
                "ThingGroups": ["one", {"Ref": "Group"}, "one"],
            },
            "OverrideSettings": {"AttributePayload": "MERGE"},
        },
        "certificate": CERTIFICATE,
        "named": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "there"}},
        "new": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": {"Version": "2012-10-17"}}},
    }
    declared = {"Serial": {"Type": "String"}, "Group": {"Type": "String", "Default": "two"}}
    plan = parse_template(body(resources, Parameters=declared)).plan({"Serial": "7", **ID})
    assert (plan.thing.name, plan.thing.type, plan.thing.attributes) == ("d-7", "lamp", {"serial": "7"})
    assert plan.thing.groups == ("one", "two")
    assert plan.thing.override("AttributePayload") is Override.MERGE
    assert plan.thing.override("ThingGroups") is Override.FAIL
    assert (plan.certificate.id, plan.certificate.status) == ("ab" * 32, "ACTIVE")
    assert plan.policies[0].name == "there"
    assert len(plan.policies[1].name) == 64


CERTIFICATE_ONLY = {"certificate": CERTIFICATE}
REFUSED = {
    "no JSON": "{",
    "a list": "[]",
    "a member twice": '{"Resources":{},"Resources":{}}',
    "an unknown member": body(Outputs={}),
    "no certificate": body({"thing": THING}),
    "two things": body({"a": THING, "b": THING, "certificate": CERTIFICATE}),
    "two certificates": body({"a": CERTIFICATE, "b": CERTIFICATE}),
    "an unknown type": body({"certificate": CERTIFICATE, "x": {"Type": "AWS::S3::Bucket", "Properties": {}}}),
    "no properties": body({"certificate": {"Type": "AWS::IoT::Certificate"}}),
    "an id that is no reference": body(
        {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": "x", "Status": "Active"},
            }
        }
    ),
    "no status": body(
        {"certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "Serial"}}}}
    ),
    "an unknown property": body(
        {
            "certificate": CERTIFICATE,
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"BillingGroup": "x"}},
        }
    ),
    "a type that is no text": body({"certificate": {"Type": {"Ref": "x"}, "Properties": {}}}),
    "an override that is no text": body(
        {"certificate": CERTIFICATE, "thing": THING | {"OverrideSettings": {"ThingTypeName": ["FAIL"]}}}
    ),
    "a thing without a name": body(
        {"certificate": CERTIFICATE, "thing": {"Type": "AWS::IoT::Thing", "Properties": {}}}
    ),
    "a parameter that is not declared": body(CERTIFICATE_ONLY, DeviceConfiguration={"x": {"Ref": "Other"}}),
    "another that is not": body(CERTIFICATE_ONLY, DeviceConfiguration={"x": {"Fn::Sub": "${Other}"}}),
    "an unknown function": body(CERTIFICATE_ONLY, DeviceConfiguration={"x": {"Fn::GetAtt": "x"}}),
    "a parameter of another type": body(CERTIFICATE_ONLY, Parameters={"Serial": {"Type": "Number"}}),
    "an override that there is not": body(
        {"certificate": CERTIFICATE, "thing": THING | {"OverrideSettings": {"ThingTypeName": "MERGE"}}}
    ),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_could_never_be_provisioned_is_no_template(text):
    with pytest.raises(InvalidRequest):
        parse_template(text)


@pytest.mark.parametrize("parameters", [{}, {"Serial": "a b"}, {"Serial": "x" * 129}, {"Serial": ""}])
def test_names_that_nothing_may_have_are_refused(parameters):
    with pytest.raises(InvalidRequest):
        parse_template(body()).plan(parameters | ID)


@pytest.mark.parametrize("given", [{f"p{n}": "" for n in range(51)}, {"p": "x" * 4097}], ids=["many", "long"])
def test_parameters_are_bounded(given):
    with pytest.raises(InvalidRequest):
        parse_template(body()).plan({"Serial": "7", **ID, **given})


def own_policy():
    document = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Subscribe","Resource":"${Serial}"}}'
    policy = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": {"Fn::Sub": document}}}
    return parse_template(body({"certificate": CERTIFICATE, "policy": policy}))


@pytest.mark.parametrize(
    "serial", ["*", "a?", "+", "#", "${iot:ClientId}", '"],"Resource":["*', "a\\u002a", "a\n"]
)
def test_a_device_cannot_widen_the_policy_that_it_gets(serial):
    with pytest.raises(InvalidRequest, match="parameter Serial"):
        own_policy().plan({"Serial": serial, **ID})
    # What the owner's hook says instead is the owner's.
    plan = own_policy().plan({"Serial": serial, **ID}, vouched={"Serial": "*"})
    assert json.loads(plan.policies[0].document)["Statement"]["Resource"] == "*"


def test_an_honest_serial_number_stands_in_its_policy():
    plan = own_policy().plan({"Serial": "SN 7/a.b-c_d:1@x", **ID})
    assert json.loads(plan.policies[0].document)["Statement"]["Resource"] == "SN 7/a.b-c_d:1@x"
