"""The values of the job service: jobs, executions, what devices ask and what they are answered.

Times are milliseconds since the epoch inside the server; doors print AWS's seconds. Values are msgspec structures because
thousands are made each second and a frozen dataclass costs ten times as much to make.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final

import msgspec
from outfitter_contract.execution import Status

from outfitter_server.jobs.configs import NO_CONFIGS, Configs, RetryCriterion

PENDING_SHOWN: Final = 10  # pending executions that a notification lists (AWS job limits)


class TargetSelection(StrEnum):
    """Whether a job ends with the targets it began with, or goes on for things that join later."""

    SNAPSHOT = "SNAPSHOT"
    CONTINUOUS = "CONTINUOUS"


class JobStatus(StrEnum):
    """The status of a job, in AWS's spelling."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    DELETION_IN_PROGRESS = "DELETION_IN_PROGRESS"


class QueuedBy(IntEnum):
    """Why an execution was queued; the numbers are stored."""

    ROLLOUT = 0
    JOIN = 1
    RETRY = 2


class EndedBy(IntEnum):
    """Why the service ended an execution; the numbers are stored."""

    JOB_CANCELED = 1
    EXECUTION_CANCELED = 2
    LEFT_GROUP = 3
    IN_PROGRESS_TIMER = 4
    STEP_TIMER = 5
    SCHEDULE_ENDED = 6


class Execution(msgspec.Struct, frozen=True):
    """One run of a job on a thing.

    Members are given by name, but where rows become executions by the thousand (services/records.py): names take
    four times as long.

    Attributes:
        id: the store's row; rises with creation, so it orders executions that were queued in the same millisecond.
        number: the executionNumber, from 1 for each (job, thing).
        details: the status details as last reported; None until a device reports some.
        version: the versionNumber, 1 when queued.
        attempt: the retryAttempt, 0 for the first; ``failed_retries`` of them followed a FAILED, the others a TIMED_OUT.
        held: QUEUED, but its job is paused or between its maintenance windows: devices don't see it among the pending.
        deadline_at: when the in-progress timeout is over; ``expires_at``: that or the step timer, whichever is first.
        ended_by: None when its device ended it.
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
    held: bool = False
    deadline_at: int | None = None
    expires_at: int | None = None
    failed_retries: int = 0
    queued_by: QueuedBy = QueuedBy.ROLLOUT
    ended_by: EndedBy | None = None


class JobHead(msgspec.Struct, frozen=True, kw_only=True):
    """What delivering a job's document and timing its executions needs; forgotten when UpdateJob changes it.

    Attributes:
        document: compact JSON text, placeholders still in it.
        role_arn: the role of presignedUrlConfig, None without one.
        url_expires_seconds: life of a pre-signed URL.
    """

    job: str
    document: str
    role_arn: str | None = None
    url_expires_seconds: int = 3600
    timeout_minutes: int | None = None
    retries: tuple[RetryCriterion, ...] = ()
    installs: tuple[tuple[str, str], ...] = ()
    confirm: dict[str, str] | None = None


class GetPending(msgspec.Struct, frozen=True):
    """GetPendingJobExecutions."""

    thing: str


class StartNext(msgspec.Struct, frozen=True, kw_only=True):
    """StartNextPendingJobExecution; ``problem`` and ``step_timeout_minutes`` as in Update."""

    thing: str
    details: dict[str, str] | None = None
    step_timeout_minutes: int | None = None
    problem: str | None = None


class Describe(msgspec.Struct, frozen=True, kw_only=True):
    """DescribeJobExecution on the device plane; ``job`` may be ``$next``, ``number`` None means the latest."""

    thing: str
    job: str
    number: int | None = None
    include_document: bool = True


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """UpdateJobExecution; ``status`` is the text that the device sent.

    ``problem`` says what is wrong with the other fields, if anything: the service looks at them last, after existence,
    version and transition, so the door hands the finding on instead of refusing at once. ``step_timeout_minutes`` sets a
    new step timer, -1 takes the one that runs away.
    """

    thing: str
    job: str
    status: str
    details: dict[str, str] | None = None
    expected_version: int | None = None
    number: int | None = None
    include_state: bool = False
    include_document: bool = False
    step_timeout_minutes: int | None = None
    problem: str | None = None


DeviceRequest = GetPending | StartNext | Describe | Update


class PendingList(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """Answer to GetPending."""

    in_progress: tuple[Execution, ...]
    queued: tuple[Execution, ...]

    @property
    def front(self) -> Execution | None:
        """What comes next; None when nothing is pending."""
        return (self.in_progress or self.queued or (None,))[0]


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


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions of a job are in each status; names as the store's columns."""

    queued: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    removed: int = 0
    canceled: int = 0

    @property
    def ended(self) -> int:
        """Executions that ran to an end, or were taken out; canceled ones never got that far."""
        return self.succeeded + self.failed + self.rejected + self.timed_out + self.removed

    @property
    def pending(self) -> int:
        """Executions that have not ended."""
        return self.queued + self.in_progress

    def moved(self, deltas: Mapping[Status, int]) -> "Counts":
        """These counts after so many executions entered (or left, negative) each status."""
        changes = {
            status.value.lower(): getattr(self, status.value.lower()) + by for status, by in deltas.items()
        }
        return msgspec.structs.replace(self, **changes)


