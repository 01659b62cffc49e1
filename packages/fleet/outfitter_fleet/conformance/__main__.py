"""``python -m outfitter_fleet.conformance [SERVER…]``: run the tests against all servers, or some anew, and write the table."""

import json
import sys
from pathlib import Path
from typing import Final

from outfitter_fleet.conformance.runs import SERVERS, Results, merged, run
from outfitter_fleet.tables.__main__ import generated

ROOT: Final = Path(__file__).resolve().parents[4]
RECORD: Final = ROOT / "docs/reference/conformance.json"


def main() -> int:
    """0 written, 1 ours failed, 2 wrong usage."""
    wanted = sys.argv[1:] or list(SERVERS)
    if set(wanted) - set(SERVERS):
        print(__doc__, file=sys.stderr)
        return 2
    runs: dict[str, Results] = {server: run(ROOT, server) for server in wanted}
    RECORD.write_text(json.dumps(merged(_with_former(runs)), indent=1, sort_keys=True) + "\n", "utf-8")
    for path, content in generated("reference").items():
        path.write_text(content, "utf-8")
    ours = runs.get("outfitter", {})
    return int(any(result["outcome"] != "passed" for result in ours.values()))


def _with_former(runs: dict[str, Results]) -> dict[str, Results]:
    """The runs, and for servers that were not run what the record says of them."""
    if RECORD.exists() and set(runs) != set(SERVERS):
        known = json.loads(RECORD.read_text("utf-8"))["tests"]
        for server in set(SERVERS) - set(runs):
            runs[server] = {
                name: {"cells": test["cells"], "outcome": test["outcomes"][server]}
                for name, test in known.items()
            }
    return runs


if __name__ == "__main__":
    sys.exit(main())
