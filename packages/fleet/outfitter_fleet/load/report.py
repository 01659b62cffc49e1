"""Figures as a person reads them: sentences and tables, on a terminal or as Markdown."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from outfitter_fleet.tables.blocks import table


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the first column is text, the others are figures."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


Part = str | Grid


def show(parts: Sequence[Part], console: Console) -> None:
    """Print them."""
    for part in parts:
        if isinstance(part, str):
            console.print(part)
            continue
        shown = Table(title=part.title, title_justify="left")
        for number, heading in enumerate(part.headings):
            shown.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in part.rows:
            shown.add_row(*row)
        console.print(shown)


def markdown(parts: Sequence[Part]) -> str:
    """The same for a document."""
    return "\n\n".join(
        part if isinstance(part, str) else f"{part.title}\n\n{table(part.headings, part.rows)}"
        for part in parts
    )


def machine() -> str:
    """On what this was measured."""
    load = os.getloadavg()[0]
    return (
        f"Measured on {os.cpu_count()} cores of {_processor()}, Python {platform.python_version()} ({_build()}), "
        f"SQLite {sqlite3.sqlite_version}, load {load:.1f} at the end."
    )


def _build() -> str:
    # It makes a fifth of the difference: Debian's interpreter is one piece, others call themselves through a library.
    maps = Path("/proc/self/maps")
    shared = maps.exists() and "/libpython" in maps.read_text("utf-8")
    return "a shared library" if shared else "one piece"


def verdict(reached: bool) -> str:
    """Beside a mark."""
    return "reached" if reached else "missed"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a device, not a path of ours
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
