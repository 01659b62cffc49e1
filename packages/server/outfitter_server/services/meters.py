"""What the server has counted since it started: plain numbers that whoever works on something raises by hand.

Nothing here is locked, formatted or labelled by text: a count is an addition on the event loop's thread, and what a number is
called for others is decided where it is read (main/metrics.py). What is there already is not counted again: how many sessions,
subscriptions or queued messages there are is asked of them.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from outfitter_contract.topics import Verb

from outfitter_server.base.refusals import Refusal
from outfitter_server.services.effects import Effect, ExecutionsEnded

COMMIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

Counts = defaultdict[str, int]


def _counts() -> Counts:
    return defaultdict(int)


class Histogram:
    """How often something took how long. Not cumulative; the last count is of what is beyond the last bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """``bounds`` are the upper ends of the buckets, ascending."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Meters:
    """The counts of one server; of the gateway unless their names say otherwise.

    A mapping's keys must come from a list in the source: what a client sends is never one.

    Attributes:
        connections: opened, by listener: ``mqtt``, ``mqtts``, ``wss`` …
        refused: connections that got no session, by reason.
        closed: sessions' connections that ended, by disconnectReason.
        messages_in, messages_out: PUBLISH packets, by QoS.
        bytes_in, bytes_out: of everything on MQTT connections, without TLS.
        slow_readers: connections that were closed because their clients did not read.
        turns_waited: moments in which connections that sent more than their share waited for their turn.
        dropped: messages that somebody was to get and did not, by reason; those of full queues are in their Budget.
        job_requests_unread: by verb (None: of no operation) and refusal, those over MQTT that the job service never saw.
        notifications: notify and notify-next sent.
        events: presence and subscription events published.
        executions_ended: by status.
        changes, commits: of the committer: what it was asked to change, and how many seconds each transaction took.
        http_requests: by (service, class of status).
        invocations: of functions, by outcome: ``succeeded``, ``failed`` (the function did), ``not_run``.
        rule_messages: messages that matched a topic rule, once for each rule.
        rule_failures: what rules failed at.
    """

    def __init__(self) -> None:
        """Nothing has happened."""
        self.connections = _counts()
        self.refused = _counts()
        self.closed = _counts()
        self.messages_in = [0, 0]
        self.messages_out = [0, 0]
        self.bytes_in = 0
        self.bytes_out = 0
        self.slow_readers = 0
        self.turns_waited = 0
        self.dropped = _counts()
        self.job_requests_unread: defaultdict[tuple[Verb | None, type[Refusal]], int] = defaultdict(int)
        self.notifications = 0
        self.events = 0
        self.executions_ended = _counts()
        self.changes = 0
        self.commits = Histogram(COMMIT_SECONDS)
        self.http_requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.invocations = _counts()
        self.rule_messages = 0
        self.rule_failures = 0

    def hear(self, effects: Sequence[Effect]) -> None:
        """Listens to the committer."""
        for effect in effects:
            if isinstance(effect, ExecutionsEnded):
                for status, count in effect.counts.items():
                    self.executions_ended[status] += count
