"""The documents lead somewhere and name what exists."""

import re

LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+\s+(?P<title>.+?)\s*$", re.MULTILINE)
TARGET = re.compile(r"^(?P<name>[a-z][a-z-]*):(?P<rest>.*)$", re.MULTILINE)
PHONY = re.compile(r"^\.PHONY:(?P<names>.*)$", re.MULTILINE)
WANTED = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/README.md",
    "docs/adr/0001-record-decisions.md",
)


def documents(tree):
    return [path for path in tree.texts() if path.suffix == ".md"]


def anchors(text):
    """The anchors that GitHub and others make of headings."""
    titles = (match["title"] for match in HEADING.finditer(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_documents_that_a_stranger_looks_for(tree):
    missing = [name for name in WANTED if not (tree.root / name).exists()]
    assert not missing


def test_links_resolve(tree):
    broken = []
    for document in documents(tree):
        for match in LINK.finditer(FENCE.sub("", document.read_text("utf-8"))):
            path, _, anchor = match["target"].partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            goal = (document.parent / path).resolve() if path else document
            if not goal.exists() or (anchor and anchor not in anchors(goal.read_text("utf-8"))):
                broken.append(f"{document.relative_to(tree.root)} -> {match['target']}")
    assert not broken


def test_every_document_is_reached_from_the_index(tree):
    docs = tree.root / "docs"
    index = (docs / "README.md").read_text("utf-8")
    names = [path.relative_to(docs).as_posix() for path in documents(tree) if docs in path.parents]
    lost = [
        name
        for name in names
        if name != "README.md" and not name.startswith("adr/") and f"({name})" not in index
    ]
    assert not lost, f"docs/README.md does not mention {lost}"


def test_decisions_have_the_number_of_their_file(tree):
    records = sorted((tree.root / "docs" / "adr").glob("*.md"))
    numbers = [path.name[:4] for path in records]
    assert len(set(numbers)) == len(numbers)
    wrong = [
        path.name for path in records if not path.read_text("utf-8").startswith(f"# {int(path.name[:4])}. ")
    ]
    assert not wrong


def test_every_target_of_the_makefile_says_what_it_does(tree):
    makefile = (tree.root / "Makefile").read_text("utf-8")
    targets = {match["name"]: match["rest"] for match in TARGET.finditer(makefile)}
    silent = [name for name, rest in targets.items() if "## " not in rest]
    assert not silent, f"add '## what it does' to {silent}"
    phony = PHONY.search(makefile)
    assert phony
    assert set(phony["names"].split()) == set(targets)


def test_the_makefile_targets_are_in_the_documents(tree):
    makefile = (tree.root / "Makefile").read_text("utf-8")
    contributing = (tree.root / "CONTRIBUTING.md").read_text("utf-8")
    unmentioned = [
        match["name"] for match in TARGET.finditer(makefile) if f"make {match['name']}" not in contributing
    ]
    assert not unmentioned, f"CONTRIBUTING.md does not mention {unmentioned}"
