"""The service of the proof, which never loses its power: the server's own rules and payloads over executions in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
from outfitter_contract.execution import PENDING, TERMINAL, Status
from outfitter_contract.topics import notify_next, parse_request
from outfitter_server.base.refusals import Refusal
from outfitter_server.gateway import jobs_wire
from outfitter_server.jobs import device
from outfitter_server.jobs.lifecycle import ended_by_service, may_cancel
from outfitter_server.jobs.values import (
    Describe,
    Described,
    DeviceAnswer,
    DeviceRequest,
    EndedBy,
    Execution,
    JobHead,
    StartNext,
    Update,
    Updated,
)

THING: Final = "pump-1"
JOB: Final = "job"
NOW: Final = 1_800_000_000_000
SIGNATURE: Final = "signed"
"""In a document, where it is handed over with a fresh one."""


@dataclass(slots=True)
class Service:
    """One device's executions, and the files of the store."""

    heads: dict[str, JobHead] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    """Every accepted end of an execution: more than one of a job is one too many."""
    expires: bool = False
    """Whether URLs expire behind the first block that is fetched, once."""
    signature: str = SIGNATURE
    """What a URL must be signed with now."""

    def copy(self) -> "Service":
        """The service as it is now, for a life that does not change this one."""
        return replace(
            self,
            heads=dict(self.heads),
            executions=dict(self.executions),
            objects=dict(self.objects),
            ends=list(self.ends),
        )

    def queue(self, job: str, document: dict[str, object], number: int = 1) -> None:
        """A job for the device."""
        self.heads[job] = JobHead(job=job, document=msgspec.json.encode(document).decode())
        self.executions[job] = Execution(
            id=len(self.executions) + 1,
            thing=THING,
            job=job,
            number=number,
            status=Status.QUEUED,
            queued_at=NOW,
            updated_at=NOW,
        )

    def cancel(self, job: str) -> None:
        """An operator cancels the job that is in progress, with force; its device is told, as far as it listens."""
        execution = self.executions[job]
        may_cancel(execution, force=True)
        self.executions[job] = ended_by_service(
            execution, Status.CANCELED, NOW, EndedBy.EXECUTION_CANCELED, force=True
        )
        Link.hear(notify_next(THING), b'{"timestamp":1800000000}')

    def expire(self) -> None:
        """URLs that were handed over are good no more."""
        self.expires, self.signature = False, f"{SIGNATURE}-later"

    def ask(self, topic: str, payload: bytes) -> tuple[str, bytes] | None:
        """The topic and the payload of the answer; None for a topic that is no request of jobs."""
        request = parse_request(topic)
        if request is None:
            return None
        asked, token = jobs_wire.decode(request, payload)
        outcome: DeviceAnswer | Exception
        try:
            outcome = asked if isinstance(asked, Refusal) else self._do(asked)
        except Refusal as refusal:
            outcome = refusal
        suffix, answer = jobs_wire.answer(request, outcome, token, NOW, self._fill)  # type: ignore[arg-type]
        return topic + suffix, answer

    def _do(self, request: DeviceRequest) -> DeviceAnswer:
        match request:
            case StartNext():
                return self._start_next(request)
            case Update():
                return self._update(request)
            case Describe():
                found = device.describe(self.executions.get(request.job), request)
                return Described(execution=found, head=self.heads[found.job])
            case _:
                raise device.not_found(THING, "")

    def _start_next(self, request: StartNext) -> DeviceAnswer:
        pending = [each for each in self.executions.values() if each.status in PENDING]
        if not pending:
            return Described(execution=None, head=None)
        front = min(pending, key=device.pending_order)
        self.executions[front.job] = started = device.start(front, request, NOW)
        return Described(execution=started, head=self.heads[started.job])

    def _update(self, request: Update) -> DeviceAnswer:
        changed = device.update(self.executions.get(request.job), request, NOW)
        self.executions[request.job] = changed
        if changed.status in TERMINAL:
            self.ends.append(f"{request.job} {changed.status}")
        return Updated(execution=changed, include_state=request.include_state, head=None)

    def _fill(self, head: JobHead, _execution: Execution) -> msgspec.Raw:
        return msgspec.Raw(head.document.replace(f"?{SIGNATURE}", f"?{self.signature}").encode())


