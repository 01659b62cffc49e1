"""Processes that must not outlive the agent.

Two nets. The kernel kills the software when the thread that started it ends (``PR_SET_PDEATHSIG``); what the software
itself started carries a mark in its environment, by which the next agent finds and ends it before it starts anything.
"""

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "OUTFITTER_AGENT_STATE"
ENDING_SECONDS: Final = 10.0
"""How long a process that was killed may take to be gone."""
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> Callable[[], None]:
    """What a child runs between fork and exec; everything is looked up before the fork."""
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = libc.prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def end_strays(state_folder: Path) -> int:
    """Kill what a former agent of this state folder left running; how many processes that were."""
    mark = f"{MARK}={state_folder}".encode()
    killed = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
        except OSError:
            continue  # gone, or not ours to look at
    return killed


def ending(code: int) -> str:
    """How a process ended, in words; ``code`` as ``Popen`` has it."""
    if code >= 0:
        return f"ended with exit code {code}"
    known = {each.value: each.name for each in signal.Signals}  # without most of the real-time ones
    return f"was ended by signal {known.get(-code, -code)}"


def end(child: subprocess.Popen[bytes]) -> int | None:
    """Kill what is left of a child's process group, and reap it; the exit code, None if it cannot be ended.

    One that has become another user's process is then waited for by a thread of its own.
    """
    end_group(child.pid, signal.SIGKILL)  # before it is reaped: the number is still its own
    try:
        return child.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=child.wait, name="reaper", daemon=True).start()
        return None


def end_group(leader: int, how: signal.Signals) -> None:
    """Signal a process group that may be gone, or have become another user's, which nobody but root may signal."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, how)
