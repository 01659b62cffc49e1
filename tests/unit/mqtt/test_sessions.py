import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from outfitter_server.mqtt.packets import Properties
from outfitter_server.mqtt.properties import write_pairs
from outfitter_server.mqtt.sessions import MESSAGE_BYTES, Bounds, Budget, Kind, Message, Notice, Session

BOUNDS = Bounds(window_messages=3, queue_messages=4, queue_bytes=4_000)


def new_session(budget_bytes: int = 100_000) -> Session:
    session = Session("c", BOUNDS, Budget(budget_bytes))
    session.attach(65_535, 60)
    return session


def message(number: int, kind: Kind = Kind.ORDINARY, **more) -> Message:
    return Message(b"\0\1t", str(number).encode(), kind, **more)


def test_window_then_queue_then_the_oldest_goes():
    session = new_session()
    ids = [session.offer(message(n), 0) for n in range(9)]
    assert ids == [1, 2, 3, 0, 0, 0, 0, 0, 0]
    assert session.dropped == 2
    assert session.acknowledge(2)
    assert not session.acknowledge(2)
    assert [(i, m.payload) for i, m in session.next_queued(0)] == [(4, b"5")]


def test_receive_maximum_of_the_client_narrows_the_window():
    session = new_session()
    session.attach(1, 0)
    assert [session.offer(message(n), 0) for n in range(3)] == [1, 0, 0]


def test_expired_messages_are_not_sent():
    session = new_session()
    for number in range(3):
        session.offer(message(number), 0)
    session.offer(message(3, expires_at=5), 0)
    session.offer(message(4, expires_at=50), 0)
    session.acknowledge(1)
    assert [m.payload for _, m in session.next_queued(10)] == [b"4"]


def test_packet_ids_wrap_and_skip_those_under_way():
    session = new_session()
    session.offer(message(0), 0)
    session._last_id = 0xFFFF
    assert session.offer(message(1), 0) == 2


def test_a_lost_connection_keeps_ordinary_messages_with_their_ids_and_drops_answers():
    session = new_session()
    session.offer(message(0, Kind.ANSWER), 0)
    session.offer(message(1), 0)
    session.offer(message(2, Kind.ANSWER), 0)
    session.offer(message(3, Kind.ANSWER), 0)
    session.offer(message(4), 0)
    session.detach()
    assert (session.under_way, session.queued) == (1, 1)
    assert list(session.unacknowledged(29, 30)) == []
    assert [(i, m.payload) for i, m in session.unacknowledged(30, 30)] == [(2, b"1")]
    assert list(session.unacknowledged(31, 30)) == []


def test_a_notice_falls_back_to_what_was_acknowledged():
    session = new_session()
    notice = session.notices["n"] = Notice(1, revision=4)
    for revision in (5, 6):
        notice.in_flight = session.offer(message(revision, Kind.NOTICE, notice="n"), 0)
        notice.sent = revision
    session.acknowledge(1)
    assert notice.acknowledged == 4
    session.acknowledge(2)
    assert notice.acknowledged == 6
    notice.in_flight = session.offer(message(7, Kind.NOTICE, notice="n"), 0)
    notice.sent = 7
    session.detach()
    assert (notice.sent, notice.due, session.under_way) == (6, True, 0)
    assert session.notices_due() == ["n"]


def test_a_shared_budget_bounds_all_queues_whatever_the_size_of_a_message():
    budget = Budget(10_000)
    sessions = [Session(str(n), BOUNDS, budget) for n in range(40)]
    for session in sessions:
        session.enqueue(message(0))
    for session in sessions:
        session.enqueue(Message(b"\0\1t", b"x" * 3_000))
        assert budget.held <= 10_000
    for session in sessions:
        session.clear()
    assert (budget.held, budget.messages) == (0, 0)


def test_what_is_under_way_counts_while_its_client_is_away():
    budget = Budget(10_000)
    sessions = [Session(str(n), BOUNDS, budget) for n in range(40)]
    for session in sessions:
        session.attach(65_535, 60)
        session.offer(Message(b"\0\1t", b"x" * 3_000), 0)
        session.detach()
    assert 9_000 < budget.held <= 10_000 + 3_000 + MESSAGE_BYTES + 3
    assert sum(session.under_way for session in sessions) < 5
    for session in sessions:
        session.clear()
    assert budget.held == 0


def test_answers_and_notices_are_sent_however_much_others_keep():
    budget = Budget(1_000)
    hoarder, device = Session("h", BOUNDS, budget), Session("d", BOUNDS, budget)
    hoarder.offer(Message(b"\0\1t", b"x" * 2_000), 0)
    large = b"x" * 2_000
    assert not device.offer(Message(b"\0\1t", large), 0)
    assert device.offer(Message(b"\0\1t", large, Kind.ANSWER), 0)
    assert device.offer(Message(b"\0\1t", b"", Kind.NOTICE, notice="n"), 0)
    assert (device.dropped, device.queued) == (1, 0)


