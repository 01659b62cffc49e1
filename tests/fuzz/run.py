"""Runs targets under atheris, each in a process of its own; ``make fuzz`` is this for all of them.

What is found lies in ``.fuzz/TARGET/found``: mend what it breaks, and keep the bytes in ``corpus/TARGET`` under a name that
says what they did. What reached new code stays in ``.fuzz/TARGET/corpus`` for the next run; ``--keep`` puts the smallest
inputs that reach as much into ``corpus``.
"""

import argparse
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
WORK = HERE.parents[1] / ".fuzz"
CORPUS = HERE / "corpus"
KEPT_BYTES = 400  # of one input that is kept: the corpus is there to be replayed quickly
KEPT_TOTAL_BYTES = 12_000  # of one target
MADE = re.compile("[0-9a-f]{40}")  # the names that libFuzzer gives
CHILD = "--one"  # said to the processes that fuzz; what follows are libFuzzer's own arguments
OPTIONS = ("-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1")

sys.path.insert(0, str(HERE))
from fuzzing import TARGETS, target  # noqa: E402 - it lies beside this program, not among the packages


def main() -> int:
    """0 unless a target broke a promise."""
    if sys.argv[1:2] == [CHILD]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all unless given"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time")
    parser.add_argument("--bytes", type=int, default=2_048, help="the longest input")
    parser.add_argument("--keep", action="store_true", help="renew the corpus of the repository")
    given = parser.parse_args()
    with ThreadPoolExecutor(given.jobs) as pool:
        runs = pool.map(lambda name: run(name, given), given.targets or TARGETS)
        failed = [report(*each) for each in runs]
    return int(any(failed))


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz in this process until libFuzzer's options say that it is enough."""
    import atheris

    logging.getLogger("outfitter_server").setLevel(logging.ERROR)
    with atheris.instrument_imports(include=["outfitter_server", "outfitter_contract", "outfitter_agent"]):
        function = target(name)
    atheris.Setup([sys.argv[0], *options], function)
    atheris.Fuzz()


def run(name: str, given: argparse.Namespace) -> tuple[str, float, str, list[Path]]:
    """One target: its name, seconds, what it printed, and what it found."""
    own, found = WORK / name / "corpus", WORK / name / "found"
    for folder in (own, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    begun = time.monotonic()
    options = [*OPTIONS, f"-max_len={given.bytes}", f"-max_total_time={round(given.minutes * 60)}"]
    printed = child(name, [*options, f"-artifact_prefix={found}/", str(own), str(CORPUS / name)])
    seconds = time.monotonic() - begun
    if given.keep:
        keep(name, own)
    return name, seconds, printed, sorted(set(found.iterdir()) - before)


def child(name: str, options: list[str]) -> str:
    """What a process that fuzzes prints."""
    line = [sys.executable, __file__, CHILD, name, *options]
    return subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False).stdout  # fmt: skip


def keep(name: str, own: Path) -> None:
    """The smallest inputs that each reach a step from line to line of ours that none before them did."""
    folder = CORPUS / name
    for path in folder.iterdir():
        if MADE.fullmatch(path.name):
            path.rename(own / path.name)
    seen: set[object] = set()
    for path in folder.iterdir():
        seen |= steps(name, path.read_bytes())
    total = 0
    for path in sorted(own.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        size = path.stat().st_size
        if size > KEPT_BYTES or total + size > KEPT_TOTAL_BYTES:
            break
        reached = steps(name, content := path.read_bytes())
        if not reached <= seen:
            seen |= reached
            total += size
            (folder / path.name).write_bytes(content)


def steps(name: str, data: bytes) -> set[object]:
    """The steps from one line of our packages to another that a target takes with these bytes."""
    found: set[object] = set()
    last: list[int] = [0]

    def line(frame: FrameType, _event: str, _argument: object) -> Callable[..., object]:
        found.add((frame.f_code, last[0], frame.f_lineno))
        last[0] = frame.f_lineno
        return line

    def call(frame: FrameType, _event: str, _argument: object) -> Callable[..., object] | None:
        return line if "/outfitter_" in frame.f_code.co_filename else None

    sys.settrace(call)
    try:
        target(name)(data)
    finally:
        sys.settrace(None)
    return found


def report(name: str, seconds: float, printed: str, found: list[Path]) -> bool:
    """Print a line, and what went wrong; whether something did."""
    executions, peak = (
        re.search(rf"stat::{figure}: +(\d+)", printed)
        for figure in ("number_of_executed_units", "peak_rss_mb")
    )
    failed = bool(found) or executions is None
    print(
        f"{name:24}{executions[1] if executions else '-':>12} executions{seconds:8.0f} s"
        f"{peak[1] if peak else '-':>6} MB  {'FOUND ' + ', '.join(map(str, found)) if failed else 'nothing found'}",
        flush=True,
    )
    if failed:
        lines = printed.splitlines()
        print("\n".join([line for line in lines if not line.startswith(("INFO", "#"))][-60:]), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
