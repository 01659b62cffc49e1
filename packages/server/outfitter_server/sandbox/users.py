"""Users for workers, never shared: not between the places of one pool, nor between servers on one machine.

A user is taken by binding an abstract socket of its name, which the kernel gives to one process and takes back when that
process ends, however it ends. Sweeping up after a worker kills every process of its user, so that this must be nobody else's.
"""

import socket
from typing import Final

from outfitter_server.base.refusals import Unavailable
from outfitter_server.sandbox.processes import end_user

FIRST: Final = 60_600  # systemd's table of users leaves 60578 to 61183 to nobody
LAST: Final = 61_183


class Users:
    """The users that this process has taken, by the place in the pool."""

    def __init__(self) -> None:
        self._taken: dict[int, tuple[int, socket.socket]] = {}

    def uid(self, slot: int) -> int:
        """The user of a place, taken at the first call and kept until ``close``.

        Raises:
            Unavailable: all are taken.
        """
        if slot not in self._taken:
            self._taken[slot] = _take()
        return self._taken[slot][0]

    def close(self) -> None:
        """Give all of them back; no worker may run any more."""
        for _, mark in self._taken.values():
            mark.close()
        self._taken.clear()


def _take() -> tuple[int, socket.socket]:
    for uid in range(FIRST, LAST + 1):
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            mark.bind(f"\0outfitter-worker-{uid}")
        except OSError:
            mark.close()
        else:
            end_user(uid)  # what a server that was killed left running
            return uid, mark
    raise Unavailable(f"users {FIRST} to {LAST} are all taken by workers of this machine's servers")
