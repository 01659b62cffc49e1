"""The device's configuration: one file, replaced whole, with the one before kept beside it.

In the agent's own folder lie ``next.json`` (what shall be in force) and ``previous.json`` (what was before the last
change). Both are durable before the file itself is touched.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from outfitter_contract.configuration import (
    ConfigurationError,
    Parameters,
    build_configuration,
    merged,
    parse_configuration,
)

from outfitter_agent.hands.durable import make_folder, sync_folder, write_durably
from outfitter_agent.hands.schema import check
from outfitter_agent.plans.annotations import Marks, for_this_device, read_marks, without_secrets
from outfitter_agent.plans.effects import Configuration, Prepared
from outfitter_agent.plans.troubles import Trouble

NEW_FILE_MODE: Final = 0o600
OWN: Final = "this device's configuration"


class ConfigurationFile:
    """The file that services read, and what is needed to change it and to change it back."""

    def __init__(self, path: Path, folder: Path, *, schema: Path | None, bytes_max: int) -> None:
        """``folder`` is the agent's own; it is made if it is new."""
        make_folder(folder)
        self._path = path
        self._next, self._previous = folder / "next.json", folder / "previous.json"
        self._schema = schema
        self._bytes_max = bytes_max

    def read(self, *, leaving: bool) -> Configuration | None:
        """What the file holds, None when there is none; ``leaving``: without secrets.

        Raises Trouble when it is larger than may be, and, leaving, when it holds no configuration.
        """
        content = self._content()
        if content is None:
            return None
        left_out: tuple[str, ...] = ()
        if leaving:
            kept, left_out = without_secrets(self._parsed(content, OWN), self._marks())
            content = build_configuration(kept) if left_out else content
        return Configuration(content=content, sha256=hashlib.sha256(content).hexdigest(), left_out=left_out)

    def prepare(self, downloaded: Path, *, merge: bool) -> Prepared:
        """Check what was downloaded and lay it ready, the device's own values as they are. Raises Trouble."""
        content, present = downloaded.read_bytes(), self._content()
        sent, marks = self._parsed(content, "the configuration"), self._marks()
        ignored: tuple[str, ...] = ()
        if (merge and present is not None) or marks.device or marks.secret:
            own = {} if present is None else self._parsed(present, OWN)
            wanted = merged(own, sent) if merge else sent
            wanted, ignored = for_this_device(wanted, own, marks)
            content = self._bytes_of(wanted, (sent, content), (own, present))
            self._check_size(content, "the merged configuration")
        write_durably(self._next, content)
        if self._schema is not None:
            check(self._schema, self._next)
        if present is not None:
            write_durably(self._previous, present)
        return Prepared(sha256=hashlib.sha256(content).hexdigest(), ignored=ignored)

    def apply(self) -> None:
        """Put what was prepared in its place."""
        self._replace(self._next.read_bytes())

    def restore(self, *, existed: bool) -> None:
        """Put what was there before in its place again."""
        if existed:
            self._replace(self._previous.read_bytes())
            return
        path = Path(os.path.realpath(self._path))
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)

    def _marks(self) -> Marks:
        if self._schema is None:
            return Marks()
        unusable = f"the schema of this device, {self._schema}, cannot be used"
        try:
            return read_marks(self._schema.read_bytes())
        except OSError as error:
            raise Trouble(f"{unusable}: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise Trouble(f"{unusable}: it is not JSON") from None

    @staticmethod
    def _bytes_of(wanted: Parameters, *known: tuple[Parameters, bytes | None]) -> bytes:
        """Those of one that says the same, if there is one: what is as it was keeps its digest."""
        built = build_configuration(wanted)
        for parameters, content in reversed(known):
            if content is not None and build_configuration(parameters) == built:
                return content
        return built

    def _content(self) -> bytes | None:
        """The whole file: what could be kept by half only is not touched."""
        try:
            with self._path.open("rb") as file:
                content = file.read(self._bytes_max + 1)
        except FileNotFoundError:
            return None
        self._check_size(content, OWN)
        return content

    def _replace(self, content: bytes) -> None:
        """Through a symbolic link to the file itself; who may read it stays as it was."""
        path = Path(os.path.realpath(self._path))
        make_folder(path.parent, 0o755)
        mode, owner = NEW_FILE_MODE, None
        if path.exists():
            told = path.stat()
            mode, owner = stat.S_IMODE(told.st_mode), (told.st_uid, told.st_gid)
        write_durably(path, content, mode, owner)

    def _parsed(self, content: bytes, what: str) -> Parameters:
        self._check_size(content, what)
        try:
            return parse_configuration(content)
        except ConfigurationError as error:
            raise Trouble(f"{what} is refused: {error}") from None

    def _check_size(self, content: bytes, what: str) -> None:
        if len(content) > self._bytes_max:
            raise Trouble(f"{what} is larger than this device takes ({self._bytes_max} bytes)")
