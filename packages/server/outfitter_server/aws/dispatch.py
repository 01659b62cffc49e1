"""From a request on the wire to the handler of its operation, and back.

A handler gets parameters that were parsed and validated against AWS's model, and returns a result in the same shape.
What it raises becomes an AWS error: a Refusal the one that it names, anything else ``InternalFailureException``, logged
under the request's id. An operation that AWS has and no handler serves is answered as AWS's front end answers what it
does not know: 404 ``UnknownOperationException``; never with a made-up success.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from outfitter_server.aws.errors import InternalFailure, UnknownOperation, json_error, query_error
from outfitter_server.aws.model import OperationModel, Route, ServiceModel, load_services
from outfitter_server.aws.parse import parse
from outfitter_server.aws.query import parse_form, serialize_xml
from outfitter_server.aws.serialize import serialize
from outfitter_server.aws.validate import validate
from outfitter_server.aws.wire import WireAnswer, WireRequest
from outfitter_server.base.refusals import Refusal
from outfitter_server.services.callers import Caller

QUERY_SERVICES: Final = frozenset({"sts"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asks, and how they reached the server.

    Attributes:
        host: the name that the client called, without a port; empty when it named none.
        secure: whether the connection is TLS.
    """

    caller: Caller
    host: str
    secure: bool
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one operation; ``parameters`` in botocore's shape, validated."""

    service: str
    operation: str
    parameters: dict[str, Any]
    caller: Caller
    host: str
    secure: bool


Handler = Callable[[Call], Awaitable[dict[str, Any]]]
Permit = Callable[[Call], None]


class Dispatcher:
    """The APIs that this server speaks.

    Args:
        handlers: by signing name (``iot``, ``iot-jobs-data``, ``sts``), then by operation name.

    Raises:
        LookupError: a handler is for an operation that AWS does not have.
    """

    def __init__(self, handlers: Mapping[str, Mapping[str, Handler]]) -> None:
        self._services = load_services()
        self._handlers = {service: dict(operations) for service, operations in handlers.items()}
        for service, operations in self._handlers.items():
            if service in QUERY_SERVICES:
                continue
            if service not in self._services:
                raise LookupError(f"handlers are given for {service}, which is no service of this server")
            for operation in operations:
                self._services[service].operation(operation)

    def serves(self, service: str) -> bool:
        """Whether there is any operation of this service here."""
        return service in self._handlers

    def knows(self, service: str, method: str, raw_path: str) -> bool:
        """Whether the request line names an operation of the service, served here or not."""
        model = self._services.get(service)
        return model is not None and model.route(method, raw_path) is not None

    def has_route(self, method: str, raw_path: str) -> bool:
        """Whether the request line names an operation of any service."""
        return any(model.route(method, raw_path) is not None for model in self._services.values())

    async def answer(
        self, service: str, request: WireRequest, origin: Origin, permit: Permit | None = None
    ) -> WireAnswer:
        """Serve one request; never raises for what the request or a handler did.

        ``permit`` is asked before the handler and raises a Refusal when the caller may not do this.
        """
        if service in QUERY_SERVICES:
            return await self._answer_query(service, request, origin, permit)
        model = self._services.get(service)
        route = None if model is None else model.route(request.method, request.raw_path)
        if model is None or route is None:
            unknown = UnknownOperation(f"{service} has no operation {request.method} {request.raw_path}")
            return json_error(unknown, model)
        operation = route.operation
        try:
            return await self._answer_rest(model, route, request, origin, permit)
        except Refusal as refusal:
            return json_error(refusal, model, operation)
        except Exception:  # noqa: BLE001 - logged with its request id
            return json_error(_failure(service, operation, origin), model, operation)

    def refuse(self, service: str, refusal: Refusal, request_id: str) -> WireAnswer:
        """A refusal that came before any operation, in the format of the service."""
        if service in QUERY_SERVICES:
            return query_error(refusal, request_id)
        return json_error(refusal, self._services.get(service))

    async def _answer_rest(
        self, model: ServiceModel, route: Route, request: WireRequest, origin: Origin, permit: Permit | None
    ) -> WireAnswer:
        handler = self._handler(model.name, route.operation.name)
        parameters = parse(request, route)
        validate(parameters, route.operation.input_shape)
        call = _call(model.name, route.operation.name, parameters, origin)
        if permit is not None:
            permit(call)
        return serialize(await handler(call), route.operation)

    async def _answer_query(
        self, service: str, request: WireRequest, origin: Origin, permit: Permit | None
    ) -> WireAnswer:
        try:
            action, parameters = parse_form(request)
            handler = self._handler(service, action)
            call = _call(service, action, parameters, origin)
            if permit is not None:
                permit(call)
            return serialize_xml(action, await handler(call), origin.request_id)
        except Refusal as refusal:
            return query_error(refusal, origin.request_id)
        except Exception:  # noqa: BLE001 - logged with its request id
            return query_error(_failure(service, None, origin), origin.request_id)

    def _handler(self, service: str, operation: str) -> Handler:
        handler = self._handlers.get(service, {}).get(operation)
        if handler is None:
            raise UnknownOperation(f"The operation {operation or '(none)'} of {service} is not served here")
        return handler


def _call(service: str, operation: str, parameters: dict[str, Any], origin: Origin) -> Call:
    return Call(
        service=service,
        operation=operation,
        parameters=parameters,
        caller=origin.caller,
        host=origin.host,
        secure=origin.secure,
    )


def _failure(service: str, operation: OperationModel | None, origin: Origin) -> InternalFailure:
    name = "" if operation is None else operation.name
    _log.exception("request %s, %s %s: failed", origin.request_id, service, name)
    return InternalFailure(f"The server failed at this request; its log tells more under {origin.request_id}")
