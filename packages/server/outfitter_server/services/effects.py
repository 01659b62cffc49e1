"""What became true by a commit and somebody outside the transaction must hear, told after the commit and only then."""

from collections.abc import Mapping
from dataclasses import dataclass

from outfitter_server.jobs.values import Notification


@dataclass(frozen=True, slots=True)
class PrincipalChanged:
    """A certificate's status, policies or things changed; connections with it are judged anew. None: any of them."""

    certificate_id: str | None


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """Certificates of another authority, or by themselves, are trusted now, or no longer."""


@dataclass(frozen=True, slots=True)
class PendingChanged:
    """The pending list of a thing changed: deliver to its subscribed connections after the answers."""

    notification: Notification


@dataclass(frozen=True, slots=True)
class WorkQueued:
    """A job has background work (rollout, cancellation, deletion) for the pacer."""

    job: str


@dataclass(frozen=True, slots=True)
class DueAt:
    """A timer of an execution, or a job's next batch, window, start or end, is due then (milliseconds)."""

    at: int


@dataclass(frozen=True, slots=True)
class RuleChanged:
    """A topic rule was made, replaced, switched or deleted: read it anew."""

    name: str


@dataclass(frozen=True, slots=True)
class FunctionChanged:
    """A function's code or configuration changed, or it is gone: its workers are of an earlier revision."""

    name: str


@dataclass(frozen=True, slots=True)
class EventQueued:
    """A function has an event to be invoked with in the background."""


@dataclass(frozen=True, slots=True)
class EventsWaiting:
    """Lifecycle events are in the outbox, to be published."""


@dataclass(frozen=True, slots=True)
class IndexChanged:
    """What is indexed changed, or a dynamic group was made, changed or deleted; members may have to be found."""


@dataclass(frozen=True, slots=True)
class ExecutionsEnded:
    """So many executions reached each of these terminal statuses."""

    counts: Mapping[str, int]


Effect = (
    PrincipalChanged
    | TrustChanged
    | PendingChanged
    | WorkQueued
    | DueAt
    | FunctionChanged
    | EventQueued
    | RuleChanged
    | EventsWaiting
    | IndexChanged
    | ExecutionsEnded
)
