r"""The regular expressions of AWS's models, which are Java's, as Python's.

Python's ``re`` lacks the property classes. Java's POSIX names (``\p{Upper}``, ``\p{Graph}``…) mean ASCII; the letters of
Unicode categories mean all of Unicode. Unassigned code points are not counted to ``\p{C}``, so that characters newer than
this Python's Unicode tables pass.
"""

import re
import sys
import unicodedata
from functools import cache
from typing import Final

_ASCII_CLASSES: Final = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7F",
    "Alpha": "A-Za-z",
    "Digit": "0-9",
    "Alnum": "A-Za-z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1F\x7F",
    "XDigit": "0-9A-Fa-f",
    "Space": r" \t\n\x0B\f\r",
}
_PROPERTY = re.compile(r"\\([pP])\{(\w+)\}")


@cache
def compile_pattern(java: str) -> re.Pattern[str]:
    """The pattern for use with ``fullmatch``, as AWS matches the whole value."""
    pieces: list[str] = []
    end = 0
    for match in _PROPERTY.finditer(java):
        pieces.append(java[end : match.start()])
        end = match.end()
        content = _ASCII_CLASSES.get(match[2]) or _category(match[2])
        inside = _inside_class(java, match.start())
        if match[1] == "P":
            if inside:
                raise ValueError(f"a negated property inside a class is not supported: {java}")
            pieces.append(f"[^{content}]")
        else:
            pieces.append(content if inside else f"[{content}]")
    pieces.append(java[end:])
    return re.compile("".join(pieces), re.ASCII)


def _inside_class(pattern: str, at: int) -> bool:
    inside, index = False, 0
    while index < at:
        if pattern[index] == "\\":
            index += 1
        elif pattern[index] == "[":
            inside = True
        elif pattern[index] == "]":
            inside = False
        index += 1
    return inside


def _category(name: str) -> str:
    ranges = _categories().get(name)
    if ranges is None:
        raise ValueError(f"no such Unicode category: {name}")
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    """Ranges by major category (``L``, ``N``, …); one pass over Unicode, a tenth of a second, at the first need."""
    found: dict[str, list[tuple[int, int]]] = {}
    previous, start = "", 0
    for code in range(sys.maxunicode + 2):
        category = unicodedata.category(chr(code)) if code <= sys.maxunicode else "end"
        major = "" if category == "Cn" else category[0]
        if major != previous:
            if previous:
                found.setdefault(previous, []).append((start, code - 1))
            previous, start = major, code
    return found
