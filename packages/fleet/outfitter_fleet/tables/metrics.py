"""The table of docs/reference/metrics.md, from the metrics that are exported."""

from collections.abc import Mapping
from typing import Final

from outfitter_server.main.metric_families import FAMILIES, Family, Kind

from outfitter_fleet.tables.blocks import code, table

_HEADINGS: Final = ("metric", "kind", "labels", "what it is")


def blocks() -> Mapping[str, str]:
    """The generated blocks of the document."""
    rows = [[_name(family), family.kind.value, code(family.labels), family.help] for family in FAMILIES]
    return {"metrics": table(_HEADINGS, rows)}


def _name(family: Family) -> str:
    suffix = "_total" if family.kind is Kind.COUNTER else ""
    return code([family.name + suffix])