class Work(StrEnum):
    """What the pacer still has to do for a job."""

    ROLLOUT = "ROLLOUT"
    STOP = "STOP"
    CANCEL = "CANCEL"
    DELETE = "DELETE"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job without its document and targets.

    Attributes:
        seq: rises with creation.
        work: background work that can be done now; None at rest, and while it waits until ``due_at``.
        due_at: when to look at the job again: its next batch, window, start or end.
        rolling: targets remain to be rolled out.
        started_at: when the rollout began: from then on whoever joins a target of a continuous job gets an execution.
        snapshot: which of all snapshots this job's is, in the order in which they were taken; None until then.
        paused: by its operator. ``held``: paused or between windows, so that nothing may begin. ``ended``: past its end time.
        rolled_out: executions that the rollout queued; ``batch_left`` what the batch under way may still queue (None:
            no batch, or no rate); ``next_batch_at`` when the next may begin.
        role_arn, url_expires_seconds: presignedUrlConfig, None without one.
    """

    seq: int
    id: str
    status: JobStatus
    selection: TargetSelection
    created_at: int
    updated_at: int
    description: str | None = None
    document_source: str | None = None
    role_arn: str | None = None
    url_expires_seconds: int | None = None
    completed_at: int | None = None
    comment: str | None = None
    reason_code: str | None = None
    force_canceled: bool = False
    work: Work | None = None
    counts: Counts = Counts()
    configs: Configs = NO_CONFIGS
    tags: str = "{}"
    rolling: bool = False
    started_at: int | None = None
    snapshot: int | None = None
    paused: bool = False
    held: bool = False
    ended: bool = False
    rolled_out: int = 0
    batch_left: int | None = None
    next_batch_at: int | None = None
    due_at: int | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a job: ``kind`` is ``thing`` or ``thinggroup``; the cursor says how far its rollout has come."""

    position: int
    kind: str
    name: str
    cursor_group: str = ""
    cursor_thing: str = ""
    done: bool = False


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """What CreateJob asks for, checked.

    Attributes:
        stored: the document, the parameters of a template in place; what it says of packages is filled in when it is stored.
        raw: the document before that, when it differs from ``stored``.
    """

    id: str
    targets: tuple[Target, ...]
    stored: str
    raw: str | None = None
    selection: TargetSelection = TargetSelection.SNAPSHOT
    description: str | None = None
    document_source: str | None = None
    role_arn: str | None = None
    url_expires_seconds: int | None = None
    configs: Configs = NO_CONFIGS
    tags: dict[str, str] = {}
