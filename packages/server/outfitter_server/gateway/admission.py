"""CONNECT and DISCONNECT: who may come in, with which session, and how it leaves."""

import logging
import secrets
from typing import TYPE_CHECKING, Final

from outfitter_server.gateway.departures import CLIENT_LEFT
from outfitter_server.gateway.jobs_wire import Filler
from outfitter_server.gateway.limits import (
    CLIENT_ID_BYTES_MAX,
    IN_FLIGHT_MAX,
    KEEP_ALIVE_SECONDS_MAX,
    KEEP_ALIVE_SECONDS_MIN,
    PACKET_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SESSION_EXPIRY_SECONDS_311,
    SESSION_EXPIRY_SECONDS_MAX,
    TOPIC_ALIASES_MAX,
)
from outfitter_server.gateway.permits import (
    CONNECT,
    PUBLISH,
    RETAIN_PUBLISH,
    PolicyPermit,
    SignedPermit,
    TrialPermit,
)
from outfitter_server.gateway.tls import SERVER_NAME
from outfitter_server.mqtt.encode import encode
from outfitter_server.mqtt.packets import MQTT_5, MQTT_311, ConnAck, Connect, Disconnect, Properties, Will
from outfitter_server.mqtt.reasons import PacketRefused, Reason
from outfitter_server.mqtt.topics import valid_topic

if TYPE_CHECKING:
    from outfitter_server.gateway.connection import Connection
    from outfitter_server.gateway.server import Gateway

# Return codes of a CONNACK of MQTT 3.1.1
_VERSION_REFUSED, _IDENTIFIER_REFUSED, _NOT_AUTHORIZED = 1, 2, 5
_RETURN_CODES: Final = {
    Reason.UNSUPPORTED_PROTOCOL: _VERSION_REFUSED,
    Reason.CLIENT_IDENTIFIER_NOT_VALID: _IDENTIFIER_REFUSED,
}

_BAD_CLIENT_ID: Final = f"a client id has 1 to {CLIENT_ID_BYTES_MAX} bytes"
_WILL_PROBLEMS: Final = {
    Reason.QOS_NOT_SUPPORTED: "wills are published with QoS 0 or 1",
    Reason.TOPIC_NAME_INVALID: "a will needs a free topic: without wildcards, not beginning with $",
    Reason.PACKET_TOO_LARGE: f"the payload of a will may have {PAYLOAD_BYTES_MAX:,} bytes",
    Reason.QUOTA_EXCEEDED: "the wills of all clients take as much memory as they may; come back later, or without one",
    Reason.NOT_AUTHORIZED: "no policy allows to publish the will, or to retain it",
}

_log = logging.getLogger(__name__)


def admit(gateway: "Gateway", connection: "Connection", packet: Connect) -> None:
    """Answer a CONNECT: CONNACK and a session, or a refusal and the end."""
    connection.introduced(packet)
    client_id, assigned = packet.client_id, False
    if not client_id and (packet.version == MQTT_5 or packet.clean_start):
        client_id, assigned = secrets.token_hex(16), True
    if not client_id or len(client_id.encode()) > CLIENT_ID_BYTES_MAX:
        _refuse(connection, Reason.CLIENT_IDENTIFIER_NOT_VALID, _BAD_CLIENT_ID)
        return
    if packet.properties.authentication_method is not None:
        why = "there is no enhanced authentication here; devices are known by their certificates"
        _refuse(connection, Reason.BAD_AUTHENTICATION_METHOD, why)
        return
    if packet.properties.authentication_data is not None:
        why = "a CONNECT has authentication data and no authentication method"
        _refuse(connection, Reason.PROTOCOL_ERROR, why)
        return
    if _granted(gateway, connection, packet, client_id):
        _open(gateway, connection, packet, client_id, assigned=assigned)


def _granted(
    gateway: "Gateway", connection: "Connection", packet: Connect, client_id: str, *, kept: bool = False
) -> bool:
    """Refuse the client unless its certificate and policies, as they are now, let it in with its will.

    ``kept``: there is room for the will, which takes it already.
    """
    if not _identify(gateway, connection, client_id):
        return False
    if not connection.permit.allows(CONNECT, client_id):
        _refuse(connection, Reason.NOT_AUTHORIZED, f"no policy allows to connect as {client_id!r}")
        return False
    problem = None if packet.will is None else _will_problem(gateway, connection, packet.will, kept=kept)
    if problem is not None:
        _refuse(connection, problem, _WILL_PROBLEMS[problem])
    return problem is None


