"""What a connection is to be sent of what is retained: looked for and sent in small steps, by turns with others."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from outfitter_server.gateway.limits import RETAINED_STEPS_AT_ONCE, RETAINED_WALKS_MAX
from outfitter_server.gateway.turns import Reader
from outfitter_server.mqtt.sessions import Subscription

_STEPS_OF_A_MESSAGE: Final = 10  # it costs as much as looking at so many topics

Walk = Iterator[str | None]  # topics as they are found, None for a step that found nothing


class Line(Protocol):
    """Where to wait for a turn."""

    def join(self, reader: Reader) -> None:
        """Wait for a turn."""


class RetainedWalks:
    """The filters of one connection that are still to be served, first come first served."""

    __slots__ = ("_found", "_line", "_send", "_waits", "_walks")

    def __init__(self, line: Line, send: Callable[[str, Subscription], bool]) -> None:
        """``send`` sends what is retained of a topic; False when there is no room for it now."""
        self._line = line
        self._send = send
        self._walks: dict[str, tuple[Walk, Subscription]] = {}
        self._found: tuple[str, Subscription] | None = None  # there was no room for it
        self._waits = False

    def __bool__(self) -> bool:
        """Whether something is left."""
        return bool(self._walks) or self._found is not None

    def add(self, topic_filter: str, walk: Walk, subscription: Subscription) -> None:
        """Serve a filter; one that is being served begins anew, and beyond ``RETAINED_WALKS_MAX`` the oldest gives way."""
        self._walks.pop(topic_filter, None)
        self._walks[topic_filter] = (walk, subscription)
        if len(self._walks) > RETAINED_WALKS_MAX:
            del self._walks[next(iter(self._walks))]

    def go_on(self) -> None:
        """Send a little now, and wait for a turn with the rest."""
        if not self._waits and self.take_turn():
            self._waits = True
            self._line.join(self)

    def take_turn(self) -> bool:
        """Send a little; whether more could be sent now."""
        self._waits = False
        left = RETAINED_STEPS_AT_ONCE
        while left > 0 and self:
            if self._found is None:
                self._found = self._next()
                left -= 1
            if self._found is not None:
                if not self._send(*self._found):
                    return False
                self._found = None
                left -= _STEPS_OF_A_MESSAGE
        self._waits = bool(self)
        return self._waits

    def hold_back(self) -> None:
        """Its socket has nothing to do with it."""

    def abort(self) -> None:
        """Look for nothing more."""
        self._walks.clear()
        self._found, self._waits = None, False

    def rest(self, steps_max: int) -> Iterable[tuple[str, Subscription]]:
        """What is left, as far as so many steps find it."""
        found, self._found = self._found, None
        for _ in range(steps_max):
            if found is not None:
                yield found
            if not self._walks:
                return
            found = self._next()

    def _next(self) -> tuple[str, Subscription] | None:
        topic_filter, (walk, subscription) = next(iter(self._walks.items()))
        try:
            topic = next(walk)
        except StopIteration:
            del self._walks[topic_filter]
            return None
        return None if topic is None else (topic, subscription)
