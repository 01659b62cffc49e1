"""Generated blocks in documents written by people.

<!-- begin transitions -->
(whatever is here is written anew)
<!-- end transitions -->
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

_BLOCK: Final = re.compile(r"<!-- begin (?P<name>[\w-]+) -->\n.*?<!-- end (?P=name) -->", re.DOTALL)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def code(words: Sequence[str]) -> str:
    """The words as code, separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def filled(document: str, blocks: Mapping[str, str]) -> str:
    """The document with each block's content written anew.

    Raises:
        KeyError: the document has a block that nobody makes, or lacks one.
    """
    found = [match["name"] for match in _BLOCK.finditer(document)]
    if sorted(found) != sorted(blocks):
        raise KeyError(f"the document has the blocks {found}, made are {list(blocks)}")
    return _BLOCK.sub(
        lambda match: (
            f"<!-- begin {match['name']} -->\n{blocks[match['name']]}\n<!-- end {match['name']} -->"
        ),
        document,
    )
