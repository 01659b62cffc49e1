"""What a reboot is on this device, and how one boot is told from another."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol

from outfitter_agent.hands.signals import ENDINGS
from outfitter_agent.plans.troubles import Trouble

KERNEL_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
FIRST_PROCESS: Final = Path("/proc/1/stat")
GOING_DOWN_SECONDS_MAX: Final = 300


def kernel_boot_id() -> str:
    """What the kernel calls this boot: as long as it stays, what was written is there, synced or not."""
    return KERNEL_BOOT_ID.read_text().strip()


def system_began_at(first_process: Path = FIRST_PROCESS) -> float:
    """When the system began, on CLOCK_BOOTTIME: with the kernel, or later in a container, which has the kernel's clock.

    Source: proc_pid_stat(5), starttime. 0 where it is hidden.
    """
    try:
        after_name = first_process.read_text().rpartition(")")[2].split()
        return int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


class Reboot(Protocol):
    """One way to restart, with the identity of the present boot."""

    boot_id: str
    booted_at: float
    """When the present boot began, on the clock that also counts while the machine sleeps (CLOCK_BOOTTIME)."""

    def restart(self) -> None:
        """Restart; does not return when it works. Raises Trouble."""


def seconds_since_boot(reboot: Reboot) -> float:
    """How old the present boot is."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - reboot.booted_at


class RestartAgent:
    """The agent itself starts anew, in the same process id; each start is a boot."""

    def __init__(
        self, arguments: Sequence[str], before: Callable[[], None], check: Callable[[], None]
    ) -> None:
        """``arguments``: of the Python interpreter; ``before``: closes what must not outlive the agent.

        ``check`` raises when the agent was told to end.
        """
        self.boot_id = str(uuid.uuid4())
        self.booted_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._arguments = [sys.executable, *arguments]
        self._before = before
        self._check = check

    def restart(self) -> NoReturn:
        """Replace the process by a fresh one; if there is none to be had, end, and leave it to who started this one.

        A signal to end is never lost: until the check it is noticed, from then on it is held back for the fresh one,
        or ends this one where another of its threads gets it.
        """
        self._before()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        handlers = {number: signal.signal(number, signal.SIG_DFL) for number in ENDINGS}
        try:
            self._check()
            os.execv(self._arguments[0], self._arguments)  # noqa: S606 - the agent's own command line
        except OSError as error:
            raise SystemExit(f"the agent cannot be started anew: {error}") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, held)


class RebootMachine:
    """A command restarts the machine; the kernel tells boots apart."""

    def __init__(self, command: Sequence[str], stopping: Callable[[float], bool]) -> None:
        """``stopping(seconds)`` waits for the end of the agent and says whether it has come."""
        self.boot_id = kernel_boot_id()
        self.booted_at = system_began_at()
        self._command = list(command)
        self._stopping = stopping

    def restart(self) -> None:
        """Run the command and wait to be ended by it."""
        started = time.monotonic()
        try:
            subprocess.run(  # noqa: S603 - the owner's own setting
                self._command, check=True, timeout=GOING_DOWN_SECONDS_MAX, capture_output=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Trouble(f"the reboot command failed: {error}") from error
        left = GOING_DOWN_SECONDS_MAX - (time.monotonic() - started)
        if not self._stopping(max(left, 0)):
            raise Trouble(
                f"the machine did not go down within {GOING_DOWN_SECONDS_MAX} s of the reboot command"
            )
