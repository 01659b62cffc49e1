"""Provisioning templates: what a registration is to make of a device's parameters.

A template is JSON with ``Parameters``, ``Mappings``, ``Resources`` and ``DeviceConfiguration``. Its resources are at most one
thing, one certificate and policies. ``parse_template`` says early what could never be provisioned; ``plan`` fills in the
parameters of one device. Source: AWS IoT developer guide, "Provisioning templates".
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.things.template_values import CERTIFICATE_PREFIX, Values, references

POLICIES_MAX: Final = 10
GROUPS_MAX: Final = 10
PARAMETERS_MAX: Final = 50
PARAMETER_CHARACTERS_MAX: Final = 4_096
_NAME: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_POLICY_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_ATTRIBUTE_NAME: Final = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
_ATTRIBUTE_VALUE: Final = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")
_MEMBERS: Final = frozenset({"Parameters", "Mappings", "Resources", "DeviceConfiguration"})
_RESOURCE_MEMBERS: Final = frozenset({"Type", "Properties", "OverrideSettings"})
_THING, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_PROPERTIES: Final = {
    _THING: frozenset({"ThingName", "ThingTypeName", "AttributePayload", "ThingGroups"}),
    _CERTIFICATE: frozenset(
        {
            "CertificateId",
            "CertificateSigningRequest",
            "CertificatePem",
            "CACertificatePem",
            "Status",
            "ThingPrincipalType",
        }
    ),
    _POLICY: frozenset({"PolicyName", "PolicyDocument"}),
}
STATUSES: Final = ("ACTIVE", "INACTIVE", "PENDING_ACTIVATION")


class Override(StrEnum):
    """What is done about something that exists and differs."""

    FAIL = "FAIL"
    DO_NOTHING = "DO_NOTHING"
    REPLACE = "REPLACE"
    MERGE = "MERGE"


_OVERRIDES: Final = {
    _THING: {"AttributePayload": set(Override), "ThingGroups": set(Override)}
    | {"ThingTypeName": set(Override) - {Override.MERGE}},
    _CERTIFICATE: {"Status": set(Override) - {Override.MERGE}},
    _POLICY: {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedThing:
    """The thing to be registered, or to be found as it is; None: no wish. ``overrides`` by property."""

    label: str
    name: str
    type: str | None
    attributes: Mapping[str, str] | None
    groups: Sequence[str] | None
    overrides: Mapping[str, Override] = field(default_factory=dict)

    def override(self, member: str) -> Override:
        """What to do when this property of an existing thing differs."""
        return self.overrides.get(member, Override.FAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCertificate:
    """The certificate: one that is registered (``id``), to be signed (``csr_pem``), or to be registered (``pem``)."""

    label: str
    id: str | None
    csr_pem: str | None
    pem: str | None
    ca_pem: str | None
    status: str
    exclusive: bool
    override: Override


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPolicy:
    """A policy to be attached, made first when there is a ``document`` and none of this name."""

    label: str
    name: str
    document: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one registration makes."""

    thing: PlannedThing | None
    certificate: PlannedCertificate
    policies: tuple[PlannedPolicy, ...]
    device_configuration: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProvisioningTemplate:
    """A template that was read."""

    parameters: Mapping[str, str | None]  # defaults
    mappings: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]]
    configuration: Mapping[str, Any]

    def plan(self, given: Mapping[str, str], vouched: Mapping[str, str] | None = None) -> Plan:
        """What a registration with these parameters makes: ``given`` by a device, or ``vouched`` for by the template's owner.

        Raises:
            InvalidRequest: a parameter is missing, something comes to a name that AWS does not allow, or what the device
                says would change what a policy means.
        """
        vouched = vouched or {}
        foreign = frozenset(given).difference(vouched)
        given = {**given, **vouched}
        check_parameters(given)
        defaults = {name: value for name, value in self.parameters.items() if value is not None}
        values = Values(defaults | given, self.mappings, foreign)
        things, certificates, policies = [], [], []
        for label, resource in self.resources.items():
            match resource["Type"]:
                case "AWS::IoT::Thing":
                    things.append(_thing(label, resource, values))
                case "AWS::IoT::Certificate":
                    certificates.append(_certificate(label, resource, values))
                case _:
                    policies.append(_policy(label, resource, values))
        return Plan(
            thing=things[0] if things else None,
            certificate=certificates[0],
            policies=tuple(policies),
            device_configuration={
                name: values.text(node, f"DeviceConfiguration.{name}")
                for name, node in self.configuration.items()
            },
        )


