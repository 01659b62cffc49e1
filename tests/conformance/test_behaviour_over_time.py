"""Timers, rates, windows and ends of schedules, on a server whose clock the test moves."""

import datetime as dt

import pytest

conforms = pytest.mark.conforms


@pytest.fixture
def fleet(clocked_fleet):
    return clocked_fleet


@pytest.fixture
def iot(clocked):
    return clocked.client("iot")


@pytest.fixture
def data(clocked):
    return clocked.client("iot-jobs-data")


@pytest.fixture
def becomes(fleet, eventually):
    """Waits until an execution, or a job, has a status."""

    def reached(status, job, thing=None):
        def check():
            try:
                return (fleet.execution(thing, job)["status"] if thing else fleet.status(job)) == status
            except fleet.iot.exceptions.ResourceNotFoundException:
                return False

        return eventually(check, 10)

    return reached


@pytest.fixture
def counts_become(fleet, eventually):
    return lambda job, **expected: eventually(lambda: fleet.counts(job) == expected, 10)


def at(iot, job, minutes):
    """The clock of the server, told by the job that was created first, some minutes on; as schedules have it."""
    begun = iot.describe_job(jobId=job)["job"]["createdAt"]
    return (begun.astimezone(dt.UTC) + dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M")


@conforms("data UpdateJobExecution", "in stepTimeoutInMinutes")
@conforms("iot CreateJob", "in timeoutConfig.inProgressTimeoutInMinutes")
@conforms("iot DescribeJob", "out job.jobProcessDetails.numberOfTimedOutThings")
def test_j19_a_step_timer_never_outlasts_the_other_and_minus_one_clears_it_alone(
    fleet, clocked, data, becomes, counts_become
):
    stepping, cleared = fleet.thing(), fleet.thing()
    job = fleet.job(stepping, cleared, timeoutConfig={"inProgressTimeoutInMinutes": 20})

    def step(thing, minutes):
        data.update_job_execution(
            jobId=job, thingName=thing, status="IN_PROGRESS", stepTimeoutInMinutes=minutes
        )

    data.start_next_pending_job_execution(thingName=stepping)
    data.start_next_pending_job_execution(thingName=cleared, stepTimeoutInMinutes=14)
    clocked.advance(5 * 60)
    step(stepping, 7)
    clocked.advance(5 * 60)
    step(stepping, 5)
    step(cleared, -1)
    clocked.advance(3 * 60)
    step(stepping, 9)
    described = data.describe_job_execution(jobId=job, thingName=stepping)["execution"]
    assert 6 * 60 < described["approximateSecondsBeforeTimedOut"] <= 7 * 60
    clocked.advance(6 * 60)
    assert {fleet.execution(thing, job)["status"] for thing in (stepping, cleared)} == {"IN_PROGRESS"}
    clocked.advance(2 * 60)
    becomes("TIMED_OUT", job, stepping)
    becomes("TIMED_OUT", job, cleared)
    counts_become(job, TimedOut=2)
    becomes("COMPLETED", job)


@conforms("iot CreateJob", "in timeoutConfig.inProgressTimeoutInMinutes")
def test_j20_what_is_queued_never_times_out(fleet, clocked, becomes):
    running, waiting = fleet.thing(), fleet.thing()
    job = fleet.job(running, waiting, timeoutConfig={"inProgressTimeoutInMinutes": 1})
    clocked.client("iot-jobs-data").start_next_pending_job_execution(thingName=running)
    clocked.advance(3 * 24 * 3600)
    becomes("TIMED_OUT", job, running)
    assert fleet.execution(waiting, job)["status"] == "QUEUED"


@conforms("iot UpdateJob", "in timeoutConfig", "in jobExecutionsRetryConfig", "error InvalidRequestException")
def test_j38_a_new_timeout_moves_no_running_deadline_and_retries_can_only_be_taken_away(
    fleet, clocked, iot, data, becomes
):
    running, later = fleet.thing(), fleet.thing()
    retry = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}
    job = fleet.job(
        running, later, timeoutConfig={"inProgressTimeoutInMinutes": 10}, jobExecutionsRetryConfig=retry
    )
    data.start_next_pending_job_execution(thingName=running)
    iot.update_job(jobId=job, timeoutConfig={"inProgressTimeoutInMinutes": 60})
    data.start_next_pending_job_execution(thingName=later)
    clocked.advance(12 * 60)
    becomes("TIMED_OUT", job, running)
    assert fleet.execution(later, job)["status"] == "IN_PROGRESS"
    more = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 3}]}
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.update_job(jobId=job, jobExecutionsRetryConfig=more)
    none = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 0}]}
    iot.update_job(jobId=job, jobExecutionsRetryConfig=none)
    data.update_job_execution(jobId=job, thingName=later, status="FAILED")
    becomes("COMPLETED", job)


