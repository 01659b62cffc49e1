"""How often a second something may be asked: AWS's figures, and the buckets that enforce them.

Nothing is limited until the operator says so. Names are operations of the ``iot`` model; the two of the device plane stand
for a pair of operations each, over MQTT and HTTPS together, as AWS counts them; publishes are counted by connection. Source of
the figures: limits pages of AWS IoT Device Management, jobs, thing groups and registry, and of the message broker.
"""

from collections.abc import Mapping
from typing import Final

from outfitter_server.base.refusals import Throttled

DEVICE_READS: Final = "device-reads"  # DescribeJobExecution and GetPendingJobExecutions
DEVICE_WRITES: Final = "device-writes"  # StartNextPendingJobExecution and UpdateJobExecution
CONNECTION_PUBLISHES: Final = (
    "connection-publishes"  # PUBLISH packets of one connection, whatever their topic
)
PER_SECOND_MAX: Final = 1_000_000.0

_JOB_CALLS: Final = (
    "AssociateTargetsWithJob",
    "CancelJob",
    "CancelJobExecution",
    "CreateJob",
    "CreateJobTemplate",
    "DeleteJob",
    "DeleteJobExecution",
    "DeleteJobTemplate",
    "DescribeJob",
    "DescribeJobExecution",
    "DescribeJobTemplate",
    "DescribeManagedJobTemplate",
    "GetJobDocument",
    "ListJobExecutionsForJob",
    "ListJobExecutionsForThing",
    "ListJobTemplates",
    "ListJobs",
    "ListManagedJobTemplates",
    "UpdateJob",
)
AWS_RATES: Final[Mapping[str, float]] = {
    **dict.fromkeys(_JOB_CALLS, 10.0),
    DEVICE_READS: 200.0,
    DEVICE_WRITES: 200.0,
    CONNECTION_PUBLISHES: 100.0,
    "AddThingToThingGroup": 60.0,
    "CreateDynamicThingGroup": 5.0,
    "CreateThing": 15.0,
    "DeleteDynamicThingGroup": 5.0,
    "RegisterThing": 10.0,
    "SearchIndex": 15.0,
    "UpdateDynamicThingGroup": 5.0,
    "UpdateThing": 10.0,
}


class Bucket:
    """A token bucket: one second's worth at once, and then as fast as it fills."""

    __slots__ = ("_burst", "_filled_at", "_level", "_per_ms")

    def __init__(self, per_second: float) -> None:
        """Full."""
        self._per_ms = per_second / 1000
        self._burst = self._level = max(1.0, per_second)
        self._filled_at: int | None = None

    def take(self, now: int) -> bool:
        """Take one token at ``now`` (milliseconds); False when there is none. A clock set back fills nothing."""
        if self._filled_at is not None and now > self._filled_at:
            self._level = min(self._burst, self._level + (now - self._filled_at) * self._per_ms)
        self._filled_at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class Throttle:
    """One bucket for each name that has a rate."""

    def __init__(self, per_second: Mapping[str, float]) -> None:
        """``per_second`` by name; what has no rate is not limited."""
        self._per_second = dict(per_second)
        self._buckets = {name: Bucket(rate) for name, rate in per_second.items()}

    def limits(self, name: str) -> bool:
        """Whether there is a rate for it."""
        return name in self._buckets

    def refusal(self, name: str, now: int) -> Throttled | None:
        """Count one request; what to answer when it is one too many."""
        bucket = self._buckets.get(name)
        if bucket is None or bucket.take(now):
            return None
        return Throttled(
            f"Rate exceeded: {name} is limited to {self._per_second[name]:g} a second here; ask again later"
        )