def parse_template(body: str, *, by_reference: bool = True) -> ProvisioningTemplate:
    """Read a template's body; ``by_reference``: its certificate must be one that the device already has.

    Raises:
        InvalidRequest: not JSON, or not a template that anything can be provisioned with.
    """
    try:
        document = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"templateBody is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("templateBody must be a JSON object")
    _known(document, _MEMBERS, "the template")
    parameters = _declared(_map(document, "Parameters"))
    resources = _map(document, "Resources")
    for label, resource in resources.items():
        _check_resource(label, resource)
    kinds = [resource["Type"] for resource in resources.values()]
    if kinds.count(_CERTIFICATE) != 1 or kinds.count(_THING) > 1 or kinds.count(_POLICY) > POLICIES_MAX:
        raise InvalidRequest(
            f"Resources must have one {_CERTIFICATE}, at most one {_THING} and at most {POLICIES_MAX} {_POLICY}"
        )
    for name in references(document):
        if name not in parameters and not name.startswith(CERTIFICATE_PREFIX):
            raise InvalidRequest(f"the template refers to {name}, which its Parameters do not declare")
    certificate = next(each for each in resources.values() if each["Type"] == _CERTIFICATE)["Properties"]
    if by_reference and (
        not _is_reference(certificate.get("CertificateId")) or not certificate.get("Status")
    ):
        raise InvalidRequest(
            'the certificate needs a CertificateId that is a Ref, for example {"Ref": "AWS::IoT::Certificate::Id"},'
            " and a Status"
        )
    return ProvisioningTemplate(
        parameters, _map(document, "Mappings"), resources, _map(document, "DeviceConfiguration")
    )


def check_parameters(given: Mapping[str, str]) -> None:
    """Refuse parameters beyond their bounds.

    Raises:
        InvalidRequest: too many, or too long.
    """
    if len(given) > PARAMETERS_MAX:
        raise InvalidRequest(f"{len(given)} parameters are given, at most {PARAMETERS_MAX} are allowed")
    for name, value in given.items():
        if len(value) > PARAMETER_CHARACTERS_MAX or len(name) > PARAMETER_CHARACTERS_MAX:
            raise InvalidRequest(
                f"parameter {name[:100]} has more than {PARAMETER_CHARACTERS_MAX} characters"
            )


def _thing(label: str, resource: Mapping[str, Any], values: Values) -> PlannedThing:
    given = resource["Properties"]
    kind = given.get("ThingTypeName")
    groups = given.get("ThingGroups")
    planned = PlannedThing(
        label=label,
        name=_named(values.text(given.get("ThingName"), f"{label}.ThingName"), _NAME, "a thing"),
        type=None
        if kind is None
        else _named(values.text(kind, f"{label}.ThingTypeName"), _NAME, "a thing type"),
        attributes=None
        if given.get("AttributePayload") is None
        else {
            name: values.text(node, f"{label}.AttributePayload.{name}")
            for name, node in _map(given, "AttributePayload").items()
        },
        groups=None if groups is None else tuple(dict.fromkeys(values.texts(groups, f"{label}.ThingGroups"))),
        overrides=_overrides(resource),
    )
    for name, value in (planned.attributes or {}).items():
        if not _ATTRIBUTE_NAME.fullmatch(name) or not _ATTRIBUTE_VALUE.fullmatch(value):
            raise InvalidRequest(
                f"{value[:100]!r} is no value of attribute {name[:100]}: letters, digits and _.,@/:# are"
            )
    names = planned.groups or ()
    for name in names:
        _named(name, _NAME, "a thing group")
    if len(names) > GROUPS_MAX:
        raise InvalidRequest(f"a thing is in at most {GROUPS_MAX} groups, {label} names {len(names)}")
    return planned


