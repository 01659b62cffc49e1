"""How many bytes a job may fetch over a link that costs money, counted over all attempts, restarts and power losses.

What is about to be spent is written down before it is: after the end of the agent the note may say a little more than has
been spent (``AHEAD_BYTES`` at most, each time), never less.
"""

import json
from pathlib import Path
from typing import Final

from outfitter_agent.hands.durable import write_durably
from outfitter_agent.plans.troubles import Trouble

AHEAD_BYTES: Final = 1024 * 1024


class Spending:
    """The bytes that one job after the other has fetched; nothing is written when there is no bound."""

    def __init__(self, folder: Path, *, bytes_max: int, what: str) -> None:
        """``bytes_max`` for each job, 0: no bound; ``what`` is the word for the file in reasons."""
        self._note = folder / "spent.json"
        self._bytes_max = bytes_max
        self._what = what
        self._job = ""
        self._spent = self._noted = 0

    def begin(self, job: str) -> None:
        """From now on this job spends, on top of what it has spent before."""
        if not self._bytes_max:
            return
        self._job, self._spent = job, 0
        try:
            note = json.loads(self._note.read_bytes())
            if note["job"] == job:
                self._spent = int(note["bytes"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            self._spent = 0
        self._noted = self._spent

    def foresee(self, more: int) -> None:
        """Raise Trouble now when so many more bytes will be too many."""
        if self._bytes_max and self._spent + more > self._bytes_max:
            raise Trouble(
                f"the {self._what} would cost more than a job may fetch: {self._spent} bytes were fetched, {more} are"
                f" missing, download_bytes_max_per_job is {self._bytes_max}"
            )

    def spend(self, more: int) -> None:
        """Count bytes that have come; raises Trouble when they are too many."""
        if not self._bytes_max:
            return
        self._spent += more
        if self._spent > self._noted:
            self._write(min(self._spent + AHEAD_BYTES, max(self._bytes_max, self._spent)))
        if self._spent > self._bytes_max:
            raise Trouble(
                f"the {self._what} costs more than a job may fetch: {self._spent} bytes have come in all attempts,"
                f" download_bytes_max_per_job is {self._bytes_max}"
            )

    def settle(self) -> None:
        """Write down what was spent indeed."""
        if self._noted != self._spent:
            self._write(self._spent)

    def forget(self) -> None:
        """The job has ended."""
        self._job, self._spent, self._noted = "", 0, 0
        if self._bytes_max:
            self._note.unlink(missing_ok=True)

    def _write(self, noted: int) -> None:
        write_durably(self._note, json.dumps({"job": self._job, "bytes": noted}).encode())
        self._noted = noted
