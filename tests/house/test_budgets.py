"""A module is read in one sitting, a function on one screen."""

import ast

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Tables of data may be as long as their subject. Path: why it is a table.
TABLES: dict[str, str] = {}


def test_modules_stay_within_the_budget(tree):
    long = {
        module.name: lines
        for module in tree.sources()
        if (lines := len(module.text.splitlines())) > MODULE_LINES_MAX and module.name not in TABLES
    }
    assert not long, f"split these by concept, or list them in TABLES with a reason: {long}"


def test_functions_stay_within_the_budget(tree):
    long = {
        f"{module.name}:{node.lineno} {node.name}": lines
        for module in tree.sources()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert not long, f"take steps out of these and name them: {long}"


def test_listed_tables_exist_and_need_it(tree):
    sizes = {module.name: len(module.text.splitlines()) for module in tree.sources()}
    stale = [name for name in TABLES if sizes.get(name, 0) <= MODULE_LINES_MAX]
    assert not stale, f"these need no exemption any more: {stale}"


def test_no_room_for_what_has_no_name(tree):
    nameless = [
        module.name
        for module in tree.sources()
        if {"common", "utils", "util", "helpers", "misc"}
        & {part.removesuffix(".py") for part in module.name.split("/")}
    ]
    assert not nameless, f"name these after what they know: {nameless}"
