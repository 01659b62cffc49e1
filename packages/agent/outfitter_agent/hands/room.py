"""Room on the disk that an image will need once it is there, so that what cannot end well is not begun."""

import os
from pathlib import Path
from typing import Final

from outfitter_agent.hands.slots.folder import LINK, SLOTS

_NONE: Final = 0


def unpacking_needs(download: Path, slots: Path, image_bytes: int) -> int:
    """Bytes that unpacking will need, at the least, on the disk of the download beside the image file itself.

    An image is hardly ever smaller unpacked than packed; what the slot that is to be cleared holds comes free. Both are
    none of this disk's when the slots lie on another one.
    """
    place = slots
    while not place.exists():
        place = place.parent
    if place.stat().st_dev != download.stat().st_dev:
        return _NONE
    return max(_NONE, image_bytes - _clearable(slots))


def _clearable(slots: Path) -> int:
    try:
        current = str((slots / LINK).readlink())
    except OSError:
        current = ""
    folders = [slots / name for name in SLOTS if name != current]
    if not current:
        folders = folders[:1]  # the first one is filled first
    return sum(
        (Path(where) / name).lstat().st_blocks * 512
        for folder in folders
        for where, _, names in os.walk(folder)
        for name in names
    )
