"""What the generators are asked to do, and what they measured: values that travel between processes as JSON."""

import msgspec


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request: ``payload`` is published, and the answer must contain ``expected``.

    Attributes:
        topic, answer: where it is published and where the answer comes, when not where the client's others do.
    """

    payload: str
    expected: str
    topic: str | None = None
    answer: str | None = None


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Requests about many things in turn: ``{thing}`` in topics is filled in anew for each.

    Attributes:
        name: such as ``crowd-{:07}``, filled in with a number.
        first, count: the numbers.
        stride: the step from one to the next, modulo ``count``, so that neighbours in the store are not neighbours in time.
    """

    name: str
    first: int
    count: int
    stride: int

    def thing(self, turn: int) -> str:
        """The thing whose turn it is."""
        return self.name.format(self.first + turn * self.stride % self.count)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One connection.

    Attributes:
        topic: where it publishes.
        answer: where the answer comes.
        listens: filters to subscribe to first; answers of the job service need none.
        aside: topics of messages that come besides the answers and are acknowledged.
        once: each exchange once, instead of all of them over and over.
        certificate, key: files; None for plain connections.
    """

    client_id: str
    topic: str
    answer: str
    exchanges: tuple[Exchange, ...]
    listens: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    once: bool = False
    spread: Spread | None = None
    certificate: str | None = None
    key: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One round: every client keeps one request in flight, for a fixed time, or until one has none left.

    Attributes:
        ca: the file with the CA of the server's certificate; None for plain connections.
        core: the core to stay on; None for any.
        server_pid: the process whose time is to be told as well; None for none.
    """

    host: str
    port: int
    clients: tuple[Client, ...]
    ca: str | None = None
    round_seconds: float = 4.0
    warm_up_seconds: float = 1.0
    core: int | None = None
    server_pid: int | None = None


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round measured: whole round trips a second, and the time of one.

    Attributes:
        server_busy, clients_busy: processor time of each side in one second of the round.
        answers: all answers that came, also while it warmed up: the server must have kept as many changes.
        asides: messages that came besides, in the whole round.
    """

    answers: int
    rate: float
    p50_ms: float
    p99_ms: float
    server_busy: float = 0.0
    clients_busy: float = 0.0
    asides: int = 0

    @property
    def server_us(self) -> float:
        """Processor time of the server for one round trip, microseconds."""
        return self.server_busy / self.rate * 1e6

    @property
    def clients_us(self) -> float:
        """Processor time of the generator for one round trip, microseconds."""
        return self.clients_busy / self.rate * 1e6


def middle(rounds: list[Round]) -> Round:
    """The round with the median rate, its latencies with it."""
    return sorted(rounds, key=lambda one: one.rate)[len(rounds) // 2]
