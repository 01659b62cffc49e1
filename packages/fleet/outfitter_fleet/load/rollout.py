"""How long CreateJob on a large group takes until every member has its execution, and what others wait meanwhile."""

import time
from typing import Final

import msgspec

from outfitter_fleet.load.ground import CROWD, Ground
from outfitter_fleet.load.probe import ProbePlan, Sample

_ASKERS: Final = 20
_SETTLE_SECONDS: Final = 0.5
_RESULT_SECONDS_MAX: Final = 10.0
_LOOK_SECONDS: Final = 0.02


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests of one kind took, milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One or more rollouts: the median of their times, and every request of others that was sent meanwhile.

    Attributes:
        call_seconds: how long CreateJob itself took to answer.
        others: by kind (get and update over MQTT, describe: DescribeThing over HTTP) and ``all``.
        idle: the same before the rollout.
    """

    things: int
    seconds: float
    call_seconds: float
    others: dict[str, Latency]
    idle: dict[str, Latency]


def measure_rollouts(ground: Ground, job: str, things: int, rounds: int) -> Rollout:
    """Create jobs for the crowd, one after the other, while other requests are asked; the server uses every core.

    Args:
        ground: with a served, stocked crowd.
        job: one that all devices have; its name begins those of the rollouts.
        things: how large the crowd is.
        rounds: how many.
    """
    ground.spread()
    totals, calls = [], []
    during: list[Sample] = []
    idle: list[Sample] = []
    for number in range(rounds):
        ground.say(f"rollout {number + 1} to {things:,} things")
        name = f"{job}-rollout-{number}"
        probe = ground.client(f"probe-{name}", "probe", _probe_plan(ground, job))
        try:
            asking = probe.line("", _RESULT_SECONDS_MAX)
            if asking != "asking":
                ground.result("the second client", asking)
            time.sleep(_SETTLE_SECONDS * 2)
            began = time.monotonic()
            calls.append(ground.create_job(name, CROWD))
            ground.wait_until_queued(name, things, look_seconds=_LOOK_SECONDS)
            ended = time.monotonic()
            time.sleep(_SETTLE_SECONDS)
            probe.terminate()
            samples = msgspec.json.decode(
                ground.result("the second client", probe.line("result ", _RESULT_SECONDS_MAX)),
                type=list[Sample],
            )
        finally:
            probe.stop()
        totals.append(ended - began)
        during += [sample for sample in samples if began <= sample.due <= ended]
        idle += [sample for sample in samples if began - _SETTLE_SECONDS <= sample.due < began - 0.05]
    return Rollout(
        things=things,
        seconds=sorted(totals)[len(totals) // 2],
        call_seconds=sorted(calls)[len(calls) // 2],
        others=latencies(during),
        idle=latencies(idle),
    )


def latencies(samples: list[Sample]) -> dict[str, Latency]:
    """By kind, and of all."""
    kinds = sorted({sample.kind for sample in samples})
    found = {kind: _latency([one.took for one in samples if one.kind == kind]) for kind in kinds}
    return found | {"all": _latency([one.took for one in samples])} if samples else {}


def _latency(seconds: list[float]) -> Latency:
    times = sorted(seconds)
    return Latency(
        count=len(times),
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)] * 1000,
        worst_ms=times[-1] * 1000,
    )


def _probe_plan(ground: Ground, job: str) -> bytes:
    server = ground.server
    host, port = server.address("mqtt")
    return msgspec.json.encode(
        ProbePlan(
            host=host,
            port=port,
            url=server.url,
            access_key_id=server.access_key_id,
            secret_access_key=server.secret_access_key,
            things=tuple(device.name for device in ground.devices[:_ASKERS]),
            job=job,
            core=ground.cores[1] if ground.cores else None,
        )
    )
