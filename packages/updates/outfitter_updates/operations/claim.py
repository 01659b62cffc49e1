"""A line's claim: the certificate that its devices are made with, and the template that makes things of them."""

import json
import re
from typing import Any, Final

from outfitter_updates.catalogue.problems import WrongUsage
from outfitter_updates.operations.line import line_group
from outfitter_updates.operations.policy import allow

SERIAL: Final = "SerialNumber"
_TEMPLATE_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,36}")


def claim_template(device_type: str) -> str:
    """The template of a device type's line, called as its group is; raises WrongUsage when no template can be called so."""
    name = line_group(device_type)
    if not _TEMPLATE_NAME.fullmatch(name):
        raise WrongUsage(
            f"A claim needs a template called {name!r}, and names of templates have at most 36 letters, digits, '_' and '-'."
        )
    return name


def template_body(device_type: str, policy_name: str) -> str:
    """The template: a thing TYPE-SERIAL of the type, in the line's group, with the policy of devices.

    A device that comes again gets one more certificate; its attributes and further groups stay as they are.
    """
    thing = {
        "ThingName": {"Fn::Join": ["-", [device_type, {"Ref": SERIAL}]]},
        "ThingTypeName": device_type,
        "ThingGroups": [line_group(device_type)],
    }
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": thing,
            "OverrideSettings": {"ThingTypeName": "FAIL", "ThingGroups": "MERGE"},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy_name}},
    }
    parameters = {SERIAL: {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}}
    return json.dumps({"Parameters": parameters, "Resources": resources}, indent=2)


def claim_policy(prefix: str, template: str) -> str:
    """What the claim may do: ask for a certificate, and be registered by this template."""
    names = (
        "$aws/certificates/create/*",
        "$aws/certificates/create-from-csr/*",
        f"$aws/provisioning-templates/{template}/provision/*",
    )
    statements: list[dict[str, Any]] = [
        allow(["iot:Connect"], f"{prefix}client/*"),
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{prefix}topic/{name}" for name in names],
        },
        {
            "Effect": "Allow",
            "Action": ["iot:Subscribe"],
            "Resource": [f"{prefix}topicfilter/{name}" for name in names],
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