class Link:
    """Takes the place of the agent's connection: every request is a step, its answer comes at once."""

    service: Service
    step: Callable[[str], None]
    hear: Callable[[str, bytes], None]

    def __init__(
        self,
        _link: object,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[], None],  # noqa: ARG002 - it never goes down
        on_message: Callable[[str, bytes], None],
    ) -> None:
        """As the agent makes its own."""
        self._on_up, self._on_message = on_up, on_message
        Link.hear = staticmethod(on_message)

    def start(self) -> None:
        """It is up at once."""
        self._on_up()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Before the step the request has not left, after it the answer has not come."""
        status = msgspec.json.decode(payload).get("status", "")
        label = f"publish {topic.split('/', 4)[-1]} {status}".strip()
        self.step(f"before {label}")
        answer = self.service.ask(topic, payload)
        self.step(f"after {label}")
        if answer is not None:
            self._on_message(*answer)
        return True

    def subscribe(self, _filters: object) -> bool:
        """Everything is heard."""
        return True

    def flush(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing to close."""


class Curl:
    """Takes the place of libcurl's handle: moves bytes in blocks, resumes as a store does; each block is a step."""

    service: Service
    step: Callable[[str], None]
    BLOCK_BYTES: Final = 16 * 1024

    def __init__(self) -> None:
        """Nothing is set."""
        self._options: dict[int, Any] = {}
        self._status = 0

    def setopt(self, option: int, value: Any) -> None:
        """Remember."""
        self._options[option] = value

    def getinfo(self, _what: int) -> int:
        """The status; nothing else is asked for."""
        return self._status

    def close(self) -> None:
        """Nothing to close."""

    def perform(self) -> None:
        """One request."""
        import pycurl

        url = str(self._options[pycurl.URL])
        name, _, signature = url.rpartition("/")[2].partition("?")
        if self._options.get(pycurl.UPLOAD):
            self.step(f"before PUT {name}")
            self.service.objects[name] = self._options[pycurl.READFUNCTION](1 << 30)
            self._status = 200
            self.step(f"after PUT {name}")
            return
        self.step(f"before GET {name}")
        if signature != self.service.signature:
            self._status = 403
            self._options[pycurl.HEADERFUNCTION](b"HTTP/1.1 403 x\r\n")
            return
        content = self.service.objects[name]
        etag = f'"{len(content)}"'
        wanted = self._options.get(pycurl.RANGE, "")
        offset = int(wanted.rstrip("-")) if wanted else 0
        past = bool(wanted) and offset >= len(content)
        self._status = 416 if past else 206 if wanted else 200
        head = [f"HTTP/1.1 {self._status} x", f"ETag: {etag}", f"Content-Length: {len(content) - offset}"]
        if wanted and not past:
            head.append(f"Content-Range: bytes {offset}-{len(content) - 1}/{len(content)}")
        for line in head:
            self._options[pycurl.HEADERFUNCTION](f"{line}\r\n".encode())
        for start in range(offset, len(content), self.BLOCK_BYTES):
            block = content[start : start + self.BLOCK_BYTES]
            if self._options[pycurl.WRITEFUNCTION](block) == -1:
                raise pycurl.error(pycurl.E_WRITE_ERROR, "")
            self.step(f"after GET {name}, a block")
            if self.service.expires:
                self.service.expire()
                raise pycurl.error(pycurl.E_PARTIAL_FILE, "")
            if self._options[pycurl.XFERINFOFUNCTION](0, 0, 0, 0):
                raise pycurl.error(pycurl.E_ABORTED_BY_CALLBACK, "")
