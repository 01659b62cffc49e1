"""Configuration of jobs: what the wire says becomes values and comes back; what the documentation rules out is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outfitter_server.aws.model import load_services
from outfitter_server.aws.operations.job_configs import (
    check_update,
    check_windows,
    configs_of_call,
    described_configs,
    described_template,
)
from outfitter_server.aws.serialize import serialize
from outfitter_server.aws.validate import validate
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs.configs import (
    NO_CONFIGS,
    AbortCriterion,
    Configs,
    EndBehavior,
    ExponentialRate,
    FailureType,
    RetryCriterion,
    Rollout,
    Schedule,
    Window,
    configs_of,
    configs_text,
)

IOT = load_services()["iot"]


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW = at("2026-11-23 12:00")


def call(*, now=NOW, base=NO_CONFIGS, operation="CreateJob", **members):
    """The configuration that a call's members give, after the model's own check has passed."""
    required = {"CreateJob": {"jobId": "j", "targets": ["t"]}, "CreateJobTemplate": {"description": "d"}}
    required["CreateJobTemplate"]["jobTemplateId"] = "t"
    required["UpdateJob"] = {"jobId": "j"}
    validate({**required[operation], **members}, IOT.operation(operation).input_shape)
    return configs_of_call(members, now, base=base)


def described(configs, now=NOW):
    """What a client reads in DescribeJob."""
    members = {"job": described_configs(configs, now)}
    return json.loads(serialize(members, IOT.operation("DescribeJob")).body)["job"]


def template(configs):
    """What a client reads in DescribeJobTemplate."""
    return json.loads(serialize(described_template(configs), IOT.operation("DescribeJobTemplate")).body)


def exponential(**changes):
    rate = {
        "baseRatePerMinute": 50,
        "incrementFactor": 1.5,
        "rateIncreaseCriteria": {"numberOfNotifiedThings": 10},
    }
    return {"exponentialRate": rate | changes}


def abort(*criteria):
    return {
        "criteriaList": [
            {"failureType": failure, "action": "CANCEL", "thresholdPercentage": threshold, "minNumberOfExecutedThings": 5}
            for failure, threshold in criteria
        ]
    }  # fmt: skip


def retries(*criteria):
    return {
        "criteriaList": [{"failureType": failure, "numberOfRetries": number} for failure, number in criteria]
    }


def window(cron="cron(0 2 * * ? *)", minutes=60):
    return {"startTime": cron, "durationInMinutes": minutes}


EVERYTHING = {
    "jobExecutionsRolloutConfig": {"maximumPerMinute": 100, **exponential()},
    "abortConfig": abort(("FAILED", 33.33), ("ALL", 50.0)),
    "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
    "jobExecutionsRetryConfig": retries(("FAILED", 3), ("TIMED_OUT", 7)),
    "schedulingConfig": {
        "startTime": "2026-12-01 00:00",
        "endTime": "2026-12-08 12:00",
        "endBehavior": "FORCE_CANCEL",
        "maintenanceWindows": [window(), window("30 4 ? * MON *", 5)],
    },
}
EVERYTHING_READ = Configs(
    rollout=Rollout(
        maximum_per_minute=100,
        exponential=ExponentialRate(base_per_minute=50, increment_factor=1.5, notified_things=10),
    ),
    abort=(
        AbortCriterion(failure=FailureType.FAILED, threshold_percent=33.33, minimum_ended=5),
        AbortCriterion(failure=FailureType.ALL, threshold_percent=50.0, minimum_ended=5),
    ),
    timeout_minutes=30,
    retries=(
        RetryCriterion(failure=FailureType.FAILED, retries=3),
        RetryCriterion(failure=FailureType.TIMED_OUT, retries=7),
    ),
    schedule=Schedule(
        start_at=at("2026-12-01 00:00"),
        end_at=at("2026-12-08 12:00"),
        start_text="2026-12-01 00:00",
        end_text="2026-12-08 12:00",
        end_behavior=EndBehavior.FORCE_CANCEL,
        windows=(
            Window(cron="cron(0 2 * * ? *)", duration_minutes=60),
            Window(cron="30 4 ? * MON *", duration_minutes=5),
        ),
    ),
)


def test_a_job_that_is_told_everything():
    configs = call(**EVERYTHING)
    assert configs == EVERYTHING_READ
    assert configs_of(configs_text(configs)) == configs
    starts = [
        *(f"2026-12-0{day} 02:00" for day in range(1, 8))
    ]  # Monday the 7th has a second one, the eighth
    assert described(configs) == EVERYTHING | {
        "scheduledJobRollouts": [{"startTime": start} for start in starts]
    }


def test_a_job_that_is_told_nothing():
    assert call() == NO_CONFIGS
    assert described(NO_CONFIGS) == {
        "jobExecutionsRolloutConfig": {},
        "timeoutConfig": {},
        "schedulingConfig": {},
    }
    assert template(NO_CONFIGS) == {"jobExecutionsRolloutConfig": {}, "timeoutConfig": {}}


def test_empty_members_say_nothing():
    assert call(jobExecutionsRolloutConfig={}, timeoutConfig={}, schedulingConfig={}) == NO_CONFIGS
    assert call(schedulingConfig={"maintenanceWindows": []}) == NO_CONFIGS


def test_where_a_job_came_from_is_described():
    configs = Configs(template_arn="arn:t", document_parameters={"a": "b"}, packages=("arn:p",))
    assert (
        described(configs).items()
        >= {
            "jobTemplateArn": "arn:t",
            "documentParameters": {"a": "b"},
            "destinationPackageVersions": ["arn:p"],
        }.items()
    )
    assert template(configs)["destinationPackageVersions"] == ["arn:p"]


def refusal(**arguments):
    with pytest.raises(InvalidRequest) as caught:
        call(**arguments)
    return caught.value.message


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"maximumPerMinute": 1_001}, "maximumPerMinute: 1001 must be 1 to 1000"),
        (exponential(incrementFactor=1.25), "incrementFactor: 1.25 must be a number with at most 1 decimal"),
        (exponential(incrementFactor=float("nan")), "incrementFactor: nan must be a number"),
        (exponential(rateIncreaseCriteria={}), "numberOfNotifiedThings or numberOfSucceededThings, one of them"),
        (
            exponential(rateIncreaseCriteria={"numberOfNotifiedThings": 1, "numberOfSucceededThings": 1}),
            "numberOfNotifiedThings or numberOfSucceededThings, one of them",
        ),
    ],
)  # fmt: skip
def test_rollouts_that_are_refused(given, told):
    assert told in refusal(jobExecutionsRolloutConfig=given)


@pytest.mark.parametrize("factor", [1.1, 2, 2.3, 4.9, 5])
def test_factors_with_one_decimal(factor):
    rollout = call(jobExecutionsRolloutConfig=exponential(incrementFactor=factor)).rollout
    assert rollout.exponential.increment_factor == factor


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        (10.999, "criteriaList.2.thresholdPercentage: 10.999 must be a number with at most 2 decimals"),
        (-0.01, "must be 0 to 100 percent"),
        (float("nan"), "must be 0 to 100 percent"),
        (-(10**400), "must be 0 to 100 percent"),
        (1e-3, "at most 2 decimals"),
    ],
)
def test_thresholds_that_are_refused(threshold, told):
    assert told in refusal(abortConfig=abort(("ALL", 1), ("ALL", threshold)))


@pytest.mark.parametrize("threshold", [0, 0.01, 10.9, 10.99, 29.29, 99.99, 100, 100.0])
def test_thresholds_with_two_decimals(threshold):
    assert call(abortConfig=abort(("ALL", threshold))).abort[0].threshold_percent == threshold


@pytest.mark.parametrize("minutes", [0, -1, 10_081])
def test_timeouts_that_are_refused(minutes):
    told = refusal(timeoutConfig={"inProgressTimeoutInMinutes": minutes})
    assert f"inProgressTimeoutInMinutes: {minutes} must be 1 to 10080" in told


def test_the_longest_timeout():
    assert call(timeoutConfig={"inProgressTimeoutInMinutes": 10_080}).timeout_minutes == 10_080


@pytest.mark.parametrize(
    ("criteria", "told"),
    [
        ([("FAILED", 6), ("TIMED_OUT", 5)], "11 retries; all together may be at most 10"),
        ([("FAILED", 1), ("FAILED", 1)], "FAILED is given twice"),
        ([("FAILED", 11)], "less than or equal to 10"),
        ([("FAILED", 1), ("TIMED_OUT", 1), ("ALL", 1)], "less than or equal to 2"),
    ],
)
def test_retries_that_are_refused(criteria, told):
    assert told in refusal(jobExecutionsRetryConfig=retries(*criteria))


def test_retries_of_timeouts_need_no_timeout_since_a_step_timer_may_run_out():
    assert call(jobExecutionsRetryConfig=retries(("TIMED_OUT", 10))).retries[0].retries == 10


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-12-01 08:30", "2026-12-01 08:30"),
        ("2026-12-01T08:30", "2026-12-01 08:30"),
        ("2026-12-01T08:30:00Z", "2026-12-01 08:30"),
        ("2026-12-01T08:30:00.000Z", "2026-12-01 08:30"),
        ("2026-12-01T08:30:00+02:00", "2026-12-01 06:30"),
        ("2026-12-01T08:30-0530", "2026-12-01 14:00"),
        ("2026-11-23 12:30", "2026-11-23 12:30"),
        ("2027-11-23 12:00", "2027-11-23 12:00"),
    ],
)
def test_times_that_are_read(text, time):
    configs = call(schedulingConfig={"startTime": text})
    assert configs.schedule.start_at == at(time)
    assert described(configs)["schedulingConfig"] == {"startTime": text}


@pytest.mark.parametrize(
    "text",
    ["tomorrow", "2026-12-01", "2026-12-32 00:00", "2026-12-01 24:01", "1796000000", "2026-W49-1 10:00", "2026-12-01 1:00", "２026-12-01 01:00"],  # noqa: RUF001 - a full-width digit
)  # fmt: skip
def test_times_that_are_no_times(text):
    told = refusal(schedulingConfig={"startTime": text})
    assert told == f"schedulingConfig.startTime: {text!r} is no time; write YYYY-MM-DD HH:MM, in UTC"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"startTime": "2026-11-23 12:29"}, "30 minutes to a year from now; it is 2026-11-23 12:00 UTC"),
        ({"startTime": "2025-12-01 12:29"}, "30 minutes to a year from now"),
        ({"startTime": "2027-11-26 12:29"}, "30 minutes to a year from now"),
        ({"endTime": "2026-11-23 12:29"}, "30 minutes to two years after now"),
        ({"endTime": "2028-11-27 00:00"}, "at most two years from now"),
        ({"startTime": "2026-12-01 00:00", "endTime": "2026-12-01 00:29"}, "two years after startTime, 2026-12-01 00:00"),
        ({"startTime": "2026-12-01 00:00", "endTime": "2026-11-30 00:00"}, "two years after startTime"),
        ({"endBehavior": "CANCEL"}, "endBehavior: says what endTime does"),
        ({"startTime": "2026-12-01 00:00", "endBehavior": "CANCEL"}, "endBehavior"),
        ({"maintenanceWindows": [window(minutes=1431)]}, "less than or equal to 1430"),
        ({"maintenanceWindows": [window(minutes=0)]}, "greater than or equal to 1"),
        ({"maintenanceWindows": [window("every night")]}, "has 2 fields"),
        ({"maintenanceWindows": [window("0 2 30 2 ? *")]}, "'0 2 30 2 ? *' never begins"),
        ({"maintenanceWindows": [window("0 2 * * ? 2025")]}, "never begins"),
        ({"maintenanceWindows": [window()] * 11}, "11 windows; a schedule has at most 10"),
        (
            {"endTime": "2026-11-24 01:00", "maintenanceWindows": [window("0 0 * * ? *"), window()]},
            "'cron(0 2 * * ? *)' never begins between now (or startTime) and endTime",
        ),
    ],
)  # fmt: skip
def test_schedules_that_are_refused(given, told):
    assert told in refusal(schedulingConfig=given)


def test_a_window_that_lasts_at_the_start_time_is_enough():
    config = {
        "startTime": "2026-12-01 02:30",
        "endTime": "2026-12-01 03:30",
        "maintenanceWindows": [window()],
    }
    assert described(call(schedulingConfig=config)) == {
        "jobExecutionsRolloutConfig": {},
        "timeoutConfig": {},
        "schedulingConfig": config,
        "scheduledJobRollouts": [{"startTime": "2026-12-01 02:30"}],
    }


# Templates and updates


def test_a_template_keeps_its_windows_apart():
    configs = call(
        operation="CreateJobTemplate",
        maintenanceWindows=[window()],
        timeoutConfig={"inProgressTimeoutInMinutes": 5},
        jobExecutionsRetryConfig=retries(("ALL", 2)),
    )
    assert configs.schedule == Schedule(windows=(Window(cron="cron(0 2 * * ? *)", duration_minutes=60),))
    assert template(configs) == {
        "jobExecutionsRolloutConfig": {},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 5},
        "jobExecutionsRetryConfig": retries(("ALL", 2)),
        "maintenanceWindows": [window()],
    }
    assert call(operation="CreateJobTemplate", maintenanceWindows=[]) == NO_CONFIGS


def test_a_template_with_bad_windows_is_refused():
    for windows in ([window()] * 11, [window("0 2 30 2 ? *")], [window("x")]):
        with pytest.raises(InvalidRequest, match=r"(?i)windows|fields"):
            call(operation="CreateJobTemplate", maintenanceWindows=windows)


def test_a_job_says_otherwise_than_its_template_member_by_member():
    base = EVERYTHING_READ
    assert call(base=base) == base
    configs = call(base=base, jobExecutionsRolloutConfig={"maximumPerMinute": 5}, timeoutConfig={})
    assert configs.rollout == Rollout(maximum_per_minute=5)
    assert configs.timeout_minutes is None
    assert (configs.abort, configs.retries, configs.schedule) == (base.abort, base.retries, base.schedule)


def test_a_start_time_does_not_lose_the_windows_of_the_template():
    base = Configs(schedule=Schedule(windows=(Window(cron="0 2 * * ? *", duration_minutes=60),)))
    later = call(base=base, schedulingConfig={"startTime": "2026-12-01 00:00"}).schedule
    assert later.windows == base.schedule.windows
    assert later.start_at == at("2026-12-01 00:00")
    assert call(base=base, schedulingConfig={"maintenanceWindows": []}).schedule is None


def test_windows_of_an_old_template_may_have_passed():
    schedule = Schedule(windows=(Window(cron="0 2 * * ? 2027", duration_minutes=60),))
    check_windows(schedule, NOW)
    check_windows(None, NOW)
    with pytest.raises(InvalidRequest, match="never begins"):
        check_windows(schedule, NOW + 2 * 366 * 86_400_000)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], [("FAILED", 0)], None),
        ([("FAILED", 3)], [("FAILED", 0)], None),
        ([("FAILED", 3)], [], None),
        ([("FAILED", 3), ("TIMED_OUT", 2)], [("FAILED", 0), ("TIMED_OUT", 2)], None),
        ([("FAILED", 3)], [("FAILED", 2)], "FAILED cannot become 2"),
        ([("FAILED", 3)], [("FAILED", 4)], "FAILED cannot become 4"),
        ([], [("ALL", 1)], "ALL cannot become 1"),
    ],
)
def test_an_update_may_only_end_retries(before, after, told):
    def configs(criteria):
        return Configs(
            retries=tuple(RetryCriterion(failure=FailureType(name), retries=n) for name, n in criteria)
        )

    if told is None:
        check_update(configs(before), configs(after))
    else:
        with pytest.raises(InvalidRequest, match=told):
            check_update(configs(before), configs(after))


def test_an_update_leaves_a_schedule_alone_that_has_begun():
    configs = call(
        operation="UpdateJob",
        now=NOW + 30 * 86_400_000,
        base=EVERYTHING_READ,
        timeoutConfig={"inProgressTimeoutInMinutes": 1},
    )
    assert configs.schedule == EVERYTHING_READ.schedule


# Whatever is accepted comes back as it was given


def leave_out(**members):
    return st.fixed_dictionaries({}, optional=members)


things = st.integers(1, 10**6)
rates = st.fixed_dictionaries(
    {
        "baseRatePerMinute": st.integers(1, 1_000),
        "incrementFactor": st.integers(11, 50).map(lambda tenths: tenths / 10),
        "rateIncreaseCriteria": st.one_of(
            things.map(lambda n: {"numberOfNotifiedThings": n}),
            things.map(lambda n: {"numberOfSucceededThings": n}),
        ),
    }
)
aborts = st.fixed_dictionaries(
    {
        "failureType": st.sampled_from(["FAILED", "REJECTED", "TIMED_OUT", "ALL"]),
        "action": st.just("CANCEL"),
        "thresholdPercentage": st.integers(0, 10_000).map(lambda hundredths: hundredths / 100),
        "minNumberOfExecutedThings": things,
    }
)
ahead = st.integers(30, 300 * 1440).map(
    lambda minutes: f"{datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(minutes=minutes):%Y-%m-%d %H:%M}"
)
crons = st.builds(
    "cron({} {} {} * ? *)".format, st.integers(0, 59), st.integers(0, 23), st.sampled_from(["*", "L", "1/2"])
)
members = leave_out(
    jobExecutionsRolloutConfig=leave_out(maximumPerMinute=st.integers(1, 1_000), exponentialRate=rates),
    abortConfig=st.lists(aborts, min_size=1, max_size=3).map(lambda criteria: {"criteriaList": criteria}),
    timeoutConfig=leave_out(inProgressTimeoutInMinutes=st.integers(1, 10_080)),
    jobExecutionsRetryConfig=st.dictionaries(
        st.sampled_from(["FAILED", "TIMED_OUT", "ALL"]), st.integers(0, 5), min_size=1, max_size=2
    ).map(lambda numbers: retries(*numbers.items())),
    schedulingConfig=leave_out(
        startTime=ahead, maintenanceWindows=st.lists(st.builds(window, crons, st.integers(1, 1430)), min_size=1, max_size=3)
    ),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(given_members=members)
def test_what_is_accepted_is_described_as_it_was_given(given_members):
    configs = call(**given_members)
    assert configs_of(configs_text(configs)) == configs
    answer = described(configs)
    answer.pop("scheduledJobRollouts", None)
    nothing = {"jobExecutionsRolloutConfig": {}, "timeoutConfig": {}, "schedulingConfig": {}}
    assert answer == nothing | given_members
