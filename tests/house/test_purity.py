"""Rules get the time, chance and ids as arguments: the same input gives the same output, in a test, in a simulation.

The import walls (.importlinter) refuse the modules; this refuses the calls that a permitted module still offers.
"""

import ast

import pytest

PURE_ROOMS = (
    "packages/contract/outfitter_contract/",
    "packages/agent/outfitter_agent/plans/",
    "packages/updates/outfitter_updates/operations/",
    "packages/updates/outfitter_updates/catalogue/",
    *(
        f"packages/server/outfitter_server/{room}/"
        for room in ("jobs", "things", "access", "objects", "rules", "mqtt", "base")
    ),
)
WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
UNCERTAIN = WALL_CLOCK | {
    "time.monotonic", "time.perf_counter", "os.urandom", "os.getenv", "uuid4", "uuid1", "print", "input", "open", "eval", "exec",
}  # fmt: skip
UNCERTAIN_MODULES = {"random", "secrets", "uuid", "os.environ"}


# Modules of the server that read the clock themselves: why.
CLOCKS_ALLOWED = {
    "packages/server/outfitter_server/blobs/files.py": "ages of files, by the clock that stamps files",
}


def dotted(node: ast.expr) -> str:
    """``datetime.datetime.now`` for that expression, "" for what is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def calls(module) -> list[tuple[int, str]]:
    """The line and the name of each call by a plain name."""
    found = [(node.lineno, dotted(node.func)) for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    return [(line, name) for line, name in found if name]


def matches(name: str, refused: set[str]) -> bool:
    """Whether the last two words (or the last, for a bare call) are refused."""
    words = name.split(".")
    return ".".join(words[-2:]) in refused or (len(words) == 1 and name in refused)


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_call_nothing_uncertain(tree, room):
    offences = [
        f"{module.name}:{line} {name}"
        for module in tree.sources()
        if module.name.startswith(room)
        for line, name in calls(module)
        if matches(name, UNCERTAIN) or name.split(".")[0] in UNCERTAIN_MODULES
    ]
    assert not offences, f"hand these in as arguments: {offences}"


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_never_wait(tree, room):
    waits = [
        f"{module.name}:{node.lineno}"
        for module in tree.sources()
        if module.name.startswith(room)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not waits, f"a rule decides, its caller waits: {waits}"


def test_only_main_reads_the_clock_of_the_server(tree):
    readers = {
        module.name: f"line {line}: {name}"
        for module in tree.sources()
        if module.name.startswith("packages/server/") and "/outfitter_server/main/" not in module.name
        for line, name in calls(module)
        if matches(name, WALL_CLOCK)
    }
    unexplained = {name: what for name, what in readers.items() if name not in CLOCKS_ALLOWED}
    assert not unexplained, f"take the clock that main hands in: {unexplained}"
    assert set(CLOCKS_ALLOWED) <= set(readers), "an exemption is needed no more"


def test_only_programs_print(tree):
    printers = [
        f"{module.name}:{line}"
        for module in tree.sources()
        if not module.name.startswith("packages/fleet/")
        and "/main/" not in module.name
        and "/cli/" not in module.name
        for line, name in calls(module)
        if name == "print"
    ]
    assert not printers, f"log it, or return it: {printers}"
