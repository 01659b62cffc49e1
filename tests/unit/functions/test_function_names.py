"""How callers name functions."""

import pytest
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.functions.names import function_arn, function_name, session_arn

HERE = Installation(account="123456789012", region="eu-west-1")


@pytest.mark.parametrize(
    "reference",
    [
        "update",
        "update:$LATEST",
        "function:update",
        "123456789012:function:update",
        "arn:aws:lambda:eu-west-1:123456789012:function:update",
        "arn:aws:lambda:us-east-2:123456789012:function:update:$LATEST",
    ],
)
def test_every_form_of_a_name(reference):
    assert function_name(reference, HERE) == "update"


@pytest.mark.parametrize("reference", ["", "a b", "x" * 65, "../x", "a/b", "arn:aws:s3:::update", "ü"])
def test_what_is_no_name(reference):
    with pytest.raises(InvalidRequest, match="names no function"):
        function_name(reference, HERE)


def test_versions_aliases_and_other_accounts_are_not_there():
    with pytest.raises(NotFound, match=r"only \$LATEST"):
        function_name("update:7", HERE)
    with pytest.raises(NotFound, match="live"):
        function_name("update", HERE, "live")
    with pytest.raises(NotFound, match="another account"):
        function_name("000000000000:function:update", HERE)


def test_two_qualifiers_must_agree():
    assert function_name("update:$LATEST", HERE, "$LATEST") == "update"
    with pytest.raises(InvalidRequest, match="does not agree"):
        function_name("update:$LATEST", HERE, "7")


def test_arns():
    assert function_arn("update", HERE) == "arn:aws:lambda:eu-west-1:123456789012:function:update"
    role = "arn:aws:iam::123456789012:role/path/updater"
    assert session_arn(role, "update", HERE) == "arn:aws:sts::123456789012:assumed-role/updater/update"
