"""Topic names and filters: which are valid, which match, who is subscribed.

The rules are MQTT's with two of AWS's: a name has at most 256 bytes and 7 slashes (AWS IoT message broker limits), and a
filter that ends in ``/#`` after more than one level does not match the level above (``a/c/#`` matches ``a/c/`` and
``a/c/x``, not ``a/c``; ``a/#`` does match ``a``). Filters that begin with a wildcard match no topic that begins with $.
"""

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

TOPIC_BYTES_MAX: Final = 256
SLASHES_MAX: Final = 7
SHARE_PREFIX: Final = "$share/"
BASIC_INGEST_PREFIX: Final = "$aws/rules/"
_FILTER_BYTES: Final = 640  # what a filter takes besides its text, and each level of one with wildcards
_LEVEL_BYTES: Final = 480
_BASIC_INGEST_SLASHES: Final = 3  # $aws/rules/{rule}/ does not count against the limit

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def _fits(topic: str) -> bool:
    slashes = SLASHES_MAX + (_BASIC_INGEST_SLASHES if topic.startswith(BASIC_INGEST_PREFIX) else 0)
    return 0 < len(topic.encode()) <= TOPIC_BYTES_MAX and topic.count("/") <= slashes and "\0" not in topic


def valid_topic(topic: str) -> bool:
    """Whether a message can be published to it."""
    return _fits(topic) and "+" not in topic and "#" not in topic


def valid_filter(topic_filter: str) -> bool:
    """Whether it can be subscribed to: wildcards fill whole levels, ``#`` only the last."""
    if not _fits(topic_filter):
        return False
    *above, last = topic_filter.split("/")
    return all("#" not in level and ("+" not in level or level == "+") for level in above) and (
        last in {"#", "+"} or ("#" not in last and "+" not in last)
    )


def has_wildcard(topic_filter: str) -> bool:
    """Whether a valid filter can match more than one topic."""
    return "+" in topic_filter or topic_filter.endswith("#")


def filter_bytes(topic_filter: str) -> int:
    """About how many bytes of memory a subscription to it takes at most, for whoever bounds what is kept."""
    by_levels = has_wildcard(topic_filter) or topic_filter.startswith(SHARE_PREFIX)
    levels = topic_filter.count("/") + 1 if by_levels else 1
    return _FILTER_BYTES + len(topic_filter.encode()) + _LEVEL_BYTES * levels


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a valid filter matches a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"#", "+"}:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return len(levels) > index or index <= 1
        if index >= len(levels) or level not in {"+", levels[index]}:
            return False
    return len(levels) == len(wanted)


def _levels_before_rest(topic_filter: str) -> list[str]:
    levels = topic_filter.split("/")
    return levels[:-1] if levels[-1] == "#" else levels


class _Node(Generic[Key, Item]):
    __slots__ = ("below", "here", "rest")

    def __init__(self) -> None:
        self.below: dict[str, _Node[Key, Item]] = {}
        self.here: dict[Key, Item] = {}  # filters that end at this level
        self.rest: dict[Key, Item] = {}  # filters that end in # below this level


class SubscriptionTrie(Generic[Key, Item]):
    """Filters by level. Filters without wildcards are kept in one dictionary, since most subscriptions are such."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[Key, Item]] = {}
        self._root: _Node[Key, Item] = _Node()

    def add(self, topic_filter: str, key: Key, item: Item) -> None:
        """Subscribe; an item with the same filter and key is replaced."""
        if has_wildcard(topic_filter):
            self._place(topic_filter)[key] = item
        else:
            self._exact.setdefault(topic_filter, {})[key] = item

    def remove(self, topic_filter: str, key: Key) -> None:
        """Unsubscribe; unknown subscriptions are ignored."""
        if not has_wildcard(topic_filter):
            holders = self._exact.get(topic_filter, {})
            holders.pop(key, None)
            if not holders:
                self._exact.pop(topic_filter, None)
            return
        path = [("", self._root)]
        for level in _levels_before_rest(topic_filter):
            node = path[-1][1].below.get(level)
            if node is None:
                return
            path.append((level, node))
        last = path[-1][1]
        (last.rest if topic_filter.endswith("#") else last.here).pop(key, None)
        for (_, parent), (level, node) in zip(path[-2::-1], path[:0:-1], strict=True):
            if node.below or node.here or node.rest:
                break
            del parent.below[level]

    def match(self, topic: str) -> Iterator[tuple[Key, Item]]:
        """Every (key, item) whose filter matches; a key comes once for each of its filters."""
        exact = self._exact.get(topic)
        if exact:
            yield from exact.items()
        if self._root.below or self._root.rest:
            yield from self._match_wildcards(topic)

    def _match_wildcards(self, topic: str) -> Iterator[tuple[Key, Item]]:
        levels = topic.split("/")
        hidden = topic.startswith("$")
        if not hidden:
            yield from self._root.rest.items()
        nodes = [self._root]
        for depth, level in enumerate(levels):
            found = []
            for node in nodes:
                for name in (level,) if hidden and not depth else (level, "+"):
                    child = node.below.get(name)
                    if child is not None:
                        found.append(child)
            nodes = found
            for node in nodes:
                if depth + 1 < len(levels) or depth == 0:
                    yield from node.rest.items()
        for node in nodes:
            yield from node.here.items()

    def _place(self, topic_filter: str) -> dict[Key, Item]:
        node = self._root
        for level in _levels_before_rest(topic_filter):
            node = node.below.setdefault(level, _Node())
        return node.rest if topic_filter.endswith("#") else node.here
