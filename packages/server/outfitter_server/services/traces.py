"""Who was told what, and when: kept in memory, bounded, for the question why. Gone with a restart."""

from collections import OrderedDict, deque
from typing import Final

from outfitter_server.jobs.values import Execution
from outfitter_server.jobs.why import Kind, Note

THINGS_KEPT: Final = 4_096
NOTES_KEPT: Final = 12  # a thing


class Traces:
    """The newest notes of the things that were told something last."""

    def __init__(self) -> None:
        """Start empty."""
        self._notes: OrderedDict[str, deque[Note]] = OrderedDict()

    def note(self, execution: Execution, kind: Kind, at: int, urls: int = 0, text: str = "") -> None:
        """Something was sent to the execution's device, or its report was refused, which ``text`` says."""
        notes = self._notes.get(execution.thing)
        if notes is None:
            notes = self._notes[execution.thing] = deque(maxlen=NOTES_KEPT)
            if len(self._notes) > THINGS_KEPT:
                self._notes.popitem(last=False)
        else:
            self._notes.move_to_end(execution.thing)
        notes.append(Note(at, kind, execution.job, execution.number, urls, text))

    def of(self, thing: str) -> list[Note]:
        """What is remembered of a thing, oldest first."""
        return list(self._notes.get(thing, ()))
