"""What MQTT 3.1.1 and 5 demand, each with the tests that show it or the reason why not.

The data is in ``mqtt_311.txt`` and ``mqtt_5.txt`` beside this module, a statement a line: its identifier, what it says in
our words, and last the names of tests (``[case]`` after a name is one of its parameters), a reason, or both:

- ``client``: it binds clients; ``qos2`` and ``auth``: it binds who speaks QoS 2 or enhanced authentication,
- ``aws: why`` where the server does as AWS does, ``never: why`` where the case does not arise.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outfitter_fleet.tables.blocks import table

_ROOT: Final = Path(__file__).resolve().parents[4]
_DATA: Final = {"mqtt-311": "mqtt_311.txt", "mqtt-5": "mqtt_5.txt"}
_NAME: Final = re.compile(r"(test_\w+)(?:\[([^\]]+)\])?")
_REASON: Final = re.compile(r"\b(client|qos2|auth|aws: .*|never: .*)$")
_REASONS: Final = {
    "client": "binds clients",
    "qos2": "QoS 2 is refused, as on AWS: `test_qos_2_is_refused`",
    "auth": "enhanced authentication is refused, as on AWS: `test_enhanced_authentication_is_refused`",
}
_HEADINGS: Final = (
    "",
    "statements",
    "shown by tests",
    "of these, AWS departs in part",
    "AWS departs",
    "bind clients only",
    "QoS 2, enhanced authentication",
    "do not arise",
)
# How many numbered statements each section has (appendix B of both specifications). Where the first number is not 1, it
# is told.
SECTIONS: Final[Mapping[str, Mapping[str, int | tuple[int, int]]]] = {
    "mqtt-311": {
        "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1, "3.2.2": 6,
        "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1, "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2,
        "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.12.4": 1, "3.14.1": 1, "3.14.4": 3, "4.1.0": 2, "4.3.1": 1,
        "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2,
        "6.0.0": 4, "7.0.0": 2, "7.1.1": 1, "7.1.2": 1,
    },
    "mqtt-5": {
        "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": (2, 6), "2.2.2": 1, "3.1.0": 2, "3.1.2": 30,
        "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22, "3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3,
        "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3, "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2,
        "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1, "3.14.1": 1,
        "3.14.2": 4, "3.14.4": 3, "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 5,
        "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4, "4.8.2": 6,
        "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """One statement: ``tests`` as pairs of name and case ("" for all), ``reason`` "" where nothing is held back."""

    identifier: str
    words: str
    tests: tuple[tuple[str, str], ...]
    reason: str

    @property
    def section(self) -> str:
        """The part of the specification that it stands in."""
        return self.identifier.rpartition("-")[0]


def identifiers(specification: str) -> list[str]:
    """Every numbered statement, in its order."""
    found = []
    for section, count in SECTIONS[specification].items():
        first, last = count if isinstance(count, tuple) else (1, count)
        found += [f"{section}-{number}" for number in range(first, last + 1)]
    return found


def statements(specification: str) -> list[Must]:
    """The lines of the data.

    Raises:
        ValueError: a line has not its three parts.
    """
    text = (Path(__file__).parent / _DATA[specification]).read_text("utf-8")
    return [_statement(line) for line in text.splitlines()]


def _statement(line: str) -> Must:
    identifier, words, shown = line.split(" | ")
    reason = _REASON.search(shown)
    names = shown[: reason.start()] if reason else shown
    return Must(
        identifier=identifier,
        words=words,
        tests=tuple((found[1], found[2] or "") for found in _NAME.finditer(names)),
        reason=reason[1] if reason else "",
    )


def homes() -> dict[str, list[Path]]:
    """Where each test is, by its name."""
    found: dict[str, list[Path]] = {}
    for path in sorted((_ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append(path)
    return found


def blocks() -> dict[str, str]:
    """The tables of ``mqtt-conformance.md``, and the counts above them."""
    files = homes()
    made = {"summary": table(_HEADINGS, [_summary(name) for name in _DATA])}
    for name in _DATA:
        rows = [[must.identifier, must.words, _shown(must, files)] for must in statements(name)]
        made[name] = table(["", "what is demanded", "shown by, or why not"], rows)
    return made


def _summary(specification: str) -> list[str]:
    every = statements(specification)
    tested = [must for must in every if must.tests]
    rest = [must.reason for must in every if not must.tests]
    counts = [
        len(every),
        len(tested),
        sum(must.reason.startswith("aws") for must in tested),
        sum(reason.startswith("aws") for reason in rest),
        rest.count("client"),
        rest.count("qos2") + rest.count("auth"),
        sum(reason.startswith("never") for reason in rest),
    ]
    return [{"mqtt-311": "MQTT 3.1.1", "mqtt-5": "MQTT 5"}[specification], *map(str, counts)]


def _shown(must: Must, files: Mapping[str, list[Path]]) -> str:
    return "; ".join([*_links(must.tests, files), *_why(must.reason, files)])


def _links(tests: tuple[tuple[str, str], ...], files: Mapping[str, list[Path]]) -> Iterator[str]:
    for name, case in tests:
        path = files[name][0].relative_to(_ROOT).as_posix()
        yield f"[`{name.removeprefix('test_')}`](../../{path})" + (f" ({case})" if case else "")


def _why(reason: str, files: Mapping[str, list[Path]]) -> Iterator[str]:
    kind, _, why = reason.partition(": ")
    if kind in _REASONS:
        yield _REASONS[kind].replace("`test_", "`")
    elif why:
        linked = _NAME.sub(lambda found: next(_links(((found[1], ""),), files)), why)
        yield ("AWS departs: " if kind == "aws" else "") + linked
