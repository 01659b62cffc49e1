"""What a person may set on a function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.settings import RESERVED, FunctionSettings, check_settings


def made(**changes):
    return FunctionSettings(
        **{"runtime": "python3.11", "handler": "app.handler", "role": "arn:aws:iam::000000000000:role/r"}
        | changes
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"runtime": "python3.9"},
        {"handler": "pkg/module.handler"},
        {"handler": "pkg.module.handler"},
        {"timeout_seconds": 1},
        {"timeout_seconds": 900},
        {"memory_mb": 128},
        {"memory_mb": 512},
        {"environment": {"TOPIC": "a", "LONG": "x" * 4000}},
        {"environment": {"AWS_ENDPOINT_URL": "http://elsewhere"}},
    ],
)
def test_what_may_be(changes):
    settings = made(**changes)
    assert check_settings(settings, memory_mb_max=512) is settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runtime": "nodejs22.x"}, "functions here are Python's"),
        ({"runtime": "python2.7"}, "functions here are Python's"),
        ({"handler": "handler"}, "MODULE.FUNCTION"),
        ({"handler": "../app.handler"}, "MODULE.FUNCTION"),
        ({"handler": "/app.handler"}, "MODULE.FUNCTION"),
        ({"timeout_seconds": 0}, "between 1 and 900"),
        ({"timeout_seconds": 901}, "between 1 and 900"),
        ({"memory_mb": 127}, "between 128 and 512"),
        ({"memory_mb": 513}, "this server allows"),
        ({"environment": {"AWS_REGION": "x", "_HANDLER": "y"}}, "AWS_REGION, _HANDLER"),
        ({"environment": {"1X": "x"}}, "begins with a letter"),
        ({"environment": {"X-Y": "x"}}, "begins with a letter"),
        ({"environment": {"XY": "a\0b"}}, "without NUL"),
        ({"environment": {"XY": "x" * 4095}}, "4096 bytes limit"),
    ],
)
def test_what_may_not_be(changes, words):
    with pytest.raises(InvalidRequest, match=words):
        check_settings(made(**changes), memory_mb_max=512)


@given(
    st.dictionaries(st.sampled_from(sorted(RESERVED)) | st.text(max_size=8), st.text(max_size=50), max_size=5)
)
def test_any_environment_is_taken_or_refused(environment):
    try:
        check_settings(made(environment=environment), memory_mb_max=512)
    except InvalidRequest:
        return
    assert not RESERVED & set(environment)
    assert all(name.isascii() and name.isidentifier() for name in environment)
