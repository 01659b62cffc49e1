"""Watching a job: to a good end, to a bad one, and no longer."""

import io
import json

import pytest
from outfitter_contract.execution import Status
from outfitter_updates.cli.watch import SHOWN_MAX, drawing
from outfitter_updates.operations.progress import Execution, Job
from rich.console import Console

HANG_UP = None
"""What the script takes for no answer; botocore tries a request several times."""
NAME = "arn:aws:iot:us-east-1:000000000000:"


def described(status, **counts):
    return {
        "job": {"jobId": "j", "status": status, "targetSelection": "SNAPSHOT", "jobProcessDetails": counts}
    }


def summaries(**statuses):
    return {
        "executionSummaries": [
            {
                "thingArn": f"{NAME}thing/{thing}",
                "jobExecutionSummary": {
                    "status": status,
                    "executionNumber": 1,
                    "lastUpdatedAt": 1_770_000_000,
                },
            }
            for thing, status in statuses.items()
        ]
    }


QUEUED = described("IN_PROGRESS", numberOfQueuedThings=2)
GOOD = described("COMPLETED", numberOfSucceededThings=2)
BAD = described("COMPLETED", numberOfSucceededThings=1, numberOfFailedThings=1)
REASON = {
    "execution": {
        "jobId": "j",
        "status": "FAILED",
        "statusDetails": {"detailsMap": {"step": "checking", "reason": "wrong digest"}},
        "executionNumber": 1,
    }
}


def told_by(status, details):
    return {
        "execution": {
            "jobId": "j",
            "status": status,
            "statusDetails": {"detailsMap": details},
            "executionNumber": 1,
        }
    }


