"""Telling the services of the device that their configuration is another: the owner's commands, and what came of it."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from outfitter_agent.hands.output import OutputFile
from outfitter_agent.hands.processes import die_with_parent, end, ending
from outfitter_agent.hands.supervisor import INHERITED
from outfitter_agent.plans.effects import Verdict

OUTPUT_BYTES_MAX: Final = 64 * 1024
POLL_SECONDS: Final = 1.0
"""How often the watchdog hears that somebody waits."""
DRAIN_SECONDS: Final = 1.0
"""How long output is waited for after the end: a service that the command started may hold on to it."""


def tell(services: Sequence["Reload"], software_process: int | None) -> Verdict:
    """Run each in turn; the first that fails is the last."""
    passed = []
    for each in services:
        verdict = each.run(software_process)
        if not verdict.healthy:
            return verdict
        passed.append(verdict.reason)
    return Verdict(healthy=True, reason="; ".join(passed) or "applied; nobody is told")


class Reload:
    """A command that tells services: ``configuration_reload``, a unit's reload, or a hook."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        timeout_seconds: float,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        name: str,
        beat: Callable[[], None],
    ) -> None:
        """``folder`` is where it runs; ``environment`` is added to the usual names; ``name`` is what reasons call it.

        ``beat`` is called all the while.
        """
        self._name = name
        self._command = list(command)
        self._timeout_seconds = timeout_seconds
        self._folder = folder
        self._output = OutputFile(log, bytes_max=OUTPUT_BYTES_MAX)
        self._environment = environment
        self._beat = beat

    def run(self, software_process: int | None) -> Verdict:
        """Run it to its end; not healthy when it fails or takes too long. The software's process id, if it runs."""
        self._output.clear()
        try:
            child = self._spawn(software_process)
        except OSError as error:
            return Verdict(
                healthy=False,
                reason=f"{self._name} could not be started: {error.strerror}: {error.filename}",
            )
        reader = threading.Thread(target=self._copy, args=(child,), name="reload-output", daemon=True)
        reader.start()
        try:
            code = self._await(child)
        finally:
            if child.returncode is None:
                end(child)
        reader.join(DRAIN_SECONDS)
        if code == 0:
            return Verdict(healthy=True, reason=f"{self._name} passed")
        reason = (
            f"{self._name} took longer than {self._timeout_seconds:g} s"
            if code is None
            else f"{self._name} {ending(code)}"
        )
        return Verdict(healthy=False, reason=reason, log=self.output_tail())

    def output_tail(self) -> str:
        """The newest of what it wrote when it was run last."""
        return self._output.tail()

    def _await(self, child: subprocess.Popen[bytes]) -> int | None:
        """How it has ended; None: not in time."""
        deadline = time.monotonic() + self._timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            self._beat()
            try:
                return child.wait(min(left, POLL_SECONDS))
            except subprocess.TimeoutExpired:
                continue
        return None

    def _spawn(self, software_process: int | None) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= self._environment
        if software_process is not None:
            environment["OUTFITTER_SOFTWARE_PID"] = str(software_process)
        return subprocess.Popen(  # noqa: S603 - the owner's own setting
            self._command,
            cwd=self._folder,
            env=environment,
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
