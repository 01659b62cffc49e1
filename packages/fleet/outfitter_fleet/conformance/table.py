"""The tables of docs/reference/conformance.md, from docs/reference/conformance.json."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from outfitter_fleet.conformance.runs import SERVERS
from outfitter_fleet.tables.blocks import table

_NAMES: Final = {"outfitter": "Outfitter", "ministack": "MiniStack", "moto": "moto"}
_DOORS: Final = {"iot": "`iot`", "data": "`iot-jobs-data` over HTTPS", "mqtt": "MQTT"}
_BEHAVIOUR: Final = re.compile(r"test_(?P<id>j\d\d)_(?P<words>\w+)")
NOTHING: Final = "\N{EN DASH}"
_KINDS: Final = ("in", "out", "error", "code", "topic")


def blocks(results: Path) -> dict[str, str]:
    """By block name: what was compared, the subtle behaviours, every cell of every operation."""
    record = json.loads(results.read_text("utf-8"))
    tests: dict[str, Any] = record["tests"]
    return {
        "summary": _summary(record["versions"], tests),
        "behaviours": _behaviours(tests),
        "cells": _cells(tests),
    }


def mark(outcomes: Iterable[str]) -> str:
    """What several outcomes are together: one failure is a failure, nothing found out is nothing said."""
    found = set(outcomes) - {"absent"}
    if not found:
        return NOTHING
    return "✓" if found == {"passed"} else "✗"


def failing(tests: Mapping[str, Any], server: str) -> set[str]:
    """The functions of which some test fails against a server."""
    return {function(name) for name, test in tests.items() if test["outcomes"][server] == "failed"}


def function(name: str) -> str:
    """The test function of a test."""
    return name.partition("::")[2].partition("[")[0]


def _marks(tests: Iterable[Mapping[str, Any]]) -> list[str]:
    told = list(tests)
    return [mark(test["outcomes"][server] for test in told) for server in SERVERS]


def _summary(versions: Mapping[str, str], tests: Mapping[str, Any]) -> str:
    rows = []
    for server in SERVERS:
        outcomes = [test["outcomes"][server] for test in tests.values()]
        cells = [_marks(group)[SERVERS.index(server)] for group in _by_cell(tests).values()]
        counted = [
            str(number)
            for number in (
                outcomes.count("passed"),
                outcomes.count("failed"),
                outcomes.count("absent"),
                cells.count("✓"),
                len(cells),
            )
        ]
        rows.append([_NAMES[server], versions[server], *counted[:3], f"{counted[3]} of {counted[4]}"])
    return table(["", "version", "tests ✓", "✗", NOTHING, "cells ✓"], rows)


def _behaviours(tests: Mapping[str, Any]) -> str:
    groups: dict[str, list[Any]] = {}
    for name, test in tests.items():
        if _BEHAVIOUR.fullmatch(function(name)):
            groups.setdefault(name.partition("[")[0], []).append(test)
    rows = []
    for name, group in sorted(groups.items(), key=lambda item: function(item[0])):
        match = _BEHAVIOUR.fullmatch(function(name))
        assert match is not None
        words = match["words"].replace("_", " ")
        rows.append([match["id"].upper(), words, *_marks(group), f"`{name.partition('::')[0]}`"])
    return table(["", "behaviour", *_NAMES.values(), "test"], rows)


def _by_cell(tests: Mapping[str, Any]) -> dict[tuple[str, str], list[Any]]:
    cells: dict[tuple[str, str], list[Any]] = {}
    for name, test in tests.items():
        for operation, shown in test["cells"].items():
            for cell in dict.fromkeys(shown):
                cells.setdefault((operation, cell), []).append({**test, "function": function(name)})
    return cells


def _cells(tests: Mapping[str, Any]) -> str:
    cells = _by_cell(tests)
    operations = sorted({operation for operation, _ in cells}, key=_door_first)
    sections = []
    for operation in operations:
        door, _, name = operation.partition(" ")
        own = sorted((cell for each, cell in cells if each == operation), key=_kind_first)
        rows = [
            [
                f"{cell.partition(' ')[0]} `{cell.partition(' ')[2]}`",
                *_marks(cells[operation, cell]),
                ", ".join(
                    f"`{each}`" for each in dict.fromkeys(t["function"] for t in cells[operation, cell])
                ),
            ]
            for cell in own
        ]
        heading = f"### {name}, {_DOORS[door]}"
        sections.append(f"{heading}\n\n{table(['cell', *_NAMES.values(), 'shown by'], rows)}")
    return "\n\n".join(sections)


def _door_first(operation: str) -> tuple[int, str]:
    door, _, name = operation.partition(" ")
    return list(_DOORS).index(door), name


def _kind_first(cell: str) -> tuple[int, str]:
    kind, _, name = cell.partition(" ")
    return _KINDS.index(kind), name
