"""Fleet provisioning over MQTT: topics, payloads in JSON or CBOR, answers. A pure translation.

    $aws/certificates/create/{json|cbor}
    $aws/certificates/create-from-csr/{json|cbor}
    $aws/provisioning-templates/{name}/provision/{json|cbor}

each answered on ``…/accepted`` or ``…/rejected``, in the format asked for. Source: AWS IoT developer guide, "Device
provisioning MQTT API".
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from outfitter_server.base import cbor
from outfitter_server.base.refusals import InvalidRequest, Refusal
from outfitter_server.gateway.limits import PROVISIONING_BYTES_MAX
from outfitter_server.services.fleet_provisioning import Owned, Provisioned

CERTIFICATES: Final = "$aws/certificates/"
TEMPLATES: Final = "$aws/provisioning-templates/"
_TOPIC: Final = re.compile(
    r"\$aws/(?:certificates/(?P<verb>create|create-from-csr)|provisioning-templates/(?P<template>[0-9A-Za-z_-]{1,36})/provision)"
    r"/(?P<format>json|cbor)"
)
_FAILED: Final = 500


class Verb(Enum):
    """What is asked for."""

    CREATE = "create"
    CREATE_FROM_CSR = "create-from-csr"
    PROVISION = "provision"


class ProvisioningRequest(NamedTuple):
    """What a topic asks for; ``template`` is "" but for PROVISION."""

    verb: Verb
    template: str
    binary: bool


class Reply(NamedTuple):
    """An answer: the end of its topic, its payload. ``closes``: there is none, and the connection ends."""

    suffix: str = ""
    payload: bytes = b""
    closes: bool = False


def parse_request(topic: str) -> ProvisioningRequest | None:
    """The request that a message to this topic is, None when it is none."""
    found = _TOPIC.fullmatch(topic)
    if found is None:
        return None
    verb = Verb(found["verb"]) if found["verb"] else Verb.PROVISION
    return ProvisioningRequest(verb, found["template"] or "", found["format"] == "cbor")


def decode(request: ProvisioningRequest, payload: bytes) -> Mapping[str, Any]:
    """The members of a request.

    Raises:
        InvalidRequest: too large, no map in the format of the topic, or a member of another type than it must be.
    """
    if request.verb is Verb.CREATE:
        return {}
    if len(payload) > PROVISIONING_BYTES_MAX:
        raise InvalidRequest(
            f"the payload has {len(payload)} bytes, at most {PROVISIONING_BYTES_MAX} are allowed here"
        )
    try:
        members = cbor.decode(payload) if request.binary else msgspec.json.decode(payload)
    except (cbor.CborError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the payload is not {'CBOR' if request.binary else 'JSON'}: {error}") from error
    if not isinstance(members, dict):
        raise InvalidRequest("the payload must be a map")
    wanted = "certificateSigningRequest"
    if request.verb is Verb.PROVISION:
        wanted, parameters = "certificateOwnershipToken", members.get("parameters")
        if parameters is not None and not (
            isinstance(parameters, dict) and all(isinstance(value, str) for value in parameters.values())
        ):
            raise InvalidRequest("parameters must be a map of strings")
    if not isinstance(members.get(wanted, ""), str):
        raise InvalidRequest(f"{wanted} must be a string")
    return members


def accepted(request: ProvisioningRequest, outcome: Owned | Provisioned) -> Reply:
    """The answer to what was granted."""
    if isinstance(outcome, Provisioned):
        members: dict[str, Any] = {"deviceConfiguration": dict(outcome.configuration)}
        if outcome.thing is not None:
            members["thingName"] = outcome.thing
    else:
        issued = outcome.issued
        members = {"certificateId": issued.certificate_id, "certificatePem": issued.certificate_pem}
        if request.verb is Verb.CREATE:
            members["privateKey"] = issued.private_key_pem
        members["certificateOwnershipToken"] = outcome.token
    return Reply("/accepted", _encode(request, members))


def rejected(request: ProvisioningRequest, error: Exception) -> Reply:
    """The answer to what was refused, or failed by a fault of the server."""
    if isinstance(error, Refusal):
        status, code, message = error.status, error.code.removesuffix("Exception"), error.message
    else:
        status, code, message = _FAILED, "InternalError", "the server failed; try again"
    members = {"statusCode": status, "errorCode": code, "errorMessage": message}
    return Reply("/rejected", _encode(request, members))


def _encode(request: ProvisioningRequest, members: Mapping[str, Any]) -> bytes:
    return cbor.encode(members) if request.binary else msgspec.json.encode(members)
