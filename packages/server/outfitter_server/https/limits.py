"""What one client may take of the door."""

from typing import Final

API_BODY_BYTES_MAX: Final = 1 << 20
FUNCTIONS_BODY_BYTES_MAX: Final = 70_167_211  # AWS's limit: a zip of 50 MB in base64
API_BODY_SECONDS_MAX: Final = 60
LINE_BYTES_MAX: Final = (
    16_384  # a request line: a key of 1,024 bytes, encoded, and a session token in the query
)
FIELD_BYTES_MAX: Final = 8_192  # one header; S3 allows 8 KiB of headers in all
FIELDS_MAX: Final = 128
KEEPALIVE_SECONDS: Final = 75  # also the time that a client has to send all of a request's headers
TLS_HANDSHAKE_SECONDS: Final = 10
TLS_SHUTDOWN_SECONDS: Final = 2  # a client that does not answer the end of its session is not waited for
DRAIN_SECONDS: Final = 20
CONNECTIONS_MAX: Final = 4_000  # those that became WebSockets count among the gateway's
WEBSOCKET_FRAME_BYTES_MAX: Final = 256 * 1024  # from a client: the largest packet, and what was sent with it
WEBSOCKET_FRAME_BYTES_SENT: Final = 128 * 1024
FRAMES_AT_ONCE: Final = 16  # of one connection, before it is the turn of others: some ten microseconds each
BACKLOG: Final = 1_024


def body_bytes_max(service: str) -> int:
    """How long the body of a service's call may be."""
    return FUNCTIONS_BODY_BYTES_MAX if service == "lambda" else API_BODY_BYTES_MAX
