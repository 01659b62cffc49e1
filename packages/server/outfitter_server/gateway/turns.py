"""Whose turn it is: connections that send more than their share wait in a round, so that nobody waits long for one of them.

What a connection sends within its share is handled as it comes. What is beyond (a flood, or a burst) is handled a few packets at
a time, each waiting connection in turn, for a moment of each turn of the loop; meanwhile its socket is not read. With nobody
else there this costs a flood next to nothing; with others there it costs them no more than that moment.
"""

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import Protocol

from outfitter_server.gateway.limits import CROWDED_SECONDS, ROUND_SECONDS
from outfitter_server.services.meters import Meters

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """A connection with packets that were received and not handled."""

    def take_turn(self) -> bool:
        """Handle a few; whether there are more that can be handled now."""

    def hold_back(self) -> None:
        """Do not read the socket before the rest is handled."""

    def abort(self) -> None:
        """End it: its turn failed."""


class Crowd(Protocol):
    """Where requests are queued."""

    @property
    def crowded(self) -> bool:
        """Whether as many wait as those who come now should find before them."""


class Turns:
    """The round of one gateway. Use it on the event loop's thread."""

    def __init__(self, crowd: Crowd, meters: Meters) -> None:
        """Nobody waits."""
        self._meters = meters
        self._crowd = crowd
        self._waiting: deque[Reader] = deque()
        self._fresh: list[
            Reader
        ] = []  # came since the last moment; most are served in the next and never held back
        self._scheduled = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def join(self, reader: Reader) -> None:
        """Wait for a turn; a reader joins again only after it has left."""
        self._waiting.append(reader)
        self._fresh.append(reader)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go_round)

    def _go_round(self) -> None:
        waiting, crowd = self._waiting, self._crowd
        until = monotonic() + ROUND_SECONDS
        crowded = crowd.crowded
        while waiting and not crowded:
            reader = waiting.popleft()
            try:
                if reader.take_turn():
                    waiting.append(reader)
            except Exception:  # noqa: BLE001 - a fault in one connection's turn must not end the turns of all others
                _log.exception("a turn failed, and its connection is closed")
                reader.abort()
            if monotonic() >= until:
                break
            crowded = crowd.crowded
        fresh, self._fresh = self._fresh, []
        for reader in fresh:
            reader.hold_back()
        self._scheduled = bool(waiting)
        if not waiting:
            return
        self._meters.turns_waited += 1
        loop = asyncio.get_running_loop()
        if crowded:
            loop.call_later(CROWDED_SECONDS, self._go_round)
        else:
            loop.call_soon(self._go_round)
