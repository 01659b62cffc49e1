"""A disk that knows what a power cut would leave of it.

The files are real. Every system call of the agent that changes names, and every fsync, passes through here: it is a
step, before and after which the power may go, and an fsync makes durable what it is called on, a file's bytes or a
folder's names, and nothing else. A ``Picture`` holds both truths: what the kernel shows, and what was synced.
"""

import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

Names = Mapping[str, int]
"""Entries of a folder: name to inode."""
Step = Callable[[str], None]
"""Called with ``before`` or ``after`` and the name of the step."""

_SYNCS: Final = ("fsync", "fdatasync")
_NAMED: Final = ("unlink", "remove", "rmdir", "mkdir")
_PAIRED: Final = ("rename", "replace", "symlink", "link")


class Loss(Enum):
    """What of the unsynced a power cut takes."""

    NOTHING = "the process alone dies"
    EVERYTHING = "all that was not synced is lost"
    CONTENTS = "names are kept, contents that were not synced are empty"
    ZEROS = "names and lengths are kept, contents that were not synced are zeros"
    NAMES = "contents are kept, names that were not synced are lost"
    SOME = "any part of what was not synced is lost"


@dataclass(frozen=True, slots=True)
class File:
    """A file's bytes, and those that were synced, None when none ever were."""

    now: bytes
    synced: bytes | None
    mode: int


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole disk at one moment; inodes stand for files (File), links (their target) and folders (in ``now``)."""

    root: int
    now: Mapping[int, Names]
    synced: Mapping[int, Names]
    files: Mapping[int, File]
    links: Mapping[int, str]


Tree = tuple[tuple[str, str, bytes, int], ...]
"""A disk after the cut: (path, kind, content, mode), sorted."""


class Disk:
    """The folder of one device."""

    def __init__(self, root: Path) -> None:
        """``root`` exists; what is in it counts as synced."""
        self.root = root
        self._synced: dict[int, Names] = {}
        self._contents: dict[int, bytes] = {}
        self._held: dict[int, int] = {}

    def settle(self) -> None:
        """Everything that is there has been synced."""
        self.close()
        for folder, _, files in os.walk(self.root):
            self._sync_folder(Path(folder))
            for name in files:
                path = Path(folder, name)
                if not path.is_symlink():
                    self._contents[path.stat().st_ino] = path.read_bytes()

    def close(self) -> None:
        """Let go of the inodes that were held so that none is used again."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held, self._synced, self._contents = {}, {}, {}

    @contextmanager
    def watched(self, step: Step) -> Iterator[None]:
        """While in it, system calls on this disk are steps."""
        kept = {name: getattr(os, name) for name in (*_SYNCS, *_NAMED, *_PAIRED)}
        for name in _SYNCS:
            setattr(os, name, self._sync(step))
        for name in (*_NAMED, *_PAIRED):
            setattr(os, name, self._naming(name, kept[name], step))
        try:
            yield
        finally:
            for name, function in kept.items():
                setattr(os, name, function)

    def picture(self) -> Picture:
        """What is on the disk now, and what of it would stay."""
        now: dict[int, Names] = {}
        files: dict[int, File] = {}
        links: dict[int, str] = {}
        for folder, _, _ in os.walk(self.root):
            entries = {}
            for entry in os.scandir(folder):
                entries[entry.name] = entry.inode()
                if entry.is_symlink():
                    links[entry.inode()] = str(Path(entry.path).readlink())
                elif entry.is_file():
                    self._look(Path(entry.path), entry.inode(), files)
            now[Path(folder).stat().st_ino] = entries
        self._gone(now, files, links)
        return Picture(self.root.stat().st_ino, now, dict(self._synced), files, links)

    def _gone(self, now: Mapping[int, Names], files: dict[int, File], links: dict[int, str]) -> None:
        """What has no name any more, but had a synced one."""
        for inode, descriptor in self._held.items():
            if inode in files or inode in links or inode in now:
                continue
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                self._look(Path(f"/proc/self/fd/{descriptor}"), inode, files)
            elif stat.S_ISLNK(mode):
                links[inode] = os.readlink("", dir_fd=descriptor)

    def _look(self, path: Path, inode: int, files: dict[int, File]) -> None:
        mode = stat.S_IMODE(path.stat().st_mode)
        files[inode] = File(path.read_bytes(), self._contents.get(inode), mode)

    def _sync_folder(self, path: Path) -> None:
        entries = {}
        for entry in os.scandir(path):
            entries[entry.name] = entry.inode()
            self._hold(entry.inode(), entry.path)
        self._synced[path.stat().st_ino] = entries

    def _hold(self, inode: int, path: str) -> None:
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _sync(self, step: Step) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            name = _name_of(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}")
            label = f"fsync {self.name_of(name)}"
            step(f"before {label}")
            told = os.fstat(descriptor)
            if stat.S_ISDIR(told.st_mode):
                self._sync_folder(path)
            else:
                self._hold(told.st_ino, name)
                self._contents[told.st_ino] = path.read_bytes()
            step(f"after {label}")

        return sync

    def _naming(self, word: str, function: Callable[..., Any], step: Step) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            path = self._path_of(arguments[1 if word in _PAIRED else 0], options)
            if not path.startswith(f"{self.root}/"):
                return function(*arguments, **options)
            label = f"{'rename to' if word in ('rename', 'replace') else word} {self.name_of(path)}"
            step(f"before {label}")
            try:
                result = function(*arguments, **options)
            except FileNotFoundError:
                step(f"after {label}")
                raise
            step(f"after {label}")
            return result

        return change

    def _path_of(self, given: Any, options: Mapping[str, Any]) -> str:
        folder = options.get("dir_fd")
        path = os.fspath(given)
        return path if folder is None else f"{_name_of(folder)}/{path}"

    def name_of(self, path: str) -> str:
        """The path as the table shows it: below the root, the files of a slot together."""
        parts = Path(path).relative_to(self.root).parts
        if not parts:
            return "its folder"
        if len(parts) > 2 and parts[0] == "software":
            return f"software/{parts[1]}/…"
        return "/".join(parts)


