"""Sessions that wait for their clients: what is over, at the cost of what is over."""

from outfitter_server.gateway.waiting import Waiting
from outfitter_server.mqtt.sessions import EXPIRY_NEVER


class _Name(str):
    """A client id that counts how often it is looked up."""

    __slots__ = ()
    looked_up = 0

    def __hash__(self) -> int:
        _Name.looked_up += 1
        return super().__hash__()


def test_what_expired_is_taken_once_in_the_order_of_expiry() -> None:
    waiting = Waiting()
    for name, expires_at in (("late", 30), ("early", 10), ("never", EXPIRY_NEVER), ("middle", 20)):
        waiting.leave(name, expires_at)
    assert waiting.take(20, 100) == ["early", "middle"]
    assert waiting.take(20, 100) == []
    assert len(waiting) == 2


def test_who_came_back_or_left_anew_does_not_expire_at_the_old_time() -> None:
    waiting = Waiting()
    waiting.leave("back", 10)
    waiting.leave("anew", 10)
    assert waiting.come("back") == 10
    assert waiting.come("back") is None
    waiting.leave("anew", 50)
    assert waiting.take(49, 100) == []
    assert waiting.take(50, 100) == ["anew"]


def test_beyond_the_room_the_first_gone_are_over() -> None:
    waiting = Waiting()
    for name in ("first", "second", "third"):
        waiting.leave(name, EXPIRY_NEVER)
    assert waiting.take(0, 2) == ["first"]


def test_looking_for_what_expired_costs_what_expired() -> None:
    waiting = Waiting()
    for number in range(20_000):
        waiting.leave(_Name(number), 1 if number < 3 else 1_000)
    _Name.looked_up = 0
    assert len(waiting.take(1, 100_000)) == 3
    assert _Name.looked_up <= 3 * 2


def test_a_client_that_comes_and_goes_leaves_nothing_behind() -> None:
    waiting = Waiting()
    for number in range(10_000):
        waiting.leave("restless", 100_000 + number)
    assert len(waiting._due) <= 1_010
    assert waiting.take(109_999, 100) == ["restless"]
