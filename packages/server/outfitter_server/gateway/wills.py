"""Wills: what is published when a client is lost. Those of all clients together are bounded; a client keeps one for as long as it likes."""

from collections.abc import Callable

from outfitter_server.gateway.limits import DELAYED_WILLS_MAX, WILLS_BYTES_MAX
from outfitter_server.mqtt.packets import Will


class Wills:
    """Those that are kept by connections, and those that wait for their delay.

    Attributes:
        held: the bytes of all of them.
    """

    def __init__(self, publish: Callable[[str, Will], None]) -> None:
        """``publish`` publishes the will of a client id."""
        self.held = 0
        self._publish = publish
        self._delayed: dict[str, tuple[int, Will]] = {}

    def __len__(self) -> int:
        """How many wait for their delay."""
        return len(self._delayed)

    def has_room(self, will: Will) -> bool:
        """Whether one more can be kept."""
        return self.held + _size(will) <= WILLS_BYTES_MAX

    def keep(self, will: Will) -> None:
        """A client came with it."""
        self.held += _size(will)

    def drop(self, will: Will) -> None:
        """It is not to be published."""
        self.held -= _size(will)

    def leave(self, client_id: str, will: Will, now: int, delay_seconds: int) -> None:
        """Its client is lost: publish it after its delay, at once when too many wait."""
        self.came_back(client_id)
        self._delayed[client_id] = (now + delay_seconds, will)
        if not delay_seconds or len(self._delayed) > DELAYED_WILLS_MAX:
            self.publish(client_id)

    def came_back(self, client_id: str) -> None:
        """The client is back before its will was due."""
        waiting = self._delayed.pop(client_id, None)
        if waiting is not None:
            self.drop(waiting[1])

    def publish(self, client_id: str) -> None:
        """Publish what waits of a client, if anything does."""
        waiting = self._delayed.pop(client_id, None)
        if waiting is not None:
            self.drop(waiting[1])
            self._publish(client_id, waiting[1])

    def pass_to(self, second: int) -> None:
        """Publish what is due."""
        for client_id in [name for name, (due_at, _) in self._delayed.items() if due_at <= second]:
            self.publish(client_id)


def _size(will: Will) -> int:
    return len(will.topic) + len(will.payload)
