"""Client ids whose sessions wait for them, in the order of their leaving and of their expiry."""

from heapq import heapify, heappop, heappush
from itertools import islice

from outfitter_server.mqtt.sessions import EXPIRY_NEVER

_STALE_MAX = 1000


class Waiting:
    """What waits, by client id. Looking for what expired costs what expired, however many wait."""

    def __init__(self) -> None:
        """Nobody is away."""
        self._expires_at: dict[str, int] = {}  # seconds; first gone first
        self._due: list[tuple[int, str]] = []  # a heap; an entry that differs from the above is stale

    def __len__(self) -> int:
        """How many wait."""
        return len(self._expires_at)

    def leave(self, client_id: str, expires_at: int) -> None:
        """A client went at this moment, as the last of all."""
        self._expires_at.pop(client_id, None)
        self._expires_at[client_id] = expires_at
        if expires_at != EXPIRY_NEVER:
            heappush(self._due, (expires_at, client_id))
        # Clients that come and go leave stale entries: swept when they are most of the heap.
        if len(self._due) > 2 * len(self._expires_at) + _STALE_MAX:
            self._due = [(due, name) for name, due in self._expires_at.items() if due != EXPIRY_NEVER]
            heapify(self._due)

    def come(self, client_id: str) -> int | None:
        """A client is back, or over; the second at which it would have expired, None when it did not wait."""
        return self._expires_at.pop(client_id, None)

    def take(self, now: int, room: int) -> list[str]:
        """End the wait of what expired, and of what first went beyond as many as there is room for."""
        over = []
        while self._due and self._due[0][0] <= now:
            expires_at, client_id = heappop(self._due)
            if self._expires_at.get(client_id) == expires_at:
                del self._expires_at[client_id]
                over.append(client_id)
        surplus = list(islice(self._expires_at, max(0, len(self._expires_at) - room)))
        for client_id in surplus:
            del self._expires_at[client_id]
        return over + surplus
