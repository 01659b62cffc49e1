"""Invoke, permissions and URLs of the ``lambda`` model."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.functions import named, timestamp
from outfitter_server.aws.operations.members import refuse_left_out
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.names import LATEST, function_arn
from outfitter_server.functions.permissions import Permission, statement
from outfitter_server.functions.url_cors import UrlCors
from outfitter_server.services.function_permissions import FunctionPermissions
from outfitter_server.services.function_urls import FunctionUrl, FunctionUrls, UrlAuth
from outfitter_server.services.invocations import Invocations


class InvocationOperations:
    """The handler of Invoke."""

    def __init__(self, invocations: Invocations, installation: Installation) -> None:
        self._invocations = invocations
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"Invoke": self._invoke}

    async def _invoke(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "DurableExecutionName", "TenantId")
        name, payload = named(call, self._installation), given.get("Payload", b"")
        kind = given.get("InvocationType", "RequestResponse")
        context = _client_context(given.get("ClientContext"))
        if kind == "DryRun":
            self._invocations.check(name)
            return {"StatusCode": 204}
        if kind == "Event":
            result = await self._invocations.queue(name, payload, client_context=context)
            return {"StatusCode": result.status}
        result = await self._invocations.invoke(name, payload, caller=call.caller, client_context=context)
        tail = base64.b64encode(result.log_tail).decode() if given.get("LogType") == "Tail" else None
        return {
            "StatusCode": result.status,
            "FunctionError": result.error,
            "LogResult": tail,
            "ExecutedVersion": LATEST,
            "Payload": result.payload,
        }


class FunctionPermissionOperations:
    """Handlers of the operations on a function's policy."""

    def __init__(self, permissions: FunctionPermissions, installation: Installation) -> None:
        self._permissions = permissions
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"AddPermission": self._add, "RemovePermission": self._remove, "GetPolicy": self._get}

    async def _add(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "EventSourceToken", "PrincipalOrgID")
        permission = Permission(
            id=given["StatementId"],
            action=given["Action"],
            principal=given["Principal"],
            source_arn=given.get("SourceArn"),
            source_account=given.get("SourceAccount"),
            url_auth_type=given.get("FunctionUrlAuthType"),
            via_url=given.get("InvokedViaFunctionUrl"),
        )
        name = named(call, self._installation)
        await self._permissions.add(name, permission, given.get("RevisionId"))
        shown = statement(permission, function_arn(name, self._installation))
        return {"Statement": json.dumps(shown, separators=(",", ":"))}

    async def _remove(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        await self._permissions.remove(
            named(call, self._installation), given["StatementId"], given.get("RevisionId")
        )
        return {}

    async def _get(self, call: Call) -> dict[str, Any]:
        policy, revision = self._permissions.policy(named(call, self._installation))
        return {"Policy": policy, "RevisionId": revision}


class FunctionUrlOperations:
    """Handlers of the operations on function URLs.

    Args:
        show: the URL with an id, for a client that called this host, over TLS or not.
    """

    def __init__(
        self, urls: FunctionUrls, installation: Installation, show: Callable[[str, str, bool], str]
    ) -> None:
        self._urls = urls
        self._installation = installation
        self._show = show

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateFunctionUrlConfig": self._create,
            "GetFunctionUrlConfig": self._get,
            "UpdateFunctionUrlConfig": self._update,
            "DeleteFunctionUrlConfig": self._delete,
            "ListFunctionUrlConfigs": self._list,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        _check_mode(call)
        auth = UrlAuth(call.parameters["AuthType"])
        made = await self._urls.create(named(call, self._installation), auth, _cors(call))
        shown = self._shown(made, call)
        del shown["LastModifiedTime"]
        return shown

    async def _get(self, call: Call) -> dict[str, Any]:
        return self._shown(self._urls.of(named(call, self._installation)), call)

    async def _update(self, call: Call) -> dict[str, Any]:
        _check_mode(call)
        given = call.parameters.get("AuthType")
        auth = None if given is None else UrlAuth(given)
        made = await self._urls.update(named(call, self._installation), auth, _cors(call))
        return self._shown(made, call)

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._urls.delete(named(call, self._installation))
        return {}

    async def _list(self, call: Call) -> dict[str, Any]:
        # One URL a function: the listing is never longer than one.
        return {"FunctionUrlConfigs": [self._shown(self._urls.of(named(call, self._installation)), call)]}

    def _shown(self, found: FunctionUrl, call: Call) -> dict[str, Any]:
        return {
            "FunctionUrl": self._show(found.id, call.host, call.secure),
            "FunctionArn": function_arn(found.function, self._installation),
            "AuthType": found.auth.value,
            "Cors": None if found.cors is None else _shown_cors(found.cors),
            "CreationTime": timestamp(found.created_at),
            "LastModifiedTime": timestamp(found.modified_at),
            "InvokeMode": "BUFFERED",
        }


def _client_context(encoded: str | None) -> str | None:
    """The client context as the runtime client wants it: JSON, no longer in base64."""
    if encoded is None:
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        json.loads(text)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequest("ClientContext is not base64-encoded JSON") from error
    # It travels in a header.
    return json.dumps(json.loads(text))


def _check_mode(call: Call) -> None:
    if call.parameters.get("InvokeMode", "BUFFERED") != "BUFFERED":
        raise InvalidRequest("InvokeMode RESPONSE_STREAM is not supported by this service: leave it out")


def _cors(call: Call) -> UrlCors | None:
    given: Mapping[str, Any] | None = call.parameters.get("Cors")
    if given is None:
        return None
    return UrlCors(
        origins=tuple(given.get("AllowOrigins") or ()),
        methods=tuple(given.get("AllowMethods") or ()),
        headers=tuple(given.get("AllowHeaders") or ()),
        exposed=tuple(given.get("ExposeHeaders") or ()),
        credentials=given.get("AllowCredentials"),
        max_age_seconds=given.get("MaxAge"),
    )


def _shown_cors(cors: UrlCors) -> dict[str, Any]:
    return {
        "AllowCredentials": cors.credentials,
        "AllowHeaders": list(cors.headers) or None,
        "AllowMethods": list(cors.methods) or None,
        "AllowOrigins": list(cors.origins) or None,
        "ExposeHeaders": list(cors.exposed) or None,
        "MaxAge": cors.max_age_seconds,
    }
