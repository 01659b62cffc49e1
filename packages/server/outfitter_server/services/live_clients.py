"""Which things are connected: those whose name is the client id of an open MQTT session, as AWS's fleet index has it.

The connections of this process are the truth, so nothing is written when a client comes, and after a restart nobody is
connected. When things left, and why, is recorded; see services/connectivity.py.
"""

import heapq
from collections.abc import Callable, Collection
from typing import Final

DEPARTURES_MAX: Final = 50_000
DEPARTURES_MS: Final = 60 * 60 * 1000

# A client came (None), or left for a reason of AWS's list (disconnectReason).
Listener = Callable[[str, str | None], None]


class LiveClients:
    """Told by the gateway who comes and goes, on the loop's thread; may be asked in any thread."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """``clock`` gives milliseconds since the epoch."""
        self._clock = clock
        self._since: dict[str, int] = {}
        self._departures: dict[str, tuple[int, str]] = {}  # the oldest first
        self._listener: Listener | None = None

    def listen(self, listener: Listener) -> None:
        """Hear of every client that comes or goes."""
        self._listener = listener

    def came(self, client: str) -> None:
        """The client has a session open."""
        self._since[client] = self._clock()
        self._departures.pop(client, None)
        if self._listener is not None:
            self._listener(client, None)

    def left(self, client: str, reason: str) -> None:
        """The client's connection is gone."""
        if self._since.pop(client, None) is None:
            return
        now = self._clock()
        self._departures[client] = (now, reason)
        while len(self._departures) > DEPARTURES_MAX or self._oldest() < now - DEPARTURES_MS:
            del self._departures[next(iter(self._departures))]
        if self._listener is not None:
            self._listener(client, reason)

    def since(self, thing: str) -> int | None:
        """Since when a thing is connected (milliseconds since the epoch); None when it is not."""
        return self._since.get(thing)

    def departure(self, client: str) -> tuple[int, str] | None:
        """When a client left in the last hour (milliseconds since the epoch), and why; None for all others."""
        return self._departures.get(client)

    def _oldest(self) -> int:
        return next(iter(self._departures.values()))[0]

    def after(self, name: str, limit: int) -> Collection[str]:
        """The next clients by name."""
        return heapq.nsmallest(limit, (client for client in list(self._since) if client > name))
