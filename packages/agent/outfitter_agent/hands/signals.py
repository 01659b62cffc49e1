"""What the threads of the agent tell its main thread."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from outfitter_agent.hands.notify import Notifier
from outfitter_agent.plans.troubles import Abandoned

ENDINGS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping(BaseException):
    """The agent was told to end; passes through plans untouched, and the journal decides at the next start."""


class Signals:
    """Flags under one condition; the main thread waits for them."""

    def __init__(self, notifier: Notifier | None = None) -> None:
        """Nothing has happened; the watchdog hears of every wait and every look."""
        self.notifier = notifier or Notifier({})
        self._changed = threading.Condition()
        self._stopping = False
        self._abandoned = False
        self._work = False
        self._up = False

    def stop(self) -> None:
        """The agent shall end."""
        self._set(stopping=True)

    def hear(self) -> None:
        """From now on SIGTERM and SIGINT stop the agent, those too that were held back while it started itself anew.

        To be called before there is a thread or a child: they would hold them back for good.
        """
        for number in ENDINGS:
            signal.signal(number, self._stop_soon)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)

    def abandon(self) -> None:
        """The job under way has ended elsewhere."""
        self._set(abandoned=True)

    def begin_job(self) -> None:
        """A job starts: what was said of the one before is forgotten."""
        self._set(abandoned=False)

    def work(self) -> None:
        """There may be something to do."""
        self._set(work=True)

    def look(self) -> None:
        """The main thread looks for work now: what called for that before is served."""
        self._set(work=False)

    def link(self, *, up: bool) -> None:
        """The connection came or went; coming is a reason to look for work."""
        self._set(up=up, work=up)

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._up

    @property
    def abandoned(self) -> bool:
        """Whether the job under way has ended elsewhere."""
        return self._abandoned

    def check(self, *, abandonable: bool) -> None:
        """Raise Stopping, or Abandoned if asked to, when it is so."""
        self.notifier.beat()
        if self._stopping:
            raise Stopping
        if abandonable and self._abandoned:
            raise Abandoned

    def sleep(self, seconds: float, *, abandonable: bool) -> None:
        """Wait; raises Stopping or Abandoned as soon as it is so."""
        with self._changed:
            self._wait(lambda: self._stopping or (abandonable and self._abandoned), seconds)
        self.check(abandonable=abandonable)

    def stopped_within(self, seconds: float) -> bool:
        """Wait; whether the agent was told to end."""
        with self._changed:
            return self._wait(lambda: self._stopping, seconds)

    def tell(self) -> None:
        """Something has happened that ``wait_until`` may wait for."""
        self._set()

    def wait_until(self, over: Callable[[], bool], seconds: float) -> bool:
        """Wait, looking at ``over`` at each ``tell``; False when the time is over. Raises Stopping or Abandoned."""
        with self._changed:
            self._wait(lambda: over() or self._stopping or self._abandoned, seconds)
        self.check(abandonable=True)
        return over()

    def wait_for_work(self, seconds: float | None) -> None:
        """Wait until there may be something to do, or the time is over; raises Stopping."""
        with self._changed:
            self._wait(lambda: self._work or self._stopping, seconds)
            self._work = False
        self.check(abandonable=False)

    def _stop_soon(self, *_: object) -> None:
        """A handler interrupts the very thread that may hold the condition: waking is left to another one."""
        self._stopping = True
        threading.Thread(target=self.stop).start()

    def _wait(self, over: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait, with a beat in time for the watchdog; whether it is over and not just too late."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            self.notifier.beat()
            left = None if deadline is None else deadline - time.monotonic()
            slices = [each for each in (left, self.notifier.beat_seconds) if each is not None]
            if self._changed.wait_for(over, min(slices, default=None)):
                return True
            if left is not None and left <= 0:
                return False

    def _set(
        self,
        *,
        stopping: bool | None = None,
        abandoned: bool | None = None,
        work: bool | None = None,
        up: bool | None = None,
    ) -> None:
        with self._changed:
            if stopping is not None:
                self._stopping = stopping
            self._abandoned = self._abandoned if abandoned is None else abandoned
            self._work = self._work if work is None else work
            self._up = self._up if up is None else up
            self._changed.notify_all()
