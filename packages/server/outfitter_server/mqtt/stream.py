"""Packets out of a stream of bytes, in whatever pieces it comes."""

from typing import Final

from outfitter_server.mqtt.decode import decode, decode_publish, protocol_level
from outfitter_server.mqtt.packets import MQTT_311, Packet, PubAck
from outfitter_server.mqtt.reasons import PacketRefused, Reason

_CONNECT: Final = 0x10
_LENGTH_DIGITS_MAX: Final = 4


class Decoder:
    """The receiving side of one connection.

    Attributes:
        version: the protocol version of the packets; 0 until a CONNECT said it (a CONNACK is then read as 3.1.1's).
        failure: set once the stream broke the protocol; nothing is decoded after that.
    """

    __slots__ = ("_buffer", "_needed", "_packet_bytes_max", "failure", "version")

    def __init__(self, packet_bytes_max: int, version: int = 0) -> None:
        """Refuse packets larger than ``packet_bytes_max``, their fixed header included, before they are buffered."""
        self.version = version
        self.failure: PacketRefused | None = None
        self._packet_bytes_max = packet_bytes_max
        self._buffer = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are complete with these bytes; what came before a breach of the protocol still counts."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        packets: list[Packet] = []
        if self.failure is None:
            try:
                position = self._decode_all(data, packets)
                if position < len(data):
                    self._buffer += data[position:]
            except PacketRefused as refusal:
                self.failure = refusal
        return packets

    def _decode_all(self, data: bytes, packets: list[Packet]) -> int:
        position, available, version = 0, len(data), self.version
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
