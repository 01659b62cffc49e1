"""What this server answers beyond AWS, under ``/_outfitter/``, signed for the scope ``iot`` as management calls are.

    GET /_outfitter/jobs/{jobId}                         what a job does now, and what it waits for
    PUT /_outfitter/jobs/{jobId}/pause | resume          hold a rollout back, and let it go on
    GET /_outfitter/why/{thing}[?jobId=J[&executionNumber=N]]   why a thing has the executions that it has

SDKs never come here: nothing that AWS's services answer is changed by it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from outfitter_server.aws.wire import WireAnswer, WireRequest
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.jobs.lifecycle import ACTIVE
from outfitter_server.jobs.rates import batch_size
from outfitter_server.jobs.values import Job
from outfitter_server.jobs.why import held_because, not_yet
from outfitter_server.services.job_changes import JobChanges
from outfitter_server.services.jobs import Jobs
from outfitter_server.services.why import Answer, Why

JOBS_PREFIX: Final = "/_outfitter/jobs/"
WHY_PREFIX: Final = "/_outfitter/why/"
SCOPE: Final = "iot"

_JOB: Final = re.compile(r"/_outfitter/jobs/(?P<job>[a-zA-Z0-9_-]{1,64})(?:/(?P<verb>pause|resume))?")
_WHY: Final = re.compile(r"/_outfitter/why/(?P<thing>[a-zA-Z0-9:_-]{1,128})")
_encode: Final = msgspec.json.Encoder().encode


class OwnCalls:
    """The handlers behind the door; the caller has been authenticated."""

    def __init__(self, jobs: Jobs, changes: JobChanges, why: Why) -> None:
        """The services that answer."""
        self._jobs = jobs
        self._changes = changes
        self._why = why

    async def answer(self, request: WireRequest) -> WireAnswer:
        """Serve one call.

        Raises:
            NotFound: there is no such page, job, thing or execution.
            InvalidRequest: a parameter is wrong, or the job has ended.
        """
        path = unquote(request.raw_path)
        found = _JOB.fullmatch(path)
        if found is not None:
            job_id, verb = found["job"], found["verb"]
            if (request.method, verb) == ("GET", None):
                return _json(self._state(self._jobs.get(job_id)))
            if request.method == "PUT" and verb is not None:
                change = self._changes.pause if verb == "pause" else self._changes.resume
                await change(job_id)
                return _json(self._state(self._jobs.get(job_id)))
        found = _WHY.fullmatch(path)
        if found is not None and request.method == "GET":
            query = dict(parse_qsl(request.raw_query))
            return _json(_told(self._why.thing(found["thing"], query.get("jobId"), _number(query))))
        raise NotFound(f"there is no {request.method} {path[:200]}")

    def _state(self, job: Job) -> dict[str, Any]:
        now = self._jobs.now()
        active = job.status in ACTIVE and not job.ended
        busy = job.rolling and active
        waits_for = not_yet(job, now) if busy else None
        if active and job.held and not busy and job.counts.queued:
            waits_for = held_because(job, now)
        rate = batch_size(job.configs.rollout, notified=job.rolled_out, succeeded=job.counts.succeeded)
        return {
            "jobId": job.id,
            "status": job.status.value,
            "paused": job.paused,
            "held": job.held,
            "rolledOut": job.rolled_out,
            "ratePerMinute": rate,
            "nextBatchAt": _seconds(job.next_batch_at) if busy else None,
            "waitsFor": waits_for,
        }


def _number(query: Mapping[str, str]) -> int | None:
    text = query.get("executionNumber")
    if text is None:
        return None
    if "jobId" not in query or not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise InvalidRequest("executionNumber: a number from 1, together with jobId")
    return int(text)


def _told(answer: Answer) -> dict[str, Any]:
    return {
        "thingName": answer.thing,
        "connected": answer.connected,
        "executions": [
            {
                "jobId": told.execution.job,
                "executionNumber": told.execution.number,
                "status": told.execution.status.value,
                "held": told.execution.held,
                "retryAttempt": told.execution.attempt,
                "waitsFor": told.waits_for,
                "moments": [
                    {"at": _seconds(moment.at), "kind": moment.kind.value, "text": moment.text}
                    for moment in told.moments
                ],
            }
            for told in answer.executions
        ],
        "expected": [
            {"jobId": expected.job.id, "status": expected.job.status.value, "waitsFor": expected.waits_for}
            for expected in answer.expected
        ],
    }


def _seconds(time: int | None) -> float | None:
    return None if time is None else time / 1000


def _json(value: Mapping[str, Any]) -> WireAnswer:
    return WireAnswer(status=200, headers={"Content-Type": "application/json"}, body=_encode(value))
