"""What everything that changes executions shares: documents remembered, listeners, events, the record of installs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outfitter_server.base.installation import Installation
from outfitter_server.jobs.values import Execution, Job
from outfitter_server.services.committer import Batch
from outfitter_server.services.heads import Heads
from outfitter_server.services.known_lists import KnownLists
from outfitter_server.services.traces import Traces
from outfitter_server.services.watched import Watched


class LifecycleEvents(Protocol):
    """Who is told of ends, inside the deciding transaction."""

    def execution_ended(self, batch: Batch, execution: Execution) -> None:
        """An execution reached a terminal status."""

    def execution_deleted(self, batch: Batch, execution: Execution) -> None:
        """An execution is gone."""

    def job_changed(
        self, batch: Batch, before: Job | None, after: Job | None, targets: Callable[[], Sequence[str]]
    ) -> None:
        """A job was written, or is gone (``after`` is None); ``targets`` gives its target ARNs."""


Record = Callable[[Batch, str, Sequence[tuple[str, str]]], object]


class Silent:
    """Tells nobody; for tools and tests that ask for no events."""

    def execution_ended(self, batch: Batch, execution: Execution) -> None:
        """Nothing."""

    def execution_deleted(self, batch: Batch, execution: Execution) -> None:
        """Nothing."""

    def job_changed(
        self, batch: Batch, before: Job | None, after: Job | None, targets: Callable[[], Sequence[str]]
    ) -> None:
        """Nothing."""


def _no_record(_batch: Batch, _thing: str, _installs: Sequence[tuple[str, str]]) -> None:
    """Nothing is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One installation's job engine, as far as its parts share it.

    Attributes:
        record: told what a thing runs when an execution of a job with package versions succeeded.
        traces: told what was refused.
    """

    installation: Installation = field(default_factory=Installation)
    heads: Heads = field(default_factory=Heads)
    known_lists: KnownLists = field(default_factory=KnownLists)
    watched: Watched = field(default_factory=Watched)
    events: LifecycleEvents = field(default_factory=Silent)
    record: Record = _no_record
    traces: Traces = field(default_factory=Traces)
