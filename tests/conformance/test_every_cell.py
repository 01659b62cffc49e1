"""Nothing of the Jobs operations is left out: each member, error and topic has a test, or a reason why it has none."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.session import get_session
from outfitter_fleet.conformance.table import failing, function

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "docs" / "reference" / "conformance.json"
DOCUMENT = RECORD.with_suffix(".md")
DOORS = {"iot": "iot", "iot-jobs-data": "data"}
# Structures whose members are looked at where jobs are created; elsewhere they are one cell.
CONFIGURATIONS = {
    "presignedUrlConfig",
    "jobExecutionsRolloutConfig",
    "abortConfig",
    "timeoutConfig",
    "jobExecutionsRetryConfig",
    "schedulingConfig",
    "maintenanceWindows",
    "tags",
    "documentParameters",
    "eventConfigurations",
    "statusDetails",
}
TOKEN = ("in clientToken", "out clientToken", "out timestamp")
CODES = ("code InvalidJson", "code InvalidRequest", "code RequestThrottled")
EXECUTION = (
    *("jobId", "status", "statusDetails", "queuedAt", "startedAt", "lastUpdatedAt", "versionNumber"),
    *("executionNumber", "jobDocument", "approximateSecondsBeforeTimedOut"),
)
# The MQTT side has no service model; this is what the developer guide and the device SDKs have.
MQTT = {
    "GetPendingJobExecutions": [
        *(f"topic get{end}" for end in ("", "/accepted", "/rejected")),
        *("out inProgressJobs", "out queuedJobs", "code InvalidJson", "code RequestThrottled", *TOKEN),
    ],
    "StartNextPendingJobExecution": [
        *(f"topic start-next{end}" for end in ("", "/accepted", "/rejected")),
        *("in statusDetails", "in stepTimeoutInMinutes", "code InternalError", *CODES, *TOKEN),
        *(f"out execution.{name}" for name in EXECUTION),
    ],
    "DescribeJobExecution": [
        *(f"topic {{jobId}}/get{end}" for end in ("", "/accepted", "/rejected")),
        *("topic $next/get", "topic $next/get/accepted", "in executionNumber", "in includeJobDocument"),
        *("code ResourceNotFound", "code TerminalStateReached", *CODES, *TOKEN),
        *(f"out execution.{name}" for name in EXECUTION),
    ],
    "UpdateJobExecution": [
        *(f"topic {{jobId}}/update{end}" for end in ("", "/accepted", "/rejected")),
        *(f"in {name}" for name in ("status", "statusDetails", "expectedVersion", "executionNumber")),
        *(
            f"in {name}"
            for name in ("includeJobExecutionState", "includeJobDocument", "stepTimeoutInMinutes")
        ),
        *("out executionState", "out jobDocument", "code ResourceNotFound", "code VersionMismatch"),
        *("code InvalidStateTransition", "code InternalError", *CODES, *TOKEN),
    ],
    "notifications": ["topic notify", "topic notify-next"],
    "other topics": ["code InvalidTopic"],
    "events": [
        *(f"topic $aws/events/job/{{jobId}}/{name}" for name in ("completed", "canceled", "deleted")),
        *(f"topic $aws/events/job/{{jobId}}/{n}_in_progress" for n in ("cancellation", "deletion")),
        *(
            f"topic $aws/events/jobExecution/{{jobId}}/{name}"
            for name in ("succeeded", "failed", "rejected", "canceled", "timed_out", "removed", "deleted")
        ),
    ],
}
# Pattern of operation and cell, and why no test shows it.
LEFT_OUT = {
    r"data StartCommandExecution .*": "AWS IoT Commands, another feature than Jobs; not served",
    r"iot \w+ in namespaceId": "belongs to AWS IoT Greengrass; refused by name, as test_declared_errors.py looks at",
    r"iot \w+ out job.namespaceId": "belongs to AWS IoT Greengrass; no job here has one",
    r".* error Internal(Failure|Server)Exception": "a fault of the server itself, which no request provokes",
    r"data \w+ error CertificateValidationException": "AWS tells no case; a certificate that does not hold is refused before",
    r"iot (Describe|Get|List)\w+ error ServiceUnavailableException": "a read needs nothing that can run out",
    r"data (Describe|Get)\w+ error ServiceUnavailableException": "a read needs nothing that can run out",
    r"iot \w+EventConfigurations error ThrottlingException": "AWS tells no rate of these operations, so none can be set",
    r"iot CancelJob error LimitExceededException": "AWS tells no limit that a cancellation could reach",
    r"iot CreateJobTemplate error LimitExceededException": "AWS tells no limit on templates",
}


def leaves(shape, prefix, *, configurations):
    """Paths of members; lists count as what they hold."""
    for name, member in shape.members.items():
        inner = member
        while inner.type_name == "list":
            inner = inner.member
        if inner.type_name == "structure" and (configurations or name not in CONFIGURATIONS):
            yield from leaves(inner, f"{prefix}{name}.", configurations=configurations)
        else:
            yield f"{prefix}{name}"


def declared():
    """Every cell: of the service models, and of MQTT."""
    for service, door in DOORS.items():
        model = get_session().get_service_model(service)
        for name in model.operation_names:
            if service == "iot" and "Job" not in name and "EventConfigurations" not in name:
                continue
            operation = model.operation_model(name)
            whole = name == "CreateJob"
            for kind, shape in (("in", operation.input_shape), ("out", operation.output_shape)):
                if shape is not None:
                    for path in leaves(shape, "", configurations=whole and kind == "in"):
                        yield f"{door} {name} {kind} {path}"
            for error in operation.error_shapes:
                yield f"{door} {name} error {error.name}"
    for name, cells in MQTT.items():
        yield from (f"mqtt {name} {cell}" for cell in cells)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The tests of this folder and what each says that it shows."""
    told = tmp_path_factory.mktemp("collected") / "tests.json"
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/conformance"],
        cwd=ROOT,
        env={**os.environ, "OUTFITTER_CONFORMANCE_RESULTS": str(told)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    found = json.loads(told.read_text("utf-8"))
    return {
        name.removeprefix("tests/conformance/"): test["cells"]
        for name, test in found.items()
        if test["cells"]
    }


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORD.read_text("utf-8"))["tests"]


