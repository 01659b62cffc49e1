"""The device plane with rates: as AWS counts them, for the whole installation and both doors together."""

from collections.abc import Callable

from outfitter_server.base.throttle import DEVICE_READS, DEVICE_WRITES, Throttle
from outfitter_server.jobs.values import DeviceAnswer, DeviceRequest, StartNext, Update
from outfitter_server.services.committer import Committer
from outfitter_server.services.device_plane import DevicePlane
from outfitter_server.services.engine import Engine


class ThrottledPlane(DevicePlane):
    """Refuses what is too much before it is queued."""

    def __init__(self, committer: Committer, engine: Engine, throttle: Throttle) -> None:
        """``throttle`` has the rates of the two kinds of requests."""
        super().__init__(committer, engine)
        self._throttle = throttle
        self._now = committer.now

    def known(self, request: DeviceRequest) -> DeviceAnswer | None:  # noqa: ARG002 - what the other plane knows
        """Nothing: every request is counted against its rate."""
        return None

    def submit(self, request: DeviceRequest, reply: Callable[[DeviceAnswer | Exception], None]) -> None:
        """Queue a request, or answer it with Throttled at once."""
        name = DEVICE_WRITES if isinstance(request, Update | StartNext) else DEVICE_READS
        refusal = self._throttle.refusal(name, self._now())
        if refusal is not None:
            self.requests[type(request), type(refusal)] += 1
            reply(refusal)
        else:
            super().submit(request, reply)
