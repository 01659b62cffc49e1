"""The memory of a process, as the kernel tells it."""

from pathlib import Path


def memory_mb(pid: int, which: str) -> float:
    """Resident memory (``VmRSS``) of a process, or its peak (``VmHWM``), in megabytes; 0 when it has ended."""
    try:
        told = Path(f"/proc/{pid}/status").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = (line.split()[1] for line in told.splitlines() if line.startswith(f"{which}:"))
    return int(next(found, "0")) * 1024 / 1e6
