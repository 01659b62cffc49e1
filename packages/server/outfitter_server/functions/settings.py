"""What a person sets on a function, and its limits (AWS Lambda developer guide, "Lambda quotas")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from outfitter_server.base.refusals import InvalidRequest

TIMEOUT_SECONDS: Final = 3
TIMEOUT_SECONDS_MAX: Final = 900
MEMORY_MB: Final = 128
MEMORY_MB_MAX: Final = 10_240
ENVIRONMENT_BYTES_MAX: Final = 4_096
ZIPPED_BYTES_MAX: Final = 50 * 1024 * 1024
UNZIPPED_BYTES_MAX: Final = 250 * 1024 * 1024
MEMBERS_MAX: Final = 20_000
PAYLOAD_BYTES_MAX: Final = 6 * 1024 * 1024
EVENT_BYTES_MAX: Final = 1024 * 1024

RESERVED: Final = frozenset(
    {
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
    }
)  # fmt: skip

_RUNTIME: Final = re.compile(r"python3\.\d{1,2}")
_HANDLER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*\.[A-Za-z_]\w*", re.ASCII)
_VARIABLE: Final = re.compile(r"[a-zA-Z]\w+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """The configuration of a function.

    Attributes:
        role: the ARN that its sessions carry; any well-formed one.
        environment: variables of its own, in the order given.
    """

    runtime: str
    handler: str
    role: str
    description: str = ""
    timeout_seconds: int = TIMEOUT_SECONDS
    memory_mb: int = MEMORY_MB
    environment: Mapping[str, str] = field(default_factory=dict)


def check_settings(settings: FunctionSettings, *, memory_mb_max: int) -> FunctionSettings:
    """The settings themselves.

    Raises:
        InvalidRequest: a value that a function cannot have, or more than this server allows.
    """
    if not _RUNTIME.fullmatch(settings.runtime):
        raise InvalidRequest(
            f"Runtime {settings.runtime!r} is not supported: functions here are Python's; give python3.11, for example"
        )
    if not _HANDLER.fullmatch(settings.handler):
        raise InvalidRequest(f"Handler {settings.handler!r} must be MODULE.FUNCTION, such as app.handler")
    if not 1 <= settings.timeout_seconds <= TIMEOUT_SECONDS_MAX:
        raise InvalidRequest(
            f"Value '{settings.timeout_seconds}' at 'timeout' failed to satisfy constraint: "
            f"Member must have value between 1 and {TIMEOUT_SECONDS_MAX}"
        )
    memory_max = min(memory_mb_max, MEMORY_MB_MAX)
    if not MEMORY_MB <= settings.memory_mb <= memory_max:
        raise InvalidRequest(
            f"Value '{settings.memory_mb}' at 'memorySize' failed to satisfy constraint: "
            f"Member must have value between {MEMORY_MB} and {memory_max}, which this server allows at most"
        )
    _check_environment(settings.environment)
    return settings


def _check_environment(environment: Mapping[str, str]) -> None:
    reserved = sorted(set(environment) & RESERVED)
    if reserved:
        raise InvalidRequest(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise InvalidRequest(
                f"the environment variable {name!r} must have a name of letters, digits and underscores that "
                "begins with a letter, and a value without NUL"
            )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in environment.items())
    if size > ENVIRONMENT_BYTES_MAX:
        raise InvalidRequest(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the {ENVIRONMENT_BYTES_MAX} bytes limit; they have {size}"
        )
