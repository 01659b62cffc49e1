"""Why connections end, in the words of AWS's fleet index and lifecycle events (disconnectReason)."""

from collections.abc import Mapping
from typing import Final

from outfitter_server.mqtt.reasons import Reason

CONNECTION_LOST: Final = "CONNECTION_LOST"
CLIENT_LEFT: Final = "CLIENT_INITIATED_DISCONNECT"
CLIENT_ERROR: Final = "CLIENT_ERROR"  # of every other reason that this server closes for

DEPARTURES: Final[Mapping[Reason, str]] = {
    Reason.KEEP_ALIVE_TIMEOUT: "MQTT_KEEP_ALIVE_TIMEOUT",
    Reason.SESSION_TAKEN_OVER: "DUPLICATE_CLIENTID",
    Reason.NOT_AUTHORIZED: "AUTH_ERROR",
    Reason.SERVER_SHUTTING_DOWN: "SERVER_INITIATED_DISCONNECT",
    Reason.ADMINISTRATIVE_ACTION: "API_INITIATED_DISCONNECT",
    Reason.QUOTA_EXCEEDED: "THROTTLED",
    Reason.MAXIMUM_CONNECT_TIME: "WEBSOCKET_TTL_EXPIRATION",
}
