"""What devices are known to run: the record that jobs keep, as the fleet index tells it.

A job that installs a version of the catalogue writes it into the device's reserved named shadow ``$package`` when the device
has succeeded, once that is turned on. The index answers JSON text with the shadows of each thing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from outfitter_updates.catalogue.problems import WrongUsage
from outfitter_updates.catalogue.software import PACKAGE_NAME, VERSION_NAME

SHADOW: Final = "$package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A device and the version that it is known to run."""

    thing: str
    device_type: str | None
    version: str
    connected: bool | None
    """None: the index does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordState:
    """Whether jobs keep the record, and whether the index finds what is in it."""

    kept: bool
    indexed: bool


def where_query(name: str, version: str | None) -> str:
    """The query that finds the devices with a package, or with one version of it; raises WrongUsage for impossible names."""
    if not PACKAGE_NAME.fullmatch(name):
        raise WrongUsage(f"{name!r} is no software name: 1 to 128 letters, digits, '-', '_' and '.'.")
    if version is not None and not VERSION_NAME.fullmatch(version):
        raise WrongUsage(f"{version!r} is no version: 1 to 64 letters, digits, '-', '_' and '.'.")
    return f"shadow.name.{SHADOW}.reported.{name}.version:{'*' if version is None else version}"


def running(told: Mapping[str, Any], name: str) -> Running | None:
    """A thing of the index's answer; None when its shadow does not have the package."""
    reported = json.loads(told.get("shadow") or "{}").get("name", {}).get(SHADOW, {}).get("reported", {})
    version = reported.get(name, {}).get("version")
    if version is None:
        return None
    return Running(
        thing=told["thingName"],
        device_type=told.get("thingTypeName"),
        version=version,
        connected=told.get("connectivity", {}).get("connected"),
    )


def is_indexed(told: Mapping[str, Any]) -> bool:
    """Whether thingIndexingConfiguration, as the service tells it, finds the record."""
    names = told.get("filter", {}).get("namedShadowNames", ())
    is_on = told.get("thingIndexingMode", "OFF") != "OFF" and told.get("namedShadowIndexingMode") == "ON"
    return is_on and SHADOW in names


def with_index(told: Mapping[str, Any]) -> dict[str, Any]:
    """The thingIndexingConfiguration that finds the record as well, all else as it is."""
    kept = {key: value for key, value in told.items() if key != "managedFields"}
    found = dict(kept.get("filter", {}))
    names = found.get("namedShadowNames", [])
    return {
        **kept,
        "thingIndexingMode": "REGISTRY"
        if told.get("thingIndexingMode", "OFF") == "OFF"
        else told["thingIndexingMode"],
        "namedShadowIndexingMode": "ON",
        "filter": {**found, "namedShadowNames": sorted({*names, SHADOW})},
    }
