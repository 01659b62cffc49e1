"""Patterns with ``*`` and ``?``, and templates of them with variables; matching takes no more than length times length.

Regular expressions are not used: they are slow to compile for each connection, and many stars can make them explode.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Stands for one arbitrary character inside a run; NUL occurs in no ARN, topic or name.
_ANY: Final = "\0"
_TOKEN: Final = re.compile(r"\$\{([^}]*)\}|\*+|\?|[^*?$]+|\$")


@dataclass(frozen=True, slots=True)
class Glob:
    """Runs of characters with any characters between one and the next; a single run matches only itself."""

    runs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Glob":
        """A pattern without variables."""
        return cls(tuple(text.replace("?", _ANY).split("*")))

    def matches(self, text: str) -> bool:
        """Whether the whole text fits."""
        runs = self.runs
        if len(runs) == 1:
            return len(text) == len(runs[0]) and _fits(runs[0], text, 0)
        first, last = runs[0], runs[-1]
        start, end = len(first), len(text) - len(last)
        if start > end or not _fits(first, text, 0) or not _fits(last, text, end):
            return False
        # The earliest place for each run leaves the most room for those after it.
        for run in runs[1:-1]:
            at = _find(run, text, start, end)
            if at < 0:
                return False
            start = at + len(run)
        return True


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern that may hold variables: a Glob, or pieces of text and variables to make one of."""

    glob: Glob | None
    pieces: tuple[tuple[bool, str], ...] = ()  # (is a variable, its name or pattern text)

    @classmethod
    def literal(cls, text: str) -> "Template":
        """A pattern that matches this text and no other."""
        return cls(Glob((text,)))

    @classmethod
    def parse(cls, text: str, *, with_variables: bool) -> "Template":
        """Read a pattern; with variables, ``${name}`` is one and ``${*}``, ``${?}``, ``${$}`` are plain characters.

        Raises:
            ValueError: a NUL character, or an empty variable.
        """
        if _ANY in text:
            raise ValueError("NUL is not allowed")
        if not with_variables:
            return cls(Glob.parse(text))
        pieces: list[tuple[bool, str]] = []
        for token in _TOKEN.finditer(text):
            name = token.group(1)
            if name is None:
                pieces.append((False, token.group()))
            elif not name:
                raise ValueError("a variable needs a name")
            else:
                pieces.append((True, name))
        if any(is_variable and name not in ("*", "?", "$") for is_variable, name in pieces):
            return cls(None, tuple(pieces))
        return cls(_join(pieces, {}))

    def variables(self) -> list[str]:
        """The names of its variables."""
        return [name for is_variable, name in self.pieces if is_variable and name not in ("*", "?", "$")]

    def bind(self, variables: Mapping[str, str]) -> Glob | None:
        """The pattern with the variables filled in; None when one is not there."""
        return self.glob or _join(self.pieces, variables)


def _join(
    pieces: "tuple[tuple[bool, str], ...] | list[tuple[bool, str]]", variables: Mapping[str, str]
) -> Glob | None:
    runs = [""]
    for is_variable, text in pieces:
        if is_variable:
            value = text if text in ("*", "?", "$") else variables.get(text)
            if value is None or _ANY in value:
                return None
            runs[-1] += value
            continue
        head, *rest = text.replace("?", _ANY).split("*")
        runs[-1] += head
        runs += rest
    return Glob(tuple(runs))


def _fits(run: str, text: str, at: int) -> bool:
    if _ANY not in run:
        return text.startswith(run, at)
    return all(wanted in (_ANY, text[at + index]) for index, wanted in enumerate(run))


def _find(run: str, text: str, start: int, end: int) -> int:
    if _ANY not in run:
        return text.find(run, start, end)
    return next((at for at in range(start, end - len(run) + 1) if _fits(run, text, at)), -1)
