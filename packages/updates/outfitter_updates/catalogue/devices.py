"""Devices and groups of devices, as the registry shows them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

REGISTRY_NAME: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A thing of the registry."""

    name: str
    arn: str
    device_type: str | None
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether a device is connected; since when, or when it left and why, as far as the service knows."""

    connected: bool
    since: datetime | None = None
    reason: str | None = None
    """AWS's disconnectReason of one that is not connected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of things."""

    name: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOrder:
    """What a new device shall be."""

    name: str
    device_type: str | None
    groups: tuple[str, ...]
    policy_name: str
    mqtt: str | None
    """HOST:PORT of the broker as the device sees it; None: what the service tells."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Identity:
    """What a device needs to speak for itself; holds its private key and is therefore never printed."""

    device: Device
    certificate_id: str
    certificate_pem: str
    private_key_pem: str
    ca_pem: str | None
    """The authority that signed the server's certificate; None: a public one, as on AWS."""
    mqtt_host: str
    mqtt_port: int
    notes: tuple[str, ...]
    """Sentences for the person who asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the devices of a line are made with; holds a private key and is therefore never printed."""

    template: str
    certificate_id: str
    certificate_pem: str
    private_key_pem: str
    ca_pem: str | None
    """The authority that signed the server's certificate; None: a public one, as on AWS."""


def host_and_port(address: str, port: int) -> tuple[str, int] | None:
    """HOST, HOST:PORT or [V6]:PORT taken apart, ``port`` where none is given; None when it is none of these."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]+))(?::(\d{1,5}))?", address)
    if not found:
        return None
    number = int(found[3]) if found[3] else port
    return (found[1] or found[2], number) if 0 < number <= 65_535 else None  # noqa: PLR2004 - the largest port
