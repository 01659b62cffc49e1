"""``outfitter-agent provision``: from a claim to an identity, and the settings to run with it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_contract.image import WORD

from outfitter_agent.hands.claim import NewIdentity, ProvisioningError, provision
from outfitter_agent.hands.durable import make_folder, write_durably
from outfitter_agent.hands.mqtt import Link

SETTINGS_FILE: Final = "agent.toml"
CERTIFICATE_FILE: Final = "certificate.pem"
KEY_FILE: Final = "private.key"
AUTHORITY_FILE: Final = "ca.pem"
PUBLIC_MODE: Final = 0o644
ANSWER_SECONDS: Final = 20.0
PORT: Final = 8883
PORT_MAX: Final = 65_535
_KEEP_ALIVE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the device is made with."""

    folder: Path
    endpoint: str
    template: str
    device_type: str
    parameters: Mapping[str, str]


def become(claim: Claim, out: Path) -> str | None:
    """Write the files of a new identity to ``out``, the settings last; the thing's name, None when they are there.

    A device that was interrupted before the settings were written asks again, and gets another certificate.

    Raises:
        ProvisioningError: see there.
        OSError: a file of the claim cannot be read, or one of the identity not written.
    """
    settings = out / SETTINGS_FILE
    if settings.exists():
        return None
    host, port = host_and_port(claim.endpoint)
    if not WORD.fullmatch(claim.device_type):
        raise ProvisioningError(f"--type {claim.device_type!r} is not 1 to 128 of A-Z a-z 0-9 _ . : -")
    authority = (claim.folder / AUTHORITY_FILE).read_bytes()
    link = Link(
        host=host,
        port=port,
        client_id="",
        tls=True,
        ca=claim.folder / AUTHORITY_FILE,
        certificate=claim.folder / CERTIFICATE_FILE,
        private_key=claim.folder / KEY_FILE,
        version_5=True,
        keep_alive_seconds=_KEEP_ALIVE_SECONDS,
        session_expiry_seconds=0,
        reconnect_max_seconds=0,
    )
    make_folder(out)
    identity = provision(link, claim.template, claim.parameters, ANSWER_SECONDS)
    write_durably(out / KEY_FILE, identity.private_key_pem.encode())
    write_durably(out / CERTIFICATE_FILE, identity.certificate_pem.encode(), PUBLIC_MODE)
    write_durably(out / AUTHORITY_FILE, authority, PUBLIC_MODE)
    write_durably(settings, _settings(identity, claim, host, port).encode(), PUBLIC_MODE)
    return identity.thing_name


def host_and_port(endpoint: str) -> tuple[str, int]:
    """``HOST`` or ``HOST:PORT``; an IPv6 address in brackets.

    Raises:
        ProvisioningError: it is neither.
    """
    host, colon, port = endpoint.rpartition(":")
    if not colon or (endpoint.startswith("[") and endpoint.endswith("]")):
        return endpoint.strip("[]"), PORT
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > PORT_MAX or not host:
        raise ProvisioningError(f"{endpoint!r} is no endpoint: write HOST or HOST:PORT")
    return host.strip("[]"), int(port)


def _settings(identity: NewIdentity, claim: Claim, host: str, port: int) -> str:
    told = {
        "thing_name": identity.thing_name,
        "device_type": claim.device_type,
        "endpoint": host,
        "port": port,
        "ca": AUTHORITY_FILE,
        "certificate": CERTIFICATE_FILE,
        "private_key": KEY_FILE,
    }
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in told.items())
