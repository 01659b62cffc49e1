"""Places in the order in which a connection's messages are acknowledged and answered."""

from typing import TYPE_CHECKING, Any

from outfitter_server.gateway.routes import Route

if TYPE_CHECKING:
    from outfitter_server.gateway.answering import Answering


class Slot:
    """A PUBLISH whose PUBACK is still to come; ``outcome`` is a frame, or what the job service answered."""

    __slots__ = ("connection", "outcome", "packet_id", "route", "token")

    def __init__(self, connection: "Answering", packet_id: int, route: Route | None = None) -> None:
        """Not settled yet."""
        self.connection = connection
        self.packet_id = packet_id
        self.route = route
        self.token: str | None = None
        self.outcome: Any = None

    def reply(self, outcome: Any) -> None:
        """Settle, and let out what waited for it."""
        self.outcome = outcome
        self.connection.settle(self)
