"""Wills: what is published when a client is lost. Those of all clients together are bounded; a client keeps one for as long as it likes.

A client has one will at most. With a book it is there before the client is let in, and leaves it when what was published of it
is on disk: a crash in between has it published once more.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from outfitter_server.gateway.keeping import Keeping
from outfitter_server.gateway.limits import CLOSE_SECONDS, DELAYED_WILLS_MAX, WILLS_BYTES_MAX
from outfitter_server.mqtt.packets import Will
from outfitter_server.mqtt.properties import write_pairs


class Wills:
    """Those that are kept by connections, and those that wait for their delay.

    Attributes:
        held: the bytes of all of them.
    """

    def __init__(
        self, publish: Callable[[str, Will], "asyncio.Future[None] | None"], keeping: Keeping
    ) -> None:
        """``publish`` publishes the will of a client id; its future is done when that is on disk."""
        self.held = 0
        self._publish = publish
        self._keeping = keeping
        self._delayed: dict[str, tuple[int, Will]] = {}
        self._booked: dict[str, Will] = {}
        self._under_way: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        """How many wait for their delay."""
        return len(self._delayed)

    def has_room(self, will: Will) -> bool:
        """Whether one more can be kept."""
        return self.held + _size(will) <= WILLS_BYTES_MAX

    def keep(self, client_id: str, will: Will, delay: int) -> bool:
        """A client comes with it; whether that is yet to be written."""
        self.held += _size(will)
        noted = self._keeping.will_kept(client_id, will, delay, None)
        if noted:
            self._booked[client_id] = will
        return noted

    def drop(self, client_id: str, will: Will) -> None:
        """It is not to be published."""
        self.held -= _size(will)
        self._strike(client_id, will)

    def leave(self, client_id: str, will: Will, now: int, delay: int) -> None:
        """Its client is lost: publish it after its delay, at once when too many wait."""
        self.came_back(client_id)
        self._delayed[client_id] = (now + delay, will)
        if delay <= 0 or len(self._delayed) > DELAYED_WILLS_MAX:
            self.publish(client_id)
        else:
            self._keeping.will_kept(client_id, will, delay, delay)

    def came_back(self, client_id: str) -> bool:
        """The client is back before its will was due; whether that is yet to be written."""
        waiting = self._delayed.pop(client_id, None)
        if waiting is None:
            return False
        booked = client_id in self._booked
        self.drop(client_id, waiting[1])
        return booked

    def publish(self, client_id: str) -> None:
        """Publish what waits of a client, if anything does."""
        waiting = self._delayed.pop(client_id, None)
        if waiting is None:
            return
        self.held -= _size(waiting[1])
        under_way = self._publish(client_id, waiting[1])
        if under_way is None:
            self._strike(client_id, waiting[1])
        else:
            self._under_way.add(under_way)
            under_way.add_done_callback(partial(self._published, client_id, waiting[1]))

    def pass_to(self, second: int) -> None:
        """Publish what is due."""
        for client_id in [name for name, (due_at, _) in self._delayed.items() if due_at <= second]:
            self.publish(client_id)

    def restore(self, now: int) -> None:
        """After a start: all clients are lost, and time went on for those that had been before."""
        for client_id, will, delay in self._keeping.wills():
            self.held += _size(will)
            self._booked[client_id] = will
            self.leave(client_id, will, now, delay)

    async def settled(self) -> None:
        """What was published is on disk, or takes too long to wait for."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=CLOSE_SECONDS)

    def _published(self, client_id: str, will: Will, under_way: "asyncio.Future[None]") -> None:
        self._under_way.discard(under_way)
        self._strike(client_id, will)

    def _strike(self, client_id: str, will: Will) -> None:
        """Out of the book, unless the client has another by now."""
        if self._booked.get(client_id) is will:
            del self._booked[client_id]
            self._keeping.will_gone(client_id)


def delay_seconds(will: Will, expiry_seconds: int) -> int:
    """A will waits at most as long as the session of its client."""
    return min(will.properties.will_delay_seconds or 0, expiry_seconds)


def _size(will: Will) -> int:
    return len(will.topic) + len(will.payload) + len(write_pairs(will.properties))
