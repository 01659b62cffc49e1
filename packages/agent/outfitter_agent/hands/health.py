"""Whether the running software is healthy: it stays alive, and every check of it and of the device passes."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_agent.hands import checks
from outfitter_agent.hands.checks import Sleep
from outfitter_agent.hands.supervisor import Program, Supervisor
from outfitter_agent.plans.effects import Verdict

GLANCE_SECONDS: Final = 1.0
"""How long health must hold where the settle time is not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """For how long to look, and at what of the device, beside the command that its software brings."""

    settle_seconds: float
    timeout_seconds: float
    interval_seconds: float
    command: tuple[str, ...] = ()
    folder: Path | None = None
    """The folder that the command is run in."""
    url: str = ""
    url_status: int = 200
    url_timeout_seconds: float = 5.0
    units: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether the device has a check of its own."""
        return bool(self.command or self.url or self.units)


def watch(
    supervisor: Supervisor | None,
    rules: HealthRules,
    *,
    settle: bool,
    sleep: Sleep,
    seconds_left: float | None = None,
) -> Verdict:
    """Look until health has held for the settle time, the software has ended, or time is up. ``sleep`` may raise.

    Without a supervisor there is no program that would have to run: the machine itself is the software.
    ``seconds_left``: by then health must have held, however long it may take else.
    """
    hold = rules.settle_seconds if settle else min(GLANCE_SECONDS, rules.settle_seconds)
    started = time.monotonic()
    deadline = started + rules.timeout_seconds + hold
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
                checked = rules.any or (program is not None and program.installed.health)
                told = "passed" if checked else "no check, running"
                return Verdict(healthy=True, reason=f"{told} for {now - healthy_since:.1f} s")
        else:
            healthy_since = None
        if seconds_left is not None and now - started >= seconds_left:
            why = fault or "healthy, but not for the settle time"
            return Verdict(
                healthy=False,
                reason=f"not proven within trial_timeout_seconds of the boot: {why}",
                log=_tail(supervisor),
            )
        if fault is not None and now >= deadline:
            return Verdict(healthy=False, reason=f"the health check fails: {fault}", log=_tail(supervisor))
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
        fault = checks.run(program.installed.health, sleep, folder=program.folder, environment=environment)
        if fault is not None:
            return f"the health command {fault}"
    if rules.command:
        fault = checks.run(rules.command, sleep, folder=rules.folder)
        if fault is not None:
            return f"the device's health command {fault}"
    if rules.units:
        fault = checks.look_at_units(rules.units)
        if fault is not None:
            return fault
    if rules.url:
        return checks.ask(rules.url, status=rules.url_status, timeout_seconds=rules.url_timeout_seconds)
    return None


def _tail(supervisor: Supervisor | None) -> str:
    return supervisor.output_tail() if supervisor is not None else ""
