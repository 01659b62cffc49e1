"""The first thing that runs in a worker: confine this process, then become AWS's runtime client.

A file of its own that uses nothing but the standard library, because the worker must not see the server's packages. It is
told everything on its standard input, JSON: arguments are for all to see, and variables that a function sets for itself
(LD_PRELOAD) must not reach the dynamic loader before the process is confined. Order matters: limits, then what only root
may do (a view of the file system without what is private, another user), then Landlock, then the function's variables and
the client.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

NOT_CONFINED: Final = 70  # EX_SOFTWARE; how this process ends when it cannot be confined

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAPBSET_DROP: Final = 24
_CAPABILITIES_VERSION: Final = 0x20080522
_CLONE_NEWNS: Final = 0x00020000
_MS_BIND: Final = 4096
_MS_PRIVATE_ALL: Final = 16384 | (1 << 18)
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_ABI_WITH_REFER: Final = 2
_ABI_WITH_TRUNCATE: Final = 3
_ABI_WITH_SCOPES: Final = 6

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ALL_OF_FIRST_ABI: Final = (1 << 13) - 1
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_SCOPED: Final = 0b11  # abstract sockets and signals
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

_SYSTEM: Final = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/opt", "/nix")
_SETTINGS: Final = (
    "alternatives", "ca-certificates", "gai.conf", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "os-release", "passwd", "pki", "protocols",
    "resolv.conf", "services", "ssl", "timezone",
)  # fmt: skip
_FACTS: Final = (
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "sys/kernel",
    "sys/vm",
    "uptime",
    "version",
)
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def main() -> None:
    """Confine, then run the client; never returns normally."""
    told = _told()
    try:
        _confine(told)
    except (OSError, ValueError, OverflowError) as error:
        sys.stderr.write(f"outfitterd: this machine does not let a worker be confined: {error}\n")
        os._exit(NOT_CONFINED)
    os.environ.update(told["environment"])
    time.tzset()
    os.chdir(told["task"])
    sys.path[:0] = [told["task"], *told["packages"]]
    sys.argv = ["awslambdaric", told["handler"]]
    import runpy

    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)


def _told() -> dict[str, Any]:
    """What the server says on standard input, which is empty from here on."""
    with open(0, "rb", closefd=False) as file:
        told: dict[str, Any] = json.load(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return told


def _confine(told: dict[str, Any]) -> None:
    _limit(told["limits"])
    if told["uid"] is not None:
        _hide_private_folders([*told["readable"], told["home"]])
    _forgo_privileges()
    if told["uid"] is not None:
        _become(told["uid"])
    if told["uid"] is not None or told["landlock"]:
        _drop_capabilities()
    if told["landlock"]:
        landlock([*_system(), *told["readable"]], [told["home"]], [*_DEVICES])
    _die_with(told["parent"])
    os.umask(0o077)


def _system() -> list[str]:
    """What every program may read of this machine: libraries, names, certificates, itself; no secrets, no neighbours."""
    settings, facts = [f"/etc/{name}" for name in _SETTINGS], [f"/proc/{name}" for name in _FACTS]
    return [*_SYSTEM, *settings, *facts, f"/proc/{os.getpid()}"]


def landlock_abi() -> int:
    """The version of Landlock that this kernel has; 0 when it has none."""
    version = _LIBC.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, int(version))


def landlock(readable: list[str], writable: list[str], devices: list[str]) -> None:
    """From here on this process and its children reach these files and no others.

    Raises:
        OSError: the kernel refuses.
    """
    abi = landlock_abi()
    handled = _ALL_OF_FIRST_ABI
    handled |= _REFER if abi >= _ABI_WITH_REFER else 0
    handled |= _TRUNCATE if abi >= _ABI_WITH_TRUNCATE else 0
    rules = struct.pack("QQQ", handled, 0, _SCOPED) if abi >= _ABI_WITH_SCOPES else struct.pack("Q", handled)
    ruleset = _call(
        "landlock",
        _LIBC.syscall(
            ctypes.c_long(_LANDLOCK_CREATE), rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0)
        ),
    )
    for path in readable:
        _allow(ruleset, path, handled & (_EXECUTE | _READ_FILE | _READ_DIR))
    for path in writable:
        _allow(ruleset, path, handled)
    for path in devices:
        _allow(ruleset, path, handled & (_READ_FILE | _WRITE_FILE))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _call(
        "landlock",
        _LIBC.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint32(0)),
    )
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # this system has no such folder, or this user no way to it
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        access &= _OF_FILES
    rule = struct.pack("=Qi", access, descriptor)
    result = _LIBC.syscall(
        ctypes.c_long(_LANDLOCK_ADD), ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)
    )
    os.close(descriptor)
    _call(f"landlock {path}", result)


def _limit(limits: dict[str, int]) -> None:
    with contextlib.suppress(OSError):
        os.setsid()
    os.umask(0o022)
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _hide_private_folders(readable: list[str]) -> None:
    """Where the interpreter lies below a folder that others may not enter, show only what is needed of that folder."""
    blocked: dict[str, list[str]] = {}
    for path in readable:
        closed = [folder for folder in reversed(Path(path).parents) if _is_closed(folder)]
        if closed:
            blocked.setdefault(str(closed[0]), []).append(path)
    if not blocked:
        return
    _call("unshare", _LIBC.unshare(_CLONE_NEWNS))
    _mount("none", "/", None, _MS_PRIVATE_ALL)
    for folder, needed in blocked.items():
        kept = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in needed]
        _mount("outfitter", folder, "tmpfs", 0, "mode=0755,size=64k")
        for path, descriptor in kept:
            place = Path(path)
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                place.mkdir(mode=0o755, exist_ok=True)
            else:
                place.touch(mode=0o644)
            _mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND)
            os.close(descriptor)


def _is_closed(folder: Path) -> bool:
    return not folder.stat().st_mode & stat.S_IXOTH


def _forgo_privileges() -> None:
    """No program that this process starts gets a privilege back, not even root's."""
    capability = 0
    while _LIBC.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) == 0:
        capability += 1


def _drop_capabilities() -> None:
    header, none = struct.pack("Ii", _CAPABILITIES_VERSION, 0), bytes(24)
    _call("capset", _LIBC.capset(header, none))


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _prctl(_PR_SET_DUMPABLE, 1)  # else even its own /proc/self would be closed to it
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _die_with(parent: int) -> None:
    """Ends with the server. After the change of user, which would cancel it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    result = _LIBC.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode(),
    )
    _call(f"mount {target}", result)


def _prctl(option: int, value: int) -> None:
    _call("prctl", _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _call(what: str, result: Any) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)


if __name__ == "__main__":
    main()