def _identify(gateway: "Gateway", connection: "Connection", client_id: str) -> bool:
    transport = connection.transport
    local = transport.get_extra_info("sockname")
    tls = transport.get_extra_info("ssl_object")
    connection.fill = Filler(
        gateway.delivery, getattr(tls, SERVER_NAME, None), local[0] if isinstance(local, tuple) else None
    )
    if connection.caller is not None:
        connection.permit = SignedPermit()
        return True
    if connection.plain:
        connection.permit = TrialPermit(client_id)
        return True
    shown = tls.getpeercert(binary_form=True) or b""
    (transport.get_extra_info("peercert") or {}).clear()  # kilobytes that nobody asks for
    identity = gateway.devices.identify(shown)
    if identity is None or not identity.active:
        if gateway.provisioning is not None and gateway.provisioning.meet(shown):
            _log.info("connection from %s closed: its certificate is being registered", connection.name)
            connection.close()
            return False
        why = (
            "the certificate is not registered here"
            if identity is None
            else f"the certificate is {identity.status}; only ACTIVE ones may connect"
        )
        _refuse(connection, Reason.NOT_AUTHORIZED, why, return_code=_NOT_AUTHORIZED)
        return False
    if not gateway.owners.has_room(identity.certificate_id):
        _refuse(connection, Reason.QUOTA_EXCEEDED, "the certificate has as many connections as one may have")
        return False
    session = gateway.broker.sessions.get(client_id)
    if identity.temporary and session is not None and session.owner != identity.certificate_id:
        # Its policy allows any client id; a device's messages are not for who merely holds a claim.
        why = f"a claim may not take the session of {client_id!r} from its owner: connect with another client id"
        _refuse(connection, Reason.NOT_AUTHORIZED, why)
        return False
    connection.certificate_id = identity.certificate_id
    peer = transport.get_extra_info("peername")
    host = peer[0] if isinstance(peer, tuple) else None
    connection.permit = PolicyPermit(gateway.devices, identity, client_id, gateway.installation, host)
    return True


def _will_problem(gateway: "Gateway", connection: "Connection", will: Will, *, kept: bool) -> Reason | None:
    if will.qos > 1:
        return Reason.QOS_NOT_SUPPORTED
    if not valid_topic(will.topic) or will.topic.startswith("$"):
        return Reason.TOPIC_NAME_INVALID
    if len(will.payload) > PAYLOAD_BYTES_MAX:
        return Reason.PACKET_TOO_LARGE
    if not kept and not gateway.wills.has_room(will):
        return Reason.QUOTA_EXCEEDED
    allowed = connection.permit.allows(PUBLISH, will.topic) and (
        not will.retain or connection.permit.allows(RETAIN_PUBLISH, will.topic)
    )
    return None if allowed else Reason.NOT_AUTHORIZED


def _open(
    gateway: "Gateway", connection: "Connection", packet: Connect, client_id: str, *, assigned: bool
) -> None:
    """Let the client in: at once, or when the session that it wants to be rid of is off the disk, and its will on it."""
    told = _told(packet, client_id if assigned else None)
    if not connection.frame(ConnAck(properties=told)):
        _refuse(connection, Reason.PACKET_TOO_LARGE, "a CONNACK is larger than the maximum packet size")
        return
    under_way = gateway.make_way(
        connection, client_id, packet.will, _expiry_seconds(packet), clean=packet.clean_start
    )
    if under_way is None:
        _enter(gateway, connection, packet, client_id, told)
        return

    entered = False

    def enter() -> None:
        # Nobody told the connection of changes while it waited: it had no session.
        nonlocal entered
        entered = _granted(gateway, connection, packet, client_id, kept=True)
        if entered:
            _enter(gateway, connection, packet, client_id, told)

    def ready(_: object) -> None:
        gateway.let_in(connection, client_id, enter)
        if not entered and packet.will is not None:
            gateway.wills.drop(client_id, packet.will)

    connection.hold()
    under_way.add_done_callback(ready)


