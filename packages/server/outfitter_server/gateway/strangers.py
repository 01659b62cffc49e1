"""Connections that have yet to say who they are. They are bounded: the one that is silent for longest gives way."""

import asyncio
import logging
from collections import deque
from typing import Protocol

from outfitter_server.gateway.limits import (
    PARTIAL_PER_STEP,
    PARTIAL_SECONDS,
    PARTIAL_STEP_SECONDS,
    STRANGERS_FEW,
    STRANGERS_MAX,
)
from outfitter_server.gateway.link import PARTIAL
from outfitter_server.services.meters import Counts

_log = logging.getLogger(__name__)


class Stranger(Protocol):
    """A connection without a session."""

    @property
    def name(self) -> str:
        """Where it comes from."""

    def abort(self) -> None:
        """End it."""

    def pause(self, why: int) -> None:
        """Read no more of it."""

    def resume(self, why: int) -> None:
        """Read it again; nothing is to be done for one that is gone."""


class Strangers:
    """The oldest first. Use it on the event loop's thread."""

    def __init__(self, refused: Counts) -> None:
        """``refused`` counts those that gave way, as CROWDED."""
        self._refused = refused
        self._waiting: dict[Stranger, None] = {}
        self._partial: deque[tuple[float, Stranger]] = deque()  # when each is read again

    @property
    def many(self) -> bool:
        """Whether so many come at once that each has to wait for its turn."""
        return len(self._waiting) > STRANGERS_FEW

    def add(self, stranger: Stranger) -> None:
        """One came."""
        self._waiting[stranger] = None
        if len(self._waiting) > STRANGERS_MAX:
            oldest = next(iter(self._waiting))
            _log.info("connection of %s closed: too many others say not who they are either", oldest.name)
            del self._waiting[oldest]
            self._refused["CROWDED"] += 1
            oldest.abort()

    def remove(self, stranger: Stranger) -> None:
        """It said so, or is gone."""
        self._waiting.pop(stranger, None)

    def put_off(self, stranger: Stranger) -> None:
        """It sent a part of its CONNECT: the next is read in a moment, for hundreds that send a byte at a time are a flood."""
        loop = asyncio.get_running_loop()
        stranger.pause(PARTIAL)
        if not self._partial:
            loop.call_later(PARTIAL_SECONDS, self._read_again)
        self._partial.append((loop.time() + PARTIAL_SECONDS, stranger))

    def _read_again(self) -> None:
        loop, partial = asyncio.get_running_loop(), self._partial
        for _ in range(PARTIAL_PER_STEP):
            if not partial or partial[0][0] > loop.time():
                break
            partial.popleft()[1].resume(PARTIAL)
        if partial:
            loop.call_at(max(partial[0][0], loop.time() + PARTIAL_STEP_SECONDS), self._read_again)