def memory(make) -> int:
    tracemalloc.start()
    try:
        made = make()
        return tracemalloc.get_traced_memory()[0] if made else 0
    finally:
        tracemalloc.stop()


def test_a_message_counts_at_least_what_it_takes():
    bounds = Bounds(window_messages=100, queue_messages=10_000, queue_bytes=1 << 30)
    for count, way in ((10_000, Session.enqueue), (100, lambda session, each: session.offer(each, 10_000))):
        session = Session("c", bounds, Budget(1 << 30))

        def fill(session=session, count=count, way=way):
            for number in range(count):
                way(session, Message(b"\0\4" + b"%4d" % number, b"", expires_at=1_000 + number))
            return session

        assert memory(fill) <= session._budget.held


class BudgetMachine(RuleBasedStateMachine):
    """Sessions that share a budget: it binds, and counts exactly what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(6_000)
        self.bounds = Bounds(window_messages=3, queue_messages=4, queue_bytes=4_000, queue_bytes_kept=400)
        self.sessions = [Session(str(n), self.bounds, self.budget) for n in range(5)]

    @rule(index=st.integers(0, 4), size=st.sampled_from([0, 50, 500, 3_000]), away=st.booleans())
    def say(self, index, size, away) -> None:
        session, said = self.sessions[index], Message(b"\0\1t", b"x" * size)
        little = session.holds + said.size() <= self.bounds.queue_bytes_kept
        under_way, queued, dropped = session.under_way, session.queued, session.dropped
        if away:
            session.enqueue(said)
        else:
            session.offer(said, 0)
        if little and queued < self.bounds.queue_messages:
            assert session.under_way + session.queued == under_way + queued + 1, "who keeps little gave way"
            assert session.dropped == dropped

    @rule(index=st.integers(0, 4))
    def acknowledge(self, index) -> None:
        session = self.sessions[index]
        for packet_id in list(session._flights)[:1]:
            session.acknowledge(packet_id)
        for _ in session.next_queued(0):
            pass

    @rule(index=st.integers(0, 4))
    def leave(self, index) -> None:
        self.sessions[index].detach()

    @rule(index=st.integers(0, 4))
    def end(self, index) -> None:
        self.sessions[index].clear()

    @invariant()
    def bounded(self) -> None:
        held = [
            sum(each.size() for each in session.queue)
            + sum(flight.message.size() for flight in session._flights.values())
            for session in self.sessions
        ]
        assert held == [session.holds for session in self.sessions]
        assert self.budget.held == sum(held)
        assert self.budget.messages == sum(session.queued for session in self.sessions)
        # One message may be the one that fills it; then each may keep a little.
        assert sum(held) <= 6_000 + 3_000 + MESSAGE_BYTES + 3 + 5 * self.bounds.queue_bytes_kept


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=80, deadline=None)


class SessionMachine(RuleBasedStateMachine):
    """Against a plain model: nothing ordinary is lost but by overflow, nothing is sent twice without reason."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(100_000)
        self.session = Session("c", BOUNDS, self.budget)
        self.session.attach(3, 60)
        self.waiting: list[bytes] = []
        self.sent: dict[int, bytes] = {}
        self.number = 0

    @rule()
    def offer(self) -> None:
        self.number += 1
        packet_id = self.session.offer(message(self.number), 0)
        body = str(self.number).encode()
        if packet_id:
            assert packet_id not in self.sent
            assert not self.waiting
            self.sent[packet_id] = body
        else:
            self.waiting = [*self.waiting, body][-4:]

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def acknowledge(self, data) -> None:
        packet_id = data.draw(st.sampled_from(sorted(self.sent)))
        assert self.session.acknowledge(packet_id)
        del self.sent[packet_id]
        for new_id, found in self.session.next_queued(0):
            assert found.payload == self.waiting.pop(0)
            self.sent[new_id] = found.payload

    @rule()
    def reconnect(self) -> None:
        self.session.detach()
        self.session.attach(3, 60)

    @invariant()
    def bounded(self) -> None:
        assert self.session.under_way == len(self.sent) <= 3
        assert self.session.queued == len(self.waiting) <= 4
        held = [*self.waiting, *self.sent.values()]
        assert self.budget.held == sum(len(body) + 3 + MESSAGE_BYTES for body in held)


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=60, deadline=None)


def test_properties_count_against_what_a_session_and_all_sessions_may_hold():
    heavy = write_pairs(Properties(user=(("k", "v" * 100),) * 50))
    session = new_session()
    for number in range(3):
        session.enqueue(message(number, properties=heavy))
    assert session.queued == 1
    assert session._budget.held > len(heavy) > 50 * 100
    session.clear()
    assert session._budget.held == 0
    session.offer(message(4, properties=heavy), 0)
    assert session.offer(message(5), 0) == 0  # the first one fills the flight
    session.acknowledge(1)
    assert session.has_room
