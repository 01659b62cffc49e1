"""The metrics that are exported, and where each number comes from.

Counts are plain numbers where the work is done (services/meters.py), the rest is asked when somebody looks. Labels have values
from lists in the source; no device, topic, rule or key ever is one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Final

from outfitter_contract.topics import Verb

from outfitter_server.base.refusals import Refusal
from outfitter_server.gateway.server import Gateway
from outfitter_server.jobs.values import Describe, GetPending, StartNext, Update
from outfitter_server.main.job_service import JobParts
from outfitter_server.services.committer import Committer
from outfitter_server.services.event_queue import EventQueue
from outfitter_server.services.meters import Histogram, Meters
from outfitter_server.services.retained import RetainedMessages
from outfitter_server.services.rule_engine import RuleEngine
from outfitter_server.services.timers import next_due
from outfitter_server.stores.sqlite.store import SqliteStore

_OPERATIONS: Final[Mapping[type, str]] = {
    Update: "update",
    Describe: "get",
    GetPending: "get-pending",
    StartNext: "start-next",
}
_VERBS: Final[Mapping[Verb | None, str]] = {
    Verb.UPDATE: _OPERATIONS[Update],
    Verb.DESCRIBE: _OPERATIONS[Describe],
    Verb.GET_PENDING: _OPERATIONS[GetPending],
    Verb.START_NEXT: _OPERATIONS[StartNext],
    None: "unknown",
}


class Kind(StrEnum):
    """What kind of number."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Who is asked."""

    meters: Meters
    committer: Committer
    gateway: Gateway
    retained: RetainedMessages
    jobs: JobParts
    rules: RuleEngine
    function_events: EventQueue
    store: SqliteStore


Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as it is exported, without the ``_total`` of a counter's samples."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Sources], Samples | Histogram]


def _one(of: Callable[[Sources], float]) -> Callable[[Sources], Samples]:
    return lambda sources: [((), of(sources))]


def _by(of: Callable[[Meters], Mapping[str, int]]) -> Callable[[Sources], Samples]:
    return lambda sources: [((name,), count) for name, count in of(sources.meters).items()]


def _by_qos(of: Callable[[Meters], list[int]]) -> Callable[[Sources], Samples]:
    return lambda sources: [((str(qos),), count) for qos, count in enumerate(of(sources.meters))]


def _dropped(sources: Sources) -> Samples:
    queues = sources.gateway.broker.queues
    counts = {**sources.meters.dropped, "queue_full": queues.dropped, "expired": queues.expired}
    return [((reason,), count) for reason, count in counts.items()]


def _sessions(sources: Sources) -> Samples:
    connected = sources.gateway.connected
    return [(("connected",), connected), (("away",), len(sources.gateway.broker.sessions) - connected)]


def _job_requests(sources: Sources) -> Samples:
    counts: Counter[tuple[str, ...]] = Counter()
    for (request, outcome), count in sources.jobs.plane.requests.items():
        code = outcome.code if issubclass(outcome, Refusal) else "accepted"
        counts[_OPERATIONS[request], code] += count
    for (verb, refusal), count in sources.meters.job_requests_unread.items():
        counts[_VERBS[verb], refusal.code] += count
    return counts.items()


def _timer_lag_seconds(sources: Sources) -> float:
    due = sources.committer.read(next_due)
    return 0.0 if due is None else max(0.0, (sources.committer.now() - due) / 1000)


_counter, _gauge = Kind.COUNTER, Kind.GAUGE

