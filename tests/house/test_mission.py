"""The table of the mission is complete, and what it names is there."""

import ast
import re

import pytest

SECTION = re.compile(r"^## (?P<number>\d)\. ", re.MULTILINE)
ROW = re.compile(r"^\| (?P<number>\d\.\d) \|(?P<cells>.*)\|$", re.MULTILINE)
TEST = re.compile(r"`(?P<path>tests/[a-z0-9_/]+\.py)::(?P<name>test_[a-z0-9_]+)`")
ROWS = {1: 5, 2: 4, 3: 4, 4: 7, 5: 8, 6: 4, 7: 2}
SHOWN_BY = 2


@pytest.fixture(scope="module")
def text(tree):
    return (tree.root / "docs" / "reference" / "mission.md").read_text("utf-8")


@pytest.fixture(scope="module")
def defined(tree):
    """Every test there is, as path::name."""
    return {
        f"{module.name}::{node.name}"
        for module in tree.tests()
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_no_row_is_missing(text):
    expected = [f"{section}.{row + 1}" for section, rows in ROWS.items() for row in range(rows)]
    assert [match["number"] for match in ROW.finditer(text)] == expected
    assert [int(match["number"]) for match in SECTION.finditer(text)] == list(ROWS)


def test_every_row_is_shown_by_a_test(text):
    unshown = [
        match["number"]
        for match in ROW.finditer(text)
        if not TEST.search(match["cells"].split(" | ")[SHOWN_BY])
    ]
    assert not unshown


def test_every_test_that_is_named_is_there(text, defined):
    named = {f"{match['path']}::{match['name']}" for match in TEST.finditer(text)}
    assert not named - defined


def test_every_test_of_the_mission_is_in_the_table(text, defined):
    ours = {name for name in defined if name.startswith("tests/mission/")}
    named = {f"{match['path']}::{match['name']}" for match in TEST.finditer(text)}
    assert not ours - named
