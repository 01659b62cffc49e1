import re

import pytest
from botocore.model import DenormalizedStructureBuilder
from outfitter_server.aws.model import load_services
from outfitter_server.aws.patterns import compile_pattern
from outfitter_server.aws.validate import ERRORS_SHOWN, validate
from outfitter_server.base.refusals import InvalidRequest

SERVICES = load_services()


def problems(service, operation, parameters):
    with pytest.raises(InvalidRequest) as caught:
        validate(parameters, SERVICES[service].operation(operation).input_shape)
    count, _, rest = caught.value.message.partition(" detected: ")
    found = rest.split("; ")
    assert count == f"{len(found)} validation error{'s' if len(found) > 1 else ''}"
    return found


def accepted(service, operation, parameters):
    validate(parameters, SERVICES[service].operation(operation).input_shape)


@pytest.mark.parametrize(
    ("operation", "parameters", "problem"),
    [
        (
            "CreateThing",
            {},
            "Value null at 'thingName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "CreateThing",
            {"thingName": "a b"},
            (
                "Value 'a b' at 'thingName' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+"
            ),
        ),
        (
            "ListThings",
            {"maxResults": 251},
            "Value '251' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 250",
        ),
        (
            "CreateJob",
            {"jobId": "j", "targets": ["t"], "targetSelection": "ONCE"},
            (
                "Value 'ONCE' at 'targetSelection' failed to satisfy constraint: "
                "Member must satisfy enum value set: [CONTINUOUS, SNAPSHOT]"
            ),
        ),
        (
            "CreateJob",
            {"jobId": "j", "targets": []},
            "Value '[]' at 'targets' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "CreateJob",
            {"jobId": "j", "targets": [None]},
            "Value null at 'targets.1.member' failed to satisfy constraint: Member must not be null",
        ),
        (
            "CreateJob",
            {"jobId": "j", "targets": ["t"], "timeoutConfig": {"inProgressTimeoutInMinutes": "soon"}},
            (
                "Value 'soon' at 'timeoutConfig.inProgressTimeoutInMinutes' failed to satisfy constraint: "
                "Member must be of type long"
            ),
        ),
        (
            "ListThings",
            {"maxResults": True},
            "Value 'True' at 'maxResults' failed to satisfy constraint: Member must be of type integer",
        ),
        (
            "CancelJobExecution",
            {"jobId": "j", "thingName": "t", "expectedVersion": 2**63},
            f"Value '{2**63}' at 'expectedVersion' failed to satisfy constraint: Member must be of type long",
        ),
        (
            "CreateThing",
            {"thingName": "t", "attributePayload": {"attributes": {"k ": "v"}}},
            (
                "Value 'k ' at 'attributePayload.attributes.k .key' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z0-9_.,@/:#-]+"
            ),
        ),
    ],
)
def test_each_kind_of_problem_is_told_as_aws_tells_it(operation, parameters, problem):
    assert problems("iot", operation, parameters) == [problem]


def test_all_problems_are_told_at_once():
    found = problems("iot", "CreateJob", {"jobId": "!", "targets": ["t"] * 2, "document": 7, "tags": [{}]})
    assert len(found) == 3


def test_an_empty_name_is_both_too_short_and_of_the_wrong_form():
    found = problems("iot", "CreateThing", {"thingName": ""})
    assert found[0].endswith("Member must have length greater than or equal to 1")
    assert found[1].endswith("Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+")


def test_many_problems_are_counted_and_some_shown():
    with pytest.raises(InvalidRequest) as caught:
        accepted("iot", "CreateJob", {"jobId": "j", "targets": [None] * 1000})
    assert caught.value.message.startswith("1000 validation errors detected: ")
    assert caught.value.message.count("Member must not be null") == ERRORS_SHOWN


def test_long_values_are_cut():
    [problem] = problems("iot", "CreateThing", {"thingName": "x" * 100_000})
    assert len(problem) < 500


def test_what_is_right_passes():
    cancel = {"jobId": "j", "reasonCode": "TOO_LATE_2", "comment": "über 🚀", "force": True}
    accepted("iot", "CancelJob", cancel)
    criterion = {
        "failureType": "ALL",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 1,
    }
    accepted(
        "iot", "CreateJob", {"jobId": "j", "targets": ["t"], "abortConfig": {"criteriaList": [criterion]}}
    )


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"[\p{Upper}\p{Digit}_]+", ["A_1"], ["a", "Ü", "", "A\n"]),
        (r"[^\p{C}]+", ["comment ü 漢 🚀"], ["a\nb", "\x7f", "\u200b", "\ue000", ""]),
        (r"[^\p{Cntrl}]*", ["", "\u200bü"], ["\x00", "a\x1f"]),
        (r"[\p{Graph}\x20]*", ["a b!~"], ["ü", "\t"]),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", ["Größe 漢字 ٣_.:/=+-@", ""], ["a!b", "a\n"]),
        (r"\p{Alpha}\P{Digit}", ["ab", "a-"], ["a1", "1a"]),
        (r"[\s\S]*", ["any\nthing"], []),
    ],
)
def test_java_patterns_mean_the_same_here(pattern, right, wrong):
    compiled = compile_pattern(pattern)
    assert [text for text in right if not compiled.fullmatch(text)] == []
    assert [text for text in wrong if compiled.fullmatch(text)] == []


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_pattern_of_the_models_compiles(service):
    model = SERVICES[service]._model
    for name in model.shape_names:
        pattern = model.shape_for(name).metadata.get("pattern")
        if pattern:
            assert isinstance(compile_pattern(pattern), re.Pattern)


def test_properties_that_are_not_understood_are_refused():
    with pytest.raises(ValueError, match="no such Unicode category"):
        compile_pattern(r"\p{Klingon}")
    with pytest.raises(ValueError, match="negated property"):
        compile_pattern(r"[\P{L}]")


def test_sensitive_values_are_not_repeated():
    shape = (
        DenormalizedStructureBuilder()
        .with_members({"secret": {"type": "string", "max": 1, "sensitive": True}})
        .build_model()
    )
    with pytest.raises(InvalidRequest) as caught:
        validate({"secret": "hunter2"}, shape)
    assert "hunter2" not in caught.value.message