def _certificate(label: str, resource: Mapping[str, Any], values: Values) -> PlannedCertificate:
    given = resource["Properties"]

    def optional(member: str) -> str | None:
        node = given.get(member)
        return None if node is None else values.text(node, f"{label}.{member}")

    status = (optional("Status") or "ACTIVE").upper()
    if status not in STATUSES:
        raise InvalidRequest(f"{label}.Status cannot be {status[:50]}: use {', '.join(STATUSES)}")
    identifier = optional("CertificateId")
    planned = PlannedCertificate(
        label=label,
        id=None if identifier is None else identifier.lower(),
        csr_pem=optional("CertificateSigningRequest"),
        pem=optional("CertificatePem"),
        ca_pem=optional("CACertificatePem"),
        status=status,
        exclusive=optional("ThingPrincipalType") == "EXCLUSIVE_THING",
        override=_overrides(resource).get("Status", Override.FAIL),
    )
    sources = [planned.id, planned.csr_pem, planned.pem]
    if sum(source is not None for source in sources) != 1:
        raise InvalidRequest(
            f"{label} needs one of CertificateId, CertificateSigningRequest and CertificatePem"
        )
    return planned


def _policy(label: str, resource: Mapping[str, Any], values: Values) -> PlannedPolicy:
    given = resource["Properties"]
    node, name = given.get("PolicyDocument"), given.get("PolicyName")
    document = None
    if isinstance(node, dict) and not _is_function(node):
        document = json.dumps(node)
    elif node is not None:
        document = values.of_policy().text(node, f"{label}.PolicyDocument")
    if name is not None:
        return PlannedPolicy(
            label=label,
            name=_named(values.text(name, f"{label}.PolicyName"), _POLICY_NAME, "a policy"),
            document=document,
        )
    if document is None:
        raise InvalidRequest(f"{label} needs a PolicyName or a PolicyDocument")
    return PlannedPolicy(label=label, name=sha256(document.encode()).hexdigest(), document=document)


def _check_resource(label: str, resource: Any) -> None:
    if not isinstance(resource, dict) or not isinstance(resource.get("Properties"), dict):
        raise InvalidRequest(f"resource {label} must be an object with Type and Properties")
    _known(resource, _RESOURCE_MEMBERS, f"resource {label}")
    kind = resource.get("Type")
    if not isinstance(kind, str) or kind not in _PROPERTIES:
        raise InvalidRequest(f"resource {label}: Type must be one of {', '.join(_PROPERTIES)}")
    _known(resource["Properties"], _PROPERTIES[kind], f"resource {label}")
    for member, value in _map(resource, "OverrideSettings").items():
        allowed = _OVERRIDES[kind].get(member)
        if allowed is None or not isinstance(value, str) or value not in allowed:
            raise InvalidRequest(f"resource {label}: OverrideSettings cannot have {member}: {value}")
    if kind == _THING and "ThingName" not in resource["Properties"]:
        raise InvalidRequest(f"resource {label} needs a ThingName")


def _overrides(resource: Mapping[str, Any]) -> dict[str, Override]:
    return {member: Override(value) for member, value in _map(resource, "OverrideSettings").items()}


def _declared(parameters: Mapping[str, Any]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, declared in parameters.items():
        if not isinstance(declared, dict) or declared.get("Type") != "String":
            raise InvalidRequest(f'parameter {name} must be declared as {{"Type": "String"}}')
        default = declared.get("Default")
        if default is not None and not isinstance(default, str):
            raise InvalidRequest(f"the Default of parameter {name} must be a string")
        found[name] = default
    return found


def _is_function(node: Mapping[str, Any]) -> bool:
    return len(node) == 1 and next(iter(node)).startswith(("Fn::", "Ref"))


def _is_reference(node: Any) -> bool:
    return isinstance(node, dict) and len(node) == 1 and isinstance(node.get("Ref"), str)


def _named(name: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(name):
        raise InvalidRequest(f"{name[:150]!r} is not a name that {what} may have")
    return name


def _map(holder: Mapping[str, Any], member: str) -> dict[str, Any]:
    found = holder.get(member, {})
    if not isinstance(found, dict):
        raise InvalidRequest(f"{member} must be a JSON object")
    return found


def _known(holder: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    unknown = sorted(set(holder) - known)
    if unknown:
        raise InvalidRequest(f"{what} cannot have {', '.join(unknown)}; it has {', '.join(sorted(known))}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("a member occurs twice in one object of the template")
    return found
