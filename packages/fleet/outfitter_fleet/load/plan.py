"""What the generator is asked to do, and what it measured: values that travel between the two processes as JSON."""

import msgspec


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request that a connection repeats: ``payload`` is published, and the answer must contain ``expected``."""

    payload: str
    expected: str


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One connection.

    Attributes:
        topic: where it publishes.
        answer: where the answer comes.
        listen: a filter to subscribe to first; None when answers need no subscription.
        certificate, key: files; None for plain connections.
    """

    client_id: str
    topic: str
    answer: str
    exchanges: tuple[Exchange, ...]
    listen: str | None = None
    certificate: str | None = None
    key: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One round: every client keeps one request in flight, for a fixed time.

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
    """

    answers: int
    rate: float
    p50_ms: float
    p99_ms: float
    server_busy: float = 0.0
    clients_busy: float = 0.0


def middle(rounds: list[Round]) -> Round:
    """The round with the median rate, its latencies with it."""
    return sorted(rounds, key=lambda one: one.rate)[len(rounds) // 2]
