"""Requests of devices without an identity: what they may hold, and who pays for reading them."""

from types import SimpleNamespace

import cbor2
import msgspec
import pytest
from outfitter_server.gateway import provisioning_wire
from outfitter_server.gateway.limits import PROVISIONING_BYTES_MAX
from outfitter_server.gateway.provisioning import ProvisioningDesk
from outfitter_server.services.fleet_provisioning import Asker

FORMS = pytest.mark.parametrize(
    ("form", "dumps", "loads"),
    [("json", msgspec.json.encode, msgspec.json.decode), ("cbor", cbor2.dumps, cbor2.loads)],
    ids=["json", "cbor"],
)
ASKER = Asker(certificate_id="claim", client_id="dev")
IDENTITY = SimpleNamespace(active=True)


def asked(form, payload, identity=IDENTITY):
    """What a request is answered before anything else can happen: nothing, or a refusal."""
    devices = SimpleNamespace(identify_id=lambda _: identity)
    desk = ProvisioningDesk(None, devices, None)  # type: ignore[arg-type]
    request = provisioning_wire.parse_request(f"$aws/provisioning-templates/lamp/provision/{form}")
    replies = []
    desk.submit(request, payload, ASKER, replies.append)
    return replies


@FORMS
def test_a_payload_that_is_too_large_is_refused_as_aws_refuses(form, dumps, loads):
    (reply,) = asked(form, dumps({"parameters": {"p": "x" * PROVISIONING_BYTES_MAX}}))
    told = loads(reply.payload)
    assert (reply.suffix, told["statusCode"], told["errorCode"]) == ("/rejected", 400, "InvalidRequest")
    assert str(PROVISIONING_BYTES_MAX) in told["errorMessage"].replace(",", "")


@FORMS
def test_what_cannot_be_read_is_refused_at_the_senders_cost_and_not_later(form, dumps, loads):
    (reply,) = asked(form, dumps([{}] * 5_000))
    assert (reply.suffix, loads(reply.payload)["errorCode"]) == ("/rejected", "InvalidRequest")


def test_a_claim_that_is_over_is_told_nothing():
    assert asked("json", b"{}", identity=None)[0].closes
    assert asked("json", b"{", identity=SimpleNamespace(active=False))[0].closes
