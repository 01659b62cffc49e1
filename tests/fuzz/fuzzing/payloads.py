"""Payloads of MQTT messages that the services read."""

import math
from typing import Any

from outfitter_contract.topics import parse_request
from outfitter_server.base import cbor as cbor_form
from outfitter_server.base.refusals import InvalidRequest, Refusal
from outfitter_server.gateway import jobs_wire, provisioning_wire
from outfitter_server.gateway.provisioning_wire import ProvisioningRequest, Verb

from fuzzing.bites import Bites

_JOBS = [
    request
    for topic in ("jobs/job-1/update", "jobs/start-next", "jobs/job-1/get", "jobs/$next/get", "jobs/get")
    if (request := parse_request(f"$aws/things/d/{topic}")) is not None
]
_PROVISIONING = [
    ProvisioningRequest(verb, "template" if verb is Verb.PROVISION else "", binary)
    for verb in Verb
    for binary in (False, True)
]


def jobs_payload(data: bytes) -> None:
    """A request of the jobs service is a request or a refusal, and either can be answered."""
    bites = Bites(data)
    topic = _JOBS[bites.number() % len(_JOBS)]
    request, token = jobs_wire.decode(topic, bites.rest())
    outcome = request if isinstance(request, Refusal) else Refusal("no")
    suffix, payload = jobs_wire.answer(topic, outcome, token, 0, _no_document)
    assert suffix == "/rejected"
    payload.decode()


def _no_document(*_: Any) -> Any:
    raise AssertionError("a refusal has no document")


def cbor(data: bytes) -> None:
    """What can be read can be written, and is read again as the same."""
    try:
        value = cbor_form.decode(data)
    except cbor_form.CborError:
        return
    written = cbor_form.encode(value)
    assert same(cbor_form.decode(written), value)
    assert cbor_form.encode(cbor_form.decode(written)) == written


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same kinds: True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and (not isinstance(one, float) or math.isfinite(one))


def provisioning(data: bytes) -> None:
    """A request for an identity is a map of what it may be, or refused; a refusal can be sent."""
    bites = Bites(data)
    request = _PROVISIONING[bites.number() % len(_PROVISIONING)]
    try:
        members = provisioning_wire.decode(request, bites.rest())
    except InvalidRequest as refusal:
        assert provisioning_wire.rejected(request, refusal).payload
        return
    assert (
        isinstance(members.get("certificateSigningRequest", ""), str)
        or request.verb is not Verb.CREATE_FROM_CSR
    )
    for name, value in (members.get("parameters") or {}).items() if request.verb is Verb.PROVISION else ():
        assert isinstance(name, str)
        assert isinstance(value, str)