@conforms("iot CreateJob", "in documentSource", "in jobExecutionsRolloutConfig.maximumPerMinute")
@conforms(
    "iot DescribeJob",
    "out documentSource",
    "out job.jobProcessDetails.processingTargets",
    "out job.isConcurrent",
)
def test_j42_the_source_is_told_beside_the_job_and_its_processing_targets_go_with_the_rollout(
    fleet, clocked, iot, eventually
):
    things = [fleet.thing() for _ in range(3)]
    group = fleet.group(*things)
    bucket = f"conformance-{fleet.name()}"
    clocked.client("s3").create_bucket(Bucket=bucket)
    clocked.client("s3").put_object(Bucket=bucket, Key="d.json", Body=b"{}")
    source = f"https://s3.us-east-1.amazonaws.com/{bucket}/d.json"
    job = fleet.job(group, documentSource=source, jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    answer = iot.describe_job(jobId=job)
    assert (answer["documentSource"], "documentSource" in answer["job"]) == (source, False)
    assert answer["job"]["jobProcessDetails"]["processingTargets"] == [fleet.arn(group)]
    assert answer["job"]["isConcurrent"] is True
    for queued in (2, 3):
        clocked.advance(61)
        eventually(lambda queued=queued: fleet.counts(job) == {"Queued": queued}, 10)
    found = eventually(lambda: not (told := iot.describe_job(jobId=job)["job"])["isConcurrent"] and told, 10)
    assert "processingTargets" not in found["jobProcessDetails"]


@conforms("iot CreateJob", "in jobExecutionsRolloutConfig.maximumPerMinute")
def test_a_constant_rate_is_kept_minute_by_minute(fleet, clocked, counts_become):
    group = fleet.group(*(fleet.thing() for _ in range(5)))
    job = fleet.job(group, jobExecutionsRolloutConfig={"maximumPerMinute": 2})
    assert fleet.counts(job) == {"Queued": 2}
    clocked.advance(30)
    assert fleet.counts(job) == {"Queued": 2}
    clocked.advance(31)
    counts_become(job, Queued=4)
    clocked.advance(61)
    counts_become(job, Queued=5)


EXPONENTIAL = "in jobExecutionsRolloutConfig.exponentialRate"


@conforms("iot CreateJob", *(f"{EXPONENTIAL}.{n}" for n in ("baseRatePerMinute", "incrementFactor")))
@conforms("iot CreateJob", f"{EXPONENTIAL}.rateIncreaseCriteria.numberOfNotifiedThings")
def test_an_exponential_rate_grows_with_what_is_notified_up_to_its_maximum(fleet, clocked, counts_become):
    group = fleet.group(*(fleet.thing() for _ in range(12)))
    rate = {
        "baseRatePerMinute": 1,
        "incrementFactor": 2,
        "rateIncreaseCriteria": {"numberOfNotifiedThings": 1},
    }
    job = fleet.job(group, jobExecutionsRolloutConfig={"exponentialRate": rate, "maximumPerMinute": 4})
    assert fleet.counts(job) == {"Queued": 1}
    for queued in (3, 7, 11, 12):
        clocked.advance(61)
        counts_become(job, Queued=queued)


@conforms("iot CreateJob", f"{EXPONENTIAL}.rateIncreaseCriteria.numberOfSucceededThings")
def test_an_exponential_rate_grows_with_what_has_succeeded(fleet, clocked, data, counts_become):
    things = [fleet.thing() for _ in range(6)]
    rate = {
        "baseRatePerMinute": 1,
        "incrementFactor": 3,
        "rateIncreaseCriteria": {"numberOfSucceededThings": 1},
    }
    job = fleet.job(
        fleet.group(*things), jobExecutionsRolloutConfig={"exponentialRate": rate, "maximumPerMinute": 100}
    )
    clocked.advance(61)
    counts_become(job, Queued=2)
    waiting = [thing for thing in things if data.get_pending_job_executions(thingName=thing)["queuedJobs"]]
    data.update_job_execution(jobId=job, thingName=waiting[0], status="SUCCEEDED")
    clocked.advance(61)
    counts_become(job, Succeeded=1, Queued=4)


@conforms("iot CreateJob", "in timeoutConfig.inProgressTimeoutInMinutes")
@conforms("iot CreateJob", "in jobExecutionsRetryConfig.criteriaList.failureType")
def test_a_time_out_is_retried_when_its_criterion_says_so(fleet, clocked, data, eventually):
    retried, left = fleet.thing(), fleet.thing()
    jobs = {
        thing: fleet.job(
            thing,
            timeoutConfig={"inProgressTimeoutInMinutes": 1},
            jobExecutionsRetryConfig={"criteriaList": [{"failureType": kind, "numberOfRetries": 1}]},
        )
        for thing, kind in ((retried, "TIMED_OUT"), (left, "FAILED"))
    }
    for thing in jobs:
        data.start_next_pending_job_execution(thingName=thing)
    clocked.advance(121)
    eventually(lambda: fleet.counts(jobs[retried]) == {"TimedOut": 1, "Queued": 1}, 10)
    eventually(lambda: fleet.status(jobs[left]) == "COMPLETED", 10)
    assert fleet.counts(jobs[left]) == {"TimedOut": 1}


@conforms("iot CreateJob", "in schedulingConfig.startTime")
@conforms("iot DescribeJob", "out job.status")
def test_a_job_begins_at_its_start_time(fleet, clocked, iot, becomes):
    thing = fleet.thing()
    begins = at(iot, fleet.job(fleet.thing()), 45)
    job = fleet.job(thing, schedulingConfig={"startTime": begins})
    clocked.advance(30 * 60)
    assert fleet.status(job) == "SCHEDULED"
    clocked.advance(16 * 60)
    becomes("IN_PROGRESS", job)
    becomes("QUEUED", job, thing)


@conforms("iot CreateJob", "in schedulingConfig.endTime", "in schedulingConfig.endBehavior")
@pytest.mark.parametrize(
    ("behavior", "ended", "counts"),
    [
        ("STOP_ROLLOUT", "IN_PROGRESS", {"Queued": 1, "InProgress": 1}),
        ("CANCEL", "CANCELED", {"Canceled": 1, "InProgress": 1}),
        ("FORCE_CANCEL", "CANCELED", {"Canceled": 2}),
    ],
)
def test_the_end_time_does_what_its_behaviour_says(
    fleet, clocked, iot, data, becomes, counts_become, behavior, ended, counts
):
    waiting, running = fleet.thing(), fleet.thing()
    begins, ends = (at(iot, fleet.job(fleet.thing()), minutes) for minutes in (35, 95))
    schedule = {"startTime": begins, "endTime": ends, "endBehavior": behavior}
    job = fleet.job(waiting, running, schedulingConfig=schedule)
    clocked.advance(40 * 60)
    becomes("QUEUED", job, running)
    data.start_next_pending_job_execution(thingName=running)
    clocked.advance(60 * 60)
    becomes(ended, job)
    counts_become(job, **counts)


@conforms(
    "iot CreateJob",
    *(f"in schedulingConfig.maintenanceWindows.{n}" for n in ("startTime", "durationInMinutes")),
)
@conforms("iot DescribeJob", "out job.status", "out job.scheduledJobRollouts.startTime")
def test_a_rollout_goes_on_within_windows_only(fleet, clocked, iot, becomes, eventually):
    group = fleet.group(*(fleet.thing() for _ in range(40)))
    opens = dt.datetime.fromisoformat(at(iot, fleet.job(fleet.thing()), 60))
    window = {"startTime": f"cron({opens.minute} {opens.hour} * * ? *)", "durationInMinutes": 10}
    job = fleet.job(
        group,
        targetSelection="CONTINUOUS",
        jobExecutionsRolloutConfig={"maximumPerMinute": 1},
        schedulingConfig={"maintenanceWindows": [window]},
    )
    assert fleet.status(job) == "SCHEDULED"
    clocked.advance(62 * 60)
    becomes("IN_PROGRESS", job)
    eventually(lambda: fleet.counts(job), 10)
    clocked.advance(15 * 60)
    becomes("SCHEDULED", job)
    told = iot.describe_job(jobId=job)["job"]["scheduledJobRollouts"]
    assert opens.strftime("%H:%M") in told[0]["startTime"]
    begun = sum(fleet.counts(job).values())
    assert begun < 40
    clocked.advance(60 * 60)
    assert sum(fleet.counts(job).values()) == begun
