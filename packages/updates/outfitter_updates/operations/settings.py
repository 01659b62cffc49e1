"""The settings file of a new device's agent."""

import json
from typing import Final

from outfitter_updates.catalogue.devices import Claim, Identity

SETTINGS_FILE: Final = "agent.toml"
CERTIFICATE_FILE: Final = "certificate.pem"
KEY_FILE: Final = "private.key"
AUTHORITY_FILE: Final = "ca.pem"
SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its kin keep the public authorities; AWS's own is among them."""
ANY_TYPE: Final = "generic"
"""The type of a device that was given none: it takes images made for this type."""


def agent_settings(identity: Identity) -> str:
    """The agent's TOML file, ready for use beside the other files of the identity."""
    told: dict[str, str | int] = {
        "thing_name": identity.device.name,
        "device_type": identity.device.device_type or ANY_TYPE,
        "endpoint": identity.mqtt_host,
        "port": identity.mqtt_port,
        "ca": SYSTEM_AUTHORITIES if identity.ca_pem is None else AUTHORITY_FILE,
        "certificate": CERTIFICATE_FILE,
        "private_key": KEY_FILE,
    }
    width = max(len(name) for name in told)
    lines = [f"{name:<{width}} = {json.dumps(value)}" for name, value in told.items()]
    return "\n".join(
        ["# Every other setting has a default: see the reference of the agent's settings.", *lines, ""]
    )


def claim_files(claim: Claim) -> dict[str, str]:
    """File names and contents of a claim, the private key first."""
    files = {
        KEY_FILE: claim.private_key_pem,
        CERTIFICATE_FILE: claim.certificate_pem,
        AUTHORITY_FILE: claim.ca_pem,
    }
    return {name: content for name, content in files.items() if content is not None}


def identity_files(identity: Identity) -> dict[str, str]:
    """File names and contents, the private key first."""
    files = {
        KEY_FILE: identity.private_key_pem,
        CERTIFICATE_FILE: identity.certificate_pem,
        AUTHORITY_FILE: identity.ca_pem,
        SETTINGS_FILE: agent_settings(identity),
    }
    return {name: content for name, content in files.items() if content is not None}
