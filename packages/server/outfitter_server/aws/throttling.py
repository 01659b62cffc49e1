"""Operations that may be called so often a second and no more."""

from collections.abc import Callable, Mapping
from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.base.throttle import Throttle


def throttled(
    handlers: Mapping[str, Handler], throttle: Throttle, clock: Callable[[], int]
) -> dict[str, Handler]:
    """The handlers, by operation name; those with a rate refuse with Throttled what is too much."""
    return {
        name: _limited(name, handler, throttle, clock) if throttle.limits(name) else handler
        for name, handler in handlers.items()
    }


def _limited(name: str, handler: Handler, throttle: Throttle, clock: Callable[[], int]) -> Handler:
    async def limited(call: Call) -> dict[str, Any]:
        refusal = throttle.refusal(name, clock())
        if refusal is not None:
            raise refusal
        return await handler(call)

    return limited
