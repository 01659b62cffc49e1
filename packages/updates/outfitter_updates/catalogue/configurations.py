"""Configurations in the store: where they lie, what may be sent, and how two of them differ."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from outfitter_contract.configuration import (
    CONFIGURATION_BYTES_MAX,
    ConfigurationError,
    build_configuration,
    parse_configuration,
)

from outfitter_updates.catalogue.problems import BadConfiguration, NotFound, WrongUsage, did_you_mean
from outfitter_updates.catalogue.software import Location

FOLDER: Final = "configurations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Named parameters with JSON values, and the very bytes that they were read from."""

    content: bytes
    parameters: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Digest of the bytes, 64 lower-case hex digits."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConfiguration:
    """A configuration in the store, as a job document names it."""

    location: Location
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which parameters are meant; ``None``: all."""

    only: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()

    @property
    def is_partial(self) -> bool:
        """Whether a device keeps parameters of its own."""
        return self.only is not None or bool(self.left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the second of two configurations differs from the first."""

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]]

    @property
    def is_empty(self) -> bool:
        """Whether they say the same."""
        return not (self.added or self.removed or self.changed)


def read_configuration(content: bytes, origin: str) -> Configuration:
    """The configuration in these bytes; raises BadConfiguration, which names the ``origin``."""
    check_size(len(content), origin)
    try:
        return Configuration(content=content, parameters=parse_configuration(content))
    except ConfigurationError as error:
        raise BadConfiguration(f"{origin} is no configuration: {error}.") from None


def check_size(size_bytes: int, origin: str) -> None:
    """Raise BadConfiguration when it is larger than devices take."""
    if size_bytes > CONFIGURATION_BYTES_MAX:
        raise BadConfiguration(
            f"{origin} has {size_bytes} bytes; a configuration has at most {CONFIGURATION_BYTES_MAX}."
        )


def choose(configuration: Configuration, choice: Choice) -> Configuration:
    """Only the parameters that are meant; raises NotFound for a name that is not there, WrongUsage when none is left."""
    names = set(configuration.parameters)
    for name in sorted((choice.only or frozenset()) | choice.left_out):
        if name not in names:
            hint = did_you_mean(name, names, nothing="It has none at all.")
            raise NotFound(f"The configuration has no parameter {name!r}. {hint}")
    if not choice.is_partial:
        return configuration
    kept = (names if choice.only is None else choice.only) - choice.left_out
    if not kept:
        raise WrongUsage("No parameter is left: --only and --except take away all of them.")
    parameters = {name: configuration.parameters[name] for name in sorted(kept)}
    return Configuration(content=build_configuration(parameters), parameters=parameters)


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> Difference:
    """What is in the second only, in the first only, and in both with other values; names sorted."""
    return Difference(
        added={name: second[name] for name in _sorted(second.keys() - first.keys())},
        removed={name: first[name] for name in _sorted(first.keys() - second.keys())},
        changed={
            name: (first[name], second[name])
            for name in _sorted(first.keys() & second.keys())
            if not _same(first[name], second[name])
        },
    )


def uploaded_location(bucket: str, thing: str, job_id: str) -> Location:
    """Where a device's configuration lies after a ``config-upload`` job."""
    return Location(bucket=bucket, key=f"{FOLDER}/{thing}/{job_id}.json")


def content_location(bucket: str, sha256: str) -> Location:
    """Where a configuration lies that people send to devices: named after its digest, so that it never changes.

    No device can be called ``@content``.
    """
    return Location(bucket=bucket, key=f"{FOLDER}/@content/{sha256}.json")


def _sorted(names: Collection[str]) -> list[str]:
    return sorted(names)


def _same(first: Any, second: Any) -> bool:
    """Whether two JSON values are the same; unlike in Python, true is not 1."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)
