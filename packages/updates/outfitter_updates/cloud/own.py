"""What a server of one's own answers beyond AWS: signed as every call, to paths that no AWS service has."""

import json
from typing import Any, Final
from urllib.parse import quote, urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from outfitter_updates.catalogue.problems import CloudRefused, NotFound
from outfitter_updates.cloud.connection import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    Connection,
)
from outfitter_updates.cloud.refusals import translated

PREFIX: Final = "/_outfitter"
NOT_ON_AWS: Final = "IsNotAws"
_FOUND: Final = 200
_MISSING: Final = 404


class Own:
    """Pausing, and the reasons why."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def pause(self, job_id: str) -> dict[str, Any]:
        """The state of a job after its rollout was paused."""
        return self._call("PUT", f"/jobs/{quote(job_id, safe='')}/pause", "Pausing the job")

    def resume(self, job_id: str) -> dict[str, Any]:
        """The state of a job after its rollout was let go on."""
        return self._call("PUT", f"/jobs/{quote(job_id, safe='')}/resume", "Resuming the job")

    def why(self, thing: str, job_id: str | None) -> dict[str, Any]:
        """What a device's executions wait for, and what happened to them."""
        query = f"?{urlencode({'jobId': job_id})}" if job_id else ""
        return self._call("GET", f"/why/{quote(thing, safe='')}{query}", "Asking why")

    def _call(self, method: str, path: str, action: str) -> dict[str, Any]:
        service = self._connection.iot
        if service.is_aws:
            raise CloudRefused(
                f"{action}: AWS IoT Jobs has no such thing, only an Outfitter server has. `outfitter job show` and "
                "`outfitter job cancel` work with both.",
                code=NOT_ON_AWS,
            )
        endpoint = service.endpoint.rstrip("/")
        with translated(action, endpoint):
            request = AWSRequest(method=method, url=f"{endpoint}{PREFIX}{path}")
            SigV4Auth(self._connection.credentials(), "iot", self._connection.region).add_auth(request)
            session = URLLib3Session(
                verify=self._connection.trust(), timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
            )
            try:
                answer = session.send(request.prepare())
            finally:
                session.close()
        return _read(answer.status_code, answer.content, action, endpoint)


def _read(status: int, content: bytes, action: str, endpoint: str) -> dict[str, Any]:
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise CloudRefused(
            f"{action}: {endpoint} answered {status} with something that is no answer of an Outfitter server.",
            code=str(status),
        )
    if status == _FOUND:
        return told
    message = f"{action}: {told.get('message', status)}"
    if status == _MISSING:
        raise NotFound(message)
    raise CloudRefused(message, code=str(status))
