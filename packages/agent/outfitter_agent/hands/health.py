"""Whether the running software is healthy: it stays alive, and its health command ends with 0."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from outfitter_agent.hands.processes import die_with_parent, end_group
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.plans.effects import Verdict

COMMAND_TIMEOUT_SECONDS: Final = 30
COMMAND_POLL_SECONDS: Final = 0.02
GLANCE_SECONDS: Final = 1.0
"""How long health must hold where the settle time is not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthTimes:
    """How long to look."""

    settle_seconds: float
    timeout_seconds: float
    interval_seconds: float


def watch(
    supervisor: Supervisor, times: HealthTimes, *, settle: bool, sleep: Callable[[float], None]
) -> Verdict:
    """Look until health has held for the settle time, the software has ended, or time is up. ``sleep`` may raise."""
    hold = times.settle_seconds if settle else min(GLANCE_SECONDS, times.settle_seconds)
    deadline = time.monotonic() + times.timeout_seconds + hold
    healthy_since: float | None = None
    while True:
        running = supervisor.running()
        if running.program is None:
            return Verdict(healthy=False, reason="no software is installed")
        if not running.alive:
            return Verdict(
                healthy=False, reason=f"the software does not run: {running.ended}", log=_tail(supervisor)
            )
        fault = _look(running.program, supervisor, sleep)
        now = time.monotonic()
        if fault is None:
            healthy_since = now if healthy_since is None else healthy_since
            if now - healthy_since >= hold and supervisor.running().alive:
                check = "passed" if running.program.installed.health else "no check, running"
                return Verdict(healthy=True, reason=f"{check} for {now - healthy_since:.1f} s")
        else:
            healthy_since = None
            if now >= deadline:
                return Verdict(
                    healthy=False, reason=f"the health check fails: {fault}", log=_tail(supervisor)
                )
        sleep(min(times.interval_seconds, max(hold, 0.01)))


def _look(program: Program, supervisor: Supervisor, sleep: Callable[[float], None]) -> str | None:
    """One run of the health command; what is wrong, or None. ``sleep`` may raise, and the command ends with that."""
    command = program.installed.health
    if command is None:
        return None
    try:
        child = subprocess.Popen(  # noqa: S603 - the installed software's own command
            command,
            cwd=program.folder,
            env=supervisor.environment(program.installed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prepared system call, no Python state is touched
        )
    except OSError as error:
        return f"the health command could not be started: {error.strerror}: {error.filename}"
    deadline = time.monotonic() + COMMAND_TIMEOUT_SECONDS
    try:
        while (code := child.poll()) is None:
            if time.monotonic() >= deadline:
                return f"the health command took longer than {COMMAND_TIMEOUT_SECONDS} s"
            sleep(COMMAND_POLL_SECONDS)
    finally:
        if child.returncode is None:
            end_group(child.pid, signal.SIGKILL)
            child.wait()
    return None if code == 0 else f"the health command ended with {code}"


def _tail(supervisor: Supervisor) -> str:
    return supervisor.output_tail()
