"""Whether the running software is healthy: it stays alive, and its health command and the device's end with 0."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_agent.hands.processes import die_with_parent, end_group
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.plans.effects import Verdict

COMMAND_TIMEOUT_SECONDS: Final = 30
COMMAND_POLL_SECONDS: Final = 0.02
GLANCE_SECONDS: Final = 1.0
"""How long health must hold where the settle time is not asked for."""


Sleep = Callable[[float], None]
"""Waits so many seconds; what it raises ends the look, and whatever the look has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """What to look at, and for how long."""

    settle_seconds: float
    timeout_seconds: float
    interval_seconds: float
    command: tuple[str, ...] = ()
    """The device's own command, beside that of the software; empty: none."""


def watch(supervisor: Supervisor | None, rules: HealthRules, *, settle: bool, sleep: Sleep) -> Verdict:
    """Look until health has held for the settle time, the software has ended, or time is up. ``sleep`` may raise.

    Without a supervisor there is no program that would have to run: the machine itself is the software.
    """
    hold = rules.settle_seconds if settle else min(GLANCE_SECONDS, rules.settle_seconds)
    deadline = time.monotonic() + rules.timeout_seconds + hold
    healthy_since: float | None = None
    while True:
        ended = None if supervisor is None else _ended(supervisor)
        if ended is not None:
            return ended
        program = None if supervisor is None else supervisor.running().program
        fault = _look(program, supervisor, rules, sleep)
        now = time.monotonic()
        if fault is None:
            healthy_since = now if healthy_since is None else healthy_since
            if now - healthy_since >= hold and (supervisor is None or supervisor.running().alive):
                checked = rules.command or (program is not None and program.installed.health)
                told = "passed" if checked else "no check, running"
                return Verdict(healthy=True, reason=f"{told} for {now - healthy_since:.1f} s")
        else:
            healthy_since = None
            if now >= deadline:
                return Verdict(
                    healthy=False, reason=f"the health check fails: {fault}", log=_tail(supervisor)
                )
        sleep(min(rules.interval_seconds, max(hold, 0.01)))


def _ended(supervisor: Supervisor) -> Verdict | None:
    running = supervisor.running()
    if running.program is None:
        return Verdict(healthy=False, reason="no software is installed")
    if not running.alive:
        reason = f"the software does not run: {running.ended}"
        return Verdict(healthy=False, reason=reason, log=_tail(supervisor))
    return None


def _look(
    program: Program | None, supervisor: Supervisor | None, rules: HealthRules, sleep: Sleep
) -> str | None:
    """One look at everything; what is wrong first, or None."""
    if program is not None and supervisor is not None and program.installed.health is not None:
        environment = supervisor.environment(program.installed)
        fault = _run(program.installed.health, program.folder, environment, sleep)
        if fault is not None:
            return f"the health command {fault}"
    if rules.command:
        fault = _run(rules.command, None, None, sleep)
        if fault is not None:
            return f"the device's health command {fault}"
    return None


def _run(
    command: Sequence[str], folder: Path | None, environment: Mapping[str, str] | None, sleep: Sleep
) -> str | None:
    """What is wrong with one run of a command, or None."""
    try:
        child = subprocess.Popen(  # noqa: S603 - the command of the installed software, or of the device's owner
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prepared system call, no Python state is touched
        )
    except OSError as error:
        return f"could not be started: {error.strerror}: {error.filename}"
    deadline = time.monotonic() + COMMAND_TIMEOUT_SECONDS
    try:
        while (code := child.poll()) is None:
            if time.monotonic() >= deadline:
                return f"took longer than {COMMAND_TIMEOUT_SECONDS} s"
            sleep(COMMAND_POLL_SECONDS)
    finally:
        if child.returncode is None:
            end_group(child.pid, signal.SIGKILL)
            child.wait()
    return None if code == 0 else f"ended with {code}"


def _tail(supervisor: Supervisor | None) -> str:
    return supervisor.output_tail() if supervisor is not None else ""
