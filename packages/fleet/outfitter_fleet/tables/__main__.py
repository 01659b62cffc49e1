"""``python -m outfitter_fleet.tables schema|reference``: write the generated files anew."""

import sys
from pathlib import Path
from typing import Final

from outfitter_fleet.conformance.table import blocks as conformance
from outfitter_fleet.tables.blocks import filled
from outfitter_fleet.tables.musts import blocks as musts
from outfitter_fleet.tables.reference import documents
from outfitter_fleet.tables.schema import dump

ROOT: Final = Path(__file__).resolve().parents[4]
SCHEMA: Final = ROOT / "packages/server/outfitter_server/stores/sqlite/schema.sql"
REFERENCE: Final = ROOT / "docs/reference"


def generated(which: str) -> dict[Path, str]:
    """The files and what they should hold."""
    if which == "schema":
        return {SCHEMA: dump()}
    made = {
        **documents(),
        "conformance.md": conformance(REFERENCE / "conformance.json"),
        "mqtt-conformance.md": musts(),
    }
    return {
        REFERENCE / name: filled((REFERENCE / name).read_text("utf-8"), blocks)
        for name, blocks in made.items()
    }


def main() -> int:
    """0 written, 2 wrong usage."""
    if sys.argv[1:] not in (["schema"], ["reference"]):
        print(__doc__, file=sys.stderr)
        return 2
    for path, content in generated(sys.argv[1]).items():
        path.write_text(content, "utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
