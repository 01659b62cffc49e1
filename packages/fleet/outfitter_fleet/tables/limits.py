"""The tables of docs/reference/limits.md: from the constants that are enforced, and from AWS's service model."""

from collections.abc import Mapping
from typing import Final

from outfitter_server.aws.model import load_services
from outfitter_server.base import tags
from outfitter_server.base.throttle import AWS_RATES, CONNECTION_PUBLISHES, DEVICE_READS, DEVICE_WRITES
from outfitter_server.gateway import limits as gateway
from outfitter_server.jobs import details, documents, lifecycle, targets, values
from outfitter_server.jobs import limits as jobs
from outfitter_server.mqtt import decode, topics
from outfitter_server.services import (
    destinations,
    event_publisher,
    policies,
    principals,
    retained,
    topic_rules,
)
from outfitter_server.things import attributes, groups, indexing, query_parser, query_words

from outfitter_fleet.tables.blocks import table

Row = tuple[str, int | str, str, str]

_HEADINGS: Final = ("limit", "value", "where it shows", "AWS's figure")
_SAME: Final = "the same"
_INVALID: Final = "InvalidRequestException"
_LIMIT: Final = "LimitExceededException"
_NONE: Final = "no limit"
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS
_RATE_MEANINGS: Final = {
    CONNECTION_PUBLISHES: "PUBLISH packets of each connection, whatever their topic and QoS",
    DEVICE_READS: "DescribeJobExecution and GetPendingJobExecutions of the device plane, together",
    DEVICE_WRITES: "StartNextPendingJobExecution and UpdateJobExecution of the device plane, together",
}


def blocks() -> Mapping[str, str]:
    """The generated blocks of the document."""
    return {
        "jobs": _table(_jobs()),
        "schedules": _table(_schedules()),
        "devices": _table(_devices()),
        "registry": _table(_registry()),
        "gateway": _table(_gateway()),
        "rates": _rates(),
    }


def _table(rows: list[Row]) -> str:
    return table(
        _HEADINGS,
        [[what, _number(value), where, figure] for what, value, where, figure in rows],
    )


