"""What the page may ask of the function, parsed once.

    {"operation": "install", "target": {"group": "pumps"}, "software": "pump", "version": "1.4.0", "forced": false}
    {"operation": "config-upload", "target": {"thing": "pump-1"}}
    {"operation": "config-download", "target": {"group": "pumps"}, "source": {"thing": "pump-1", "jobId": "…"}}

``forced`` and ``continuous`` are false when absent, ``jobId`` is made when absent. Members that are not known here are
refused: a misspelt ``forced`` must not be taken for its absence.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from outfitter_contract.operations import Operation

from outfitter_updates.catalogue.devices import REGISTRY_NAME
from outfitter_updates.catalogue.problems import WrongUsage
from outfitter_updates.operations.target import TargetKind, TargetName
from outfitter_updates.operations.update import JOB_ID

BODY_CHARACTERS_MAX: Final = 16_384
_MEMBERS: Final = {
    Operation.INSTALL: frozenset({"software", "version", "forced", "continuous"}),
    Operation.CONFIG_UPLOAD: frozenset[str](),
    Operation.CONFIG_DOWNLOAD: frozenset({"source", "forced", "continuous"}),
}
_ALWAYS: Final = frozenset({"operation", "target", "jobId"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The configuration that a device uploaded in a job."""

    thing: str
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """One job that somebody wants."""

    operation: Operation
    target: TargetName
    """A thing or a group, never either."""
    continuous: bool
    job_id: str | None
    software: str = ""
    version: str = ""
    forced: bool = False
    source: Source | None = None


def read_body(event: Mapping[str, Any]) -> object:
    """The JSON value in a function URL's event; raises WrongUsage when there is none."""
    text = event.get("body") or ""
    if not isinstance(text, str) or len(text) > BODY_CHARACTERS_MAX:
        raise WrongUsage(f"The body may have at most {BODY_CHARACTERS_MAX} characters.")
    try:
        plain = base64.b64decode(text, validate=True).decode() if event.get("isBase64Encoded") else text
        return json.loads(plain)
    except (binascii.Error, ValueError, RecursionError):
        raise WrongUsage(
            'The body is not JSON. Send an object such as {"operation": "install", …}.'
        ) from None


def parse_request(value: object) -> JobRequest:
    """The request in a decoded JSON value; raises WrongUsage that names the member."""
    if not isinstance(value, Mapping):
        raise WrongUsage("The request is not a JSON object.")
    operation = _operation(value.get("operation"))
    unknown = sorted(str(key)[:64] for key in value.keys() - _ALWAYS - _MEMBERS[operation])
    if unknown:
        raise WrongUsage(f"{operation} has no member {', '.join(map(repr, unknown))}.")
    installs = operation is Operation.INSTALL
    return JobRequest(
        operation=operation,
        target=_target(value.get("target")),
        continuous=_flag(value, "continuous"),
        job_id=_job_id(value, "jobId") if value.get("jobId") is not None else None,
        software=_name(value, "software") if installs else "",
        version=_name(value, "version") if installs else "",
        forced=_flag(value, "forced"),
        source=_source(value.get("source")) if operation is Operation.CONFIG_DOWNLOAD else None,
    )


def _operation(word: object) -> Operation:
    known = {operation.value: operation for operation in _MEMBERS}
    operation = known.get(str(word))
    if operation is None:
        raise WrongUsage(f"'operation' is none of {', '.join(known)}.")
    return operation


def _target(value: object) -> TargetName:
    if isinstance(value, Mapping) and len(value) == 1:
        kind, name = next(iter(value.items()))
        if kind in set(TargetKind) and isinstance(name, str) and REGISTRY_NAME.fullmatch(name):
            return TargetName(name, (TargetKind(kind),))
    raise WrongUsage('\'target\' is neither {"thing": NAME} nor {"group": NAME}.')


def _source(value: object) -> Source:
    if not isinstance(value, Mapping) or not isinstance(value.get("thing"), str):
        raise WrongUsage('\'source\' is not {"thing": NAME, "jobId": JOB}.')
    thing = value["thing"]
    if not REGISTRY_NAME.fullmatch(thing):
        raise WrongUsage(f"{thing[:128]!r} can be no device.")
    return Source(thing=thing, job_id=_job_id(value, "jobId"))


def _flag(value: Mapping[str, Any], member: str) -> bool:
    given = value.get(member, False)
    if not isinstance(given, bool):
        raise WrongUsage(f"'{member}' is neither true nor false.")
    return given


def _name(value: Mapping[str, Any], member: str) -> str:
    given = value.get(member)
    if not isinstance(given, str) or not 0 < len(given) <= 128:  # noqa: PLR2004 - the longest name of a package
        raise WrongUsage(f"'{member}' is missing or no text of 1 to 128 characters.")
    return given


def _job_id(value: Mapping[str, Any], member: str) -> str:
    given = value.get(member)
    if not isinstance(given, str) or not JOB_ID.fullmatch(given):
        raise WrongUsage(f"'{member}' is no job id: 1 to 64 letters, digits, '-' and '_'.")
    return given
