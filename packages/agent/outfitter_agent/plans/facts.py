"""What a plan knows of its device."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The device's own circumstances, constant while the agent runs."""

    device_type: str
    boot_id: str
    trial_boots_max: int
    attempts_max: int
    trial_timeout_seconds: float = 0
    """How long after its boot new software may be on trial; 0: as long as it takes."""
    configuration_health: bool = False
    """Whether software and device must be healthy under a new configuration."""
    health_checks: bool = False
    """Whether the device has health checks of its own, beside those of its software."""
    signed_only: bool = False
    """Whether images need the signature of a trusted key."""
    forced_below_minimum: bool = False
    """Whether ``forced`` in a job document counts for more than a signed minimum version."""
    device_client: bool = False
    """Whether documents of AWS's device client are carried out."""
    reboots: bool = False
    """Whether a restart is one of the machine, and not of the agent alone."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What the conditions of such documents may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A job execution as the service handed it over."""

    job_id: str
    execution_number: int
    version_number: int
    status: str
    document: object
    """The decoded JSON of the job document."""
