"""Connections that have yet to say who they are. They are bounded: the one that is silent for longest gives way."""

import logging
from typing import Protocol

from outfitter_server.gateway.limits import STRANGERS_FEW, STRANGERS_MAX
from outfitter_server.services.meters import Counts

_log = logging.getLogger(__name__)


class Stranger(Protocol):
    """A connection without a session."""

    @property
    def name(self) -> str:
        """Where it comes from."""

    def abort(self) -> None:
        """End it."""


class Strangers:
    """The oldest first."""

    def __init__(self, refused: Counts) -> None:
        """``refused`` counts those that gave way, as CROWDED."""
        self._refused = refused
        self._waiting: dict[Stranger, None] = {}

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
