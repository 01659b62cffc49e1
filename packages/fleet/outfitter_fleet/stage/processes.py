"""The processes of one run, ended whatever happens.

Each is the leader of a session of its own: an interrupt at the keyboard reaches only the run, which then ends them in
order, and whatever a process has started goes with it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

GRACE_SECONDS: Final = 8.0
_KILL_SECONDS: Final = 5.0


class ProcessEnded(Exception):  # noqa: N818 - what happened, not whose fault it is
    """A process ended, or stayed silent, when it should have been running."""


def program(name: str) -> str:
    """The path of an installed command of this environment, such as ``outfitterd``."""
    return str(Path(sys.executable).parent / name)


class Process:
    """One child: its standard output and errors go to a log, which can be waited on."""

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it. ``environment`` is added to that of the run; ``log`` is appended to."""
        self.name = name
        self.log = log
        self._lines = threading.Condition()
        self._seen: list[str] = []
        self._silent = False
        self._file = log.open("ab", buffering=0)
        self._child = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._file,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name} output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id; also that of its group."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def line(self, beginning: str, timeout_seconds: float) -> str:
        """The first line of its standard output that begins so, waited for.

        Raises:
            ProcessEnded: it ended or the time is over; the message names the log.
        """
        with self._lines:
            found = self._lines.wait_for(lambda: self._find(beginning), timeout_seconds)
        if isinstance(found, str):
            return found
        what = f"ended ({self.wait()}) without" if found else "printed no"
        raise ProcessEnded(
            f"{self.name} {what} line '{beginning}…' within {timeout_seconds:g} s: see {self.log}"
        )

    def terminate(self) -> None:
        """Ask it to end."""
        with suppress(ProcessLookupError):
            self._child.terminate()

    def wait(self, timeout_seconds: float = GRACE_SECONDS) -> int:
        """Its exit status; killed with all it started when the time is over."""
        try:
            status = self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._child.wait(_KILL_SECONDS)
        self._sweep()
        return status

    def stop(self) -> int:
        """Ask, wait, and if need be kill; its exit status."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """End it and its group at once, as a power cut would."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _sweep(self) -> None:
        self.kill()
        self._reader.join(_KILL_SECONDS)
        self._file.close()

    def _find(self, beginning: str) -> str | bool:
        for line in self._seen:
            if line.startswith(beginning):
                return line
        return self._silent

    def _read(self) -> None:
        output = self._child.stdout
        if output is None:
            return
        with output:
            for raw in output:
                with suppress(ValueError):  # the log is closed: only leftovers of a killed child
                    self._file.write(raw)
                with self._lines:
                    self._seen.append(raw.decode(errors="replace").rstrip("\n"))
                    self._lines.notify_all()
        with self._lines:
            self._silent = True
            self._lines.notify_all()


class Processes:
    """All processes of a run; leaving the context ends them, the newest first, unless they were released."""

    def __init__(self, logs: Path) -> None:
        """``logs`` is an existing folder; each process writes ``NAME.log`` in it."""
        self.logs = logs
        self._running: list[Process] = []
        self._released = False

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start one; see Process."""
        process = Process(name, arguments, self.logs / f"{name}.log", environment)
        self._running.append(process)
        return process

    def release(self) -> None:
        """Leave all of them running when the context ends."""
        self._released = True

    def stop_all(self) -> None:
        """End all of them: asked together, waited for one by one."""
        remaining, self._running = self._running, []
        for process in reversed(remaining):
            process.terminate()
        for process in reversed(remaining):
            process.wait()

    def __enter__(self) -> Self:
        """The processes live until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End them all."""
        if not self._released or kind is not None:
            self.stop_all()


def interrupt_on_termination() -> None:
    """Make SIGTERM and SIGHUP end the run as an interrupt at the keyboard does, so that nothing stays behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
