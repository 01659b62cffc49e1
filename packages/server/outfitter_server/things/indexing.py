"""What is indexed (AWS's indexing configuration), and which queries can therefore be answered."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from outfitter_server.base.refusals import InvalidQuery, InvalidRequest, NotFound
from outfitter_server.things.query import CONNECTIVITY, SHADOW

INDEX: Final = "AWS_Things"
QUERY_VERSION: Final = "2017-09-30"
DYNAMIC_GROUPS_MAX: Final = 100
RESULTS_MAX: Final = 500
SHADOW_NAMES_MAX: Final = 10


class ThingIndexing(StrEnum):
    """thingIndexingMode."""

    OFF = "OFF"
    REGISTRY = "REGISTRY"
    REGISTRY_AND_SHADOW = "REGISTRY_AND_SHADOW"


class ConnectivityIndexing(StrEnum):
    """thingConnectivityIndexingMode."""

    OFF = "OFF"
    STATUS = "STATUS"


class NamedShadowIndexing(StrEnum):
    """namedShadowIndexingMode."""

    OFF = "OFF"
    ON = "ON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexing:
    """The configuration; without things nothing is indexed."""

    things: ThingIndexing = ThingIndexing.REGISTRY
    connectivity: ConnectivityIndexing = ConnectivityIndexing.STATUS
    named_shadows: NamedShadowIndexing = NamedShadowIndexing.ON
    shadow_names: tuple[str, ...] = ("$package",)

    @property
    def schema(self) -> str:
        """DescribeIndex's word for it."""
        status = "_AND_CONNECTIVITY_STATUS" if self.connectivity is ConnectivityIndexing.STATUS else ""
        return f"{self.things}{status}"


def check_index(name: str | None, indexing: Indexing) -> None:
    """Refuse an index that is not there.

    Raises:
        NotFound: another name, or nothing is indexed.
    """
    if name is not None and name != INDEX:
        raise NotFound(f"there is no index {name}: write {INDEX}")
    if indexing.things is ThingIndexing.OFF:
        raise NotFound(
            f"index {INDEX} does not exist: turn it on with UpdateIndexingConfiguration, thingIndexingMode"
        )


def check_fields(fields: Collection[str], indexing: Indexing) -> None:
    """Refuse a query about what is not indexed.

    Raises:
        InvalidQuery: connectivity or a shadow that the configuration leaves out.
    """
    for field in sorted(fields):
        if field.startswith(CONNECTIVITY) and indexing.connectivity is ConnectivityIndexing.OFF:
            raise InvalidQuery(
                f"{field} is not indexed: turn it on with UpdateIndexingConfiguration, thingConnectivityIndexingMode STATUS"
            )
        if field.startswith(f"{SHADOW}name."):
            shadow = field.removeprefix(f"{SHADOW}name.").partition(".")[0]
            if indexing.named_shadows is NamedShadowIndexing.OFF or shadow not in indexing.shadow_names:
                raise InvalidQuery(
                    f"shadow {shadow} is not indexed: turn it on with UpdateIndexingConfiguration, "
                    f"namedShadowIndexingMode ON and {shadow} in filter.namedShadowNames"
                )
        elif field.startswith(SHADOW) and indexing.things is not ThingIndexing.REGISTRY_AND_SHADOW:
            raise InvalidQuery(
                f"{field} is not indexed: turn it on with UpdateIndexingConfiguration, thingIndexingMode REGISTRY_AND_SHADOW"
            )


def check_indexing(indexing: Indexing) -> None:
    """Refuse a configuration whose parts do not go together.

    Raises:
        InvalidRequest: something is indexed of things that are not, or there are too many names of shadows.
    """
    others = indexing.connectivity is ConnectivityIndexing.STATUS or (
        indexing.named_shadows is NamedShadowIndexing.ON
    )
    if indexing.things is ThingIndexing.OFF and others:
        raise InvalidRequest(
            "thingIndexingMode is OFF, so that connectivity and named shadows cannot be indexed: turn them OFF too"
        )
    if len(indexing.shadow_names) > SHADOW_NAMES_MAX:
        raise InvalidRequest(f"at most {SHADOW_NAMES_MAX} named shadows are indexed")
    if indexing.shadow_names and indexing.named_shadows is NamedShadowIndexing.OFF:
        raise InvalidRequest("filter.namedShadowNames needs namedShadowIndexingMode ON")
