"""What this server tells and does beyond AWS: why an execution is where it is, pausing and resuming; by the command line."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def outfitter(server, *arguments, code=0):
    done = subprocess.run(
        [BIN / "outfitter", *arguments],
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def why(server, device, *arguments):
    return json.loads(outfitter(server, "why", device, "--json", *arguments).stdout)


def texts(execution):
    return [moment["text"] for moment in execution["moments"]]


@pytest.fixture
def iot(timed_server):
    client = timed_server.client("iot")
    client.create_thing_group(thingGroupName="all")
    for number in range(5):
        client.create_thing(thingName=f"t{number}")
        client.add_thing_to_thing_group(thingGroupName="all", thingName=f"t{number}")
    return client


@pytest.fixture
def everything(iot):
    return iot.describe_thing_group(thingGroupName="all")["thingGroupArn"]


def counts(iot, job):
    return iot.describe_job(jobId=job)["job"]["jobProcessDetails"]


def test_why_names_the_rollout_step_the_rate_the_job_ahead_and_the_timer(
    timed_server, iot, everything, eventually
):
    iot.create_job(
        jobId="slow",
        targets=[everything],
        document="{}",
        jobExecutionsRolloutConfig={"maximumPerMinute": 2},
        timeoutConfig={"inProgressTimeoutInMinutes": 5},
        jobExecutionsRetryConfig={"criteriaList": [{"failureType": "TIMED_OUT", "numberOfRetries": 1}]},
    )
    iot.create_job(jobId="second", targets=[everything], document="{}")
    first, second = why(timed_server, "t0")["executions"]
    assert texts(first) == ["queued by step 1 of the job's rollout, with 1 others"]
    assert first["waitsFor"] == "its device, which is not connected"
    assert second["waitsFor"] == "job slow, which is QUEUED and before it in the device's list"
    (expected,) = why(timed_server, "t4")["expected"]
    assert expected["jobId"] == "slow"
    assert expected["waitsFor"].startswith("the rollout's rate of 2 a minute: 2 queued so far, next at ")

    device = timed_server.client("iot-jobs-data")
    device.start_next_pending_job_execution(thingName="t0")
    (running, _) = why(timed_server, "t0")["executions"]
    assert "the document went to its device" in texts(running)
    assert "its device began" in texts(running)
    assert "it times out in 29" in running["waitsFor"]
    timed_server.advance(301)
    eventually(lambda: counts(iot, "slow")["numberOfTimedOutThings"] == 1)
    retried, ended = why(timed_server, "t0", "--job", "slow")["executions"]
    assert texts(ended)[-1] == "TIMED_OUT: the job's in-progress timeout was over"
    assert texts(retried) == ["queued again as retry 1, because execution 1 failed or timed out"]
    told = outfitter(timed_server, "why", "t0").stdout
    assert "t0 is not connected." in told
    assert "waits for job second" in told or "waits for job slow" in told


def test_a_paused_job_begins_nothing_and_loses_nothing(timed_server, iot, everything, eventually):
    iot.create_job(
        jobId="j", targets=[everything], document="{}", jobExecutionsRolloutConfig={"maximumPerMinute": 2}
    )
    device = timed_server.client("iot-jobs-data")
    device.start_next_pending_job_execution(thingName="t0")
    assert "j is IN_PROGRESS and paused" in outfitter(timed_server, "job", "pause", "j").stderr
    timed_server.advance(3_600)
    assert device.get_pending_job_executions(thingName="t1")["queuedJobs"] == []
    assert counts(iot, "j")["numberOfQueuedThings"] == 1
    with pytest.raises(device.exceptions.InvalidStateTransitionException, match="paused"):
        device.update_job_execution(thingName="t1", jobId="j", status="IN_PROGRESS")
    (held,) = why(timed_server, "t1")["executions"]
    assert held["held"]
    assert held["waitsFor"] == "its operator: the job is paused"
    device.update_job_execution(thingName="t0", jobId="j", status="SUCCEEDED")

    assert "paused" not in outfitter(timed_server, "job", "resume", "j").stderr
    eventually(lambda: counts(iot, "j")["numberOfQueuedThings"] == 3)
    assert [job["jobId"] for job in device.get_pending_job_executions(thingName="t1")["queuedJobs"]] == ["j"]
    timed_server.advance(61)
    eventually(lambda: counts(iot, "j")["numberOfQueuedThings"] == 4)


def test_outside_its_window_a_job_is_scheduled_and_held(timed_server, iot, everything, eventually):
    now = datetime.now(UTC)
    opens = now + timedelta(minutes=45)
    iot.create_job(
        jobId="night",
        targets=[everything],
        targetSelection="CONTINUOUS",
        document="{}",
        schedulingConfig={
            "maintenanceWindows": [
                {"startTime": f"cron({opens.minute} {opens.hour} * * ? *)", "durationInMinutes": 30}
            ]
        },
    )
    assert iot.describe_job(jobId="night")["job"]["status"] == "SCHEDULED"
    (expected,) = why(timed_server, "t0")["expected"]
    assert expected["waitsFor"].startswith("the job's next maintenance window, which opens at ")
    timed_server.advance(45 * 60)
    eventually(lambda: counts(iot, "night")["numberOfQueuedThings"] == 5)
    device = timed_server.client("iot-jobs-data")
    assert device.start_next_pending_job_execution(thingName="t0")["execution"]["jobId"] == "night"
    timed_server.advance(31 * 60)
    eventually(lambda: iot.describe_job(jobId="night")["job"]["status"] == "SCHEDULED")
    eventually(lambda: device.get_pending_job_executions(thingName="t1")["queuedJobs"] == [])
    assert device.get_pending_job_executions(thingName="t0")["inProgressJobs"][0]["jobId"] == "night"
    (held,) = why(timed_server, "t1")["executions"]
    assert held["waitsFor"].startswith("the job's next maintenance window")


def test_what_is_wrong_is_said(server):
    assert (
        "There is no device named 'nobody-there'" in outfitter(server, "why", "nobody-there", code=1).stderr
    )
    for verb in ("pause", "resume"):
        assert "There is no job 'no-such-job'" in outfitter(server, "job", verb, "no-such-job", code=1).stderr
