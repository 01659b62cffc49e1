"""The software of the current slot as a child process: started, kept running, ended whole.

One thread starts and awaits it, and lives as long as the agent, because the kernel ends the child with the thread that
started it. Ended software is started again after a pause that doubles; on probation it is not, so that its end is seen.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_agent.hands.output import OutputFile
from outfitter_agent.hands.processes import ENDING_SECONDS, MARK, die_with_parent, end_group, ending
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble

PAUSE_SECONDS: Final = 1.0
PAUSE_SECONDS_MAX: Final = 60.0
STEADY_SECONDS: Final = 600.0
"""Software that ran for so long has not just been started in vain: its next end counts as the first."""
INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and where."""

    installed: Installed
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How the software is."""

    program: Program | None
    alive: bool
    ended: str
    """How it ended last; "" when it never did."""
    restarts: int


class Supervisor:
    """Runs at most one program."""

    def __init__(
        self,
        *,
        thing_name: str,
        state_folder: Path,
        output_bytes_max: int,
        stop_timeout_seconds: float,
        configuration: Path | None = None,
    ) -> None:
        """Start the thread; nothing runs yet. ``configuration`` is told to the software."""
        self._marks = {MARK: str(state_folder), "OUTFITTER_THING_NAME": thing_name}
        if configuration is not None:
            self._marks["OUTFITTER_CONFIGURATION"] = str(configuration)
        self._output = OutputFile(state_folder / "software.log", bytes_max=output_bytes_max)
        self._stop_timeout_seconds = stop_timeout_seconds
        self._changed = threading.Condition()
        self._wanted: Program | None = None
        self._wish = 0
        """Counts what was asked for: the same program, stopped and started, is another wish."""
        self._probation = False
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = ""
        self._restarts = 0
        self._crashes = 0
        """Ends in a row that came before a steady run; the pause grows with them."""
        threading.Thread(target=self._run, name="supervisor", daemon=True).start()

    def start(self, program: Program, *, probation: bool) -> None:
        """Run the program, ending another one first; one that runs already only leaves or enters probation."""
        with self._changed:
            if self._wanted == program and not (probation and self._ended):
                self._probation = probation
                self._changed.notify_all()
                return
        self.stop()
        self._output.clear()
        with self._changed:
            self._wanted, self._probation, self._ended = program, probation, ""
            self._restarts, self._crashes = 0, 0
            self._wish += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._child is not None or self._ended)

    def stop(self) -> None:
        """End the program and all that is in its process group: SIGTERM, later SIGKILL.

        Raises:
            Trouble: it runs on.
        """
        with self._changed:
            self._wanted = None
            self._wish += 1
            self._changed.notify_all()
            if self._child is None:
                return
            pid = self._child.pid
            end_group(pid, signal.SIGTERM)
            if not self._changed.wait_for(lambda: self._child is None, self._stop_timeout_seconds):
                end_group(pid, signal.SIGKILL)
                if not self._changed.wait_for(lambda: self._child is None, ENDING_SECONDS):
                    raise Trouble(
                        f"the software (process {pid}) is still there"
                        f" {ENDING_SECONDS:g} s after SIGKILL: it runs as another user, whom an agent that is not root may"
                        " not signal, or hangs in the kernel"
                    )

    def running(self) -> Running:
        """How the software is now."""
        with self._changed:
            return Running(
                program=self._wanted,
                alive=self._child is not None,
                ended=self._ended,
                restarts=self._restarts,
            )

    def process_id(self) -> int | None:
        """The software's process, if it runs."""
        with self._changed:
            return self._child.pid if self._child is not None else None

    def output_tail(self) -> str:
        """The newest of what it wrote."""
        return self._output.tail()

    def environment(self, installed: Installed) -> Mapping[str, str]:
        """What the software finds in its environment: the usual names, and who it is."""
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return (
            kept
            | self._marks
            | {
                "OUTFITTER_SLOT": installed.slot,
                "OUTFITTER_SOFTWARE_NAME": installed.name,
                "OUTFITTER_SOFTWARE_VERSION": installed.version,
            }
        )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None)
                program, wish = self._wanted, self._wish
            if program is not None:
                self._run_once(program, wish)
                self._pause(wish)

    def _run_once(self, program: Program, wish: int) -> None:
        started = time.monotonic()
        with self._changed:
            if self._wish != wish:
                return
            try:
                child = self._spawn(program)
            except OSError as error:
                self._end(f"it could not be started: {error.strerror}: {error.filename}")
                return
            self._child = child
            self._changed.notify_all()
        if child.stdout is not None:
            reader = threading.Thread(target=self._copy, args=(child,), name="software-output", daemon=True)
            reader.start()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with self._changed:
            end_group(child.pid, signal.SIGKILL)
            code = child.wait()
        if child.stdout is not None:
            reader.join(timeout=1)
        ran_seconds = time.monotonic() - started
        with self._changed:
            self._child = None
            self._crashes = 0 if ran_seconds >= STEADY_SECONDS else self._crashes
            self._end(f"it {ending(code)} after {ran_seconds:.1f} s")

    def _end(self, how: str) -> None:
        self._ended = how
        if self._wanted is not None:
            log.warning("the software: %s", how)
        self._changed.notify_all()

    def _pause(self, wish: int) -> None:
        """Before it is started again; on probation, until somebody decides."""
        with self._changed:
            self._changed.wait_for(lambda: self._wish != wish or not self._probation)
            if self._wish == wish:
                seconds = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** min(self._crashes, 10))
                self._crashes += 1
                self._changed.wait_for(lambda: self._wish != wish, seconds)
                self._restarts += 1

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the installed software is what we are here to run
            program.installed.start,
            cwd=program.folder,
            env=self.environment(program.installed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prepared system call, no Python state is touched
        )

    def _copy(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdout is not None:
            with child.stdout:
                self._output.copy_from(child.stdout.fileno())
