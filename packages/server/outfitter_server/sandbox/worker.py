"""One worker: a process, its Runtime API, its log, and the one invocation that it may be busy with.

The clock of an invocation starts when the worker fetches the event. Between invocations the worker is stopped, so that what
a function leaves running in the background costs nothing; AWS freezes its environments in the same way.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from outfitter_server.functions.outcomes import (
    UNHANDLED,
    LogTail,
    Outcome,
    Usage,
    end_lines,
    exit_words,
    exited,
    not_started,
    out_of_memory,
    out_of_storage,
    start_line,
    timed_out,
    too_large,
)
from outfitter_server.functions.settings import PAYLOAD_BYTES_MAX
from outfitter_server.sandbox import launcher
from outfitter_server.sandbox.confinement import NICE, Confinement
from outfitter_server.sandbox.logs import InvocationLog
from outfitter_server.sandbox.peers import find_peer, holds
from outfitter_server.sandbox.processes import end_marked, end_user, peak_memory_mb, resident_mb
from outfitter_server.sandbox.runtime_api import Event, Reply, RuntimeApi
from outfitter_server.sandbox.storage import StorageWatch

INIT_SECONDS: Final = 10.0
MEMORY_WATCH_SECONDS: Final = 0.05
_READ_BYTES: Final = 65_536
_READS_A_TURN: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlace:
    """Where and as what a worker runs.

    Attributes:
        slot: its number in the pool.
        uid: the user that it becomes, None for the server's own.
        home: the folder that it may write to.
        task: the function's code.
        readable: interpreter and packages, and other files that it needs.
    """

    slot: int
    uid: int | None
    home: Path
    task: Path
    readable: Sequence[str]
    packages: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Exited:
    status: int


@dataclass(frozen=True, slots=True)
class _TimedOut:
    seconds: float


@dataclass(frozen=True, slots=True)
class _OutOfMemory:
    pass


@dataclass(frozen=True, slots=True)
class _OutOfStorage:
    pass


_End = Reply | _Exited | _TimedOut | _OutOfMemory | _OutOfStorage


class Worker:
    """A process that serves one function, one event at a time."""

    def __init__(
        self,
        place: WorkerPlace,
        confinement: Confinement,
        *,
        handler: str,
        memory_mb: int,
        timeout_seconds: int,
        environment: Mapping[str, str],
        variables: Mapping[str, str],
        clock: Callable[[], int],
    ) -> None:
        """``environment``: what the process starts with; ``variables``: the function's own; ``clock`` in milliseconds."""
        self._place = place
        self._confinement = confinement
        self._handler = handler
        self._memory_mb = memory_mb
        self._timeout_seconds = timeout_seconds
        self._environment = environment
        self._variables = variables
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._api = RuntimeApi(
            is_worker=self._is_worker, fetched=self._fetched, waiting=self._waiting, replied=self._end
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._watched = -1
        self._timer: asyncio.TimerHandle | None = None
        self._memory_timer: asyncio.TimerHandle | None = None
        self._storage = StorageWatch(place.home, lambda: self._end(_OutOfStorage()))
        self._ended: asyncio.Future[_End] | None = None
        self._log: InvocationLog | None = None
        self._tail = LogTail()
        self._request_id = ""
        self._began: float | None = None
        self._launched = 0.0
        self._init_ms: float | None = None
        self._frozen = False
        self._used_mb = 0
        self.started_at = self._loop.time()
        self.idle_since = self.started_at
        self.alive = False
        self.spent = False

    @property
    def slot(self) -> int:
        """The slot of the pool that it takes."""
        return self._place.slot

    @property
    def home(self) -> Path:
        """The folder that it may write to."""
        return self._place.home

    @property
    def task(self) -> Path:
        """The folder of its code."""
        return self._place.task

    async def start(self) -> None:
        """Launch the process; it is ready when it asks for an event.

        Raises:
            OSError: no process can be made.
        """
        address = await self._api.open()
        told = os.memfd_create("told", os.MFD_CLOEXEC)
        os.write(told, json.dumps(self._told()).encode())
        os.lseek(told, 0, os.SEEK_SET)
        self._pipe, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write, True)
        self._launched = perf_counter()
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - a fork of a millisecond, of our own interpreter
                [sys.executable, "-I", "-S", "-B", launcher.__file__],
                stdin=told,
                stdout=write,
                stderr=write,
                cwd="/",
                env={**self._environment, "AWS_LAMBDA_RUNTIME_API": address},
            )
        finally:
            os.close(told)
            os.close(write)
        self._watched = os.pidfd_open(self._process.pid)
        self.alive = True
        self._loop.add_reader(self._watched, self._on_exit)
        self._loop.add_reader(self._pipe, self._read_log)

    async def invoke(self, event: Event, log: InvocationLog) -> Outcome:
        """Run one event to its end, whatever that is. Afterwards ``spent`` tells that the worker is of no more use."""
        self._ended = self._loop.create_future()
        self._log, self._tail, self._request_id = log, LogTail(), event.request_id
        self._began = None
        self._timer = self._loop.call_later(
            max(INIT_SECONDS, self._timeout_seconds),
            self._end,
            _TimedOut(max(INIT_SECONDS, self._timeout_seconds)),
        )
        self._watch_memory()
        self._storage.start()
        if self.alive:
            self._api.give(event)
            self._thaw()
        else:
            self._end(_Exited(-signal.SIGKILL))
        try:
            end = await self._ended
        finally:
            self._timer.cancel()
            if self._memory_timer is not None:
                self._memory_timer.cancel()
            self._storage.stop()
            if not self._ended.done() or self._ended.cancelled():
                self.spent = True
            self._ended = None
        return self._settle(end)

    async def close(self) -> None:
        """End the process and everything that it started; its folder is the pool's to remove."""
        self.spent = True
        self._kill()
        await self._api.close()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        self._forget_descriptors()
        if self._place.uid is not None:
            await asyncio.to_thread(end_user, self._place.uid)
        else:
            await asyncio.to_thread(end_marked, str(self._place.home))

    def _told(self) -> dict[str, object]:
        place = self._place
        return {
            "uid": place.uid,
            "landlock": self._confinement.landlock,
            "limits": self._confinement.limits(self._memory_mb),
            "readable": [*place.readable, str(place.task)],
            "home": str(place.home),
            "parent": os.getpid(),
            "task": str(place.task),
            "packages": list(place.packages),
            "handler": self._handler,
            "environment": dict(self._variables),
        }

    def _settle(self, end: _End) -> Outcome:
        duration_ms = 0.0 if self._began is None else (perf_counter() - self._began) * 1000
        if self._process is not None:
            self._used_mb = max(self._used_mb, peak_memory_mb(self._process.pid))
        payload, trouble = self._payload(end)
        if not isinstance(end, Reply) or end.init or end.oversize is not None:
            self.spent = True
            self._kill()
        self._drain_log()
        usage = Usage(
            duration_ms=duration_ms, memory_mb=self._memory_mb, used_mb=self._used_mb, init_ms=self._init_ms
        )
        self._init_ms = None
        if self._began is None:
            self._say(start_line(self._request_id))
        last = end_lines(self._request_id, usage, trouble)
        self._tail.add(last)
        if self._log is not None:
            self._log.close(last)
        self._log = None
        self.idle_since = self._loop.time()
        failed = not isinstance(end, Reply) or end.failed
        return Outcome(payload=payload, error=UNHANDLED if failed else None, log_tail=self._tail.text())

    def _payload(self, end: _End) -> tuple[bytes, str | None]:
        match end:
            case Reply(oversize=int(size)):
                return too_large(size, PAYLOAD_BYTES_MAX), None
            case Reply():
                return end.payload, None
            case _TimedOut():
                words = f"Task timed out after {end.seconds:.2f} seconds"
                return timed_out(self._request_id, end.seconds), words
            case _OutOfMemory():
                return out_of_memory(self._request_id), exit_words(-signal.SIGKILL)
            case _OutOfStorage():
                return out_of_storage(self._request_id), exit_words(-signal.SIGKILL)
            case _Exited(status=launcher.NOT_CONFINED) if self._began is None:
                return not_started(
                    "the worker could not be confined; the log of the function tells why"
                ), None
            case _Exited():
                return exited(self._request_id, end.status), exit_words(end.status)

    def _fetched(self) -> int:
        """The worker has its event: the clock runs."""
        self._began = perf_counter()
        if self._launched:
            self._init_ms, self._launched = (self._began - self._launched) * 1000, 0.0
            self._stand_back()
        self._say(start_line(self._request_id))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(
            self._timeout_seconds, self._end, _TimedOut(float(self._timeout_seconds))
        )
        return self._clock() + self._timeout_seconds * 1000

    def _stand_back(self) -> None:
        """Let the server go first from now on; a cold start is waited for, and is not slowed."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)

    def _waiting(self) -> None:
        if (self._ended is None or self._ended.done()) and not self._frozen:
            self._frozen = True
            self._signal(signal.SIGSTOP)

    def _thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            self._signal(signal.SIGCONT)

    def _end(self, end: _End) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(end)

    def _watch_memory(self) -> None:
        """Address space is limited by the kernel; what is resident is looked at while the function runs."""
        if self._process is not None and self.alive:
            self._used_mb = max(self._used_mb, resident_mb(self._process.pid))
            if self._used_mb > self._memory_mb:
                self._end(_OutOfMemory())
                return
        self._memory_timer = self._loop.call_later(MEMORY_WATCH_SECONDS, self._watch_memory)

    def _is_worker(self, own: tuple[str, int], other: tuple[str, int]) -> bool:
        peer = find_peer(own, other)
        if peer is None or self._process is None:
            return False
        uid = self._place.uid
        return peer.uid == uid if uid is not None else holds(self._process.pid, peer.inode)

    def _on_exit(self) -> None:
        self.alive = False
        self._loop.remove_reader(self._watched)
        status = 0 if self._process is None else self._process.wait()
        self._end(_Exited(status))

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.alive:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
            return
        # It has not made its own session yet.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._pipe, _READ_BYTES)
            if not data:
                self._loop.remove_reader(self._pipe)
            self._say(data)

    def _drain_log(self) -> None:
        """What the function wrote before it answered is in the pipe already."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS_A_TURN):
                data = os.read(self._pipe, _READ_BYTES)
                if not data:
                    return
                self._say(data)

    def _say(self, data: bytes) -> None:
        if self._log is not None:
            self._tail.add(data)
            self._log.write(data)

    def _forget_descriptors(self) -> None:
        for descriptor in (self._pipe, self._watched):
            if descriptor >= 0:
                self._loop.remove_reader(descriptor)
                os.close(descriptor)
        self._pipe = self._watched = -1
