"""What became true by a commit and somebody outside the transaction must hear, told after the commit and only then."""

from dataclasses import dataclass

from outfitter_server.jobs.values import Notification


@dataclass(frozen=True, slots=True)
class PrincipalChanged:
    """A certificate's status, policies or things changed; connections with it are judged anew. None: any of them."""

    certificate_id: str | None


@dataclass(frozen=True, slots=True)
class PendingChanged:
    """The pending list of a thing changed: deliver to its subscribed connections after the answers."""

    notification: Notification


@dataclass(frozen=True, slots=True)
class WorkQueued:
    """A job has background work (rollout, cancellation, deletion) for the pacer."""

    job: str


Effect = PrincipalChanged | PendingChanged | WorkQueued
