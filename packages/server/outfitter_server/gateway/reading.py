"""The reading half of a connection: bytes to packets, as many at once as is its share.

A share is ``SHARE_PACKETS`` a second; what is over drains away as fast. Who stays within it is served at once, a few packets
at a time. Who does not waits for a turn (turns.py), and so does in a storm who has yet to say who it is.
"""

from abc import abstractmethod
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from outfitter_server.gateway.answering import Answering
from outfitter_server.gateway.limits import (
    COSTLY_SECONDS,
    IN_FLIGHT_MAX,
    PACKET_SECONDS,
    PACKETS_AT_ONCE,
    SHARE_PACKETS,
    UNREAD_PACKETS_MAX,
)
from outfitter_server.gateway.link import ANSWERING, COMMITTING, TURN, UNREAD, WRITING
from outfitter_server.mqtt.packets import MQTT_5, Packet, PubAck
from outfitter_server.mqtt.reasons import PacketRefused

if TYPE_CHECKING:
    from outfitter_server.gateway.server import Gateway


_NOT_YET: Final = ~(TURN | WRITING)  # reasons to handle nothing


class Reading(Answering):
    """Bytes in.

    Attributes:
        heard_at: the second in which bytes came last.
    """

    __slots__ = ("_at_once", "_counted_at", "_taken", "_unread", "_waits", "heard_at")

    def __init__(self, gateway: "Gateway") -> None:
        """Nothing was heard yet."""
        super().__init__(gateway)
        self.heard_at = self._counted_at = gateway.second
        self._at_once = PACKETS_AT_ONCE
        self._taken = 0  # packets beyond what drained away
        self._unread = 0  # packets that were handled while the client did not read
        self._waits = False  # for a turn

    @abstractmethod
    def _handle(self, packets: Sequence[Packet]) -> bool:
        """Handle packets in order; False when one of them ended the connection."""

    @abstractmethod
    def _broken(self, failure: PacketRefused) -> None:
        """The bytes are not what the protocol allows."""

    def data_received(self, data: bytes) -> None:
        """Handle what is within the client's share, and let the rest wait."""
        if self.closing:
            return
        gateway, decoder = self._gateway, self._decoder
        second = gateway.second
        gateway.meters.bytes_in += len(data)
        if self.session is not None:
            # The bytes of a CONNECT that is never whole are no sign of life.
            self.heard_at = second
        if second != self._counted_at:
            self._drain(second)
        patient = gateway.strangers.many if self.session is None else self._taken >= SHARE_PACKETS
        if patient or self._waits or decoder.more:
            if self._waits:
                self.pause(TURN)
            self._taken += 1
            decoder.keep(data)
            self._line_up()
        else:
            self._work(decoder.feed(data, self._at_once))

    def _drain(self, second: int) -> None:
        """Time has passed: less is taken of the share."""
        drained = (second - self._counted_at) * SHARE_PACKETS
        self._taken = max(0, min(self._taken, 2 * SHARE_PACKETS) - drained)
        self._counted_at = second

    def take_turn(self) -> bool:
        """Handle a few of the packets that wait; whether there are more that can be handled now."""
        if not self.closing and not self._pauses & _NOT_YET:
            self._waits = False
            self._work(self._decoder.go_on(self._at_once), again=True)
            if self._waits:
                return True
            self.resume(TURN)
            if self.session is None and self._gateway.strangers.many:
                self._gateway.strangers.put_off(self)
        self._waits = False
        return False

    def hold_back(self) -> None:
        """Do not read the socket before the rest is handled."""
        if self._waits:
            self.pause(TURN)

    def resume(self, why: int) -> None:
        """One reason less not to read; what was read already comes first."""
        super().resume(why)
        if why & UNREAD:
            self._unread = 0
        if self._decoder.more:
            self._line_up()

    def _work(self, packets: Sequence[Packet], *, again: bool = False) -> None:
        """Handle packets, then see whether the client has to wait."""
        began = monotonic()
        going_on = self._handle(packets)
        spent = monotonic() - began
        self._taken += len(packets)
        if spent > COSTLY_SECONDS:
            # A few packets that keep the server busy are worth many.
            self._taken += int(spent / PACKET_SECONDS)
            self._at_once = 1
        elif self._at_once < PACKETS_AT_ONCE:
            self._at_once += 1
        if not going_on:
            return
        failure = self._decoder.failure
        if failure is not None:
            self._broken(failure)
            return
        if self._slots or self._pauses & WRITING:
            self._pace(packets)
        if self._decoder.more:
            if again:
                self._waits = not self._pauses & _NOT_YET
            else:
                self._line_up()

    def _pace(self, packets: Sequence[Packet]) -> None:
        """Read no more of a client that has too much to wait for, or to read."""
        slots = len(self._slots)
        if self._pauses & WRITING:
            # A PUBACK asks for nothing.
            self._ignored(sum(type(packet) is not PubAck for packet in packets))
        # A client of MQTT 5 that goes beyond its receive maximum is to be told so.
        if slots >= IN_FLIGHT_MAX + (self.version == MQTT_5 and self._decoder.more):
            self.pause(ANSWERING)
        if slots and self._gateway.committer.full:
            self.pause(COMMITTING)
            self._gateway.wait_for_room(self)

    def _ignored(self, asked: int) -> None:
        """So much was asked by a client that does not read: beyond a bound it is not read either."""
        self._unread += asked
        if self._unread > UNREAD_PACKETS_MAX:
            self.pause(UNREAD)

    def _line_up(self) -> None:
        """Wait for a turn, unless there is another reason to wait: its end brings the connection back here."""
        if not self._waits and not self.closing and not self._pauses & _NOT_YET:
            self._waits = True
            self._gateway.turns.join(self)
