"""Every question is answered by an index: the plan of each named statement, on the schema that the migrations make.

Sizes are targets (ARCHITECTURE.md): a statement that walks a table which grows with the fleet works in every test and
fails in production. So a full scan is refused here, whatever the size of the table today.
"""

import re
import sqlite3

import pytest
from outfitter_server.stores.sqlite.statements import load_statements
from outfitter_server.stores.sqlite.store import migrate

# Statement: why it may walk a whole table.
SCANS_ALLOWED: dict[str, str] = {
    "backup_blobs": "a backup or a restore reads every row of a copy of its own, in a process of its own",
}

# Statement: what bounds the rows that it sorts.
SORTS_ALLOWED: dict[str, str] = {
    "group_ancestors": "one row a level, and there are at most seven levels",
    "job_targets_named": "the jobs that target one group; only the continuous ones in progress come through",
}

CTE = re.compile(
    r"(?:\bWITH\s+(?:RECURSIVE\s+)?|,\s*)(\w+)\s*(?:\([^)]*\))?\s+AS\s*(?:NOT\s+MATERIALIZED|MATERIALIZED)?\s*\(",
    re.IGNORECASE,
)
MADE = re.compile(r"^(?:CO-ROUTINE|MATERIALIZE) (?P<what>\S+)$")
SCAN = re.compile(r"^SCAN (?P<what>\S+)(?P<how>.*)$")


class AnyBinding(dict):
    """A value for every placeholder."""

    def __missing__(self, key):
        return None


@pytest.fixture(scope="module")
def database():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def plan(database, sql):
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", AnyBinding())]


def walks(steps, sql):
    """The steps that visit every row of a table, or build an index over it for one use."""
    made = (match["what"] for step in steps if (match := MADE.match(step)))
    derived = {name.lower() for name in (*CTE.findall(sql), *made)}
    return [step for step in steps if "AUTOMATIC" in step or _walks_all(SCAN.match(step), derived)]


def _walks_all(match, derived):
    """json_each and constants are as long as the request; a subquery's own steps are judged by themselves."""
    if match is None:
        return False
    what = match["what"].lower()
    return not (
        "VIRTUAL TABLE" in match["how"]
        or "CONSTANT ROW" in match.group()
        or what.startswith("(")
        or what in derived
        or (what.isdigit() and "CONSTANT ROWS" in match["how"])
    )


def sorts(steps):
    return [step for step in steps if "TEMP B-TREE" in step and "ORDER BY" in step]


@pytest.mark.parametrize("name", sorted(load_statements()))
def test_the_plan_walks_no_table(database, name):
    sql = load_statements()[name]
    found = walks(plan(database, sql), sql)
    assert bool(found) == (name in SCANS_ALLOWED), (
        found or "needs no exemption any more: take it out of SCANS_ALLOWED"
    )


@pytest.mark.parametrize("name", sorted(load_statements()))
def test_the_plan_sorts_nothing_unbounded(database, name):
    found = sorts(plan(database, load_statements()[name]))
    assert bool(found) == (name in SORTS_ALLOWED), (
        found or "needs no exemption any more: take it out of SORTS_ALLOWED"
    )


def test_exemptions_name_statements():
    assert set(SCANS_ALLOWED) | set(SORTS_ALLOWED) <= set(load_statements())


@pytest.mark.parametrize(
    ("sql", "walking", "sorting"),
    [
        ("SELECT * FROM t WHERE a = :a", False, False),
        ("SELECT * FROM t", True, False),
        ("SELECT * FROM t WHERE b = :b", True, False),
        ("SELECT t.* FROM json_each(:keys) AS k CROSS JOIN t ON t.a = k.value", False, False),
        ("SELECT * FROM t WHERE (a, b) IN (VALUES (1, 2), (3, 4))", True, False),
        ("SELECT * FROM t WHERE a > :a ORDER BY b", False, True),
        ("WITH few AS MATERIALIZED (SELECT a FROM t WHERE a = :a) SELECT * FROM few", False, False),
        ("WITH all_of AS MATERIALIZED (SELECT a FROM t) SELECT * FROM all_of", True, False),
        (
            "SELECT * FROM (SELECT :a AS a UNION SELECT b FROM t WHERE a = :b) AS k CROSS JOIN t ON t.a = k.a",
            False,
            False,
        ),
        ("SELECT x.a FROM t AS x JOIN u ON u.c = x.b WHERE x.a = :a", True, False),
        ("DELETE FROM t WHERE b = :b", True, False),
        ("SELECT count(*) FROM t", True, False),
    ],
)
def test_the_law_itself(sql, walking, sorting):
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE t (a PRIMARY KEY, b) WITHOUT ROWID; CREATE TABLE u (c, d);")
    steps = plan(connection, sql)
    connection.close()
    assert (bool(walks(steps, sql)), bool(sorts(steps))) == (walking, sorting), steps


def test_migrating_twice_changes_nothing(database):
    before = database.execute("SELECT sql FROM sqlite_schema").fetchall()
    migrate(database)
    assert database.execute("SELECT sql FROM sqlite_schema").fetchall() == before
