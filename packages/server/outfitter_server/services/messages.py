"""Messages that come in for others: from devices, over HTTP, from rules; and publishing them over HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from outfitter_server.base.refusals import ForbiddenTopic, InvalidRequest, LimitExceeded
from outfitter_server.mqtt.packets import NO_PROPERTIES, Properties
from outfitter_server.mqtt.topics import BASIC_INGEST_PREFIX, valid_topic

PAYLOAD_BYTES_MAX: Final = 128 * 1024
EXPIRY_SECONDS_MAX: Final = 604_800
REPUBLISHED_MAX: Final = 100  # messages that rules may make of one


class Chain:
    """What rules made of one message, counted: rules that feed each other must come to an end."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        """Nothing is made yet."""
        self.left = REPUBLISHED_MAX


class Published(msgspec.Struct, frozen=True):
    """A message on its way in.

    Attributes:
        client_id: "" when it came over HTTP or from a rule.
        retain: kept as its topic's newest for subscribers to come; with an empty payload, that is cleared.
        hops: how many rules passed it on, one after the other.
        chain: what it shares with all messages that come of the same first one; None for a first one.
    """

    topic: str
    payload: bytes
    qos: int = 0
    client_id: str = ""
    properties: Properties = NO_PROPERTIES
    hops: int = 0
    chain: Chain | None = None
    retain: bool = False


class Publication(msgspec.Struct, frozen=True):
    """What became of a message: sessions reached, and what must be on disk before it is acknowledged, if anything.

    ``kept`` is False when it should have been retained and there was no room; subscribers got it all the same.
    """

    reached: int
    under_way: "asyncio.Future[None] | None" = None
    kept: bool = True


Publish = Callable[[Published], Publication]


def lifetime_seconds(properties: Properties) -> int | None:
    """How long a message is worth delivering: its expiry, at least a second and at most a week as on AWS; None for always."""
    expiry = properties.message_expiry_seconds
    return None if expiry is None else min(max(expiry, 1), EXPIRY_SECONDS_MAX)


def together(waits: "Sequence[asyncio.Future[None]]") -> "asyncio.Future[None] | None":
    """One future for several that never fail; None for none."""
    if len(waits) <= 1:
        return waits[0] if waits else None
    return asyncio.ensure_future(_all_of(waits))


async def _all_of(waits: "Sequence[asyncio.Future[None]]") -> None:
    await asyncio.wait(waits)


class Rules(Protocol):
    """Who looks at every message that comes in."""

    active: bool

    def take(self, message: Published) -> "asyncio.Future[None] | None":
        """Run the rules that match; a future for what is to be waited for."""


class Messages:
    """Publishing for callers that are no MQTT client."""

    def __init__(self, publish: Publish) -> None:
        """``publish`` routes a message to subscribers and rules."""
        self._publish = publish

    async def publish(self, message: Published) -> None:
        """Publish, and return when all that is durable of it is on disk.

        Raises:
            InvalidRequest: the topic has wildcards or is none, or something is too large.
            ForbiddenTopic: it is one that the service writes.
            LimitExceeded: it could not be retained.
        """
        topic, expiry = message.topic, message.properties.message_expiry_seconds
        if not valid_topic(topic):
            raise InvalidRequest(
                f"'{topic[:300]}' is no topic to publish to: it needs 1 to 256 bytes, at most 7 slashes, and no + or #"
            )
        if topic.startswith("$") and not (topic.startswith(BASIC_INGEST_PREFIX) and topic.count("/") > 1):
            raise ForbiddenTopic(
                f"topic {topic} is reserved: of those that begin with $, only $aws/rules/NAME/… is open"
            )
        if len(message.payload) > PAYLOAD_BYTES_MAX:
            raise InvalidRequest(
                f"the payload has {len(message.payload)} bytes, at most {PAYLOAD_BYTES_MAX} are allowed"
            )
        if expiry is not None and not 0 < expiry <= EXPIRY_SECONDS_MAX:
            raise InvalidRequest(f"messageExpiry must be 1 to {EXPIRY_SECONDS_MAX} seconds")
        if not valid_topic(message.properties.response_topic or "x"):
            raise InvalidRequest("responseTopic must be a topic without wildcards")
        done = self._publish(message)
        if done.under_way is not None:
            await asyncio.shield(done.under_way)
        if not done.kept:
            raise LimitExceeded(
                f"the message to {topic} went out and is not retained: too many are; clear some of them"
            )
