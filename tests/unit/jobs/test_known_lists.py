"""Pending lists that are remembered between transactions."""

import pytest
from outfitter_contract.execution import Status
from outfitter_server.base.refusals import NotFound
from outfitter_server.jobs.values import Describe, Described, Execution, GetPending, PendingList
from outfitter_server.services import known_lists
from outfitter_server.services.known_lists import KnownLists

GET, NEXT = GetPending("t"), Describe(thing="t", job="$next")


async def test_a_list_is_known_from_the_first_question_until_something_changes(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    assert engine.plane.known(GET) is None
    answer = await engine.ask(GET)
    assert engine.plane.known(GET) is answer
    batches = engine.committer.batches
    assert await engine.ask(GET) is answer
    assert engine.committer.batches == batches, "answered without a transaction"
    await engine.start("t")
    assert engine.plane.known(GET) is None
    assert [entry.version for entry in (await engine.ask(GET)).in_progress] == [2]
    await engine.report("t", "j", "IN_PROGRESS", details={"step": "1"})
    assert [entry.version for entry in (await engine.ask(GET)).in_progress] == [3]


async def test_the_front_is_known_with_its_document_as_long_as_that_is(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    asked = await engine.ask(NEXT)
    assert engine.plane.known(NEXT) == asked
    assert asked.head.job == "j"
    bare = Describe(thing="t", job="$next", include_document=False)
    engine.plane._engine.heads.clear()
    assert engine.plane.known(NEXT) is None
    assert engine.plane.known(bare) == Described(execution=asked.execution, head=None)


async def test_other_requests_and_things_with_nothing_to_do_take_a_transaction(engine):
    engine.things("t")
    assert await engine.ask(GET) == PendingList(in_progress=(), queued=())
    assert engine.plane.known(GET) is None
    with pytest.raises(NotFound):
        await engine.ask(GetPending("nobody"))
    await engine.job("j", "thing:t")
    await engine.ask(GET)
    assert engine.plane.known(Describe(thing="t", job="j")) is None


async def test_what_was_known_within_a_batch_that_is_undone_is_forgotten(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    answer = await engine.ask(GET)

    def fails(batch):
        engine.plane.apply(batch, [GET])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await engine.committer.change(fails)
    assert engine.plane.known(GET) is None
    assert await engine.ask(GET) == answer


async def test_what_is_told_at_once_is_counted_as_asked(engine):
    engine.things("t")
    await engine.job("j", "thing:t")
    for _ in range(3):
        await engine.ask(GET)
        await engine.ask(NEXT)
    counts = engine.plane.requests
    assert (counts[GetPending, PendingList], counts[Describe, Described]) == (3, 3)


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(known_lists, "BYTES_MAX", 10_000)
    lists = KnownLists()
    for number in range(60):
        pending = PendingList(in_progress=(execution(str(number), "x" * 400),), queued=())
        lists.keep(str(number), pending)
        assert lists.get(str(number)) is pending
        assert len(lists._kept) <= 5
    assert len(lists._kept) > 1


def test_what_is_forgotten_makes_room(monkeypatch):
    monkeypatch.setattr(known_lists, "BYTES_MAX", 10_000)
    lists = KnownLists()
    lists.keep("stays", PendingList(in_progress=(execution("stays", ""),), queued=()))
    for number in range(60):
        for _ in range(2):
            lists.keep("comes", PendingList(in_progress=(execution("comes", "x" * number),), queued=()))
        lists.forget("comes")
        lists.forget("nobody")
    assert lists.get("stays") is not None


def execution(thing, detail):
    return Execution(
        id=1,
        thing=thing,
        job="j",
        number=1,
        status=Status.IN_PROGRESS,
        queued_at=0,
        updated_at=0,
        details={"detail": detail},
    )
