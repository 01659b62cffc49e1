"""Reading the primitive types of MQTT out of one packet, never past its end (OASIS MQTT 5.0, section 1.5)."""

from outfitter_server.mqtt.reasons import PacketRefused, Reason


class Reader:
    """A position in the body of one packet."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        """Read ``data`` from ``position`` up to ``end``."""
        self.data = data
        self.position = position
        self.end = end

    def take(self, count: int) -> int:
        """Step over ``count`` bytes; the position before them.

        Raises:
            PacketRefused: they would run past the packet.
        """
        start = self.position
        if start + count > self.end:
            raise PacketRefused("a field runs past the end of its packet")
        self.position = start + count
        return start

    def byte(self) -> int:
        """One byte."""
        return self.data[self.take(1)]

    def u16(self) -> int:
        """A two-byte integer."""
        start = self.take(2)
        return self.data[start] << 8 | self.data[start + 1]

    def u32(self) -> int:
        """A four-byte integer."""
        start = self.take(4)
        return int.from_bytes(self.data[start : start + 4], "big")

    def varint(self) -> int:
        """A variable byte integer of at most four bytes."""
        value = 0
        for shift in (0, 7, 14, 21):
            digit = self.byte()
            value |= (digit & 0x7F) << shift
            if digit < 0x80:  # noqa: PLR2004 - the continuation bit
                if digit == 0 and shift:
                    raise PacketRefused("a variable byte integer is longer than it needs to be")
                return value
        raise PacketRefused("a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Binary data with its two-byte length."""
        count = self.u16()
        start = self.take(count)
        return bytes(self.data[start : start + count])

    def text(self) -> str:
        """A UTF-8 string with its two-byte length: well-formed, without U+0000."""
        try:
            value = self.binary().decode()
        except UnicodeDecodeError as error:
            raise PacketRefused("a string is not UTF-8") from error
        if "\0" in value:
            raise PacketRefused("a string holds U+0000")
        return value

    def rest(self) -> bytes:
        """Everything up to the end of the packet."""
        start, self.position = self.position, self.end
        return bytes(self.data[start : self.end])

    def packet_id(self) -> int:
        """A packet identifier, which is never 0."""
        value = self.u16()
        if not value:
            raise PacketRefused("packet identifier 0 is not valid", Reason.PROTOCOL_ERROR)
        return value

    def finish(self) -> None:
        """Refuse bytes that no field accounts for."""
        if self.position != self.end:
            raise PacketRefused("the packet is longer than its fields")
