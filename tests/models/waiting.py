"""Waiting for what the loop will bring about, which nothing announces."""

import asyncio
from collections.abc import Callable


async def until(check: Callable[[], object]) -> None:
    """Look every few milliseconds whether it has come about; ten seconds at most."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)
