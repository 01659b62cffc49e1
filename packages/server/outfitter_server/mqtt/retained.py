"""Retained messages by topic: the newest of each, found by filter.

Topics are kept exactly as published: ``a%2Fb`` is another topic than ``a/b``.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from outfitter_server.mqtt.topics import has_wildcard

_OVERHEAD_BYTES: Final = 256  # of a message in memory, besides its texts


class Retained(msgspec.Struct, frozen=True, gc=False):
    """The newest retained message of a topic.

    Attributes:
        properties: written, as all subscribers get them (``properties.travelling``); the expiry is ``expires_at``.
        stored_at: milliseconds since the epoch.
        expires_at: milliseconds since the epoch; None for never.
    """

    topic: str
    payload: bytes
    qos: int
    stored_at: int
    properties: bytes = b""
    expires_at: int | None = None

    def size(self) -> int:
        """The bytes that count against the bound of all retained messages."""
        return len(self.topic) + len(self.payload) + len(self.properties) + _OVERHEAD_BYTES

    def lives(self, now: int) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or self.expires_at > now


class _Node:
    __slots__ = ("below", "topic")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.topic: str | None = None  # set where a retained message ends


class RetainedTopics:
    """The retained messages, in a tree of topic levels beside a dictionary.

    Attributes:
        held: the bytes of all of them.
    """

    def __init__(self) -> None:
        """Nothing is retained."""
        self._messages: dict[str, Retained] = {}
        self._root = _Node()
        self.held = 0

    def __len__(self) -> int:
        """How many topics have a retained message."""
        return len(self._messages)

    def get(self, topic: str) -> Retained | None:
        """The message of exactly this topic, expired or not."""
        return self._messages.get(topic)

    def put(self, message: Retained) -> None:
        """Keep it in place of any other of its topic."""
        old = self._messages.get(message.topic)
        self.held += message.size() - (old.size() if old is not None else 0)
        self._messages[message.topic] = message
        if old is None:
            node = self._root
            for level in message.topic.split("/"):
                node = node.below.setdefault(level, _Node())
            node.topic = message.topic

    def remove(self, topic: str) -> bool:
        """Keep none of this topic; whether there was one."""
        old = self._messages.pop(topic, None)
        if old is None:
            return False
        self.held -= old.size()
        path = [("", self._root)]
        for level in topic.split("/"):
            path.append((level, path[-1][1].below[level]))
        path[-1][1].topic = None
        for (_, parent), (level, node) in zip(path[-2::-1], path[:0:-1], strict=True):
            if node.below or node.topic is not None:
                break
            del parent.below[level]
        return True

    def match(self, topic_filter: str) -> Iterator[str]:
        """The topics with a message that the filter matches, by the same rules as ``topics.matches``."""
        return (topic for topic in self.walk(topic_filter) if topic is not None)

    def walk(self, topic_filter: str) -> Iterator[str | None]:
        """As ``match``, with None for each step that finds nothing; what changes meanwhile is met or not."""
        if not has_wildcard(topic_filter):
            yield topic_filter if topic_filter in self._messages else None
            return
        levels = topic_filter.split("/")
        waiting = [(iter([self._root]), 0)]
        while waiting:
            nodes, depth = waiting[-1]
            node = next(nodes, None)
            if node is None:
                waiting.pop()
                continue
            wanted = levels[min(depth, len(levels) - 1)]
            below = wanted == "#"
            ends = depth == len(levels) or (
                # Only a filter of one level before its # matches the level above.
                below and (depth >= len(levels) or depth == 1)
            )
            yield node.topic if ends else None
            if depth < len(levels) or below:
                waiting.append((iter(_step(node, "+" if below else wanted, hide=not depth)), depth + 1))


def _step(node: _Node, wanted: str, *, hide: bool) -> list[_Node]:
    """One level down, as it is now; a leading wildcard passes over what begins with $."""
    if wanted != "+":
        found = node.below.get(wanted)
        return [] if found is None else [found]
    if hide:
        return [below for level, below in node.below.items() if not level.startswith("$")]
    return list(node.below.values())
