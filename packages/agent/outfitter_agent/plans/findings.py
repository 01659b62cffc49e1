"""What a look at a device finds: one value for each thing looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a thing is."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    level: Level
    text: str
    advice: str = ""
    """What to do; empty when there is nothing."""


def ok(name: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(name=name, level=Level.OK, text=text)


def skipped(name: str, text: str, advice: str = "") -> Finding:
    """It was not looked at; ``text`` says why."""
    return Finding(name=name, level=Level.SKIPPED, text=text, advice=advice)


def warning(name: str, text: str, advice: str) -> Finding:
    """It works, and soon may not."""
    return Finding(name=name, level=Level.WARNING, text=text, advice=advice)


def wrong(name: str, text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(name=name, level=Level.WRONG, text=text, advice=advice)


def listed(findings: list[Finding]) -> str:
    """A line each, for people, and one more with what to do."""
    width = max(len(each.name) for each in findings)
    lines = []
    for each in findings:
        lines.append(f"{each.level:8} {each.name:{width}}  {each.text}\n")
        if each.advice:
            lines.append(f"{'':8} {'':{width}}  -> {each.advice}\n")
    return "".join(lines)