def _enter(
    gateway: "Gateway", connection: "Connection", packet: Connect, client_id: str, told: Properties
) -> None:
    connection.keep_alive_seconds = _keep_alive_seconds(packet) * 3 // 2
    session, present = gateway.open_session(connection, client_id, clean=packet.clean_start)
    session.attach(packet.properties.receive_maximum or IN_FLIGHT_MAX, _expiry_seconds(packet))
    gateway.keeping.attached(session)
    connection.accepted(session, packet)
    connection.send(ConnAck(session_present=present, properties=told))
    if present:
        connection.resumed()


def _expiry_seconds(packet: Connect) -> int:
    if packet.version == MQTT_311:
        return 0 if packet.clean_start else SESSION_EXPIRY_SECONDS_311
    return min(packet.properties.session_expiry_seconds or 0, SESSION_EXPIRY_SECONDS_MAX)


def _keep_alive_seconds(packet: Connect) -> int:
    wanted = packet.keep_alive_seconds or KEEP_ALIVE_SECONDS_MAX
    return min(max(wanted, KEEP_ALIVE_SECONDS_MIN), KEEP_ALIVE_SECONDS_MAX)


def _told(packet: Connect, assigned: str | None) -> Properties:
    """What a CONNACK says of the terms, where they are not those that the client asked for."""
    if packet.version != MQTT_5:
        return Properties()
    expiry, keep_alive = _expiry_seconds(packet), _keep_alive_seconds(packet)
    return Properties(
        session_expiry_seconds=expiry if expiry != (packet.properties.session_expiry_seconds or 0) else None,
        assigned_client_id=assigned,
        server_keep_alive_seconds=keep_alive if keep_alive != packet.keep_alive_seconds else None,
        receive_maximum=IN_FLIGHT_MAX,
        maximum_qos=1,
        maximum_packet_bytes=PACKET_BYTES_MAX,
        topic_alias_maximum=TOPIC_ALIASES_MAX,
    )


def _refuse(connection: "Connection", reason: Reason, why: str, return_code: int | None = None) -> None:
    """Refuse a CONNECT. MQTT 3.1.1 gets a CONNACK only where AWS sends one."""
    connection.meters.refused[reason.name] += 1
    _log.info("connection from %s refused: %s", connection.transport.get_extra_info("peername"), why)
    if connection.version == MQTT_5:
        connection.tell(ConnAck(code=reason), why)
    else:
        code = return_code or _RETURN_CODES.get(reason)
        if code:
            connection.send(ConnAck(code=code))
    connection.close()


def refuse_stream(connection: "Connection", failure: PacketRefused) -> None:
    """The bytes broke the protocol: say why where the protocol has a way to, and close."""
    reason, why = failure.reason, failure.message
    if connection.session is not None:
        # A second CONNECT may name any protocol; a DISCONNECT has no code for that.
        connection.close(Reason.PROTOCOL_ERROR if reason is Reason.UNSUPPORTED_PROTOCOL else reason, why)
        return
    connection.meters.refused[reason.name] += 1
    if connection.version == MQTT_5:
        connection.tell(ConnAck(code=reason), why)
    elif reason is Reason.UNSUPPORTED_PROTOCOL:
        connection.write(encode(ConnAck(code=_VERSION_REFUSED), MQTT_311))
    connection.close()


def farewell(connection: "Connection", packet: Disconnect) -> None:
    """The client says goodbye; an MQTT 5 client may change its session's expiry, and ask for its will."""
    session = connection.session
    expiry = packet.properties.session_expiry_seconds
    if session is not None and expiry is not None:
        if expiry and not session.expiry_seconds:
            why = "a session that began without an expiry cannot be given one in its DISCONNECT"
            connection.close(Reason.PROTOCOL_ERROR, why)
            return
        session.expiry_seconds = min(expiry, SESSION_EXPIRY_SECONDS_MAX)
    connection.departure = CLIENT_LEFT
    connection.close(with_will=packet.code != Reason.SUCCESS)
