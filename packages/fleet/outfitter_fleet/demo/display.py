"""What a person sees: a live table on a terminal, plain lines anywhere else, and the verdict at the end."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the verdict."""

    scenario: str
    device: str
    expected: str
    seen: str
    good: bool


class Display:
    """Progress, as it goes."""

    def __init__(self, console: Console, devices: Sequence[str]) -> None:
        """Use it as a context."""
        self._console = console
        self._began = time.perf_counter()
        self._states = dict.fromkeys(devices, "")
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        """Begin to draw, on a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop drawing."""
        if self._console.is_terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        """A step of the whole."""
        self._console.print(
            f"{time.perf_counter() - self._began:5.1f} s  {text}", highlight=False, markup=False
        )

    def show(self, device: str, state: str) -> None:
        """What a device does now."""
        if self._states.get(device) == state:
            return
        self._states[device] = state
        if not self._console.is_terminal:
            self.say(f"    {device}: {state}")

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2))
        for device, state in self._states.items():
            table.add_row(f"{time.perf_counter() - self._began:5.1f} s", device, state)
        return table


def print_verdict(console: Console, rows: Sequence[Row]) -> None:
    """The table: scenario, device, expected, seen."""
    table = Table()
    for heading in ("scenario", "device", "expected", "seen", ""):
        table.add_column(heading, overflow="fold")
    last = ""
    for row in rows:
        if last and row.scenario != last:
            table.add_section()
        style = None if row.good else "red"
        name = row.scenario if row.scenario != last else ""
        table.add_row(name, row.device, row.expected, row.seen, "ok" if row.good else "WRONG", style=style)
        last = row.scenario
    console.print(table)
