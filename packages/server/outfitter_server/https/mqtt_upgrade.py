"""MQTT over WebSocket: ``GET /mqtt`` with an upgrade, from who has an access key or a certificate.

As on AWS the request is signed for the service ``iotdevicegateway``, in its query or in its headers. AWS's SDKs add the
session token after they have signed; others sign it with the rest, and both are right. Beyond AWS a client certificate
opens it as well, and then decides as it does on the MQTT listener.
"""

import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from outfitter_server.access.claims import (
    DEVICE_GATEWAY,
    Claim,
    SignatureRefused,
    format_timestamp,
    read_claim,
)
from outfitter_server.access.signature import EMPTY_SHA256
from outfitter_server.base.refusals import Forbidden, Refusal, Unavailable
from outfitter_server.https.device_calls import client_certificate
from outfitter_server.https.listener import DoorRequest
from outfitter_server.https.reading import RequestHead
from outfitter_server.https.signatures import Signatures
from outfitter_server.https.websocket import Reader, WebSocketTransport
from outfitter_server.services.callers import Caller

PATH: Final = "/mqtt"
SUBPROTOCOLS: Final = (Subprotocol("mqtt"),)
SWITCHING_PROTOCOLS: Final = 101
_TOKEN: Final = "X-Amz-Security-Token="  # noqa: S105 - a parameter's name

# The protocol of a new MQTT connection of a caller, or of who shows a certificate (DER). None: there is no room.
MqttPort = Callable[[Caller | None, bytes | None], Reader | None]

_log = logging.getLogger(__name__)


class UpgradeRefused(Refusal):
    """The request is no handshake of a WebSocket for MQTT."""

    code = "InvalidRequestException"
    status: int  # type: ignore[misc]  # the handshake's own

    def __init__(self, message: str, status: int) -> None:
        """Keep the status."""
        super().__init__(message)
        self.status = status


class Switched(web.StreamResponse):
    """What aiohttp is given for a request whose socket is not its own any more: nothing to send."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing."""


class _Tail:
    """Takes over from aiohttp's parser: what came behind the request, which is none of its business."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep it."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing."""


class MqttUpgrade:
    """Answers the handshake and hands the socket on."""

    def __init__(self, signatures: Signatures, port: MqttPort, clock: Callable[[], int]) -> None:
        """``clock`` in milliseconds since the epoch."""
        self._signatures = signatures
        self._port = port
        self._clock = clock

    @staticmethod
    def concerns(request: DoorRequest, head: RequestHead) -> bool:
        """Whether a request is meant for MQTT and not for a bucket of that name."""
        if head.raw_path != PATH:
            return False
        upgrades = request.headers.get("Upgrade", "").lower() == "websocket"
        return upgrades or f"/{DEVICE_GATEWAY}/" in _scope_text(head)

    def handle(self, request: DoorRequest, head: RequestHead) -> web.StreamResponse:
        """Switch the connection of ``request``.

        Raises:
            SignatureRefused, Forbidden: nobody is known to be behind it, or the certificate may not connect.
            UpgradeRefused: it is no handshake, or not for MQTT.
            Unavailable: there is no room for a connection more.
        """
        caller = self._caller(request, head)
        answer = _handshake(request, head)
        reader = self._port(caller, None if caller is not None else client_certificate(request))
        if reader is None:
            raise Unavailable("there are as many MQTT connections as this server takes; try again later")
        _hand_over(request, reader, answer)
        return Switched(status=SWITCHING_PROTOCOLS)

    def _caller(self, request: DoorRequest, head: RequestHead) -> Caller | None:
        claim = read_claim(head.method, head.raw_path, head.raw_query, head.headers)
        if claim is not None:
            return self._verified(head, claim)
        if client_certificate(request) is None:
            raise Forbidden(
                f"{PATH} wants a signature (version 4) for the service {DEVICE_GATEWAY}, or a client certificate"
            )
        if not _same_origin(request):
            # A browser shows a certificate for any page; only a signature tells that the page itself may.
            raise Forbidden(
                f"a page of another origin needs a signature for {PATH}, whatever certificate its browser shows"
            )
        return None

    def _verified(self, head: RequestHead, claim: Claim) -> Caller:
        if claim.service != DEVICE_GATEWAY:
            raise SignatureRefused(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to correct service: '{DEVICE_GATEWAY}', not '{claim.service}'",
            )
        caller = self._signatures.caller(claim)
        try:
            self._signatures.verify(head, claim, EMPTY_SHA256)
        except SignatureRefused as refusal:
            if refusal.code == "AccessDenied":
                raise self._unpunctual(refusal, claim) from None
            if refusal.code != "SignatureDoesNotMatch" or _TOKEN not in head.raw_query:
                raise
            self._signatures.verify(_without_token(head), claim, EMPTY_SHA256)
        return caller

    def _unpunctual(self, refusal: SignatureRefused, claim: Claim) -> SignatureRefused:
        return SignatureRefused(
            refusal.code,
            f"{refusal.message}: it was signed at {format_timestamp(claim.timestamp)} for {claim.expires_seconds} seconds, "
            f"and it is {format_timestamp(self._clock())} here",
        )


def _same_origin(request: DoorRequest) -> bool:
    """Whether it comes from no page, or from one of this server."""
    origin = request.headers.get("Origin")
    return origin is None or origin.lower().partition("://")[2] == request.headers.get("Host", "").lower()


def _scope_text(head: RequestHead) -> str:
    authorization = next((value for name, value in head.headers if name == "authorization"), "")
    return authorization or head.raw_query.replace("%2F", "/").replace("%2f", "/")


def _without_token(head: RequestHead) -> RequestHead:
    """As it was when it was signed: AWS's SDKs add the token to a WebSocket's URL at last."""
    members = [member for member in head.raw_query.split("&") if not member.startswith(_TOKEN)]
    return RequestHead(
        method=head.method, raw_path=head.raw_path, raw_query="&".join(members), headers=head.headers
    )


def _handshake(request: DoorRequest, head: RequestHead) -> bytes:
    """The answer to the handshake."""
    headers = Headers()
    for name, value in head.headers:
        headers[name] = value
    spoken = f"HTTP/{request.version.major}.{request.version.minor}"
    offer = Request(path=head.raw_path, headers=headers, method=head.method, protocol=spoken)
    answer = ServerProtocol(subprotocols=SUBPROTOCOLS, logger=_log).accept(offer)
    if answer.status_code != SWITCHING_PROTOCOLS:
        raise UpgradeRefused(answer.body.decode().strip(), answer.status_code)
    return answer.serialize()


def _hand_over(request: DoorRequest, reader: Reader, answer: bytes) -> None:
    """Take the socket from aiohttp, which is told that its connection is gone."""
    handler, socket, tail = request.protocol, request.transport, _Tail()
    if socket is None or socket.is_closing():
        raise ConnectionResetError("the client is gone")
    handler.set_parser(tail)  # type: ignore[arg-type]  # of its kind it needs these two methods only
    handler.transport = None
    handler.connection_lost(None)
    socket.write(answer)
    transport = WebSocketTransport(reader, socket)
    transport.begin()
    socket.resume_reading()
    if tail.data:
        transport.data_received(tail.data)
