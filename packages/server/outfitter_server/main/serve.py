"""``outfitterd serve``: open the data folder, listen, wait for a signal, drain."""

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from outfitter_server.base.refusals import Unavailable
from outfitter_server.keys.credentials import CredentialsUnusable
from outfitter_server.main.assembly import Assembly
from outfitter_server.main.leaving import OutputError, say
from outfitter_server.main.settings import ServeSettings

MAINTAIN_SECONDS: Final = 0.25
TRIM_SECONDS: Final = 10.0
HOURLY_SECONDS: Final = 3600.0
COLLECT_AFTER: Final = (
    700,
    10,
    50,
)  # of what is made later, the old is looked through five times less often than Python would
FILES_RESERVED: Final = 256  # for blobs, the store and the log
_M_MMAP_THRESHOLD: Final = -3  # of <malloc.h>
_TLS_BUFFER_BYTES: Final = 256 * 1024  # of each connection
_RECURSION_LIMIT: Final = 5_000  # job documents may nest 1,000 levels; a parser takes a few frames for each

_log = logging.getLogger(__name__)


def serve(settings: ServeSettings, *, verbose: bool) -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean end, 1 when the server could not start."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    keep_buffers_apart()
    try:
        with _locked(settings.data), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except (Unavailable, CredentialsUnusable) as error:
        sys.stderr.write(f"outfitterd: {error}\n")
        return 1
    except OSError as error:
        where = "" if error.filename in (None, str(settings.data)) else f"{error.filename}: "
        reason = f"{where}{error.strerror or error}"
        sys.stderr.write(f"outfitterd: the data folder {settings.data} cannot be used: {reason}\n")
        return 1
    return 0


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Hold the data folder: two servers on one would each believe to be the only writer."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Unavailable(f"another outfitterd serves {data}; stop it, or choose another --data") from None
    try:
        yield
    finally:
        os.close(descriptor)


def now() -> int:
    """Milliseconds since the epoch: the one real clock."""
    return time.time_ns() // 1_000_000


def connections_allowed() -> int:
    """Raise the limit of open files as far as allowed; how many connections fit under it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(FILES_RESERVED, soft - FILES_RESERVED)


async def _serve(settings: ServeSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    connections = connections_allowed()
    assembly = Assembly(settings, now, os.environ, connections_max=connections)
    keeper = asyncio.create_task(_maintain(assembly))
    try:
        bound = await assembly.start()
        settle_memory()
        listeners = " ".join(f"{name}={where}" for name, where in bound.items())
        try:
            say(f"ready {listeners}\n")
        except OutputError as error:
            _log.warning("nobody reads the ready line: %s", error.__cause__)
        _log.info(
            "serving %s from %s, at most %d connections (open files)", listeners, settings.data, connections
        )
        await stop.wait()
        _log.info("draining")
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        await assembly.close()


def settle_memory() -> None:
    """Take what the start has made out of the garbage collector's sight, for good: half a million objects that stay anyway.

    Walking through them took 60 ms every other second under load, in the time of whoever was being served.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def keep_buffers_apart() -> None:
    """Let the C library map each TLS buffer by itself, as it does until the first of them is freed.

    A connection touches the first page of its buffer. In the heap, where glibc would put them from then on, buffers share their
    pages with what lives longer, and a connection takes 6 kB more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _TLS_BUFFER_BYTES)


def heap_trimmer() -> Callable[[], object]:
    """What gives freed memory back to the system; nothing where the C library is not glibc.

    The buffers of TLS connections that come and go leave holes in the heap, which glibc keeps: thousands of reconnecting devices
    would cost twice their memory.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return partial(trim, 0) if trim else lambda: None


async def _maintain(assembly: Assembly) -> None:
    """Housekeeping: the store's log several times a second; blobs that nothing names and certificates near their end hourly."""
    loop = asyncio.get_running_loop()
    next_hour = loop.time() + MAINTAIN_SECONDS
    next_trim = loop.time() + TRIM_SECONDS
    trim = heap_trimmer()
    trouble = ""
    while True:
        await asyncio.sleep(MAINTAIN_SECONDS)
        try:
            await asyncio.to_thread(assembly.store.maintain)
            if loop.time() >= next_trim:
                next_trim = loop.time() + TRIM_SECONDS
                await asyncio.to_thread(trim)
            if loop.time() >= next_hour:
                next_hour = loop.time() + HOURLY_SECONDS
                assembly.renew_certificates()
                swept = await assembly.objects.sweep()
                if swept:
                    _log.info("removed %d blobs that no object names", swept)
            if trouble:
                _log.info("maintenance of the store goes on again")
                trouble = ""
        except Exception as error:  # noqa: BLE001 - the next round may succeed, and the server must go on
            # A full disk fails four times a second: told once.
            if trouble != repr(error):
                trouble = repr(error)
                _log.exception("maintenance of the store failed, and is tried again")