def _number(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _model(operation: str, *path: str, bound: str = "max") -> int:
    """A bound that AWS's model of ``iot`` states, of a member of an operation's input."""
    shape = load_services()["iot"].operation(operation).input_shape
    for name in path:
        shape = shape.member if name == "*" else shape.members[name]
    number: int = shape.metadata[bound]
    return number


def _jobs() -> list[Row]:
    expiry = _model("CreateJob", "presignedUrlConfig", "expiresInSec")
    expiry_min = _model("CreateJob", "presignedUrlConfig", "expiresInSec", bound="min")
    base = ("CreateJob", "jobExecutionsRolloutConfig", "exponentialRate", "baseRatePerMinute")
    return [
        ("characters of a job's id", _model("CreateJob", "jobId"), _INVALID, _SAME),
        ("characters of a description, a comment", _model("CreateJob", "description"), _INVALID, _SAME),
        ("characters of a reason code", _model("CancelJob", "reasonCode"), _INVALID, _SAME),
        ("bytes of a document", documents.DOCUMENT_BYTES_MAX, _INVALID, _SAME),
        ("levels of a document", documents.NESTING_MAX, _INVALID, _SAME),
        ("placeholders of a document", documents.SUBSTITUTIONS_MAX, _INVALID, _SAME),
        ("characters of documentSource", _model("CreateJob", "documentSource"), _INVALID, _SAME),
        ("targets of a job", targets.TARGETS_MAX, _LIMIT, _SAME),
        ("package versions of a job", destinations.DESTINATIONS_MAX, _INVALID, _SAME),
        ("seconds that a pre-signed URL is valid", f"{expiry_min:,} to {expiry:,}", _INVALID, _SAME),
        ("executions queued a minute", jobs.ROLLOUT_RATE_MAX_PER_MINUTE, _INVALID, _SAME),
        ("base rate of an exponential rollout", _model(*base), _INVALID, _SAME),
        ("percent of an abort threshold", jobs.THRESHOLD_MAX_PERCENT, _INVALID, _SAME),
        ("retries, of all types together", jobs.RETRIES_MAX, _INVALID, _SAME),
        ("minutes of the in-progress timeout", jobs.TIMEOUT_MINUTES_MAX, _INVALID, _SAME),
        ("jobs that are being deleted at once", lifecycle.DELETIONS_MAX, f"{_LIMIT} of DeleteJob", _SAME),
        ("tags of a job", tags.TAGS_MAX, f"{_INVALID}; {_LIMIT} of TagResource", _SAME),
        ("jobs at once, active or rolling out", _NONE, "", "a quota of the account"),
        ("days that an ended job is kept", "until it is deleted", "", "730"),
    ]


def _schedules() -> list[Row]:
    window = (
        "CreateJob",
        "schedulingConfig",
        "maintenanceWindows",
        "*",
        "durationInMinutes",
    )
    return [
        (
            "start time, from now",
            f"{jobs.START_AHEAD_MIN_MS // _MINUTE_MS} minutes to {jobs.START_AHEAD_MAX_MS // _DAY_MS} days",
            _INVALID,
            "30 minutes to a year",
        ),
        ("end time, from now", f"{jobs.END_AHEAD_MAX_MS // _DAY_MS} days", _INVALID, "two years"),
        (
            "from start to end",
            f"{jobs.SCHEDULE_LENGTH_MIN_MS // _MINUTE_MS} minutes to {jobs.SCHEDULE_LENGTH_MAX_MS // _DAY_MS} days",
            _INVALID,
            "30 minutes to two years",
        ),
        ("maintenance windows of a job", jobs.WINDOWS_MAX, _INVALID, "not stated"),
        ("minutes of a maintenance window", _model(*window), _INVALID, _SAME),
        ("windows that DescribeJob lists", jobs.WINDOWS_SHOWN, "`scheduledJobRollouts`", _SAME),
    ]


def _devices() -> list[Row]:
    rejected = f"`InvalidRequest`, {_INVALID}"
    return [
        ("pairs of status details", details.DETAILS_PAIRS_MAX, rejected, _SAME),
        ("characters of a key of them", details.DETAILS_KEY_CHARS_MAX, rejected, _SAME),
        ("characters of a value of them", details.DETAILS_VALUE_CHARS_MAX, rejected, _SAME),
        ("minutes of the step timer", details.STEP_TIMEOUT_MINUTES_MAX, rejected, _SAME),
        (
            "pending executions that are shown",
            values.PENDING_SHOWN,
            "`notify`, `get/accepted`",
            "10, and 5 more of jobs with windows",
        ),
        ("pending executions of a thing", _NONE, "", "no limit"),
    ]


def _registry() -> list[Row]:
    query = "InvalidQueryException"
    return [
        ("attributes of a thing without a type", attributes.UNTYPED_MAX, _INVALID, _SAME),
        ("attributes of a thing with one", attributes.TYPED_MAX, _INVALID, _SAME),
        ("attributes of a group", attributes.GROUP_MAX, _INVALID, _SAME),
        ("groups of a thing", groups.GROUPS_OF_A_THING_MAX, _INVALID, _SAME),
        ("levels of a hierarchy of groups", groups.DEPTH_MAX, _INVALID, _SAME),
        ("direct child groups", groups.CHILDREN_MAX, _INVALID, _SAME),
        ("dynamic groups", indexing.DYNAMIC_GROUPS_MAX, _LIMIT, _SAME),
        ("bytes of a query", query_words.QUERY_BYTES_MAX, query, _SAME),
        ("terms of a query", query_parser.TERMS_MAX, query, "5, later 7"),
        ("things that a page of SearchIndex lists", indexing.RESULTS_MAX, "`nextToken`", _SAME),
        ("certificates of a thing", principals.ATTACHED_MAX, _INVALID, "not stated"),
        ("policies of a target", policies.POLICIES_OF_A_TARGET_MAX, _LIMIT, _SAME),
        ("versions of a policy", policies.VERSIONS_MAX, "VersionsLimitExceededException", _SAME),
        ("topic rules", topic_rules.RULES_MAX, _LIMIT, _SAME),
    ]


def _gateway() -> list[Row]:
    closed = "the connection is closed"
    return [
        ("bytes of a payload", gateway.PAYLOAD_BYTES_MAX, closed, _SAME),
        ("bytes of a topic", topics.TOPIC_BYTES_MAX, closed, _SAME),
        ("slashes of a topic", topics.SLASHES_MAX, closed, _SAME),
        ("bytes of a client id", gateway.CLIENT_ID_BYTES_MAX, "CONNACK", _SAME),
        ("filters of a SUBSCRIBE", gateway.FILTERS_PER_SUBSCRIBE_MAX, "SUBACK", _SAME),
        ("subscriptions of a connection", gateway.SUBSCRIPTIONS_MAX, "SUBACK", _SAME),
        ("topic aliases of a connection, each way", gateway.TOPIC_ALIASES_MAX, closed, _SAME),
        ("messages of QoS 1 under way, each way", gateway.IN_FLIGHT_MAX, "they wait", _SAME),
        (
            "seconds of the keep-alive",
            f"{gateway.KEEP_ALIVE_SECONDS_MIN:,} to {gateway.KEEP_ALIVE_SECONDS_MAX:,}",
            "taken as the nearest",
            _SAME,
        ),
        (
            "seconds that a session of MQTT 3.1.1 waits for its client",
            gateway.SESSION_EXPIRY_SECONDS_311,
            "it is forgotten",
            "the same, can be raised",
        ),
        (
            "messages that wait in a session",
            gateway.QUEUE_MESSAGES_MAX,
            "the oldest gives way",
            "not stated",
        ),
        (
            "seconds that a session of MQTT 5 may ask for",
            gateway.SESSION_EXPIRY_SECONDS_MAX,
            "CONNACK",
            _SAME,
        ),
        (
            "sessions whose client is away",
            gateway.OFFLINE_SESSIONS_MAX,
            "the first that left gives way",
            "not stated",
        ),
        ("retained messages", retained.MESSAGES_MAX, "PUBACK", "500,000"),
        ("bytes of all retained messages", retained.BYTES_MAX, "PUBACK", "not stated"),
        ("events that are published at once", event_publisher.AT_ONCE_MAX, "they wait", "not stated"),
        *_abuse(),
        ("messages a second of a connection", "no limit, unless [asked for](#rates)", "", "100"),
        ("CONNECTs a second of a client id", _NONE, "", "1"),
    ]


def _abuse() -> list[Row]:
    """What keeps some clients from the share of others."""
    closed = "the connection is closed"
    return [
        ("connections of a certificate", gateway.CONNECTIONS_OF_A_CERTIFICATE, "CONNACK", "not stated"),
        (
            "sessions of a certificate that are away",
            gateway.SESSIONS_OF_A_CERTIFICATE,
            "the first that left gives way",
            "not stated",
        ),
        ("bytes of the subscriptions of all sessions", gateway.ALL_FILTERS_BYTES_MAX, "SUBACK", "not stated"),
        ("bytes of the wills of all clients", gateway.WILLS_BYTES_MAX, "CONNACK", "not stated"),
        ("filters of an UNSUBSCRIBE", decode.FILTERS_MAX, closed, "not stated"),
        ("bytes that a client which does not read is kept", gateway.HELD_BYTES_MAX, closed, "not stated"),
        ("bytes that all of them together are kept", gateway.ALL_HELD_BYTES_MAX, closed, "not stated"),
        ("connections without their CONNECT", gateway.STRANGERS_MAX, "the oldest gives way", "not stated"),
        (
            "connections that were to begin TLS and say nothing",
            gateway.SILENT_MAX,
            "the oldest gives way",
            "not stated",
        ),
        ("TLS handshakes under way", gateway.HANDSHAKES_MAX, "the oldest gives way", "not stated"),
        (
            "packets a second of a connection, served at once",
            gateway.SHARE_PACKETS,
            "more [wait for their turn](abuse.md)",
            "not stated",
        ),
    ]


def _rates() -> str:
    rows = [
        [f"`{name}`", f"{rate:g}", _RATE_MEANINGS.get(name, name)]
        for name, rate in sorted(AWS_RATES.items(), key=lambda item: (item[0] in _RATE_MEANINGS, item[0]))
    ]
    return table(["name", "a second, by `--rates aws`", "limits"], rows)