FAMILIES: Final = (
    Family(
        "outfitter_build_info",
        _gauge,
        "Always 1; the release is its label.",
        ("version",),
        lambda _: [((version("outfitter-server"),), 1)],
    ),
    Family(
        "outfitter_mqtt_connections_open",
        _gauge,
        "Connections that are open, with a session or not yet.",
        ("listener",),
        lambda sources: [((name,), count) for name, count in sources.gateway.listeners().items()],
    ),
    Family(
        "outfitter_mqtt_connections",
        _counter,
        "Connections that were opened.",
        ("listener",),
        _by(lambda meters: meters.connections),
    ),
    Family(
        "outfitter_mqtt_connections_refused",
        _counter,
        "Connections that got no session; FULL: there was no room, CROWDED: gave way, SILENT: said nothing in time, NO_CONNECT: said something else first, HANDSHAKE: of TLS.",
        ("reason",),
        _by(lambda meters: meters.refused),
    ),
    Family(
        "outfitter_mqtt_connections_closed",
        _counter,
        "Connections with a session that ended, by AWS's disconnectReason.",
        ("reason",),
        _by(lambda meters: meters.closed),
    ),
    Family(
        "outfitter_mqtt_slow_readers_closed",
        _counter,
        "Connections that were closed because their clients did not read what they were sent.",
        (),
        _one(lambda sources: sources.meters.slow_readers),
    ),
    Family(
        "outfitter_mqtt_turns_waited",
        _counter,
        "Moments in which connections that sent more than their share waited for their turn.",
        (),
        _one(lambda sources: sources.meters.turns_waited),
    ),
    Family(
        "outfitter_mqtt_messages_received",
        _counter,
        "PUBLISH packets that came in.",
        ("qos",),
        _by_qos(lambda meters: meters.messages_in),
    ),
    Family(
        "outfitter_mqtt_messages_sent",
        _counter,
        "PUBLISH packets that went out.",
        ("qos",),
        _by_qos(lambda meters: meters.messages_out),
    ),
    Family(
        "outfitter_mqtt_received_bytes",
        _counter,
        "Bytes that came in over MQTT, without those of TLS and WebSocket.",
        (),
        _one(lambda sources: sources.meters.bytes_in),
    ),
    Family(
        "outfitter_mqtt_sent_bytes",
        _counter,
        "Bytes that went out over MQTT, without those of TLS and WebSocket.",
        (),
        _one(lambda sources: sources.meters.bytes_out),
    ),
    Family(
        "outfitter_mqtt_messages_dropped",
        _counter,
        "Messages that a session was to get and did not.",
        ("reason",),
        _dropped,
    ),
    Family(
        "outfitter_mqtt_sessions",
        _gauge,
        "Sessions, with their client or waiting for it.",
        ("state",),
        _sessions,
    ),
    Family(
        "outfitter_mqtt_subscriptions",
        _gauge,
        "Topic filters of all sessions.",
        (),
        _one(lambda sources: sources.gateway.broker.subscriptions),
    ),
    Family(
        "outfitter_mqtt_queued_messages",
        _gauge,
        "Messages that wait in sessions, besides those that were sent and not acknowledged.",
        (),
        _one(lambda sources: sources.gateway.broker.queues.messages),
    ),
    Family(
        "outfitter_mqtt_queued_bytes",
        _gauge,
        "The bytes that sessions hold, of messages that wait and of those that were sent and not acknowledged.",
        (),
        _one(lambda sources: sources.gateway.broker.queues.held),
    ),
    Family(
        "outfitter_mqtt_retained_messages",
        _gauge,
        "Retained messages.",
        (),
        _one(lambda sources: sources.retained.count),
    ),
    Family(
        "outfitter_mqtt_retained_bytes",
        _gauge,
        "What they count against their bound.",
        (),
        _one(lambda sources: sources.retained.held),
    ),
    Family(
        "outfitter_job_requests",
        _counter,
        "Requests of devices to the jobs service, over MQTT and HTTPS: accepted, or the refusal.",
        ("operation", "outcome"),
        _job_requests,
    ),
    Family(
        "outfitter_job_executions_ended",
        _counter,
        "Executions that reached a terminal status.",
        ("status",),
        _by(lambda meters: meters.executions_ended),
    ),
    Family(
        "outfitter_job_notifications",
        _counter,
        "Messages to notify and notify-next that were sent to sessions.",
        (),
        _one(lambda sources: sources.meters.notifications),
    ),
    Family(
        "outfitter_timer_lag_seconds",
        _gauge,
        "How late the earliest timer is that has not fired; 0 when none is due.",
        (),
        _one(_timer_lag_seconds),
    ),
    Family(
        "outfitter_commit_seconds",
        Kind.HISTOGRAM,
        "How long transactions took, from their begin until they were on disk.",
        (),
        lambda sources: sources.meters.commits,
    ),
    Family(
        "outfitter_committed_changes",
        _counter,
        "Requests and changes that these transactions held.",
        (),
        _one(lambda sources: sources.meters.changes),
    ),
    Family(
        "outfitter_committer_waiting",
        _gauge,
        "Changes that wait for their transaction.",
        (),
        _one(lambda sources: sources.committer.waiting),
    ),
    Family(
        "outfitter_http_requests",
        _counter,
        "HTTP requests, by who served them and the first digit of the status.",
        ("service", "status"),
        lambda sources: list(sources.meters.http_requests.items()),
    ),
    Family(
        "outfitter_function_invocations",
        _counter,
        "Runs of functions that came to an end.",
        ("outcome",),
        _by(lambda meters: meters.invocations),
    ),
    Family(
        "outfitter_function_events_waiting",
        _gauge,
        "Asynchronous invocations that wait, at most.",
        (),
        _one(lambda sources: sources.function_events.waiting),
    ),
    Family(
        "outfitter_topic_rules",
        _gauge,
        "Topic rules that are enabled.",
        (),
        _one(lambda sources: sources.rules.count),
    ),
    Family(
        "outfitter_topic_rule_messages",
        _counter,
        "Messages that matched a topic rule, once for each.",
        (),
        _one(lambda sources: sources.meters.rule_messages),
    ),
    Family(
        "outfitter_topic_rule_failures",
        _counter,
        "What topic rules failed at; the log tells which.",
        (),
        _one(lambda sources: sources.meters.rule_failures),
    ),
    Family(
        "outfitter_events_published",
        _counter,
        "Events of jobs, executions, presence and subscriptions that were published.",
        (),
        _one(lambda sources: sources.meters.events + sources.jobs.events_published),
    ),
    Family(
        "outfitter_events_waiting",
        _gauge,
        "Events of jobs and executions in the outbox, at most.",
        (),
        _one(lambda sources: sources.jobs.events_waiting),
    ),
    Family(
        "outfitter_store_bytes",
        _gauge,
        "The size of the database.",
        (),
        _one(lambda sources: sources.store.file_bytes),
    ),
    Family(
        "outfitter_store_log_bytes",
        _gauge,
        "The size of its write-ahead log.",
        (),
        _one(lambda sources: sources.store.log_bytes),
    ),
)
