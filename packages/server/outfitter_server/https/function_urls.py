"""Function URLs, ``/_url/{id}/…``, and the pre-signed downloads of functions' code that GetFunction names.

A path of its own on the one port stands for AWS's host name of its own; it is taken off before the function sees the rest.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from outfitter_server.access.signature import EMPTY_SHA256, Claim, SignatureRefused, read_claim
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Forbidden, NotFound, Refusal, Throttled
from outfitter_server.functions.permissions import EVERYBODY, INVOKE_URL, Request
from outfitter_server.functions.settings import PAYLOAD_BYTES_MAX
from outfitter_server.functions.url_answers import AnswerUnusable, UrlAnswer, url_answer
from outfitter_server.functions.url_cors import answer_headers, is_preflight, preflight_headers
from outfitter_server.functions.url_events import UrlCaller, UrlRequest, build_event, joined
from outfitter_server.https.listener import DoorRequest
from outfitter_server.https.reading import RequestHead, called_host, digest, read_body
from outfitter_server.https.signatures import Signatures
from outfitter_server.services.callers import Caller
from outfitter_server.services.function_permissions import FunctionPermissions
from outfitter_server.services.function_urls import PREFIX, FunctionUrl, FunctionUrls, UrlAuth
from outfitter_server.services.functions import Functions
from outfitter_server.services.invocations import Invocations, InvokeResult, encode_event

SERVICE: Final = "lambda"
CODE_PREFIX: Final = "/_outfitter/functions/"
_ID: Final = re.compile(r"[a-z0-9]{32}")
_CODE_PATH: Final = re.compile(r"/_outfitter/functions/([a-zA-Z0-9_-]{1,64})/([0-9a-f]{64})\.zip")
_CORS: Final = "access-control-"
_BAD_GATEWAY: Final = 502
_FORBIDDEN: Final = 403
# A URL shares its origin with the console, whose page holds a person's key in memory; what a function shows must not reach it.
_APART: Final = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"


class FunctionUrlDoor:
    """Serves function URLs and downloads of code."""

    def __init__(
        self,
        *,
        urls: FunctionUrls,
        permissions: FunctionPermissions,
        invocations: Invocations,
        functions: Functions,
        signatures: Signatures,
        installation: Installation,
        clock: Callable[[], int],
    ) -> None:
        """``clock`` in milliseconds since the epoch."""
        self._urls = urls
        self._permissions = permissions
        self._invocations = invocations
        self._functions = functions
        self._signatures = signatures
        self._account = installation.account
        self._clock = clock

    async def handle(self, request: DoorRequest, head: RequestHead) -> web.StreamResponse:
        """Answer a request below ``/_url/``."""
        url_id, _, rest = head.raw_path.removeprefix(PREFIX).partition("/")
        found = self._urls.find(url_id) if _ID.fullmatch(url_id) else None
        if found is None:
            return _refusal(_FORBIDDEN, "Forbidden: there is no function at this URL", {})
        headers = joined(head.headers)
        if found.cors is not None and is_preflight(head.method, headers):
            return web.Response(headers=preflight_headers(found.cors, headers))
        granted = {} if found.cors is None else answer_headers(found.cors, headers.get("origin", ""))
        try:
            return await self._invoke(request, head, found, f"/{rest}", granted)
        except SignatureRefused as refusal:
            return _refusal(_FORBIDDEN, refusal.message, granted)
        except Refusal as refusal:
            return _refusal(
                429 if isinstance(refusal, Throttled) else refusal.status, refusal.message, granted
            )

    async def handle_code(self, request: DoorRequest, head: RequestHead) -> web.StreamResponse:
        """The zip of a function, for who has a pre-signed URL.

        Raises:
            NotFound: no function has this code.
            SignatureRefused: the URL is not signed, or has expired.
        """
        match = _CODE_PATH.fullmatch(head.raw_path)
        claim = read_claim(head.method, head.raw_path, head.raw_query, head.headers)
        if match is None or claim is None or claim.service != SERVICE:
            raise NotFound(f"there is no page {head.raw_path}")
        self._signatures.verify(head, claim, EMPTY_SHA256)
        found = self._functions.find(match[1])
        if found.code.sha256 != match[2]:
            raise NotFound("the function has other code by now; ask GetFunction again")
        response = web.StreamResponse(
            headers={"Content-Type": "application/zip", "Content-Length": str(found.code.size)}
        )
        await response.prepare(request)
        if head.method != "HEAD":
            async for block in self._functions.code_blocks(found):
                await response.write(block)
        return response

    async def _invoke(
        self,
        request: DoorRequest,
        head: RequestHead,
        found: FunctionUrl,
        path: str,
        granted: Mapping[str, str],
    ) -> web.Response:
        claim = self._claim(head, found)
        # Before the body is read, so that strangers cannot make the server hold one.
        caller = None if claim is None else self._signatures.caller(claim)
        body = await read_body(request, PAYLOAD_BYTES_MAX)
        if claim is not None:
            self._signatures.verify(head, claim, await digest(body))
        event = build_event(_url_request(request, head, found, path, body, caller), self._clock())
        result = await self._invocations.invoke(
            found.function, encode_event(event), caller=caller, request_id=request.request_id
        )
        return _http(result, granted, configured=found.cors is not None)

    def _claim(self, head: RequestHead, found: FunctionUrl) -> Claim | None:
        """The claim to verify; None where everybody may call.

        Raises:
            Forbidden: it takes a signature and there is none, or the function's policy does not let everybody in.
        """
        if found.auth is UrlAuth.NONE:
            wanted = Request(
                action=INVOKE_URL,
                principal=EVERYBODY,
                source_account=self._account,
                url_auth_type=found.auth.value,
            )
            if not self._permissions.allows(found.function, wanted):
                raise Forbidden(
                    f"Forbidden: the policy of function {found.function} does not let everybody call {INVOKE_URL}; "
                    "AddPermission with Principal * does"
                )
            return None
        claim = read_claim(head.method, head.raw_path, head.raw_query, head.headers)
        if claim is None:
            raise Forbidden("Forbidden: sign the request (AWS Signature Version 4, service lambda)")
        if claim.service != SERVICE:
            raise SignatureRefused(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to correct service: '{SERVICE}', not '{claim.service}'",
            )
        return claim


def _url_request(
    request: DoorRequest, head: RequestHead, found: FunctionUrl, path: str, body: bytes, caller: Caller | None
) -> UrlRequest:
    return UrlRequest(
        url_id=found.id,
        method=head.method,
        raw_path=path,
        raw_query=head.raw_query,
        headers=head.headers,
        body=body,
        domain=called_host(request),
        source_ip=request.remote or "",
        request_id=request.request_id,
        caller=None
        if caller is None
        else UrlCaller(access_key_id=caller.access_key_id, account=caller.account, arn=caller.arn),
    )


def _http(result: InvokeResult, granted: Mapping[str, str], *, configured: bool) -> web.Response:
    """The function's answer; ``configured``: the URL has cross-origin rules."""
    if result.error is not None:
        return _refusal(
            _BAD_GATEWAY, "Internal Server Error: the function failed; its log tells why", granted
        )
    try:
        answer = url_answer(result.payload)
    except AnswerUnusable as unusable:
        return _refusal(
            _BAD_GATEWAY, f"Internal Server Error: the function's answer cannot be sent: {unusable}", granted
        )
    return web.Response(
        status=answer.status, headers=_headers(answer, granted, configured=configured), body=answer.body
    )


def _headers(answer: UrlAnswer, granted: Mapping[str, str], *, configured: bool) -> CIMultiDict[str]:
    # The configuration of the URL wins over the function, as on AWS, also where it grants nothing.
    headers: CIMultiDict[str] = CIMultiDict(
        (name, value) for name, value in answer.headers.items() if not (configured and name.startswith(_CORS))
    )
    headers.setdefault("Content-Security-Policy", _APART)
    headers.update(granted)
    for cookie in answer.cookies:
        headers.add("Set-Cookie", cookie)
    return headers


def _refusal(status: int, message: str, granted: Mapping[str, str]) -> web.Response:
    return web.json_response({"Message": message}, status=status, headers=dict(granted))
