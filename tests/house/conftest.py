"""What the laws are checked against: the tree itself."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TEXT = {
    ".py",
    ".md",
    ".toml",
    ".sql",
    ".txt",
    ".sh",
    ".yml",
    ".yaml",
    ".ini",
    ".cfg",
    ".html",
    ".js",
    ".css",
    ".ts",
    ".mjs",
}
_PLAIN_NAMES = {"Makefile", "LICENSE", "run", ".importlinter", ".gitignore"}
# What tools bring or make: compiled modules, npm's packages, the built page.
_MADE = {"__pycache__", "node_modules", "static"}
_OURS = ("packages", "tests", "docs", ".ci")


@dataclass(frozen=True)
class Module:
    """One Python file of ours."""

    path: Path
    root: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(self.root).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)


class Tree:
    """The files of the repository, without what tools leave behind."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def texts(self) -> Iterator[Path]:
        """Every text file that a person wrote."""
        yield from (path for path in sorted(self.root.iterdir()) if path.is_file() and self._is_text(path))
        for folder in _OURS:
            for path in sorted((self.root / folder).rglob("*")):
                if (
                    path.is_file()
                    and not _MADE & set(path.relative_to(self.root).parts)
                    and self._is_text(path)
                ):
                    yield path

    def packages(self) -> list[Path]:
        """The folder of each distribution."""
        return sorted(path.parent for path in self.root.glob("packages/*/pyproject.toml"))

    def sources(self) -> list[Module]:
        """Every module of every package."""
        return [Module(path, self.root) for path in sorted(self.root.glob("packages/*/outfitter_*/**/*.py"))]

    def tests(self) -> list[Module]:
        """Every test module."""
        return [Module(path, self.root) for path in sorted(self.root.glob("tests/**/*.py"))]

    @staticmethod
    def _is_text(path: Path) -> bool:
        return path.suffix in _TEXT or path.name in _PLAIN_NAMES


@pytest.fixture(scope="session")
def tree() -> Tree:
    return Tree(_ROOT)
