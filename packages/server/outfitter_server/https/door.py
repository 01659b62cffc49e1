"""One port, all services: who signed decides which of them answers.

In order: function URLs (``/_url/…``) and the server's own pages (``/_outfitter/…``); MQTT over WebSocket (``/mqtt``); the service in the SigV4 credential scope, from the headers or the
query; a client certificate, which makes an unsigned request one of the jobs data plane; else S3, which serves unsigned
requests where a bucket's policy lets it. ``iot`` and ``iot-jobs-data`` share paths, and only the scope tells them apart.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from aiohttp import web

from outfitter_server.access.claims import DEVICE_GATEWAY
from outfitter_server.access.query_v2 import QueryClaim, read_query_claim, verify_query
from outfitter_server.access.signature import (
    Claim,
    SignatureRefused,
    SigningContext,
    declared_payload_hash,
    read_claim,
)
from outfitter_server.aws.dispatch import Dispatcher, Origin, Permit
from outfitter_server.aws.errors import InternalFailure
from outfitter_server.aws.wire import WireRequest
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Forbidden, NotFound, Refusal
from outfitter_server.https import answers, cors, limits
from outfitter_server.https.device_calls import JOBS_DATA, DeviceCalls, client_certificate
from outfitter_server.https.function_urls import CODE_PREFIX, FunctionUrlDoor
from outfitter_server.https.listener import DoorRequest, HttpServer
from outfitter_server.https.mqtt_upgrade import MqttPort, MqttUpgrade
from outfitter_server.https.own_calls import JOBS_PREFIX, WHY_PREFIX, OwnCalls
from outfitter_server.https.own_calls import SCOPE as OWN_SCOPE
from outfitter_server.https.reading import (
    RequestHead,
    body_is_pending,
    called_host,
    digest,
    named_service,
    read_body,
    read_head,
    redacted,
)
from outfitter_server.https.signatures import UNKNOWN_S3_KEY, Signatures
from outfitter_server.services.callers import Caller, Callers
from outfitter_server.services.devices import Devices
from outfitter_server.services.function_urls import PREFIX as URL_PREFIX
from outfitter_server.services.meters import Meters

OWN_PREFIX: Final = "/_outfitter/"
HEALTH_PATH: Final = "/_outfitter/health"
METRICS_PATH: Final = "/_outfitter/metrics"
_FUNCTION_URL: Final = "function-url"
_OWN: Final = "outfitter"  # as who serves a request

S3Handler = Callable[
    [web.BaseRequest, Claim | None, Caller | None, SigningContext | None], Awaitable[web.StreamResponse]
]

S3Grant = Callable[[web.BaseRequest], Mapping[str, str]]

# What the Accept header asks for to the text and its content type.
MetricsText = Callable[[str], tuple[bytes, str]]


_log = logging.getLogger(__name__)


class HttpsDoor:
    """The door for people, functions and SDKs, and for devices without MQTT.

    Args:
        dispatcher: the APIs.
        callers: the access keys.
        devices: the certificate registry.
        s3: serves object requests; the signature over the headers is verified before, the body is its own matter, and
            whether a client that waits for ``100 Continue`` may send it.
        bucket_of_host: the bucket that ``s3`` reads in front of a Host header; older signatures cover it.
        clock: milliseconds since the epoch.
        s3_grant: the cross-origin headers of an answer about objects that this door gives by itself.
        function_urls: serves function URLs; None for a server without functions.
        own: what this server answers beyond AWS.
        mqtt: takes MQTT over WebSocket; None for a server without.
        meters: where requests are counted.
        metrics: what is answered to Prometheus; None for a server without.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        callers: Callers,
        devices: Devices,
        s3: S3Handler,
        bucket_of_host: Callable[[str], str | None],
        clock: Callable[[], int],
        installation: Installation,
        s3_grant: S3Grant = lambda _: {},
        function_urls: FunctionUrlDoor | None = None,
        own: OwnCalls | None = None,
        mqtt: MqttPort | None = None,
        meters: Meters | None = None,
        metrics: MetricsText | None = None,
    ) -> None:
        self._meters = meters or Meters()
        self._metrics = metrics
        self._dispatcher = dispatcher
        self._callers = callers
        self._devices = DeviceCalls(devices, installation)
        self._s3 = s3
        self._s3_grant = s3_grant
        self._bucket_of_host = bucket_of_host
        self._clock = clock
        self._signatures = Signatures(callers, clock)
        self._urls = function_urls
        self._own = own
        self._mqtt = None if mqtt is None else MqttUpgrade(self._signatures, mqtt, clock)
        self._server: HttpServer | None = None
        self._listeners: list[asyncio.Server] = []
        self._busy = 0
        self._idle = asyncio.Event()

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> int:
        """Listen; call again for a further port. With a context it speaks TLS, certificates of clients optional.

        Returns:
            The port, which the system chose when ``port`` is 0.
        """
        if self._server is None:
            self._server = HttpServer(self._serve)
        listener = await asyncio.get_running_loop().create_server(
            self._server.protocol,
            host,
            port,
            ssl=ssl_context,
            ssl_handshake_timeout=None if ssl_context is None else limits.TLS_HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=None if ssl_context is None else limits.TLS_SHUTDOWN_SECONDS,
            backlog=limits.BACKLOG,
        )
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Take no more connections, let requests under way end (DRAIN_SECONDS at most), then close."""
        for listener in self._listeners:
            listener.close()
        if self._server is None:
            return
        self._server.pre_shutdown()
        if self._busy:
            self._idle.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), limits.DRAIN_SECONDS)
        await self._server.shutdown(timeout=1)
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()
        self._server = None

    async def _serve(self, request: DoorRequest) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        started = loop.time()
        request_id = request.request_id
        self._busy += 1
        try:
            response = await self._answer(request, request_id)
            if not response.prepared and body_is_pending(request):
                # Bytes of this body must not be taken for the next request.
                response.force_close()
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
        self._meters.http_requests[request.service, f"{response.status // 100}xx"] += 1
        if _log.isEnabledFor(logging.DEBUG):
            spent_ms = (loop.time() - started) * 1000
            target = redacted(request.raw_path)
            _log.debug("%s %s %s %d %.1f ms", request_id, request.method, target, response.status, spent_ms)
        return response

    async def _answer(self, request: DoorRequest, request_id: str) -> web.StreamResponse:
        head: RequestHead | None = None
        try:
            head = read_head(request)
            return await self._route(request, head)
        except SignatureRefused as refusal:
            assert head is not None  # noqa: S101 - reading the head raises no signature refusals
            return self._refuse(named_service(head), refusal, request)
        except Refusal as refusal:
            return answers.s3_error(refusal, request.path, request_id)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception as error:
            _log.exception("request %s failed", request_id)
            if request.writer.output_size:
                # The answer has begun; all that is left to tell the client is that it is not whole.
                raise ConnectionResetError("the answer broke off") from error
            fault = InternalFailure("The server failed at this request; its log tells more")
            return answers.s3_error(fault, "", request_id)

    async def _route(self, request: DoorRequest, head: RequestHead) -> web.StreamResponse:
        if self._urls is not None and head.raw_path.startswith(URL_PREFIX):
            request.service = _FUNCTION_URL
            return await self._urls.handle(request, head)
        if self._urls is not None and head.raw_path.startswith(CODE_PREFIX):
            request.service = _OWN
            return await self._urls.handle_code(request, head)
        if head.raw_path.startswith(OWN_PREFIX):
            request.service = _OWN
            return await self._route_own(request, head)
        if self._mqtt is not None and self._mqtt.concerns(request, head):
            request.service = DEVICE_GATEWAY
            return self._switch(request, head, self._mqtt)
        if head.method == "OPTIONS":
            if (allowed := cors.preflight(head, self._dispatcher)) is not None:
                return allowed
            return await self._s3(request, None, None, None)
        claim = read_claim(head.method, head.raw_path, head.raw_query, head.headers)
        if claim is None:
            return await self._route_unsigned(request, head)
        if claim.service != "s3":
            request.service = claim.service if self._dispatcher.serves(claim.service) else "unknown"
            return await self._serve_signed(request, head, claim)
        context = self._signatures.verify(head, claim, declared_payload_hash(claim, request.headers))
        return await self._s3(request, claim, self._signatures.caller(claim), context)

    async def _route_own(self, request: DoorRequest, head: RequestHead) -> web.StreamResponse:
        if head.raw_path == HEALTH_PATH and head.method in {"GET", "HEAD"}:
            return answers.health()
        if self._metrics is not None and head.raw_path == METRICS_PATH and head.method in {"GET", "HEAD"}:
            return answers.metrics(*self._metrics(request.headers.get("Accept", "")))
        if self._own is not None and head.raw_path.startswith((JOBS_PREFIX, WHY_PREFIX)):
            return await self._serve_own(request, head, self._own)
        return self._refuse(OWN_SCOPE, NotFound(f"there is no page {head.raw_path[:200]}"), request)

    def _switch(self, request: DoorRequest, head: RequestHead, mqtt: MqttUpgrade) -> web.StreamResponse:
        try:
            return mqtt.handle(request, head)
        except Refusal as refusal:
            return self._refuse(DEVICE_GATEWAY, refusal, request)

    async def _route_unsigned(self, request: DoorRequest, head: RequestHead) -> web.StreamResponse:
        older = read_query_claim(head.raw_query)
        if older is not None:
            return await self._serve_query_signed(request, head, older)
        certificate = client_certificate(request)
        if certificate is None or not self._dispatcher.knows(JOBS_DATA, head.method, head.raw_path):
            return await self._s3(request, None, None, None)
        request.service = JOBS_DATA
        try:
            identity = self._devices.identify(certificate)
            body = await read_body(request)
        except Refusal as refusal:
            return self._refuse(JOBS_DATA, refusal, request)
        caller = self._devices.caller(identity)
        return await self._call(
            request, head, JOBS_DATA, caller, body, self._devices.permit(identity, request.remote)
        )

    async def _serve_query_signed(
        self, request: DoorRequest, head: RequestHead, claim: QueryClaim
    ) -> web.StreamResponse:
        credentials = self._callers.credentials(claim.access_key_id, claim.session_token)
        if credentials is None:
            raise SignatureRefused("InvalidAccessKeyId", UNKNOWN_S3_KEY)
        verify_query(
            head.method,
            head.raw_path,
            head.raw_query,
            head.headers,
            bucket=self._bucket_of_host(request.headers.get("Host", "")),
            claim=claim,
            credentials=credentials,
            now=self._clock(),
        )
        caller = self._callers.caller(claim.access_key_id, claim.session_token)
        return await self._s3(request, None, caller, None)

    async def _serve_signed(
        self, request: DoorRequest, head: RequestHead, claim: Claim
    ) -> web.StreamResponse:
        try:
            # Before the body is read, so that strangers cannot make the server hold one.
            caller = self._signatures.caller(claim)
            body = await read_body(request, limits.body_bytes_max(claim.service))
            self._signatures.verify(head, claim, await digest(body))
        except Refusal as refusal:
            return self._refuse(claim.service, refusal, request)
        return await self._call(request, head, claim.service, caller, body)

    async def _serve_own(self, request: DoorRequest, head: RequestHead, own: OwnCalls) -> web.StreamResponse:
        claim = read_claim(head.method, head.raw_path, head.raw_query, head.headers)
        try:
            if claim is None or claim.service != OWN_SCOPE:
                raise Forbidden(f"{head.raw_path[:200]} wants a signature (version 4) for {OWN_SCOPE}")
            self._signatures.caller(claim)
            body = await read_body(request, limits.body_bytes_max(claim.service))
            self._signatures.verify(head, claim, await digest(body))
            return answers.http_answer(await own.answer(_wire(head, body)))
        except Refusal as refusal:
            return self._refuse(OWN_SCOPE, refusal, request)

    async def _call(
        self,
        request: DoorRequest,
        head: RequestHead,
        service: str,
        caller: Caller,
        body: bytes,
        permit: Permit | None = None,
    ) -> web.StreamResponse:
        origin = Origin(
            caller=caller, host=called_host(request), secure=request.secure, request_id=request.request_id
        )
        answer = await self._dispatcher.answer(service, _wire(head, body), origin, permit)
        return cors.granted(request, answers.http_answer(answer))

    def _refuse(self, service: str, refusal: Refusal, request: DoorRequest) -> web.Response:
        request_id = request.request_id
        if service != "s3":
            refused = self._dispatcher.refuse(service, refusal, request_id)
            return cors.granted(request, answers.http_answer(refused))
        answer = answers.s3_error(refusal, request.raw_path.partition("?")[0], request_id)
        answer.headers.update(self._s3_grant(request))
        return answer


def _wire(head: RequestHead, body: bytes) -> WireRequest:
    return WireRequest(
        method=head.method,
        raw_path=head.raw_path,
        raw_query=head.raw_query,
        headers=dict(head.headers),
        body=body,
    )