def test_every_cell_is_shown_or_has_a_reason(collected):
    shown = {
        f"{operation} {cell}"
        for cells in collected.values()
        for operation, each in cells.items()
        for cell in each
    }
    wanted = set(declared())
    assert not shown - wanted, f"no such cells: {sorted(shown - wanted)}"
    excused = {cell for cell in wanted if any(re.fullmatch(pattern, cell) for pattern in LEFT_OUT)}
    assert not wanted - shown - excused, f"show these, or say why not: {sorted(wanted - shown - excused)}"
    assert not shown & excused, f"shown and excused: {sorted(shown & excused)}"
    unused = [pattern for pattern in LEFT_OUT if not any(re.fullmatch(pattern, cell) for cell in wanted)]
    assert not unused


def test_the_table_lists_the_tests_that_there_are(collected, recorded):
    assert {name: test["cells"] for name, test in recorded.items()} == collected, "`make conformance`"


def test_the_table_shows_ours_as_passing(recorded):
    assert {test["outcomes"]["outfitter"] for test in recorded.values()} == {"passed"}


@pytest.mark.parametrize(("server", "heading"), [("ministack", "MiniStack"), ("moto", "moto")])
def test_every_difference_is_explained(recorded, server, heading):
    text = DOCUMENT.read_text("utf-8")
    _, _, section = text.partition(f"\n### {heading}\n")
    named = set(re.findall(r"`(test_\w+)`", section.partition("\n#")[0]))
    differing = failing(recorded, server)
    assert not differing - named, (
        f"docs/reference/conformance.md does not explain {sorted(differing - named)}"
    )
    assert not named - differing, f"no differences any more: {sorted(named - differing)}"


def test_every_subtle_behaviour_has_its_number_once(recorded):
    found = {function(name) for name in recorded if re.match(r"test_j\d\d_", function(name))}
    numbers = sorted(name[6:8] for name in found)
    assert numbers == [f"{number:02}" for number in range(1, 43)]
