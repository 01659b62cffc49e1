"""The values of the job service: jobs, executions, what devices ask and what they are answered.

Times are milliseconds since the epoch inside the server; doors print AWS's seconds. Values are msgspec structures because
thousands are made each second and a frozen dataclass costs ten times as much to make.
"""

from enum import StrEnum
from typing import Final

import msgspec
from outfitter_contract.execution import Status

PENDING_SHOWN: Final = 10  # pending executions that a notification lists (AWS job limits)


class TargetSelection(StrEnum):
    """Whether a job ends with the targets it began with, or goes on for things that join later."""

    SNAPSHOT = "SNAPSHOT"
    CONTINUOUS = "CONTINUOUS"


class JobStatus(StrEnum):
    """The status of a job, in AWS's spelling."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    DELETION_IN_PROGRESS = "DELETION_IN_PROGRESS"


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job on a thing.

    Attributes:
        id: the store's row; rises with creation, so it orders executions that were queued in the same millisecond.
        number: the executionNumber, from 1 for each (job, thing).
        details: the status details as last reported; None until a device reports some.
        version: the versionNumber, 1 when queued.
        attempt: the retryAttempt, 0 for the first.
    """

    id: int
    thing: str
    job: str
    number: int
    status: Status
    queued_at: int
    updated_at: int
    started_at: int | None = None
    version: int = 1
    details: dict[str, str] | None = None
    attempt: int = 0
    force_canceled: bool = False


class JobHead(msgspec.Struct, frozen=True, kw_only=True):
    """What delivering a job's document needs; never changes while the job lives.

    Attributes:
        document: compact JSON text, placeholders still in it.
        role_arn: the role of presignedUrlConfig, None without one.
        url_expires_seconds: life of a pre-signed URL.
    """

    job: str
    document: str
    role_arn: str | None = None
    url_expires_seconds: int = 3600


class GetPending(msgspec.Struct, frozen=True):
    """GetPendingJobExecutions."""

    thing: str


class StartNext(msgspec.Struct, frozen=True, kw_only=True):
    """StartNextPendingJobExecution."""

    thing: str
    details: dict[str, str] | None = None


class Describe(msgspec.Struct, frozen=True, kw_only=True):
    """DescribeJobExecution on the device plane; ``job`` may be ``$next``, ``number`` None means the latest."""

    thing: str
    job: str
    number: int | None = None
    include_document: bool = True


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """UpdateJobExecution; ``status`` is the text that the device sent."""

    thing: str
    job: str
    status: str
    details: dict[str, str] | None = None
    expected_version: int | None = None
    number: int | None = None
    include_state: bool = False
    include_document: bool = False


DeviceRequest = GetPending | StartNext | Describe | Update


class PendingList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to GetPending."""

    in_progress: tuple[Execution, ...]
    queued: tuple[Execution, ...]


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to StartNext and Describe: ``execution`` is None when nothing is pending; ``head`` when a document is due."""

    execution: Execution | None
    head: JobHead | None


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to Update: the execution after it, and what the device asked to see of it."""

    execution: Execution
    include_state: bool
    head: JobHead | None


DeviceAnswer = PendingList | Described | Updated


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """The pending list of a thing as it stands after a change, for its subscribed connections.

    Attributes:
        pending_changed: a ``notify`` is due (the list's members changed).
        next_changed: a ``notify-next`` is due (its front changed).
        pending_revision, next_revision: rise with each such change; a session that has seen a revision needs it no more.
        pending: at most PENDING_SHOWN executions, in order; ``head`` belongs to the first of them.
    """

    thing: str
    pending_changed: bool
    next_changed: bool
    pending_revision: int
    next_revision: int
    pending: tuple[Execution, ...]
    head: JobHead | None
    now: int
