"""``python -m outfitter_fleet.demo [--keep]``: exits 0 only when every row of the table is as expected."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from outfitter_fleet.demo.cases import DEVICES
from outfitter_fleet.demo.display import Display, print_verdict
from outfitter_fleet.demo.play import Play
from outfitter_fleet.demo.site import DemoFailed
from outfitter_fleet.stage.processes import ProcessEnded, Processes, interrupt_on_termination


def main() -> int:
    """0 as expected, 1 not so or not at all, 130 interrupted; logs stay when something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m outfitter_fleet.demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave server and agents running and say how to reach them"
    )
    keep = parser.parse_args().keep
    interrupt_on_termination()
    console = Console(width=None if sys.stdout.isatty() else 120)
    folder = Path(tempfile.mkdtemp(prefix="outfitter-demo-"))
    logs = folder / "logs"
    logs.mkdir()
    try:
        with Processes(logs) as processes:
            with Display(console, DEVICES) as display:
                play = Play(folder, processes, display)
                rows = play.run()
            print_verdict(console, rows)
            if keep:
                processes.release()
                tell_how_to_reach(console, play, folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    except (DemoFailed, ProcessEnded) as error:
        console.print(f"{error}\nlogs: {logs}", highlight=False, markup=False)
        return 1
    wrong = sum(not row.good for row in rows)
    if wrong:
        console.print(f"{wrong} of {len(rows)} rows are not as expected; logs: {logs}", highlight=False)
        return 1
    console.print(f"All {len(rows)} rows are as expected.", highlight=False)
    if not keep:
        shutil.rmtree(folder)
    return 0


def tell_how_to_reach(console: Console, play: Play, folder: Path) -> None:
    """Print what a person needs to go on by hand."""
    lines = [f"export {name}={value}" for name, value in play.site.server.environment().items()]
    agents = [str(device.pid) for device in play.devices if device.pid]
    lines += [
        f"{Path(sys.executable).parent / 'outfitter'} device list",
        f"# the page, for the key above: {play.site.page_url}",
        f"# everything is in {folder}; end it with",
        f"kill {' '.join([*agents, str(play.site.server.process.pid)])}",
    ]
    console.print("Left running:", *lines, sep="\n", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
