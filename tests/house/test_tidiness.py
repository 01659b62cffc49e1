"""Nothing half-done, nothing unexplained, nothing of the machine that it was written on."""

import ast
import re

import pytest

MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
PRIVATE_PATH = re.compile(r"(?<![\w.:*-])/(" + "home|Users|root|work|workspace|mnt" + r")/\w")
NOQA = re.compile(r"#\s*noqa\b(?P<rest>.*)")
NOQA_WITH_REASON = re.compile(r":\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*\s+-\s+\w+")
CODE_LINE = re.compile(r'^\s*"(?P<code>[A-Z]+[0-9]*)",(?P<rest>.*)$')


def lines(path):
    return enumerate(path.read_text("utf-8").splitlines(), start=1)


def test_nothing_is_left_for_later(tree):
    marks = [
        f"{path}:{number}" for path in tree.texts() for number, line in lines(path) if MARKS.search(line)
    ]
    assert not marks, f"do it or drop it: {marks}"


def test_no_path_of_somebodys_machine(tree):
    here = str(tree.root)
    found = [
        f"{path}:{number}"
        for path in tree.texts()
        for number, line in lines(path)
        if PRIVATE_PATH.search(line) or (len(here) > 1 and here in line)
    ]
    assert not found, f"these paths exist on one machine only: {found}"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("see /ho" + "me/ann/notes", True),
        ('"/wo' + 'rk/main"', True),
        ("https://host/ho" + "me/page", False),
        ("GET /things/a/jobs", False),
        ("/var/lib/outfitter", False),
    ],
)
def test_the_path_pattern_itself(text, refused):
    assert bool(PRIVATE_PATH.search(text)) is refused


def test_each_silenced_rule_has_its_reason(tree):
    bare = [
        f"pyproject.toml:{number}"
        for number, line in lines(tree.root / "pyproject.toml")
        if (match := CODE_LINE.match(line)) and not re.search(r"#\s*\w+", match["rest"])
    ]
    assert not bare, f"say why beside each: {bare}"


def test_each_silenced_line_has_its_reason(tree):
    bare = [
        f"{module.name}:{number}"
        for module in [*tree.sources(), *tree.tests()]
        for number, line in lines(module.path)
        if (match := NOQA.search(line))
        and "NOQA = " not in line
        and not NOQA_WITH_REASON.match(match["rest"])
    ]
    assert not bare, "write '# no" + f"qa: CODE - reason': {bare}"


def test_tests_wait_for_events_and_never_sleep(tree):
    sleeps = [
        f"{module.name}:{node.lineno}"
        for module in tree.tests()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
    ]
    assert not sleeps, f"wait for what must happen, with a time limit: {sleeps}"


def test_tests_are_neither_skipped_nor_excused(tree):
    excuses = [
        f"{module.name}:{node.lineno}"
        for module in tree.tests()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "xfail", "importorskip"}
    ]
    assert not excuses, f"a test runs and passes, or goes: {excuses}"


def test_names_of_test_files_are_unique(tree):
    names = [module.path.name for module in tree.tests() if module.path.name.startswith("test_")]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
