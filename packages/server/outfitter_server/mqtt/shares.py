"""Shared subscriptions: the sessions of a group take turns at the messages that a filter matches."""

from itertools import islice
from typing import Final

from outfitter_server.mqtt.sessions import Session, Subscription
from outfitter_server.mqtt.topics import SHARE_PREFIX

TRIES_MAX: Final = 64  # members of a group that one message looks at


def parse_share(topic_filter: str) -> tuple[str, str] | None:
    """Group and filter of ``$share/GROUP/filter``; None when it is no such thing or the group has no proper name."""
    if not topic_filter.startswith(SHARE_PREFIX):
        return None
    group, slash, shared = topic_filter.removeprefix(SHARE_PREFIX).partition("/")
    return (group, shared) if slash and group and "+" not in group and "#" not in group else None


class Share:
    """One group with one filter: who is next."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        """Nobody yet."""
        self._members: dict[Session, Subscription] = {}

    def join(self, session: Session, subscription: Subscription) -> None:
        """Take part; who takes part already keeps its place."""
        self._members[session] = subscription

    def leave(self, session: Session) -> bool:
        """Take part no more; whether nobody is left."""
        self._members.pop(session, None)
        return not self._members

    def turn(self) -> list[tuple[Session, Subscription]]:
        """The members that a message is offered to, whoever waited longest first."""
        return list(islice(self._members.items(), TRIES_MAX))

    def served(self, session: Session) -> None:
        """It had its turn."""
        self._members[session] = self._members.pop(session)
