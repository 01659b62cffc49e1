"""MQTT: bytes in whatever pieces, and packets there and back."""

from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import MQTT_5, MQTT_311, Connect, Packet
from outfitter_server.mqtt.reasons import PacketRefused
from outfitter_server.mqtt.stream import Decoder

from fuzzing.bites import Bites

PACKET_BYTES_MAX = 4_096


def stream(data: bytes) -> None:
    """Any bytes in any pieces mean the same as at once, and never more is kept than one packet may have.

    The first byte says the version (0: a CONNECT will), the second how large the pieces are.
    """
    bites = Bites(data)
    version, size = (0, MQTT_311, MQTT_5)[bites.number() % 3], bites.number() + 1
    content = bites.rest()
    whole, pieces = Decoder(PACKET_BYTES_MAX, version), Decoder(PACKET_BYTES_MAX, version)
    at_once = whole.feed(content)
    piecemeal: list[Packet] = []
    for start in range(0, len(content), size):
        piecemeal += pieces.feed(content[start : start + size])
        assert len(pieces._buffer) <= PACKET_BYTES_MAX + size, "more is kept than a packet may have"
    assert at_once == piecemeal
    assert whole.version == pieces.version
    assert (whole.failure is None) == (pieces.failure is None)
    if whole.failure is not None and pieces.failure is not None:
        assert whole.failure.reason == pieces.failure.reason
        assert whole.failure.message == pieces.failure.message


def packets(data: bytes) -> None:
    """What was decoded is encoded and decoded to the same."""
    version = (0, MQTT_311, MQTT_5)[data[0] % 3] if data else 0
    decoder = Decoder(PACKET_BYTES_MAX, version)
    for packet in decoder.feed(data[1:]):
        spoken = packet.version if isinstance(packet, Connect) else decoder.version or MQTT_311
        try:
            written = encode(packet, spoken)
        except PacketRefused:
            continue  # a string that grew beyond what its length can say
        again = Decoder(2 * PACKET_BYTES_MAX, 0 if isinstance(packet, Connect) else spoken)
        assert again.feed(written) == [packet]
        assert again.failure is None
        assert encode(again.feed(written)[0], spoken) == written
