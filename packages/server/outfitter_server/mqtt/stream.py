"""Packets out of a stream of bytes, in whatever pieces it comes, and as many at a time as there is time for."""

from typing import Final

from outfitter_server.mqtt.decode import decode, decode_publish, protocol_level
from outfitter_server.mqtt.packets import MQTT_311, Packet, PubAck
from outfitter_server.mqtt.reasons import PacketRefused, Reason

_CONNECT: Final = 0x10
_LENGTH_DIGITS_MAX: Final = 4
_ALL: Final = -1


class Decoder:
    """The receiving side of one connection.

    Attributes:
        version: the protocol version of the packets; 0 until a CONNECT said it (a CONNACK is then read as 3.1.1's).
        failure: set once the stream broke the protocol; nothing is decoded after that.
        more: there are bytes that ``go_on`` may make packets of.
    """

    __slots__ = (
        "_buffer",
        "_needed",
        "_packet_bytes_max",
        "_position",
        "_rest",
        "failure",
        "more",
        "version",
    )

    def __init__(self, packet_bytes_max: int, version: int = 0) -> None:
        """Refuse packets larger than ``packet_bytes_max``, their fixed header included, before they are buffered."""
        self.version = version
        self.failure: PacketRefused | None = None
        self._packet_bytes_max = packet_bytes_max
        self._buffer = bytearray()
        self._needed = 0
        self._rest = b""
        self._position = 0  # in the rest
        self.more = False

    def feed(self, data: bytes, packets_max: int = _ALL) -> list[Packet]:
        """The packets that are complete with these bytes; what came before a breach of the protocol still counts.

        With ``packets_max`` the others wait for ``go_on``; do not feed more before it has given them all.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        return self._take(data, 0, packets_max)

    def go_on(self, packets_max: int) -> list[Packet]:
        """The next packets of what waits."""
        data, self._rest, self.more = self._rest, b"", False
        if self._buffer:
            return self.feed(data, packets_max)
        return self._take(data, self._position, packets_max)

    def keep(self, data: bytes) -> None:
        """Let these bytes wait for ``go_on``."""
        self._rest, self._position, self.more = self._rest[self._position :] + data, 0, True

    def _take(self, data: bytes, position: int, packets_max: int) -> list[Packet]:
        packets: list[Packet] = []
        if self.failure is None:
            try:
                position = self._decode_all(data, position, packets, packets_max)
            except PacketRefused as refusal:
                self.failure = refusal.bare()
            else:
                if self.more:
                    self._rest, self._position = data, position
                else:
                    self._position = 0
                    if position < len(data):
                        self._buffer += data[position:]
        return packets

    def _decode_all(self, data: bytes, position: int, packets: list[Packet], packets_max: int) -> int:
        available, version = len(data), self.version
        while position + 2 <= available:
            head, length, start = data[position], data[position + 1], position + 2
            if length > 0x7F:  # noqa: PLR2004 - the continuation bit
                length, start = self._long_length(data, position + 1, available)
                if not start:
                    break
            end = start + length
            if end - position > self._packet_bytes_max:
                raise PacketRefused(
                    f"a packet of {end - position:,} bytes is larger than {self._packet_bytes_max:,}",
                    Reason.PACKET_TOO_LARGE,
                )
            if end > available:
                self._needed = end - position
                return position
            if head & 0xF0 == 0x30:  # noqa: PLR2004 - PUBLISH
                packets.append(decode_publish(head, data, start, end, version))
            elif head == 0x40 and length == 2 and (packet_id := data[start] << 8 | data[start + 1]):  # noqa: PLR2004 - PUBACK without a reason
                packets.append(PubAck(packet_id))
            else:
                if head == _CONNECT and not version:
                    # Known before the packet is read through: a malformed CONNECT of MQTT 5 is answered as MQTT 5.
                    version = self.version = protocol_level(data, start, end)
                packets.append(decode(head, data, start, end, version or MQTT_311))
            position = end
            if len(packets) == packets_max:
                self.more = position < available
                break
        self._needed = 0
        return position

    @staticmethod
    def _long_length(data: bytes, position: int, available: int) -> tuple[int, int]:
        """The remaining length and where the body starts; 0 as the start when digits are still to come."""
        length = 0
        for index in range(_LENGTH_DIGITS_MAX):
            if position + index >= available:
                return 0, 0
            digit = data[position + index]
            length |= (digit & 0x7F) << 7 * index
            if digit < 0x80:  # noqa: PLR2004 - the continuation bit
                if not digit:
                    raise PacketRefused("a remaining length is longer than it needs to be")
                return length, position + index + 1
        raise PacketRefused("a remaining length has more than four bytes")
