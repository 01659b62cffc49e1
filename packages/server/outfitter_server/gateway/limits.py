"""The bounds of the gateway. Where AWS publishes a limit of its message broker, it is AWS's (limits page of AWS IoT Core)."""

from typing import Final

# AWS's
PAYLOAD_BYTES_MAX: Final = 128 * 1024
PACKET_BYTES_MAX: Final = 146 * 1024  # payload, topic, properties and headers; told to MQTT 5 clients
CLIENT_ID_BYTES_MAX: Final = 128
FILTERS_PER_SUBSCRIBE_MAX: Final = 8
SUBSCRIPTIONS_MAX: Final = 50
IN_FLIGHT_MAX: Final = 100  # QoS 1 messages without their PUBACK, each way
TOPIC_ALIASES_MAX: Final = 8  # each way
KEEP_ALIVE_SECONDS_MIN: Final = 30
KEEP_ALIVE_SECONDS_MAX: Final = 1_200
RESEND_SECONDS: Final = 30
WEBSOCKET_SECONDS_MAX: Final = 86_400  # a connection over WebSocket
SESSION_EXPIRY_SECONDS_311: Final = 3_600  # of a persistent session of MQTT 3.1.1

# Ours
SESSION_EXPIRY_SECONDS_MAX: Final = 604_800
DELAYED_WILLS_MAX: Final = 1_000  # beyond that a will is published without its delay
WILLS_BYTES_MAX: Final = 64 * 1024 * 1024  # of all clients together; a CONNECT with another is refused
CONNECTIONS_MAX: Final = 20_000
OFFLINE_SESSIONS_MAX: Final = 100_000
SESSIONS_OF_A_CERTIFICATE: Final = 10_000  # that are away; the first that left gives way
CONNECTIONS_OF_A_CERTIFICATE: Final = 10_000
ALL_FILTERS_BYTES_MAX: Final = 512 * 1024 * 1024  # of all sessions together; a SUBSCRIBE beyond is refused
CONNECT_SECONDS: Final = 10  # from the connection to its CONNECT
HANDSHAKE_SECONDS: Final = 20
CHECK_SECONDS: Final = 5  # how late a missing keep-alive or a due repetition may be seen
QUEUE_MESSAGES_MAX: Final = 1_000  # of one session
QUEUE_BYTES_MAX: Final = 1024 * 1024
QUEUES_BYTES_MAX: Final = 256 * 1024 * 1024  # of all sessions together, with what is under way
QUEUE_BYTES_KEPT: Final = 4 * 1024  # what a session may keep even when all together hold too much
WRITE_BUFFER_BYTES: Final = 64 * 1024  # above this the transport asks for a pause
UNREAD_SECONDS_MAX: Final = 1_800  # as long as the longest keep-alive is waited for
UNREAD_PACKETS_MAX: Final = 100  # of a client that does not read, besides PUBACKs; then it is not read either
HELD_BYTES_MAX: Final = 1024 * 1024  # what a paused connection may hold back before it is closed
ALL_HELD_BYTES_MAX: Final = 128 * 1024 * 1024  # all of them together: who then does not read is closed
VERDICTS_MAX: Final = 128  # remembered policy decisions of one connection
ROUTES_MAX: Final = 64  # remembered topics of one connection, a kilobyte each
REJUDGED_PER_TURN: Final = 200  # connections judged anew before others get their turn
RETAINED_WALKS_MAX: Final = (
    64  # filters of one connection that wait to be told what is retained; the oldest gives way
)
RETAINED_STEPS_AT_ONCE: Final = (
    300  # topics looked at before it is the turn of others; a message sent counts as ten
)
PROVISIONING_BYTES_MAX: Final = (
    32 * 1024
)  # of a request of a device that comes with a claim: a millisecond to read
RETAINED_LEFT_MAX: Final = 1_000  # sessions whose connections ended before all was sent; the oldest gives way
SIGNED_AT_ONCE: Final = 1  # certificates of devices that come with a claim; the interpreter has one lock
EVENTS_MAX: Final = 50_000  # presence and subscription events that wait for listeners to read
EVENTS_PER_TURN: Final = 50  # of them, before others get their turn
REASON_STRING_BYTES_MAX: Final = 512
# A connection's share of the server: beyond it, it waits for its turn with others of its kind
SHARE_PACKETS: Final = 250  # a second
PACKETS_AT_ONCE: Final = 8  # before it is the turn of others
COSTLY_SECONDS: Final = 0.0005  # of work: those packets count by their time, and the next come one at a time
PACKET_SECONDS: Final = 0.0001  # what one of them counts as
FRAMES_OF_A_PACKET: Final = (
    10  # so many frames of a WebSocket, whatever is in them, count as a packet besides
)
# Of each turn of the loop, for all connections that are beyond their share; a request takes three turns
ROUND_SECONDS: Final = 0.00025
CROWDED_SECONDS: Final = 0.001  # until they look again whether the committer has room for them
NOTED_BYTES_CROWD: Final = 48 * 1024  # of wills and messages that the next transaction has to write
# The log
LOG_LINES_MAX: Final = 10  # of a kind, in LOG_SECONDS; the others are counted
LOG_SECONDS: Final = 10
CLOSE_SECONDS: Final = 5  # for answers under way when the server stops
# Who comes in
BACKLOG: Final = 4_096  # connections that wait in the kernel; it has a bound of its own, net.core.somaxconn
HANDSHAKES_YOUNG_MAX: Final = 6  # of TLS that began within
HANDSHAKE_YOUNG_SECONDS: Final = 0.02  # each is a millisecond of work when its client answers
ORDERS_FEW: Final = 4  # steps that the thread has before it while others begin
HANDSHAKES_MAX: Final = 100  # under way; the oldest gives way
SILENT_MAX: Final = 2_000  # connections that said nothing yet; the oldest gives way
STRANGERS_FEW: Final = 4  # connections without a session; with more of them, each waits for its turn
PARTIAL_SECONDS: Final = 0.25  # until more is read of one that sent a part of its CONNECT, while many come
PARTIAL_STEP_SECONDS: Final = 0.01
PARTIAL_PER_STEP: Final = 20  # that are read again
STRANGERS_MAX: Final = 2_000  # beyond that the oldest gives way
