"""The jobs device API over MQTT: requests with their answers, progress, the final report, and who still wants it.

Answers are found by their client token. Progress is sent and not awaited: its answer tells the new version number, or
that the job has ended elsewhere, which is also how a notification that names another job is checked.
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outfitter_contract.details import Step, clean_details
from outfitter_contract.execution import TERMINAL, Status
from outfitter_contract.running import running_topic
from outfitter_contract.topics import jobs_prefix, notify, notify_next

from outfitter_agent.hands.mqtt import Connection, Link
from outfitter_agent.hands.signals import Signals
from outfitter_agent.hands.status import StatusFile
from outfitter_agent.plans.facts import Execution
from outfitter_agent.plans.transaction import FinalReport, JobRef
from outfitter_agent.plans.troubles import Abandoned

FINAL_TRIES_MAX: Final = 8
WAITING_MAX: Final = 64
"""Requests whose answers are still waited for; a service that never answers must not fill the memory."""
GONE: Final = frozenset({"ResourceNotFound", "TerminalStateReached", "InvalidStateTransition"})
MALFORMED: Final = frozenset({"InvalidRequest", "InvalidJson", "InvalidTopic"})

log = logging.getLogger(__name__)


class NotAnsweredError(Exception):
    """No connection, no answer in time, or one that means "later"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the service."""

    accepted: bool
    body: Mapping[str, Any]

    @property
    def code(self) -> str:
        """Why it was rejected."""
        return str(self.body.get("code", ""))


class JobsClient:
    """The agent's side of the conversation about jobs; methods are for the main thread."""

    def __init__(
        self, link: Link, signals: Signals, *, answer_timeout_seconds: float, status: StatusFile
    ) -> None:
        """Nothing is connected until ``start``."""
        self._status = status
        self._thing = link.client_id
        self._prefix = jobs_prefix(link.client_id)
        self._signals = signals
        self._timeout = answer_timeout_seconds
        self._guard = threading.Condition()
        self._waiting: dict[str, Callable[[Answer | None], None]] = {}
        self._subscribed = False
        self._watched: JobRef | None = None
        self._progress: Mapping[str, str] = {}
        self._version: tuple[JobRef, int] | None = None
        self._connection = Connection(link, on_up=self._up, on_down=self._down, on_message=self._message)

    def start(self) -> None:
        """Begin to connect."""
        self._connection.start()

    def flush(self) -> None:
        """Wait a little until the reports so far have arrived."""
        self._connection.flush()

    def tell_running(self, payload: bytes) -> bool:
        """Tell which configuration is in force; False when the broker has not taken it."""
        return self._connection.retain(running_topic(self._thing), payload)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def subscribe_once(self) -> None:
        """Subscribe to notifications and answers, if this connection has not; raises NotAnsweredError."""
        with self._guard:
            if self._subscribed:
                return
            filters = [notify(self._thing), notify_next(self._thing)]
            filters += [self._prefix + rest for rest in ("start-next/+", "+/get/+", "+/update/+")]
            self._subscribed = self._connection.subscribe(filters)
            if not self._subscribed:
                raise NotAnsweredError("no connection")

    def start_next(self, details: Mapping[str, str]) -> Execution | None:
        """Take the next job, IN_PROGRESS with these details; None when there is none. Raises NotAnsweredError."""
        answer = self._ask("start-next", {"statusDetails": dict(details)})
        if not answer.accepted:
            raise NotAnsweredError(f"start-next was rejected: {answer.code}: {answer.body.get('message')}")
        return self._execution(answer.body)

    def document(self, job: JobRef) -> object:
        """The document of a job under way, with fresh URLs; raises Abandoned, NotAnsweredError."""
        answer = self._ask(f"{job.job_id}/get", {"executionNumber": job.execution_number})
        if answer.accepted:
            execution = answer.body.get("execution")
            return execution.get("jobDocument") if isinstance(execution, dict) else None
        if answer.code in GONE:
            raise Abandoned
        raise NotAnsweredError(f"the job was not described: {answer.code}: {answer.body.get('message')}")

    def watch(self, job: JobRef, details: Mapping[str, str]) -> None:
        """From now on this job is under way: its progress is sent at each connect, its end elsewhere is noticed."""
        with self._guard:
            self._watched, self._progress = job, details

    def unwatch(self) -> None:
        """No job is under way."""
        with self._guard:
            self._watched = None

    def report(self, details: Mapping[str, str]) -> None:
        """Progress of the watched job; kept for the next connect when there is no connection."""
        with self._guard:
            self._progress = details
            self._send_progress()

    def report_final(self, final: FinalReport) -> Status:
        """Deliver a final report; the status that it was closed with. Raises NotAnsweredError when it must be kept."""
        with self._guard:
            known = (
                self._version[1] if self._version and self._version[0] == final.job else final.version_number
            )
        forms: Iterator[FinalReport] | None = None
        for _ in range(FINAL_TRIES_MAX):
            answer = self._ask(f"{final.job.job_id}/update", _final_request(final, known))
            if answer.accepted:
                return final.status
            state = answer.body.get("executionState")
            state = state if isinstance(state, dict) else {}
            if answer.code == "VersionMismatch" and state.get("status") not in TERMINAL:
                known = _integer(state.get("versionNumber"))
            elif answer.code in GONE or answer.code == "VersionMismatch":
                _log_closed(final, answer, state.get("status"))
                return final.status
            elif answer.code in MALFORMED:
                log.error("the final report was refused: %s", answer.body.get("message"))
                forms = forms or _milder(final, str(answer.body.get("message")))
                milder = next(forms, None)
                if milder is None:
                    return final.status
                final = milder
            else:
                raise NotAnsweredError(f"the final report was answered {answer.code}")
        raise NotAnsweredError("the job changes faster than it can be reported")

    def _ask(self, topic: str, request: Mapping[str, object]) -> Answer:
        answered = threading.Event()
        answers: list[Answer | None] = []

        def take(answer: Answer | None) -> None:
            answers.append(answer)
            answered.set()

        token = self._send(topic, request, take)
        answered.wait(self._timeout)
        with self._guard:
            self._waiting.pop(token, None)
        answer = answers[0] if answers else None
        if answer is None:
            raise NotAnsweredError(f"no answer to {topic}")
        return answer

    def _send(self, topic: str, request: Mapping[str, object], take: Callable[[Answer | None], None]) -> str:
        """Publish a request; ``take`` gets its answer, or None at once or when the connection goes."""
        token = str(uuid.uuid4())
        with self._guard:
            while len(self._waiting) >= WAITING_MAX:
                self._waiting.pop(next(iter(self._waiting)))
            self._waiting[token] = take
            payload = json.dumps({**request, "clientToken": token}, separators=(",", ":")).encode()
            if self._connection.publish(self._prefix + topic, payload):
                return token
            self._waiting.pop(token, None)
        take(None)
        return token

    def _send_progress(self) -> None:
        job = self._watched
        if job is None:
            return
        request: dict[str, object] = {
            "status": Status.IN_PROGRESS,
            "executionNumber": job.execution_number,
            "includeJobExecutionState": True,
        }
        if self._progress:  # an empty map would wipe what was reported before the restart
            request["statusDetails"] = dict(self._progress)
        self._send(f"{job.job_id}/update", request, lambda answer: self._progress_answered(job, answer))

    def _progress_answered(self, job: JobRef, answer: Answer | None) -> None:
        if answer is None:
            return
        if answer.accepted:
            state = answer.body.get("executionState")
            version = _integer(state.get("versionNumber")) if isinstance(state, dict) else None
            if version is not None:
                self._version = (job, version)
        elif answer.code in GONE:
            log.warning("job %s has ended elsewhere: %s", job.job_id, answer.body.get("message"))
            if self._watched == job:
                self._signals.abandon()
        else:
            log.warning("progress of job %s was refused: %s", job.job_id, answer.body.get("message"))

    def _up(self) -> None:
        with self._guard:
            self._subscribed = False
            if self._watched is not None:
                self.subscribe_once()
                self._send_progress()
        self._status.link(up=True)
        self._signals.link(up=True)

    def _down(self) -> None:
        with self._guard:
            waiting, self._waiting = self._waiting, {}
            self._guard.notify_all()
        for take in waiting.values():
            take(None)
        self._status.link(up=False)
        self._signals.link(up=False)

    def _message(self, topic: str, payload: bytes) -> None:
        try:
            body = json.loads(payload)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            log.warning("a message on %s is no JSON object", topic)
            return
        if topic == notify_next(self._thing):
            self._next_changed(body)
        elif topic == notify(self._thing):
            if body.get("jobs"):
                self._signals.work()
        elif topic.endswith(("/accepted", "/rejected")):
            with self._guard:
                take = self._waiting.pop(str(body.get("clientToken")), None)
                if take is not None:
                    take(Answer(accepted=topic.endswith("/accepted"), body=body))
                self._guard.notify_all()

    def _next_changed(self, body: Mapping[str, Any]) -> None:
        execution = body.get("execution")
        named = execution if isinstance(execution, dict) else {}
        with self._guard:
            job = self._watched
            if job is not None and (named.get("jobId"), named.get("executionNumber")) != (
                job.job_id,
                job.execution_number,
            ):
                self._send_progress()
        if named:
            self._signals.work()

    def _execution(self, body: Mapping[str, Any]) -> Execution | None:
        named = body.get("execution")
        if not isinstance(named, dict):
            return None
        job_id, number = named.get("jobId"), _integer(named.get("executionNumber"))
        version = _integer(named.get("versionNumber"))
        if not isinstance(job_id, str) or number is None or version is None:
            raise NotAnsweredError("an execution without id or numbers was handed over")
        execution = Execution(
            job_id=job_id,
            execution_number=number,
            version_number=version,
            status=str(named.get("status")),
            document=named.get("jobDocument"),
        )
        with self._guard:
            self._version = (JobRef(job_id=job_id, execution_number=number), version)
        return execution


def _milder(final: FinalReport, why: str) -> Iterator[FinalReport]:
    """What to report, one after the other, instead of what the service does not take and says why.

    Its details may be at fault. A success that it does not take without them either is none: a job may ask for a proof
    that this device cannot give.
    """
    yield replace(final, details={})
    if final.status is Status.SUCCEEDED:
        told = {
            **final.details,
            "step": Step.REFUSED,
            "reason": f"the service does not take SUCCEEDED: {why}",
        }
        yield replace(final, status=Status.FAILED, details=clean_details(told))
        yield replace(final, status=Status.FAILED, details={})


def _final_request(final: FinalReport, version: int | None) -> dict[str, object]:
    request: dict[str, object] = {
        "status": final.status,
        "executionNumber": final.job.execution_number,
        "includeJobExecutionState": True,
    }
    if final.details:
        request["statusDetails"] = dict(final.details)
    if version is not None:
        request["expectedVersion"] = version
    return request


def _log_closed(final: FinalReport, answer: Answer, status: object) -> None:
    if status == final.status:
        log.info("job %s is %s already", final.job.job_id, status)
    else:
        message = answer.body.get("message")
        log.warning(
            "job %s has ended without %s: %s: %s", final.job.job_id, final.status, answer.code, message
        )


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
