"""What can wait shares its transaction with others like it, and nobody else waits for that."""

import asyncio

import pytest
from outfitter_server.services import committer as committer_module


class Lane:
    """Notes what each transaction had of it."""

    def __init__(self) -> None:
        self.taken: list[list[str]] = []

    def apply(self, batch, requests):
        self.taken.append(list(requests))
        return [None] * len(requests)


def patiently(committer, lane, name) -> asyncio.Future[None]:
    done = asyncio.get_running_loop().create_future()
    committer.submit_patiently(lane, name, done.set_result)
    return done


@pytest.fixture
def long_rest(monkeypatch):
    monkeypatch.setattr(committer_module, "REST_SECONDS", 0.2)


@pytest.mark.usefixtures("long_rest")
async def test_the_first_is_served_at_once_and_those_that_follow_share_a_transaction(engine):
    lane, loop = Lane(), asyncio.get_running_loop()
    began = loop.time()
    await patiently(engine.committer, lane, "first")
    assert loop.time() - began < 0.1
    waiting = [patiently(engine.committer, lane, "second")]
    await engine.committer.change(lambda _: None)
    waiting.append(patiently(engine.committer, lane, "third"))
    assert not waiting[0].done(), "another's transaction is no reason to be hasty"
    assert engine.committer.waiting == 2
    await asyncio.gather(*waiting)
    assert loop.time() - began >= 0.2
    assert lane.taken == [["first"], ["second", "third"]]


@pytest.mark.usefixtures("long_rest")
async def test_who_stops_waits_for_no_rest(engine):
    lane, loop = Lane(), asyncio.get_running_loop()
    await patiently(engine.committer, lane, "first")
    began = loop.time()
    last = patiently(engine.committer, lane, "last")
    await engine.committer.drain()
    assert last.done()
    assert loop.time() - began < 0.1
    assert engine.committer.waiting == 0
