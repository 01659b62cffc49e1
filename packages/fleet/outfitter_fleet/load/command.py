"""What the benchmarks' commands have in common: a folder that goes away, progress, and figures as a table or as JSON."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from outfitter_server.base.refusals import Refusal
from rich.console import Console

from outfitter_fleet.load.ground import Ground
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.load.report import Part, machine, markdown, show
from outfitter_fleet.stage.processes import ProcessEnded, Processes, interrupt_on_termination

Figures = TypeVar("Figures", bound=msgspec.Struct)

PAGE: Final = "docs/reference/performance.md"


def options(program: str, description: str | None, page: str = PAGE) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}", description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="FOLDER",
        help=f"write the figures into {page} (and pictures) of this working tree, too",
    )
    return parser


def run(
    given: argparse.Namespace,
    block: str,
    measure: Callable[[Ground], Figures],
    parts: Callable[[Figures], list[Part]],
    picture: tuple[str, Callable[[Figures], str]] | None = None,
    page: str = PAGE,
) -> int:
    """Measure and print. 0 when all was measured, whatever the figures; 1 when something failed, with where the logs are.

    Args:
        given: the options.
        block: the name of the figures' block in the page.
        measure: makes the figures; progress goes to standard error through the ground's ``say``.
        parts: says them.
        picture: a name below ``docs/images``, and what draws it (SVG).
        page: where the block is.
    """
    interrupt_on_termination()
    folder = Path(tempfile.mkdtemp(prefix="outfitter-bench-"))
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        with Processes(folder) as processes:
            figures = measure(Ground(processes, folder, say))
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    except (ProvisioningFailed, ProcessEnded, Refusal, OSError) as error:
        say(f"failed: {error}\nlogs: {folder}")
        return 1
    shutil.rmtree(folder)
    said = [*parts(figures), machine()]
    if given.json:
        print(msgspec.json.format(msgspec.json.encode({"figures": figures}), indent=2).decode())
    else:
        show(said, Console(width=150, highlight=False))
    if given.root:
        write(given.root / page, block, markdown(said))
        if picture:
            (given.root / "docs/images" / picture[0]).write_text(picture[1](figures), "utf-8")
    return 0


def write(page: Path, block: str, content: str) -> None:
    """Put the figures in their block of the page.

    Raises:
        ProvisioningFailed: it has no such block.
    """
    begin, end = f"<!-- begin {block} -->\n", f"<!-- end {block} -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ProvisioningFailed(f"{page} has no block {block}")
    page.write_text(f"{before}{begin}{content}\n{end}{after}", "utf-8")
