"""What systemd is told (sd_notify(3)): ready, ending, and, while the main thread goes round, that it does.

Without NOTIFY_SOCKET in the environment nothing is told.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

BEATS: Final = 3
"""Within one time limit of the watchdog, so that one late beat is no reason to be killed."""


class Notifier:
    """The service manager's end of a datagram socket."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read whom to tell, and how often the watchdog wants to hear; an abstract socket's name begins with ``@``."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        limit = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = bool(self._address) and mine and limit.isascii() and limit.isdecimal() and int(limit) > 0
        self.beat_seconds = int(limit) / 1e6 / BEATS if wanted else None
        """Seconds between two beats; None: no watchdog."""
        self._beaten_at = -float("inf")

    def ready(self) -> None:
        """The agent works."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The agent ends."""
        self._send("STOPPING=1")

    def beat(self) -> None:
        """The main thread came by; told to the watchdog no more often than it wants to hear."""
        if self.beat_seconds is not None and time.monotonic() - self._beaten_at >= self.beat_seconds / 2:
            self._beaten_at = time.monotonic()
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), self._address)
