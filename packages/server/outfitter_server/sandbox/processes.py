"""What /proc tells of workers, and the end of what they left behind."""

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

MARK: Final = "OUTFITTER_WORKERS"  # in the environment of every worker and its children: the worker's folder
PASSES_MAX: Final = 100
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_SHARE: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")
_MIB: Final = 1024 * 1024


def resident_mb(pid: int) -> int:
    """Megabytes of memory that a process and its children hold now, rounded up; 0 when it is gone.

    What they share counts once. A process that has none, the usual case, is looked at in less time.
    """
    family = _family(pid)
    if len(family) > 1:
        return -(-sum(map(_share_kb, family)) // 1024)
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - read for every invocation: no Path in between
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return -(-pages * _PAGE_BYTES // _MIB)


def peak_memory_mb(pid: int) -> int:
    """Megabytes of memory that a process held at most; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - as above
            found = _PEAK.search(file.read())
    except OSError:
        return 0
    return -(-int(found[1]) // 1024) if found else 0


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    family = [pid]
    for one in family:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
    return family


def _share_kb(pid: int) -> int:
    """A process's share of the memory that it holds, kilobytes."""
    try:
        found = _SHARE.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def end_user(uid: int) -> None:
    """Kill every process of a worker's user: what left its session as well, and what starts meanwhile."""
    for _ in range(PASSES_MAX):
        if not _end(lambda process: process.stat().st_uid == uid and not _has_ended(process)):
            return


def end_marked(folder: str) -> None:
    """Kill what was started with this folder, or one in it, in its environment: a worker's children, or all of a server's."""
    wanted = f"{MARK}={folder}/".encode()

    def is_marked(process: Path) -> bool:
        members = (process / "environ").read_bytes().split(b"\0")
        return any((member + b"/").startswith(wanted) for member in members)

    _end(is_marked)


def _has_ended(process: Path) -> bool:
    """Whether it only waits for its parent to hear of it."""
    return (process / "stat").read_bytes().rpartition(b") ")[2].startswith((b"Z", b"X"))


def _end(chosen: Callable[[Path], bool]) -> int:
    """Kill those; how many there were."""
    count = 0
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                if chosen(process):
                    os.kill(int(process.name), signal.SIGKILL)
                    count += 1
    return count
