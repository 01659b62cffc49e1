"""Invoking functions: now, with the answer awaited, or later, from the durable queue of events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Forbidden, Refusal
from outfitter_server.functions.names import function_name
from outfitter_server.functions.settings import EVENT_BYTES_MAX, PAYLOAD_BYTES_MAX
from outfitter_server.services.callers import Caller
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import EventQueued
from outfitter_server.services.function_permissions import FunctionPermissions
from outfitter_server.services.functions import Functions, function_or_refuse
from outfitter_server.services.ports import Sandbox

RULES: Final = "iot.amazonaws.com"
QUEUE_MAX: Final = 100_000


class RequestTooLarge(Refusal):
    """The payload is larger than a function may get."""

    code = "RequestTooLargeException"
    status = 413


class RequestContentInvalid(Refusal):
    """The payload is not JSON."""

    code = "InvalidRequestContentException"


class TooManyRequests(Refusal):
    """No room in the queue of events."""

    code = "TooManyRequestsException"
    status = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeResult:
    """The answer of an invocation.

    Attributes:
        status: 200 for one that ran, 202 for one that is queued.
        error: ``Unhandled`` when the function failed, None when it returned.
        log_tail: the last 4 KB of its log.
    """

    status: int
    payload: bytes = b""
    error: str | None = None
    log_tail: bytes = b""
    request_id: str = ""


class Invocations:
    """The one way to a function's code."""

    def __init__(
        self,
        committer: Committer,
        functions: Functions,
        permissions: FunctionPermissions,
        sandbox: Sandbox,
        installation: Installation,
        new_id: Callable[[], str],
    ) -> None:
        self._committer = committer
        self._functions = functions
        self._permissions = permissions
        self._sandbox = sandbox
        self._installation = installation
        self._new_id = new_id

    async def invoke(
        self,
        name: str,
        payload: bytes,
        *,
        caller: Caller | None = None,  # noqa: ARG002 - whoever has a key of the account may; roles join here
        client_context: str | None = None,
        request_id: str | None = None,
    ) -> InvokeResult:
        """Run a function and wait for its end. An empty payload is ``{}``.

        Raises:
            NotFound: no such function.
            RequestTooLarge, RequestContentInvalid: the payload is too long, or not JSON.
            Throttled, Unavailable: it cannot be run now.
        """
        found = self._functions.runnable(name)
        content = check_payload(payload, PAYLOAD_BYTES_MAX, "RequestResponse")
        own_id = request_id or self._new_id()
        outcome = await self._sandbox.invoke(found, own_id, content, client_context)
        return InvokeResult(
            status=200,
            payload=outcome.payload,
            error=outcome.error,
            log_tail=outcome.log_tail,
            request_id=own_id,
        )

    async def queue(self, name: str, payload: bytes, *, client_context: str | None = None) -> InvokeResult:
        """Queue an event; it is on disk when this returns, and is tried again when the function fails.

        Raises:
            NotFound: no such function.
            RequestTooLarge, RequestContentInvalid: the payload is too long, or not JSON.
            TooManyRequests: the queue is full.
        """
        content = check_payload(payload, EVENT_BYTES_MAX, "Event")
        own_id = self._new_id()

        def change(batch: Batch) -> InvokeResult:
            function_or_refuse(batch.tx, name, self._installation)
            span = batch.tx.one("function_events_span")
            if span is not None and span["first"] is not None and span["last"] - span["first"] >= QUEUE_MAX:
                raise TooManyRequests(
                    "Rate Exceeded: the queue of events is full; try again later", Type="User"
                )
            batch.tx.run(
                "function_event_insert",
                function=name,
                request_id=own_id,
                payload=content,
                client_context=client_context,
                queued_at=batch.now,
            )
            batch.emit(EventQueued())
            return InvokeResult(status=202, request_id=own_id)

        return await self._committer.change(change)

    async def queue_for_rule(self, function: str, payload: bytes, rule_arn: str) -> None:
        """Queue an event on behalf of a topic rule; ``function`` is a name or an ARN.

        Raises:
            Forbidden: the function's policy does not let ``iot.amazonaws.com`` invoke it for this rule.
            NotFound, RequestTooLarge, RequestContentInvalid, TooManyRequests: as for ``queue``.
        """
        await self.queue(self._allowed_for(function, rule_arn), payload)

    async def invoke_for(self, function: str, payload: bytes, source_arn: str) -> InvokeResult:
        """Run a function on behalf of a resource of the ``iot`` service and wait; ``function`` is a name or an ARN.

        Raises:
            Forbidden: the function's policy does not let ``iot.amazonaws.com`` invoke it for this resource.
            NotFound, RequestTooLarge, RequestContentInvalid, Throttled, Unavailable: as for ``invoke``.
        """
        return await self.invoke(self._allowed_for(function, source_arn), payload)

    def _allowed_for(self, function: str, source_arn: str) -> str:
        name = function_name(function, self._installation)
        self._functions.find(name)
        if not self._permissions.allows_service(name, RULES, source_arn):
            raise Forbidden(
                f"the policy of function {name} does not let {RULES} invoke it for {source_arn}; AddPermission does"
            )
        return name

    def check(self, name: str) -> None:
        """DryRun: whether the function is there and may be invoked.

        Raises:
            NotFound: no such function.
        """
        self._functions.find(name)


def encode_event(event: Mapping[str, Any]) -> bytes:
    """An event as the JSON that a function gets."""
    return msgspec.json.encode(event)


def check_payload(payload: bytes, largest: int, kind: str) -> bytes:
    """The payload, ``{}`` for an empty one.

    Raises:
        RequestTooLarge, RequestContentInvalid: it is too long, or not JSON.
    """
    if len(payload) > largest:
        raise RequestTooLarge(
            f"{len(payload)} byte payload is too large for the {kind} invocation type (limit {largest} bytes)",
            Type="User",
        )
    if not payload:
        return b"{}"
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RequestContentInvalid(
            f"Could not parse request body into json: {error}", Type="User"
        ) from error
    return payload
