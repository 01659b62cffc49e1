"""``notify`` and ``notify-next`` of the job service, for whoever listens.

A filter that is exactly one of these topics makes a notice: the session is told the newest state and never a backlog,
and what it could not be told is computed when there is room. A filter with wildcards gets the same payloads as ordinary
messages. The device plane emits changes of watched things only, so every such filter watches.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from outfitter_contract import topics as jobs_topics

from outfitter_server.gateway import jobs_wire
from outfitter_server.gateway.broker import Broker, Delivered
from outfitter_server.gateway.jobs_wire import Filler
from outfitter_server.gateway.routes import Interest, interest
from outfitter_server.jobs.values import Notification
from outfitter_server.jobs.why import Kind
from outfitter_server.mqtt.properties import text
from outfitter_server.mqtt.sessions import Notice, Session
from outfitter_server.services.effects import Effect, PendingChanged
from outfitter_server.services.traces import Traces

_NEVER: Final = -1


class Plane(Protocol):
    """The part of the device plane that notifications need."""

    def watch(self, thing: str) -> None:
        """Emit the changes of a thing from now on; counted."""

    def unwatch(self, thing: str) -> None:
        """Take back one ``watch``."""

    def current(self, thing: str) -> Notification:
        """The pending list as committed."""


class Listener(Protocol):
    """The live connection of a session that listens."""

    session: Session | None
    fill: Filler

    def notify(self, name: str, notice: Notice, revision: int, payload: Callable[[], bytes]) -> None:
        """Send a notice now, or mark it due."""


class Notices:
    """Which live sessions listen to which things."""

    def __init__(self, plane: Plane, broker: Broker, fill: Filler, traces: Traces) -> None:
        """``fill`` makes the documents of sessions that are not connected now; ``traces`` remembers who was told."""
        self._traces = traces
        self._plane = plane
        self._broker = broker
        self._fill = fill
        self._listeners: dict[str, dict[str, Listener]] = {}

    def subscribed(self, listener: Listener, topic_filter: str, wish: Interest, thing: str, qos: int) -> None:
        """A filter for notifications is new, or granted anew."""
        session = listener.session
        if session is None:
            return
        if wish is Interest.NOTICES and topic_filter not in session.subscriptions:
            self._plane.watch(thing)
        if wish is not Interest.NOTICE:
            return
        notice = session.notices.get(topic_filter)
        if notice is None:
            session.notices[topic_filter] = Notice(qos, self._revision(session, thing, topic_filter))
        else:
            notice.qos = qos
        self._listen(thing, listener, session)

    def restored(self, session: Session, topic_filter: str, qos: int, revision: int | None) -> None:
        """A filter of a session that is back, offline, from before a restart."""
        wish, thing = interest(topic_filter)
        if wish is Interest.NOTICES:
            self._plane.watch(thing)
        else:
            notice = session.notices[topic_filter] = Notice(qos, _NEVER if revision is None else revision)
            notice.due = bool(qos)

    def unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A filter is taken back, while its session is online."""
        wish, thing = interest(topic_filter)
        if wish is Interest.NOTICES and topic_filter in session.subscriptions:
            self._plane.unwatch(thing)
        elif session.notices.pop(topic_filter, None) is not None and not any(
            _thing(name) == thing for name in session.notices
        ):
            self._forget(thing, session)

    def online(self, listener: Listener) -> None:
        """A session resumed: it is told what it missed, if it missed anything."""
        session = listener.session
        if session is None:
            return
        for thing in dict.fromkeys(map(_thing, session.notices)):
            self._listen(thing, listener, session)
        self.catch_up(listener)

    def offline(self, session: Session) -> None:
        """A session lost its connection; nobody computes anything for it until it comes back."""
        for thing in dict.fromkeys(map(_thing, session.notices)):
            self._forget(thing, session)

    def ended(self, session: Session) -> None:
        """A session, offline by now, is over. Call it before its subscriptions are cleared."""
        for topic_filter in session.subscriptions:
            wish, thing = interest(topic_filter)
            if wish is Interest.NOTICES:
                self._plane.unwatch(thing)
        session.notices.clear()

    def catch_up(self, listener: Listener) -> None:
        """Tell what is due, from the state as it is now."""
        session = listener.session
        if session is None:
            return
        for thing in dict.fromkeys(map(_thing, session.notices_due())):
            self._tell(listener, session, self._plane.current(thing), only_due=True)

    def hear(self, effects: Sequence[Effect]) -> None:
        """Deliver the changes that a commit made."""
        for effect in effects:
            if isinstance(effect, PendingChanged):
                notification = effect.notification
                for listener in list(self._listeners.get(notification.thing, {}).values()):
                    if listener.session is not None:
                        self._tell(listener, listener.session, notification)
                self._broadcast(notification)

    def _tell(
        self, listener: Listener, session: Session, notification: Notification, *, only_due: bool = False
    ) -> None:
        thing = notification.thing
        for name, changed, revision, payload in (
            (
                jobs_topics.notify(thing),
                notification.pending_changed,
                notification.pending_revision,
                lambda: jobs_wire.notify(notification),
            ),
            (
                jobs_topics.notify_next(thing),
                notification.next_changed,
                notification.next_revision,
                lambda: jobs_wire.notify_next(notification, listener.fill),
            ),
        ):
            notice = session.notices.get(name)
            if notice is None or not changed or (only_due and not notice.due):
                continue
            if revision > notice.sent:
                listener.notify(name, notice, revision, payload)
                self._remember(notification)
            else:
                notice.due = False

    def _remember(self, notification: Notification) -> None:
        """Whom it was about, for the question why: the front when that is new, else what came to the end of the list."""
        if notification.pending:
            about = notification.pending[0 if notification.next_changed else -1]
            self._traces.note(about, Kind.NOTIFIED, notification.now)

    def _broadcast(self, notification: Notification) -> None:
        """To filters with wildcards, as ordinary messages of QoS 1."""
        thing = notification.thing
        if notification.pending_changed:
            self._route(jobs_topics.notify(thing), lambda: jobs_wire.notify(notification))
        if notification.next_changed:
            self._route(
                jobs_topics.notify_next(thing), lambda: jobs_wire.notify_next(notification, self._fill)
            )

    def _route(self, topic: str, payload: Callable[[], bytes]) -> None:
        if self._broker.has_subscribers(topic):
            self._broker.route(Delivered(topic, text(topic), payload(), 1))

    def _listen(self, thing: str, listener: Listener, session: Session) -> None:
        listeners = self._listeners.setdefault(thing, {})
        if session.client_id not in listeners:
            self._plane.watch(thing)
        listeners[session.client_id] = listener

    def _forget(self, thing: str, session: Session) -> None:
        listeners = self._listeners.get(thing, {})
        if listeners.pop(session.client_id, None) is not None:
            self._plane.unwatch(thing)
        if not listeners:
            self._listeners.pop(thing, None)

    def _revision(self, session: Session, thing: str, topic: str) -> int:
        """Where a new notice begins: only a session that outlives its connection must know what it missed."""
        if not session.expiry_seconds:
            return _NEVER
        current = self._plane.current(thing)
        return current.next_revision if topic == jobs_topics.notify_next(thing) else current.pending_revision


def _thing(topic: str) -> str:
    return topic.split("/", 3)[2]
