"""Tells the service which configuration is in force, so that a change made by hand is seen without a job.

A thread of its own looks at the file's times from time to time, and reads and reports it only when they are others.
A broker that ends the connection for such a message (its policy does not allow it) is asked ever more rarely.
"""

import hashlib
import logging
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from outfitter_contract.running import RunningConfiguration, build_running

TRY_AGAIN_SECONDS_MAX: Final = 86_400.0
Marks = tuple[int, int, int]

log = logging.getLogger(__name__)


class RunningReport:
    """Reports the file's digest when it is another than was reported last."""

    def __init__(
        self, path: Path, send: Callable[[bytes], bool], *, bytes_max: int, watch_seconds: float
    ) -> None:
        """``send`` says whether the broker has taken it; 0 ``watch_seconds``: nothing is ever reported."""
        self._path, self._send = path, send
        self._bytes_max, self._watch_seconds = bytes_max, watch_seconds
        self._woken = threading.Event()
        self._closed = False
        self._reported: tuple[Marks | None, str | None] | None = None
        self._failures = 0
        self._not_before = 0.0

    def start(self) -> None:
        """Begin to watch."""
        if self._watch_seconds:
            threading.Thread(target=self._run, name="running-configuration", daemon=True).start()

    def wake(self) -> None:
        """Look soon: a connection came, or a job may have changed the file."""
        self._woken.set()

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        self._woken.set()

    def look(self) -> None:
        """Report what is in force, unless that is known to the broker."""
        try:
            marks = self._marks()
            if self._reported is not None and self._reported[0] == marks:
                return
            sha256 = None if marks is None else self._digest()
        except OSError as error:
            log.warning("the configuration in force cannot be read: %s", error)
            return
        if self._reported is None or self._reported[1] != sha256:
            told = RunningConfiguration(sha256=sha256, at=int(time.time()))
            if not self._send(build_running(told)):
                self._put_off()
                return
        self._failures, self._reported = 0, (marks, sha256)

    def _run(self) -> None:
        # the first look is the one after the first connection: before, nobody could be told
        self._woken.wait()
        while not self._closed:
            self._woken.clear()
            if time.monotonic() >= self._not_before:
                self.look()
            self._woken.wait(self._watch_seconds)

    def _put_off(self) -> None:
        self._failures += 1
        wait = min(TRY_AGAIN_SECONDS_MAX, self._watch_seconds * 2.0 ** min(self._failures, 20))
        self._not_before = time.monotonic() + wait
        log.warning(
            "the digest of the configuration was not taken; trying again in %.0f s. If the connection ends each time,"
            " the device's policy lacks iot:RetainPublish on its topic; see configuration_watch_seconds",
            wait,
        )

    def _marks(self) -> Marks | None:
        """What changes with every write; None when there is no file that could be a configuration."""
        try:
            told = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(told.st_mode) or told.st_size > self._bytes_max:
            return None
        return told.st_mtime_ns, told.st_size, told.st_ino

    def _digest(self) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
