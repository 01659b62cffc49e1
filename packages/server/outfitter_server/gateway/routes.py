"""Where a published topic leads and what a topic filter asks for, told by its name alone."""

from enum import Enum
from typing import Final

from outfitter_contract import topics as jobs_topics
from outfitter_contract.topics import JobsRequest, Verb

from outfitter_server.gateway import provisioning_wire
from outfitter_server.jobs import events
from outfitter_server.mqtt import topics
from outfitter_server.mqtt.properties import text
from outfitter_server.mqtt.shares import parse_share
from outfitter_server.services.watched import EVERY_THING

_NOTICES: Final = ("notify", "notify-next")
_THINGS_LEVELS: Final = 5  # $aws/things/{thing}/jobs/{word}


class Destination(Enum):
    """What the gateway does with a published message."""

    FREE = "to the subscribers"
    INGEST = "to one topic rule, and to no subscriber"
    JOBS = "a request to the job service"
    UNKNOWN_JOBS = "in a thing's jobs namespace, and no request"
    PROVISIONING = "a request of a device that wants an identity"
    RESERVED = "written by the service, or unknown to it"
    INVALID = "no topic that can be published to"


class Route:
    """Where one topic leads, with what answering it needs, made once for each connection.

    Attributes:
        topic: the topic itself.
        destination: where it leads.
        thing: whose namespace it lies in, "" for none.
        request: the parsed request of a JOBS route; a stand-in for UNKNOWN_JOBS; None otherwise.
        provisioning: the parsed request of a PROVISIONING route, None otherwise.
        allowed: set by the connection: its policies' verdict.
    """

    __slots__ = ("_answers", "allowed", "destination", "provisioning", "request", "thing", "topic")

    def __init__(self, topic: str) -> None:
        """Classify a topic."""
        self.topic = topic
        self.request: JobsRequest | None = None
        self.provisioning: provisioning_wire.ProvisioningRequest | None = None
        self.thing = ""
        self.allowed = False
        self._answers: dict[str, bytes] = {}
        self.destination = self._classify(topic)

    def answer_topic(self, suffix: str) -> bytes:
        """The topic of an answer (``suffix`` begins with a slash) with its two-byte length."""
        answer = self._answers.get(suffix)
        if answer is None:
            answer = self._answers[suffix] = text(self.topic + suffix)
        return answer

    def _classify(self, topic: str) -> Destination:
        if not topics.valid_topic(topic):
            return Destination.INVALID
        if not topic.startswith("$"):
            return Destination.FREE
        if topic.startswith(topics.BASIC_INGEST_PREFIX) and topic.count("/") > 1:
            return Destination.INGEST
        self.request = jobs_topics.parse_request(topic)
        if self.request is not None:
            self.thing = self.request.thing
            return Destination.JOBS
        if not jobs_topics.is_jobs_topic(topic):
            self.provisioning = provisioning_wire.parse_request(topic)
            return Destination.RESERVED if self.provisioning is None else Destination.PROVISIONING
        *_, thing, _jobs, rest = topic.split("/", _THINGS_LEVELS - 1)
        last = rest.rpartition("/")[2]
        if rest in _NOTICES or last in {"accepted", "rejected"}:
            return Destination.RESERVED
        self.thing = thing
        # Its payload is read like that of any request, for the token that the rejection echoes.
        self.request = JobsRequest(thing, Verb.GET_PENDING)
        return Destination.UNKNOWN_JOBS


class Interest(Enum):
    """What a topic filter asks for."""

    FREE = "messages of other clients, or lifecycle events"
    NOTICE = "exactly one thing's notify or notify-next"
    NOTICES = "notifications among others, by wildcard"
    SILENT = "a topic that the service answers on directly or not at all"
    SHARED = "a shared subscription"
    RESERVED = "a topic that nobody may subscribe to"
    INVALID = "no topic filter"


def _shared_interest(topic_filter: str) -> Interest:
    """Only free topics and events are shared: answers and notifications belong to one device."""
    parsed = parse_share(topic_filter)
    shared = Interest.INVALID if parsed is None else interest(parsed[1])[0]
    if shared is Interest.FREE:
        return Interest.SHARED
    return Interest.INVALID if shared is Interest.INVALID else Interest.RESERVED


def interest(topic_filter: str) -> tuple[Interest, str]:
    """What a filter asks for, and of which thing (``+`` for all of them, "" for none)."""
    if topic_filter.startswith(topics.SHARE_PREFIX):
        return _shared_interest(topic_filter), ""
    if not topics.valid_filter(topic_filter):
        return Interest.INVALID, ""
    if not topic_filter.startswith("$"):
        return Interest.FREE, ""
    if topic_filter.startswith(events.PREFIX):
        return Interest.FREE, ""
    if topic_filter.startswith((provisioning_wire.CERTIFICATES, provisioning_wire.TEMPLATES)):
        return Interest.SILENT, ""
    if not topic_filter.startswith(jobs_topics.PREFIX):
        return Interest.RESERVED, ""
    thing = topic_filter.split("/")[2]
    if thing in {"+", "#"}:
        thing = EVERY_THING
    sample = "x" if thing == EVERY_THING else thing
    names = (jobs_topics.notify(sample), jobs_topics.notify_next(sample))
    if topic_filter in names:
        return Interest.NOTICE, thing
    if topics.has_wildcard(topic_filter) and any(topics.matches(topic_filter, name) for name in names):
        return Interest.NOTICES, thing
    return Interest.SILENT, ""
