"""What a refused request leaves behind."""

import gc
from contextlib import suppress

from outfitter_server.base.refusals import NotFound
from outfitter_server.jobs.values import Update


async def test_refusals_leave_nothing_to_the_garbage_collector(engine):
    """A full collection stops everybody: a fleet that is refused all day must not be the reason for one."""
    refused = Update(thing="nobody", job="nothing", status="IN_PROGRESS")
    outcomes = []

    def replied(outcome):
        outcomes.append(type(outcome))

    def changed(_):
        raise NotFound("nothing")

    async def ask():
        with suppress(NotFound):
            await engine.committer.change(changed)
        with suppress(NotFound):
            await engine.ask(refused)

    engine.plane.submit(refused, replied)
    await ask()
    await engine.committer.drain()
    gc.collect()
    gc.disable()
    try:
        engine.plane.submit(refused, replied)
        await ask()
        await engine.committer.drain()
        assert outcomes == [NotFound, NotFound]
        assert gc.collect() == 0
    finally:
        gc.enable()
