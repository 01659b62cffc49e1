"""What a device tells of the configuration in force, without a job: a retained message on a topic of its own.

The payload is a JSON object: ``sha256``, the digest of the file, null when there is none; ``at``, when it was told, in
whole seconds since the epoch.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningConfiguration:
    """The configuration that a device says is in force."""

    sha256: str | None
    """Of the file's bytes; None: there is no file."""
    at: int
    """Seconds since the epoch."""


class RunningError(ValueError):
    """A message that tells of no configuration."""


def running_topic(thing: str) -> str:
    """Where the device ``thing`` tells it."""
    return f"outfitter/things/{thing}/configuration"


def build_running(running: RunningConfiguration) -> bytes:
    """The payload."""
    return json.dumps({"sha256": running.sha256, "at": running.at}, separators=(",", ":")).encode()


def parse_running(payload: bytes) -> RunningConfiguration:
    """What the payload tells; raises RunningError."""
    try:
        told: Any = json.loads(payload)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise RunningError("it is no JSON object")
    sha256, at = told.get("sha256"), told.get("at")
    if sha256 is not None and not (isinstance(sha256, str) and SHA256.fullmatch(sha256)):
        raise RunningError("'sha256' is no digest of 64 hexadecimal digits")
    if type(at) is not int or at < 0:
        raise RunningError("'at' is no time in seconds since the epoch")
    return RunningConfiguration(sha256=sha256, at=at)