def _name_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def after(picture: Picture, loss: Loss, chance: random.Random) -> Tree:
    """The disk that the next start finds."""
    entries: list[tuple[str, str, bytes, int]] = []

    def walk(inode: int, path: str) -> None:
        for name, child in _names(picture, inode, loss, chance).items():
            below = f"{path}{name}"
            if child in picture.files:
                file = picture.files[child]
                entries.append((below, "file", _content(file, loss, chance), file.mode))
            elif child in picture.links:
                entries.append((below, "link", picture.links[child].encode(), 0))
            else:
                entries.append((below, "folder", b"", 0))
                walk(child, f"{below}/")

    walk(picture.root, "")
    return tuple(sorted(entries))


def restore(root: Path, tree: Tree) -> None:
    """Write a disk into an empty folder."""
    for path, kind, content, mode in tree:
        place = root / path
        if kind == "folder":
            place.mkdir()
        elif kind == "link":
            place.symlink_to(content.decode())
        else:
            place.write_bytes(content)
            place.chmod(mode)


def _names(picture: Picture, folder: int, loss: Loss, chance: random.Random) -> Names:
    now, synced = picture.now.get(folder, {}), picture.synced.get(folder, {})
    match loss:
        case Loss.NOTHING | Loss.CONTENTS | Loss.ZEROS:
            return now
        case Loss.EVERYTHING | Loss.NAMES:
            return synced
        case Loss.SOME:
            return _some(now, synced, chance)


def _some(now: Names, synced: Names, chance: random.Random) -> Names:
    """Each changed name as it was or as it is; a file that was renamed keeps one of its names."""
    chosen = {}
    for name in sorted({*now, *synced}):
        found = (now if chance.random() < 0.5 else synced).get(name)
        if found is not None:
            chosen[name] = found
    for name, inode in sorted(now.items()):
        if inode in synced.values() and inode not in chosen.values() and name not in chosen:
            chosen[name] = inode
    return chosen


def _content(file: File, loss: Loss, chance: random.Random) -> bytes:
    synced = b"" if file.synced is None else file.synced
    match loss:
        case Loss.NOTHING | Loss.NAMES:
            return file.now
        case Loss.EVERYTHING | Loss.CONTENTS:
            return synced
        case Loss.ZEROS:
            return (
                file.now if file.now == file.synced else synced + bytes(max(0, len(file.now) - len(synced)))
            )
        case Loss.SOME:
            return (
                chance.choice([file.now, synced, file.now[: len(file.now) // 2]])
                if synced != file.now
                else synced
            )
