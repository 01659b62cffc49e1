"""Topic aliases of MQTT 5, as a client uses them: a number in place of a topic that it named before."""

from typing import TYPE_CHECKING

import msgspec

from outfitter_server.gateway.limits import TOPIC_ALIASES_MAX
from outfitter_server.mqtt.packets import Publish
from outfitter_server.mqtt.reasons import Reason
from outfitter_server.mqtt.topics import valid_topic

if TYPE_CHECKING:
    from outfitter_server.gateway.connection import Connection


def resolve(connection: "Connection", named: dict[int, str], packet: Publish, alias: int) -> Publish:
    """The message with its topic; closes the connection when the alias stands for none. ``named`` remembers topics."""
    if alias > TOPIC_ALIASES_MAX:
        connection.close(Reason.TOPIC_ALIAS_INVALID)
    elif packet.topic:
        if valid_topic(packet.topic):
            named[alias] = packet.topic
        else:
            named.pop(alias, None)
    elif alias in named:
        return msgspec.structs.replace(packet, topic=named[alias])
    else:
        connection.close(Reason.PROTOCOL_ERROR, f"topic alias {alias} stands for no topic yet")
    return packet
