"""What is filled into a document when its job is made: texts stay in their strings, and never become placeholders."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.documents import BEGINNING, compact, placeholders
from outfitter_server.jobs.substitution import (
    PackagePart,
    count_placeholders,
    with_packages,
    with_parameters,
)

ATTRIBUTE = "${aws:iot:package:pump:version:1.4.0:attributes:note}"
ARTIFACT = "${aws:iot:package:pump:version:1.4.0:artifact:s3-presigned-url}"
DELIVERY = "${aws:iot:s3-presigned-url-v2:https://s3.eu-west-1.amazonaws.com/images/pump}"
OBJECT = "https://s3.amazonaws.com/bucket/"

anything = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
pieces = st.lists(
    st.sampled_from(["$", "{", "}", "aws:iot:", "package:", '"', "\\", "\n", BEGINNING, "x", "${thingName}"])
    | anything,
    max_size=6,
).map("".join)


def filled(document, value, calls=None):
    def fill(found):
        if calls is not None:
            calls.append(found)
        return DELIVERY if found.part is PackagePart.ARTIFACT else value

    return with_packages(document, fill)


@pytest.mark.parametrize(
    ("text", "package", "version", "part", "attribute"),
    [
        (ATTRIBUTE, "pump", "1.4.0", "attribute", "note"),
        ("${aws:iot:package::version::attributes:a:b-c_D}", "", "", "attribute", "a:b-c_D"),
        ("${aws:iot:package:pump:version:$default:attributes:note}", "pump", "$default", "attribute", "note"),
        ("${aws:iot:package:a.b-c_D:version::attributes}", "a.b-c_D", "", "attributes", ""),
        (ARTIFACT, "pump", "1.4.0", "artifact", ""),
        ("${aws:iot:package::version::artifact-location:s3-presigned-url}", "", "", "artifact", ""),
    ],
)
def test_every_form_of_a_package_placeholder(text, package, version, part, attribute):
    calls = []
    value = {"note": "now"} if part == "attributes" else "now"
    document = filled(json.dumps({"a": [text]}), value, calls)
    (found,) = calls
    assert (found.package, found.version, found.part, found.attribute) == (package, version, part, attribute)
    assert json.loads(document) == {"a": [DELIVERY if part == "artifact" else value]}


@given(before=pieces, value=pieces, after=pieces)
def test_a_value_stays_in_its_string_and_makes_no_placeholder(before, value, after):
    wanted = {"a": before + ATTRIBUTE + after, "b": [1, None, "c"]}
    document = json.dumps(wanted)
    try:
        made = filled(document, value)
    except InvalidRequest:
        return
    assert json.loads(made) == {**wanted, "a": before + value + after}
    assert made.count(BEGINNING) == document.count(BEGINNING) - 1


@given(value=anything.filter(lambda text: BEGINNING not in text), escaped=st.booleans())
def test_any_plain_value_is_taken(value, escaped):
    text = json.dumps({"name": ATTRIBUTE}, indent=2)
    if escaped:
        text = text.replace("$", "\\u0024")
    made = filled(text, value)
    assert json.loads(made) == {"name": value}
    assert made.startswith('{\n  "name": ')


@given(attributes=st.dictionaries(st.text("abc:-_", min_size=1), anything, max_size=3))
def test_all_attributes_become_an_object(attributes):
    whole = "${aws:iot:package:pump:version:1.4.0:attributes}"
    made = filled(json.dumps({"about": whole, "b": 1}), attributes)
    assert json.loads(made) == {"about": attributes, "b": 1}


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("${aws:iot:package:pump:version:1:attribute:note}", "", "malformed"),
        ("${aws:iot:package:pump:1:attributes:note}", "", "malformed"),
        ("${aws:iot:package:pu mp:version:1:attributes:note}", "", "malformed"),
        ("${aws:iot:package:pump:version:1:artifact:s3-presigned-url-v2}", "", "malformed"),
        ("${aws:iot:package:pump:version:1:attributes:note", "", "malformed"),
        ("all: ${aws:iot:package:pump:version:1:attributes}", {"a": "b"}, "string of its own"),
        ("${aws:iot:s3-presigned-url-v2:" + ARTIFACT + "}", "", "inside another placeholder"),
        ("${aws:iot:s3-presigned-url-v2:" + ATTRIBUTE + "}", OBJECT + "k}", "braces"),
        ("${aws:iot:s3-presigned-url-upload:" + OBJECT + ATTRIBUTE + "}", "${thingName}", "braces"),
        (ATTRIBUTE, DELIVERY, "holds a placeholder"),
        ("${aws:iot:package:pump:version:1:attributes}", {"a": DELIVERY}, "holds a placeholder"),
        (ATTRIBUTE + "{aws:iot:s3-presigned-url:" + OBJECT + "}", "$", "makes a placeholder"),
        ("$" + ATTRIBUTE + "s:iot:parameter:x}", "{aw", "makes a placeholder"),
    ],
)
def test_what_a_package_placeholder_cannot_be(text, value, why):
    with pytest.raises(InvalidRequest, match=why):
        filled(json.dumps({"a": text}), value)


def test_an_object_cannot_name_a_member():
    with pytest.raises(InvalidRequest, match="no name of a member"):
        filled('{"${aws:iot:package:pump:version:1:attributes}" : 1}', {"a": "b"})


def test_an_attribute_may_be_put_into_a_placeholder_that_is_filled_in_at_delivery():
    text = json.dumps({"url": "${aws:iot:s3-presigned-url-v2:" + ATTRIBUTE + "}"})
    (found,) = placeholders(compact(filled(text, OBJECT + "k")))
    assert found.argument == OBJECT + "k"


def test_parameters_of_a_template_are_filled_in_once():
    document = '{"path": "${aws:iot:parameter:path}", "url": "\\u0024{aws:iot:parameter:url}", "who": "${aws:iot:parameter:who}"}'
    given = {"path": 'a"b\\c\n${aws:iot:parameter:who}', "url": DELIVERY}
    made = with_parameters(document, given, {"path": True, "url": True, "who": False})
    assert json.loads(made) == {"path": given["path"], "url": DELIVERY, "who": ""}
    with pytest.raises(InvalidRequest, match="jobTemplateArn"):
        placeholders(compact(made))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "'path' must be given"),
        ({"path": ""}, "'path' must be given"),
        ({"path": "p", "other": "o"}, "no parameter 'other'"),
    ],
)
def test_parameters_that_are_not_the_templates(given, why):
    with pytest.raises(InvalidRequest, match=why):
        with_parameters('{"path": "${aws:iot:parameter:path}"}', given, {"path": True})


@given(value=pieces)
def test_a_parameter_stays_in_its_string(value):
    made = with_parameters('{"a": "<${aws:iot:parameter:p}>", "b": 2}', {"p": value}, {"p": False})
    assert json.loads(made) == {"a": f"<{value}>", "b": 2}


def test_at_most_ten_placeholders_of_whatever_kind():
    count_placeholders(compact(json.dumps([ATTRIBUTE] * 9 + [DELIVERY])))
    with pytest.raises(InvalidRequest, match="11 placeholders"):
        count_placeholders(compact(json.dumps([ATTRIBUTE] * 10 + [DELIVERY])))


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("parameter:name", "jobTemplateArn"),
        ("code-sign-signature:s3://eu-west-1.b/k@v", "sign the file yourself"),
        ("package:pump:version:1", "package:NAME:version:VERSION"),
        ("s3-presigned-url-v3:x", "s3-presigned-url-upload"),
    ],
)
def test_a_placeholder_that_is_not_filled_in_is_refused_with_what_to_do(kind, hint):
    with pytest.raises(InvalidRequest, match=hint):
        placeholders(f'{{"a":"${{aws:iot:{kind}}}"}}')
