"""How a job is to run: rollout, abort, timeout, retries, schedule; values only.

Names follow the members of the ``iot`` model (JobExecutionsRolloutConfig, AbortConfig, TimeoutConfig,
JobExecutionsRetryConfig, SchedulingConfig). They are stored with the job as JSON, so a member is only ever added.
"""

from enum import StrEnum
from functools import lru_cache

import msgspec


class FailureType(StrEnum):
    """Which ends of an execution a criterion is about; retries know no REJECTED."""

    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"
    ALL = "ALL"


class EndBehavior(StrEnum):
    """What the end time of a schedule does to what has not ended."""

    STOP_ROLLOUT = "STOP_ROLLOUT"
    CANCEL = "CANCEL"
    FORCE_CANCEL = "FORCE_CANCEL"


class ExponentialRate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rate that grows by ``increment_factor`` for every so many things notified, or succeeded; one of the two is set."""

    base_per_minute: int
    increment_factor: float
    notified_things: int | None = None
    succeeded_things: int | None = None


class Rollout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At most how many executions are queued a minute."""

    maximum_per_minute: int | None = None
    exponential: ExponentialRate | None = None


class AbortCriterion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Cancel the job when this share of at least so many ended executions ended so."""

    failure: FailureType
    threshold_percent: float
    minimum_ended: int


class RetryCriterion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Queue a failed execution again, at most so many times."""

    failure: FailureType
    retries: int


class Window(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A recurring maintenance window: AWS's cron expression as given, in UTC."""

    cron: str
    duration_minutes: int


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job may roll out. Times are milliseconds; the texts are as given, for DescribeJob."""

    start_at: int | None = None
    end_at: int | None = None
    start_text: str | None = None
    end_text: str | None = None
    end_behavior: EndBehavior | None = None
    windows: tuple[Window, ...] = ()


class Configs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a job was told about how to run, and where it came from.

    Attributes:
        timeout_minutes: the in-progress timeout.
        packages: ARNs of destinationPackageVersions as given; ``installs`` what they stand for, (package, version).
        document_parameters: those of a managed template.
        confirm: the status details without which no device's SUCCEEDED is accepted; the document's own member.
    """

    rollout: Rollout | None = None
    abort: tuple[AbortCriterion, ...] = ()
    timeout_minutes: int | None = None
    retries: tuple[RetryCriterion, ...] = ()
    schedule: Schedule | None = None
    template_arn: str | None = None
    document_parameters: dict[str, str] | None = None
    packages: tuple[str, ...] = ()
    installs: tuple[tuple[str, str], ...] = ()
    confirm: dict[str, str] | None = None


NO_CONFIGS = Configs()
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Configs)


def configs_text(configs: Configs) -> str:
    """As it is stored."""
    return _encode(configs).decode()


@lru_cache(maxsize=512)
def configs_of(text: str) -> Configs:
    """As it was stored; remembered, because a busy job is read with every batch."""
    return _decoder.decode(text)
