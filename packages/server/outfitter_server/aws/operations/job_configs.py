"""Configuration of jobs and job templates: members of the ``iot`` model to values, checked, and values back.

The model's own constraints (types, ranges, enumerations) were checked before; here are the rules that its documentation
states and its shapes do not.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

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
)
from outfitter_server.jobs.cron import parse
from outfitter_server.jobs.limits import (
    END_AHEAD_MAX_MS,
    RETRIES_MAX,
    ROLLOUT_RATE_MAX_PER_MINUTE,
    SCHEDULE_LENGTH_MAX_MS,
    SCHEDULE_LENGTH_MIN_MS,
    START_AHEAD_MAX_MS,
    START_AHEAD_MIN_MS,
    THRESHOLD_MAX_PERCENT,
    TIMEOUT_MINUTES_MAX,
    WINDOWS_MAX,
)
from outfitter_server.jobs.schedule import upcoming

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


def configs_of_call(given: Mapping[str, Any], now: int, *, base: Configs = NO_CONFIGS) -> Configs:
    """What a call says about how a job is to run.

    ``base`` holds where the call says nothing: a job's configuration for UpdateJob, a template's for CreateJob. A member
    that is given replaces the whole of ``base``'s; an empty one takes it away. Maintenance windows are a member of their
    own, as they are in a template: a ``schedulingConfig`` that names none keeps those of ``base``.

    Raises:
        InvalidRequest: a rule of AWS's documentation is broken; says which member, and what it may be.
    """
    changes: dict[str, Any] = {}
    if "jobExecutionsRolloutConfig" in given:
        changes["rollout"] = _rollout(given["jobExecutionsRolloutConfig"])
    if "abortConfig" in given:
        changes["abort"] = _abort(given["abortConfig"]["criteriaList"])
    if "timeoutConfig" in given:
        changes["timeout_minutes"] = _timeout(given["timeoutConfig"])
    if "jobExecutionsRetryConfig" in given:
        changes["retries"] = _retries(given["jobExecutionsRetryConfig"]["criteriaList"])
    if "schedulingConfig" in given:
        kept = base.schedule.windows if base.schedule else ()
        changes["schedule"] = _schedule(given["schedulingConfig"], now, kept)
    elif "maintenanceWindows" in given:
        windows = _windows(given["maintenanceWindows"], "maintenanceWindows")
        changes["schedule"] = Schedule(windows=windows) if windows else None
    configs = msgspec.structs.replace(base, **changes)
    if "schedule" in changes:
        check_windows(configs.schedule, now)
    return configs


def check_windows(schedule: Schedule | None, now: int) -> None:
    """Refuse a schedule with a maintenance window that never comes: no execution would ever be queued in it.

    To be called for the windows of a template too, which may have passed since it was made.

    Raises:
        InvalidRequest: a window does not begin any more, or not before the end time.
    """
    if schedule is None:
        return
    for window in schedule.windows:
        if not upcoming(msgspec.structs.replace(schedule, windows=(window,)), now, 1):
            raise InvalidRequest(
                f"maintenanceWindows: {window.cron!r} never begins between now (or startTime) and endTime; "
                "choose times that come"
            )


def check_update(before: Configs, after: Configs) -> None:
    """Refuse an UpdateJob that changes retries to anything but 0: those that run count on what they were promised.

    Raises:
        InvalidRequest: a number of retries is neither 0 nor what it was.
    """
    numbers = {criterion.failure: criterion.retries for criterion in before.retries}
    for criterion in after.retries:
        if criterion.retries not in {0, numbers.get(criterion.failure, 0)}:
            raise InvalidRequest(
                f"jobExecutionsRetryConfig: numberOfRetries of {criterion.failure} cannot become {criterion.retries}; "
                "after CreateJob it can only be set to 0"
            )


def described_configs(configs: Configs, now: int | None) -> dict[str, Any]:
    """The members of DescribeJob that say how a job runs; None stands for one that is left out.

    Without any, the rollout, timeout and scheduling members are ``{}`` and the others are left out, as AWS answers.
    ``now`` is None when no rollout is to come.
    """
    schedule = configs.schedule
    starts = () if now is None else upcoming(schedule, now)
    rollouts = [{"startTime": _time_text(start)} for start in starts]
    return {
        "jobExecutionsRolloutConfig": _described_rollout(configs.rollout),
        "abortConfig": _described_abort(configs.abort),
        "timeoutConfig": _described_timeout(configs.timeout_minutes),
        "jobExecutionsRetryConfig": _described_retries(configs.retries),
        "schedulingConfig": _described_schedule(schedule) if schedule else {},
        "scheduledJobRollouts": rollouts or None,
        "jobTemplateArn": configs.template_arn,
        "documentParameters": configs.document_parameters or None,
        "destinationPackageVersions": list(configs.packages) or None,
    }


def described_template(configs: Configs) -> dict[str, Any]:
    """The members of DescribeJobTemplate that say how its jobs run; None stands for one that is left out."""
    windows = configs.schedule.windows if configs.schedule else ()
    return {
        "jobExecutionsRolloutConfig": _described_rollout(configs.rollout),
        "abortConfig": _described_abort(configs.abort),
        "timeoutConfig": _described_timeout(configs.timeout_minutes),
        "jobExecutionsRetryConfig": _described_retries(configs.retries),
        "maintenanceWindows": _described_windows(windows) or None,
        "destinationPackageVersions": list(configs.packages) or None,
    }


def _rollout(given: Mapping[str, Any]) -> Rollout | None:
    where = "jobExecutionsRolloutConfig"
    maximum = given.get("maximumPerMinute")
    if maximum is not None and maximum > ROLLOUT_RATE_MAX_PER_MINUTE:
        raise InvalidRequest(
            f"{where}.maximumPerMinute: {maximum} must be 1 to {ROLLOUT_RATE_MAX_PER_MINUTE}"
        )
    exponential = given.get("exponentialRate")
    if maximum is None and exponential is None:
        return None
    return Rollout(
        maximum_per_minute=maximum,
        exponential=None if exponential is None else _exponential(exponential, f"{where}.exponentialRate"),
    )


def _exponential(given: Mapping[str, Any], where: str) -> ExponentialRate:
    criteria = given["rateIncreaseCriteria"]
    notified, succeeded = criteria.get("numberOfNotifiedThings"), criteria.get("numberOfSucceededThings")
    if (notified is None) == (succeeded is None):
        raise InvalidRequest(
            f"{where}.rateIncreaseCriteria: give numberOfNotifiedThings or numberOfSucceededThings, one of them"
        )
    factor = given["incrementFactor"]
    _check_decimals(factor, 1, f"{where}.incrementFactor")
    return ExponentialRate(
        base_per_minute=given["baseRatePerMinute"],
        increment_factor=float(factor),
        notified_things=notified,
        succeeded_things=succeeded,
    )


def _check_decimals(value: float, decimals: int, where: str) -> None:
    plain = math.isfinite(value) and Decimal(str(value)) == round(Decimal(str(value)), decimals)
    if not plain:
        raise InvalidRequest(
            f"{where}: {value} must be a number with at most {decimals} decimal{'s' * (decimals > 1)}"
        )


def _abort(given: list[Mapping[str, Any]]) -> tuple[AbortCriterion, ...]:
    criteria = []
    for position, criterion in enumerate(given, start=1):
        where = f"abortConfig.criteriaList.{position}.thresholdPercentage"
        threshold = criterion["thresholdPercentage"]
        if not 0 <= threshold <= THRESHOLD_MAX_PERCENT:
            raise InvalidRequest(f"{where}: must be 0 to {THRESHOLD_MAX_PERCENT} percent")
        _check_decimals(threshold, 2, where)
        criteria.append(
            AbortCriterion(
                failure=FailureType(criterion["failureType"]),
                threshold_percent=float(threshold),
                minimum_ended=criterion["minNumberOfExecutedThings"],
            )
        )
    return tuple(criteria)


def _timeout(given: Mapping[str, Any]) -> int | None:
    minutes: int | None = given.get("inProgressTimeoutInMinutes")
    if minutes is not None and not 1 <= minutes <= TIMEOUT_MINUTES_MAX:
        raise InvalidRequest(
            f"timeoutConfig.inProgressTimeoutInMinutes: {minutes} must be 1 to {TIMEOUT_MINUTES_MAX}"
        )
    return minutes


def _retries(given: list[Mapping[str, Any]]) -> tuple[RetryCriterion, ...]:
    where = "jobExecutionsRetryConfig.criteriaList"
    criteria = tuple(
        RetryCriterion(failure=FailureType(each["failureType"]), retries=each["numberOfRetries"])
        for each in given
    )
    if len({criterion.failure for criterion in criteria}) < len(criteria):
        raise InvalidRequest(f"{where}: {criteria[0].failure} is given twice; give each failureType once")
    together = sum(criterion.retries for criterion in criteria)
    if together > RETRIES_MAX:
        raise InvalidRequest(f"{where}: {together} retries; all together may be at most {RETRIES_MAX}")
    return criteria


def _schedule(given: Mapping[str, Any], now: int, kept: tuple[Window, ...]) -> Schedule | None:
    start_text, end_text = given.get("startTime"), given.get("endTime")
    start = None if start_text is None else _start(start_text, now)
    end = None if end_text is None else _end(end_text, start, now)
    behavior = given.get("endBehavior")
    if behavior is not None and end is None:
        raise InvalidRequest(
            "schedulingConfig.endBehavior: says what endTime does; give endTime too, or leave it out"
        )
    if "maintenanceWindows" in given:
        kept = _windows(given["maintenanceWindows"], "schedulingConfig.maintenanceWindows")
    schedule = Schedule(
        start_at=start,
        end_at=end,
        start_text=start_text,
        end_text=end_text,
        end_behavior=EndBehavior(behavior) if behavior else None,
        windows=kept,
    )
    return None if schedule == Schedule() else schedule


def _start(text: str, now: int) -> int:
    where = "schedulingConfig.startTime"
    start = _time(text, where)
    if not START_AHEAD_MIN_MS <= start - now <= START_AHEAD_MAX_MS:
        raise InvalidRequest(
            f"{where}: {text!r} must be 30 minutes to a year from now; it is {_time_text(now)} UTC"
        )
    return start


def _end(text: str, start: int | None, now: int) -> int:
    where = "schedulingConfig.endTime"
    end = _time(text, where)
    if end - now > END_AHEAD_MAX_MS:
        raise InvalidRequest(
            f"{where}: {text!r} must be at most two years from now; it is {_time_text(now)} UTC"
        )
    begin = now if start is None else start
    if not SCHEDULE_LENGTH_MIN_MS <= end - begin <= SCHEDULE_LENGTH_MAX_MS:
        raise InvalidRequest(
            f"{where}: {text!r} must be 30 minutes to two years after {'now' if start is None else 'startTime'}, "
            f"{_time_text(begin)} UTC"
        )
    return end


def _windows(given: list[Mapping[str, Any]], where: str) -> tuple[Window, ...]:
    if len(given) > WINDOWS_MAX:
        raise InvalidRequest(f"{where}: {len(given)} windows; a schedule has at most {WINDOWS_MAX}")
    for window in given:
        parse(window["startTime"])
    return tuple(
        Window(cron=window["startTime"], duration_minutes=window["durationInMinutes"]) for window in given
    )


def _time(text: str, where: str) -> int:
    try:
        time = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        time = None
    if time is None:
        raise InvalidRequest(f"{where}: {text!r} is no time; write YYYY-MM-DD HH:MM, in UTC")
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _time_text(time: int) -> str:
    return f"{_EPOCH + timedelta(milliseconds=time):%Y-%m-%d %H:%M}"


def _described_rollout(rollout: Rollout | None) -> dict[str, Any]:
    if rollout is None:
        return {}
    rate = rollout.exponential
    criteria = rate and {
        "numberOfNotifiedThings": rate.notified_things,
        "numberOfSucceededThings": rate.succeeded_things,
    }
    exponential = rate and {
        "baseRatePerMinute": rate.base_per_minute,
        "incrementFactor": rate.increment_factor,
        "rateIncreaseCriteria": criteria,
    }
    return {"maximumPerMinute": rollout.maximum_per_minute, "exponentialRate": exponential}


def _described_abort(criteria: tuple[AbortCriterion, ...]) -> dict[str, Any] | None:
    if not criteria:
        return None
    described = [
        {
            "failureType": criterion.failure.value,
            "action": "CANCEL",
            "thresholdPercentage": criterion.threshold_percent,
            "minNumberOfExecutedThings": criterion.minimum_ended,
        }
        for criterion in criteria
    ]
    return {"criteriaList": described}


def _described_timeout(minutes: int | None) -> dict[str, Any]:
    return {} if minutes is None else {"inProgressTimeoutInMinutes": minutes}


def _described_retries(criteria: tuple[RetryCriterion, ...]) -> dict[str, Any] | None:
    if not criteria:
        return None
    described = [
        {"failureType": criterion.failure.value, "numberOfRetries": criterion.retries}
        for criterion in criteria
    ]
    return {"criteriaList": described}


def _described_schedule(schedule: Schedule) -> dict[str, Any]:
    return {
        "startTime": schedule.start_text,
        "endTime": schedule.end_text,
        "endBehavior": schedule.end_behavior.value if schedule.end_behavior else None,
        "maintenanceWindows": _described_windows(schedule.windows) or None,
    }


def _described_windows(windows: tuple[Window, ...]) -> list[dict[str, Any]]:
    return [{"startTime": window.cron, "durationInMinutes": window.duration_minutes} for window in windows]
