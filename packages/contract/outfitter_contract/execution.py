"""The states of a job execution and who may move it where.

The table is the whole machine: whatever it does not list is refused. Sources: the AWS IoT developer guide, "Jobs and
job execution states", the ``iot`` and ``iot-jobs-data`` service models; the refusals of device-set states are those
that the live service gives.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Status(StrEnum):
    """The status of one job execution, in AWS's spelling."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"
    REMOVED = "REMOVED"
    CANCELED = "CANCELED"


class Actor(StrEnum):
    """Who asks for a transition."""

    DEVICE = "device"
    SERVICE = "service"


PENDING: Final = frozenset({Status.QUEUED, Status.IN_PROGRESS})
TERMINAL: Final = frozenset(Status) - PENDING
DEVICE_MAY_SET: Final = frozenset({Status.IN_PROGRESS, Status.SUCCEEDED, Status.FAILED, Status.REJECTED})

_DEVICE_ENDS = frozenset({Status.SUCCEEDED, Status.FAILED, Status.REJECTED})

TRANSITIONS: Final = MappingProxyType(
    {
        (Status.QUEUED, Actor.DEVICE): _DEVICE_ENDS | {Status.IN_PROGRESS},
        (Status.QUEUED, Actor.SERVICE): frozenset({Status.CANCELED, Status.REMOVED}),
        (Status.IN_PROGRESS, Actor.DEVICE): _DEVICE_ENDS | {Status.IN_PROGRESS},
        (Status.IN_PROGRESS, Actor.SERVICE): frozenset({Status.CANCELED, Status.TIMED_OUT}),
    }
)


def may_move(current: Status, target: Status, actor: Actor) -> bool:
    """Whether the table lists the transition."""
    return target in TRANSITIONS.get((current, actor), frozenset())
