"""How workers are kept apart from the server on this machine, found out once at start.

As root a worker becomes a user of its own (one for each slot of the pool), and Landlock comes on top where the kernel has
it. Not as root Landlock alone does it. Without either no function runs, unless the operator says so.
"""

import os
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from outfitter_server.sandbox.launcher import landlock_abi

_MIB: Final = 1024 * 1024
INTERPRETER_MB: Final = (
    192  # address space of Python, the client and its libraries before the function has any
)
PROCESSES_MAX: Final = 128
FILES_MAX: Final = 1_024
FILE_BYTES_MAX: Final = 512 * _MIB
CPU_SECONDS_MAX: Final = 4 * 3_600
NICE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What holds workers.

    Attributes:
        users: each slot runs as a user of its own.
        landlock: the kernel restricts which files they reach.
        allowed: functions may run.
    """

    users: bool
    landlock: bool
    allowed: bool

    def limits(self, memory_mb: int) -> dict[str, int]:
        """Resource limits by the names of ``resource``."""
        limits = {
            "AS": (memory_mb + INTERPRETER_MB) * _MIB,
            "CORE": 0,
            "CPU": CPU_SECONDS_MAX,
            "FSIZE": FILE_BYTES_MAX,
            "NOFILE": FILES_MAX,
        }
        if self.users:
            limits["NPROC"] = PROCESSES_MAX  # counted by user: the server's own would count as well
        return limits


def find_confinement(*, unconfined: bool) -> Confinement:
    """What this machine has; ``unconfined`` allows functions on one that has nothing."""
    users, landlock = os.geteuid() == 0, landlock_abi() > 0
    return Confinement(users=users, landlock=landlock, allowed=users or landlock or unconfined)


def interpreter_folders() -> list[str]:
    """What a worker must be able to read: the interpreter, its library, and the packages for functions."""
    folders = [sys.base_prefix, sys.prefix, sysconfig.get_path("stdlib"), *package_folders()]
    executable = Path(sys.executable)
    folders += [str(executable.parent), str(executable.resolve().parent)]
    found: list[str] = []
    for folder in sorted({str(Path(entry).resolve()) for entry in folders} | set(folders)):
        if not any(Path(folder).is_relative_to(kept) for kept in found):
            found.append(folder)
    return found


def package_folders() -> list[str]:
    """Where functions find the runtime client and boto3."""
    found: dict[str, None] = {}
    for name in ("awslambdaric", "boto3"):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{name} is not installed; functions cannot run without it")
        found[str(Path(spec.origin).parent.parent)] = None
    return list(found)