def test_a_good_end_is_0(outfitter, script):
    script.answers |= {
        "GET /jobs/j": [QUEUED, GOOD],
        "GET /jobs/j/things": summaries(a="SUCCEEDED", b="SUCCEEDED"),
    }
    result = outfitter("job", "watch", "j", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["counts"]["SUCCEEDED"] == 2
    assert [each["thing"] for each in told["executions"]] == ["a", "b"]
    assert "j: 0 of 2 done: 2 QUEUED\n" in result.stderr
    assert "j: 2 of 2 done: 2 SUCCEEDED\n" in result.stderr


def test_a_device_that_failed_makes_it_1_with_the_reason(outfitter, script):
    script.answers |= {
        "GET /jobs/j": BAD,
        "GET /jobs/j/things": summaries(a="SUCCEEDED", b="FAILED"),
        "GET /things/b/jobs/j": REASON,
    }
    result = outfitter("job", "watch", "j")
    assert result.exit_code == 1
    assert "wrong digest" in result.stdout
    assert "1 of 2 ended without success" in result.stderr
    assert "GET /things/a/jobs/j" not in script.asked


def test_the_time_ends_the_watching_and_not_the_job(outfitter, script):
    script.answers["GET /jobs/j"] = QUEUED
    moments = iter(range(0, 100_000, 2_000))
    result = outfitter("job", "watch", "j", "--timeout", "10", clock=lambda: next(moments))
    assert result.exit_code == 1
    assert "The time is over" in result.stderr
    assert "The job goes on" in result.stderr


def test_a_server_that_restarts_is_waited_for(outfitter, script):
    script.answers |= {
        "GET /jobs/j": [QUEUED, *([HANG_UP] * 12), GOOD],
        "GET /jobs/j/things": summaries(a="SUCCEEDED"),
    }
    result = outfitter("job", "watch", "j")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("Asking again for up to 60 seconds") == 1


def test_a_server_that_stays_away_ends_the_watching_and_not_the_job(outfitter, script):
    script.answers["GET /jobs/j"] = [QUEUED, HANG_UP]
    moments = iter(range(0, 1_000_000, 10_000))
    result = outfitter("job", "watch", "j", clock=lambda: next(moments))
    assert result.exit_code == 1
    assert "The job goes on: `outfitter job watch j`" in result.stderr


def test_a_server_that_never_was_there_is_told_at_once(outfitter, script):
    script.answers["GET /jobs/j"] = HANG_UP
    result = outfitter("job", "watch", "j")
    assert result.exit_code == 1
    assert "Asking again" not in result.stderr


def test_ctrl_c_leaves_the_job_running_and_says_so(outfitter, script):
    script.answers["GET /jobs/j"] = QUEUED

    def interrupt(_):
        raise KeyboardInterrupt

    result = outfitter("job", "watch", "j", sleep=interrupt)
    assert result.exit_code == 1
    assert "the job goes on" in result.stderr
    assert not [each for each in script.asked if "cancel" in each]


def test_pauses_grow_to_a_bound(outfitter, script):
    script.answers |= {"GET /jobs/j": [QUEUED] * 60 + [GOOD], "GET /jobs/j/things": summaries(a="SUCCEEDED")}
    pauses = []
    outfitter("job", "watch", "j", sleep=pauses.append)
    assert (pauses[0], pauses[-1]) == (1.0, 5.0)


VERSION = {
    "packageName": "pump",
    "versionName": "1.4.0",
    "status": "PUBLISHED",
    "attributes": {"sha256": "a" * 64, "size": "7", "device_types": "pc"},
    "artifact": {"s3Location": {"bucket": "b", "key": "k"}},
}
CATALOGUE = {
    "GET /things/pump-1": {
        "thingName": "pump-1",
        "thingArn": f"{NAME}thing/pump-1",
        "thingTypeName": "valve",
    },
    "GET /packages/pump/versions/1.4.0": VERSION,
    "GET /packages": {"packageSummaries": [{"packageName": "pump"}]},
    "GET /packages/pump/versions": {
        "packageVersionSummaries": [{"packageName": "pump", "versionName": "1.4.0"}]
    },
    "PUT /jobs/j": {"jobId": "j"},
}


def test_an_update_is_started_and_watched(outfitter, script):
    script.answers |= CATALOGUE | {"GET /jobs/j": GOOD, "GET /jobs/j/things": summaries(a="SUCCEEDED")}
    result = outfitter("update", "pump-1", "pump", "1.4.0", "--forced", "--job-id", "j", "--wait")
    assert result.exit_code == 0, result.stderr
    sent = script.bodies["PUT /jobs/j"]
    assert sent["targets"] == [f"{NAME}thing/pump-1"]
    assert sent["presignedUrlConfig"]["roleArn"] == "arn:aws:iam::000000000000:role/outfitter-updates"
    assert json.loads(sent["document"])["forced"] is True
    assert "made for pc; pump-1 is of the type valve" in result.stderr


def test_the_role_may_be_another(outfitter, script, monkeypatch):
    script.answers |= CATALOGUE
    monkeypatch.setenv("OUTFITTER_ROLE_ARN", "arn:aws:iam::1:role/another-one")
    result = outfitter("update", "pump-1", "pump", "1.4.0", "--job-id", "j")
    assert result.stdout == "j\n"
    assert script.bodies["PUT /jobs/j"]["presignedUrlConfig"]["roleArn"] == "arn:aws:iam::1:role/another-one"
    assert "POST /" not in script.asked


def test_who_may_not_list_the_store_updates_without_deltas(outfitter, script):
    script.answers |= CATALOGUE | {"GET /[^/]*": (403, "AccessDenied")}
    result = outfitter("update", "pump-1", "pump", "1.4.0", "--job-id", "j")
    assert (result.exit_code, result.stdout) == (0, "j\n")
    assert "no delta is named" in result.stderr
    assert outfitter("update", "pump-1", "pump", "1.4.0", "--delta", "fail").exit_code != 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pump-2", "pump", "1.4.0"], "Did you mean pump-1?"),
        (["pump-1", "pump", "2.0"], "Its versions: 1.4.0."),
        (["pump-1", "pmp", "2.0"], "Did you mean pump?"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(outfitter, script, arguments, words):
    script.answers |= CATALOGUE | {
        "GET /things": {"things": [{"thingName": "pump-1"}]},
        "GET /thing-groups": {"thingGroups": []},
    }
    result = outfitter("update", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert not [each for each in script.asked if each.startswith("PUT")]


def test_a_job_id_is_used_once(outfitter, script):
    script.answers |= CATALOGUE | {"PUT /jobs/j": (409, "ResourceAlreadyExistsException")}
    result = outfitter("update", "pump-1", "pump", "1.4.0", "--job-id", "j")
    assert result.exit_code == 1
    assert "There is a job j already" in result.stderr


def test_cancelling_tells_where_the_devices_are(outfitter, script):
    script.answers |= {
        "PUT /jobs/j/cancel": {"jobId": "j"},
        "GET /jobs/j": described("CANCELED", numberOfCanceledThings=2),
    }
    result = outfitter("job", "cancel", "j", "--comment", "wrong group")
    assert result.exit_code == 0
    assert "j is CANCELED: 2 of 2 done: 2 CANCELED" in result.stderr
    assert script.bodies["PUT /jobs/j/cancel"] == {"reasonCode": "CANCELED_BY_USER", "comment": "wrong group"}


def test_a_job_is_shown_with_steps_and_reasons(outfitter, script):
    script.answers |= {
        "GET /jobs/j": BAD,
        "GET /jobs/j/things": summaries(b="FAILED"),
        "GET /things/b/jobs/j": REASON,
    }
    shown = outfitter("job", "show", "j").stdout
    assert "wrong digest" in shown
    assert "checking" in shown
    told = json.loads(outfitter("job", "show", "j", "--json").stdout)
    assert told["executions"][0]["reason"] == "wrong digest"


def test_a_job_is_shown_with_the_proof_and_the_log(outfitter, script):
    done = {
        "version": "1.4.0",
        "slot": "b",
        "sha256": "a" * 64,
        "boot_id": "b1",
        "health": "passed for 9.0 s",
    }
    bad = {"reason": "it ended", "log_1": "Traceback | no such la", "log_2": "mp | end"}
    script.answers |= {
        "GET /jobs/j": BAD,
        "GET /jobs/j/things": summaries(a="SUCCEEDED", b="FAILED"),
        "GET /things/a/jobs/j": told_by("SUCCEEDED", done),
        "GET /things/b/jobs/j": told_by("FAILED", bad),
    }
    shown = outfitter("job", "show", "j").stdout
    assert f"version 1.4.0, slot b, sha256 {'a' * 40}, boot b1, health: passed for 9.0 s" in shown
    assert "The end of the log of b:\n  Traceback\n  no such lamp\n  end\n" in shown


def counted(job_id, counts):
    return Job(
        job_id=job_id,
        status="IN_PROGRESS",
        continuous=False,
        targets=(),
        description="",
        comment="",
        created_at=None,
        updated_at=None,
        completed_at=None,
        rolling_out=False,
        counts=counts,
    )


def test_the_live_display_has_lines_for_what_needs_attention():
    executions = [
        Execution(
            job_id="j",
            thing=f"device-{number}",
            number=1,
            status=Status.IN_PROGRESS,
            updated_at=None,
            details={"step": "downloading", "percent": "40"},
        )
        for number in range(SHOWN_MAX + 5)
    ]
    job = counted("a-job-with-a-long-name", {Status.IN_PROGRESS: 30, Status.SUCCEEDED: 70})
    console = Console(width=100, file=io.StringIO())
    console.print(drawing(job, executions))
    shown = console.file.getvalue()
    assert "a-job-with-a-long-name" in shown
    assert "\n70 of 100 done: 30 IN_PROGRESS, 70 SUCCEEDED\n" in shown
    assert shown.count("downloading  40 %") == SHOWN_MAX
    assert "and 80 more" in shown


def test_the_words_of_a_device_are_no_markup():
    """Square brackets in a reason ended the command, or were swallowed."""
    told = {"reason": "no route [/dev/null] to [red]pump[/red]"}
    execution = Execution(
        job_id="j", thing="lamp", number=1, status=Status.FAILED, details=told, updated_at=None
    )
    job = counted("j", {Status.FAILED: 1})
    console = Console(file=io.StringIO(), width=120)
    console.print(drawing(job, [execution]))
    assert told["reason"] in console.file.getvalue()
