"""The pending lists that devices asked for, remembered until something in them changes.

A device that asks again is answered without a transaction. Written inside transactions, which come one after another: what a
transaction changes is forgotten before it commits, and when one is undone, everything is.
"""

from collections.abc import Callable
from typing import Final

from outfitter_server.jobs.values import Execution, PendingList

BYTES_MAX: Final = 8 << 20
_LIST_BYTES: Final = 400  # with its thing's name and its place here
_EXECUTION_BYTES: Final = 600  # without its details


class KnownLists:
    """A bounded cache of what GetPending answers, by thing; of things that have something to do.

    Attributes:
        get: the list of a thing as committed, None when it is not known.
    """

    __slots__ = ("_bytes", "_kept", "get")

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._kept: dict[str, PendingList] = {}
        self._bytes = 0
        self.get: Callable[[str], PendingList | None] = self._kept.get

    def keep(self, thing: str, pending: PendingList) -> None:
        """Remember what was read in a transaction; when all together are too much, only this."""
        self.forget(thing)
        size = _size(pending)
        if self._bytes + size > BYTES_MAX:
            self.clear()
        self._kept[thing] = pending
        self._bytes += size

    def forget(self, thing: str) -> None:
        """An execution of this thing changes."""
        pending = self._kept.pop(thing, None)
        if pending is not None:
            self._bytes -= _size(pending)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0


def _size(pending: PendingList) -> int:
    return _LIST_BYTES + sum(map(_execution_size, pending.in_progress + pending.queued))


def _execution_size(execution: Execution) -> int:
    details = execution.details
    if not details:
        return _EXECUTION_BYTES
    return _EXECUTION_BYTES + 2 * sum(len(name) + len(value) for name, value in details.items())
