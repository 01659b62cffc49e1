"""The schema that all migrations together make, as SQL in the order of names."""

import sqlite3

from outfitter_server.stores.sqlite.store import migrate

_HEAD = "-- The schema after all migrations. Written by `make schema`; a test refuses it when it is stale.\n"


def dump() -> str:
    """Every table, index and trigger."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        rows = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, type = 'index', name"
        ).fetchall()
    finally:
        connection.close()
    return _HEAD + "".join(f"\n{sql};\n" for (sql,) in rows)
