"""What comes of an invocation, in the words that AWS uses: payloads of errors, lines of the log."""

import json
from dataclasses import dataclass
from typing import Final

UNHANDLED: Final = "Unhandled"
TAIL_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of one invocation.

    Attributes:
        payload: JSON: what the function returned, or its error.
        error: ``Unhandled`` when the function failed, None when it returned.
        log_tail: the last 4 KB of what this invocation logged.
    """

    payload: bytes
    error: str | None = None
    log_tail: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an invocation used. Milliseconds, and megabytes of resident memory at most; ``init_ms`` of a cold start."""

    duration_ms: float
    memory_mb: int
    used_mb: int
    init_ms: float | None = None


def timed_out(request_id: str, seconds: float) -> bytes:
    """The error of a function that ran into its time limit."""
    return _error(
        "Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    )


def exited(request_id: str, status: int) -> bytes:
    """The error of a worker that ended in the middle; ``status`` as wait reports it, negative for a signal."""
    return _error("Runtime.ExitError", f"RequestId: {request_id} Error: {exit_words(status)}")


def out_of_memory(request_id: str) -> bytes:
    """The error of a worker that was ended because it held more memory than its function may."""
    return _error("Runtime.OutOfMemory", f"RequestId: {request_id} Error: {exit_words(-9)}")


def out_of_storage(request_id: str) -> bytes:
    """The error of a worker that was ended because it kept more files than a function may."""
    return _error(
        "Runtime.OutOfStorage",
        f"RequestId: {request_id} Error: the function keeps more in its temporary folder than it may",
    )


def too_large(size: int, largest: int) -> bytes:
    """The error of a function that answered more than it may."""
    return _error(
        "Function.ResponseSizeTooLarge",
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({largest} bytes).",
    )


def not_started(reason: str) -> bytes:
    """The error of a worker that did not come up."""
    return _error("Runtime.Unknown", reason)


def exit_words(status: int) -> str:
    """How a process ended, as AWS says it."""
    if status == 0:
        return "Runtime exited without providing a reason"
    if status < 0:
        return f"Runtime exited with error: signal: {_SIGNALS.get(-status, str(-status))}"
    return f"Runtime exited with error: exit status {status}"


def start_line(request_id: str) -> bytes:
    """The first line that an invocation logs."""
    return f"START RequestId: {request_id} Version: $LATEST\n".encode()


def end_lines(request_id: str, usage: Usage, trouble: str | None = None) -> bytes:
    """The last lines; ``trouble`` tells what the function itself could not."""
    billed = int(usage.duration_ms) + (usage.duration_ms > int(usage.duration_ms))
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {usage.duration_ms:.2f} ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: {usage.memory_mb} MB\tMax Memory Used: {usage.used_mb} MB"
    )
    if usage.init_ms is not None:
        report += f"\tInit Duration: {usage.init_ms:.2f} ms"
    said = f"{request_id} {trouble}\n" if trouble else ""
    return f"{said}END RequestId: {request_id}\n{report}\n".encode()


class LogTail:
    """The last bytes of a log, in bounded memory."""

    __slots__ = ("_bytes", "_limit")

    def __init__(self, limit: int = TAIL_BYTES_MAX) -> None:
        self._limit = limit
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Keep the end of what is there and ``data``."""
        if len(data) >= self._limit:
            self._bytes = data[-self._limit :]
        else:
            self._bytes = (self._bytes + data)[-self._limit :]

    def text(self) -> bytes:
        """What was kept."""
        return self._bytes


_SIGNALS: Final = {1: "hangup", 2: "interrupt", 6: "aborted", 9: "killed", 11: "segmentation fault", 15: "terminated", 24: "CPU time limit exceeded"}  # fmt: skip


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
