"""Job targets: ARNs of things and thing groups of this account."""

from collections.abc import Sequence
from typing import Final

from outfitter_contract.topics import THING_NAME

from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, LimitExceeded
from outfitter_server.jobs.values import Target

TARGETS_MAX: Final = 100
THING: Final = "thing"
GROUP: Final = "thinggroup"


def parse_targets(arns: Sequence[str], installation: Installation) -> list[Target]:
    """The targets in order, repetitions dropped.

    Raises:
        InvalidRequest: an ARN that names no thing or thing group of this account.
        LimitExceeded: more than TARGETS_MAX.
    """
    if len(arns) > TARGETS_MAX:
        raise LimitExceeded(f"targets: {len(arns)} given, at most {TARGETS_MAX} are allowed")
    named: dict[tuple[str, str], None] = {}
    for arn in arns:
        kind, name = iot_resource(arn, installation)
        if kind not in (THING, GROUP) or not THING_NAME.fullmatch(name):
            raise InvalidRequest(f"targets: {arn!r} is not the ARN of a thing or a thing group")
        named[kind, name] = None
    return [Target(position=position, kind=kind, name=name) for position, (kind, name) in enumerate(named)]
