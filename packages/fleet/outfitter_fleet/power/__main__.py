"""``python -m outfitter_fleet.power``: cut the power everywhere, make every step fail, and write docs/reference/power-cuts.md anew."""

import sys
import tempfile
from pathlib import Path
from typing import Final

from outfitter_fleet.power.cuts import describe
from outfitter_fleet.power.lives import quiet
from outfitter_fleet.power.table import blocks, failed, fault_blocks, ground, played
from outfitter_fleet.tables.blocks import filled

DOCUMENT: Final = Path(__file__).resolve().parents[4] / "docs/reference/power-cuts.md"


def main() -> int:
    """0 written and nothing wrong, 1 written and something wrong."""
    with quiet(), tempfile.TemporaryDirectory(prefix="outfitter-power-", dir=ground()) as folder:
        found = played(Path(folder) / "device")
        faults = failed(Path(folder) / "device")
    told = filled(DOCUMENT.read_text("utf-8"), {**blocks(found), **fault_blocks(faults)})
    DOCUMENT.write_text(told, "utf-8")
    wrong: list[object] = [describe(cut) for each in found.values() for cut in each if cut.wrong]
    wrong += [fault for each in faults.values() for fault in each if fault.wrong]
    for each in wrong:
        print(each, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
