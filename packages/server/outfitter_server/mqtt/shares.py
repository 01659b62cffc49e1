"""Shared subscriptions: the sessions of a group take turns at the messages that a filter matches."""

from collections import OrderedDict
from itertools import islice
from typing import Final

from outfitter_server.mqtt.sessions import Session, Subscription
from outfitter_server.mqtt.topics import SHARE_PREFIX

TRIES_MAX: Final = 64  # members of a group, connected ones and others, that one message looks at

_Members = OrderedDict[Session, Subscription]


def parse_share(topic_filter: str) -> tuple[str, str] | None:
    """Group and filter of ``$share/GROUP/filter``; None when it is no such thing or the group has no proper name."""
    if not topic_filter.startswith(SHARE_PREFIX):
        return None
    group, slash, shared = topic_filter.removeprefix(SHARE_PREFIX).partition("/")
    return (group, shared) if slash and group and "+" not in group and "#" not in group else None


class Share:
    """One group with one filter: who is next, of those who are connected and of those who are away."""

    __slots__ = ("_away", "_connected")

    def __init__(self) -> None:
        """Nobody yet."""
        self._connected: _Members = OrderedDict()
        self._away: _Members = OrderedDict()

    def join(self, session: Session, subscription: Subscription, *, connected: bool) -> None:
        """Take part; who takes part already keeps its place."""
        (self._connected if connected else self._away)[session] = subscription

    def leave(self, session: Session) -> bool:
        """Take part no more; whether nobody is left."""
        self._connected.pop(session, None)
        self._away.pop(session, None)
        return not self._connected and not self._away

    def move(self, session: Session, *, connected: bool) -> None:
        """A member came or went: it has to wait longest."""
        old, new = (self._away, self._connected) if connected else (self._connected, self._away)
        subscription = old.pop(session, None)
        if subscription is not None:
            new[session] = subscription

    def turn(self, *, connected: bool) -> list[tuple[Session, Subscription]]:
        """The members that a message is offered to, whoever waited longest first."""
        return list(islice((self._connected if connected else self._away).items(), TRIES_MAX))

    def served(self, session: Session) -> None:
        """It had its turn."""
        (self._connected if session in self._connected else self._away).move_to_end(session)
