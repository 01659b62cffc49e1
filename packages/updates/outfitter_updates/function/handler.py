"""The entry point: ``outfitter_updates.function.handler.handle``.

Called through its function URL (payload format 2.0) it answers with HTTP's status codes; invoked directly, with the
request itself as the event, it returns ``{"jobId", "jobArn"}`` or ``{"statusCode", "message"}``.
"""

import json
import logging
import secrets
import string
import time
from collections.abc import Mapping
from typing import Any, Final

from outfitter_updates.catalogue.problems import (
    BadConfiguration,
    CloudRefused,
    Conflict,
    NotFound,
    Problem,
    WrongUsage,
)
from outfitter_updates.function.requests import parse_request, read_body
from outfitter_updates.function.services import Services

TOKEN_LENGTH: Final = 6
STATUSES: Final[tuple[tuple[type[Problem], int], ...]] = (
    (WrongUsage, 400),
    (BadConfiguration, 400),
    (NotFound, 404),
    (Conflict, 409),
)
REFUSED_STATUSES: Final = {
    "AccessDeniedException": 403,
    "AccessDenied": 403,
    "UnauthorizedException": 403,
    "InvalidRequestException": 400,
    "ResourceAlreadyExistsException": 409,
    "ThrottlingException": 429,
    "LimitExceededException": 429,
}
BAD_GATEWAY: Final = 502

_log = logging.getLogger(__name__)
_services: list[Services] = []


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Makes one job, or says why not."""
    http = event.get("requestContext", {}).get("http")
    if http is None:
        status, body = _answer(event, context)
        return body if status == 200 else {"statusCode": status, **body}  # noqa: PLR2004 - HTTP's OK
    if http.get("method") != "POST":
        return _response(405, {"message": "Only POST makes a job."}, {"allow": "POST"})
    try:
        status, body = _answer(read_body(event), context)
    except WrongUsage as problem:
        status, body = 400, {"message": str(problem)}
    return _response(status, body)


def _answer(request: object, context: Any) -> tuple[int, dict[str, Any]]:
    try:
        wanted = parse_request(request)
        if not _services:
            _services.append(Services(str(context.invoked_function_arn)))
        arguments = _services[0].plan(wanted, now=time.time_ns() // 1_000_000, token=_token())
        return 200, _services[0].start(arguments)
    except Problem as problem:
        status = _status(problem)
        _log.warning("refused with %d: %s", status, problem)
        return status, {"message": str(problem)}


def _status(problem: Problem) -> int:
    if isinstance(problem, CloudRefused):
        return REFUSED_STATUSES.get(problem.code, BAD_GATEWAY)
    return next((status for kind, status in STATUSES if isinstance(problem, kind)), BAD_GATEWAY)


def _response(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
        "body": json.dumps(body),
    }


def _token() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(TOKEN_LENGTH))
