"""``python -m outfitter_fleet.load``: the benchmarks, as a table or with ``--json``; progress goes to standard error."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from outfitter_fleet.load.bench import Size, run
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.load.report import as_json, show
from outfitter_fleet.stage.processes import ProcessEnded, interrupt_on_termination


def arguments() -> argparse.Namespace:
    """The options, whose defaults are the published measurement."""
    size = Size()
    parser = argparse.ArgumentParser(prog="python -m outfitter_fleet.load", description=__doc__)
    parser.add_argument("--connections", type=int, default=size.connections)
    parser.add_argument(
        "--members", type=int, default=size.members, help="things of the group that gets a job"
    )
    parser.add_argument("--rounds", type=int, default=size.rounds)
    parser.add_argument("--round-seconds", type=float, default=size.round_seconds)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """0 when everything was measured, whatever the figures; 1 when something failed, with where the logs are."""
    given = arguments()
    size = Size(
        connections=given.connections,
        members=given.members,
        rounds=given.rounds,
        round_seconds=given.round_seconds,
    )
    interrupt_on_termination()
    folder = Path(tempfile.mkdtemp(prefix="outfitter-bench-"))
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        figures = run(folder, size, say)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    except (ProvisioningFailed, ProcessEnded, OSError) as error:
        say(f"failed: {error}\nlogs: {folder}")
        return 1
    shutil.rmtree(folder)
    if given.json:
        print(as_json(figures))
    else:
        show(figures, Console(width=110))
    return 0


if __name__ == "__main__":
    sys.exit(main())
