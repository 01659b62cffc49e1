"""Delta images in the store: beside the image that they make, under a name that says what they are.

KEY-OF-THE-IMAGE.deltas/DIGEST-OF-THE-BASE.DIGEST-OF-THE-DELTA
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from outfitter_contract.document import DELTAS_MAX

from outfitter_updates.catalogue.software import Location, SoftwareVersion

_NAME: Final = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelta:
    """One delta in the store."""

    base: str
    """Digest of the image file that it is for."""
    sha256: str
    """Digest of the delta's own file."""
    size_bytes: int
    location: Location


def delta_prefix(software: SoftwareVersion) -> str:
    """What the keys of all deltas that make this version begin with."""
    return f"{software.location.key}.deltas/"


def delta_location(software: SoftwareVersion, base: str, sha256: str) -> Location:
    """Where such a delta is kept."""
    return Location(bucket=software.location.bucket, key=f"{delta_prefix(software)}{base}.{sha256}")


def delta_at(location: Location, size_bytes: int) -> StoredDelta | None:
    """The delta that lies there, None when the name is not that of one."""
    match = _NAME.fullmatch(location.key.rpartition("/")[2])
    if match is None:
        return None
    return StoredDelta(base=match[1], sha256=match[2], size_bytes=size_bytes, location=location)


def worth_sending(deltas: Iterable[StoredDelta], software: SoftwareVersion) -> tuple[StoredDelta, ...]:
    """Of the deltas, newest first, those that a job names: smaller than the image, one for each base, not too many."""
    kept: dict[str, StoredDelta] = {}
    for each in deltas:
        known = kept.get(each.base)
        if each.size_bytes < software.image.size_bytes and (
            known is None or each.size_bytes < known.size_bytes
        ):
            kept[each.base] = each
    return tuple(kept.values())[:DELTAS_MAX]
