"""Named statements and numbered migrations, read from the ``.sql`` files beside this module.

In ``queries/*.sql`` a line ``-- name: thing_by_name`` begins a statement; further comment lines say why it is as it is.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Final

_HERE: Final = files("outfitter_server.stores.sqlite")
_NAME: Final = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load_statements() -> dict[str, str]:
    """Every named statement of every file; a name that occurs twice is a mistake in the tree."""
    statements: dict[str, str] = {}
    for file in sorted(_HERE.joinpath("queries").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        parts = _NAME.split(file.read_text("utf-8"))
        for name, sql in zip(parts[1::2], parts[2::2], strict=True):
            if name in statements:
                raise ValueError(f"statement {name} in {file.name} is named twice")
            statements[name] = sql.strip().rstrip(";")
    return statements


@cache
def load_migrations() -> list[str]:
    """The migrations in order; their files are called NNNN_what.sql, from 0001 without a gap."""
    found = sorted(
        (entry for entry in _HERE.joinpath("migrations").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    for number, entry in enumerate(found, start=1):
        if not entry.name.startswith(f"{number:04d}_"):
            raise ValueError(f"migration {entry.name} should be number {number:04d}")
    return [entry.read_text("utf-8") for entry in found]
