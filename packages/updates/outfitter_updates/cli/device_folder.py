"""The folder that a new device's files are written to: all of them, or none."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from outfitter_updates.catalogue.devices import Identity
from outfitter_updates.catalogue.problems import Conflict, Problem
from outfitter_updates.operations.settings import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    SETTINGS_FILE,
    identity_files,
)

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
FOLDER_MODE: Final = 0o700


class DeviceFolder:
    """Checked when it is entered, so that an identity is made only if it can be kept; cleaned when the body fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made_folder = False
        self._written: list[Path] = []

    def __enter__(self) -> Self:
        """Raises Conflict when one of the files is there already, Problem when the folder takes no files."""
        for name in (KEY_FILE, CERTIFICATE_FILE, AUTHORITY_FILE, SETTINGS_FILE):
            if (self._path / name).exists():
                raise Conflict(
                    f"{self._path / name} is there already and is not overwritten: choose another --out."
                )
        try:
            self._made_folder = not self._path.exists()
            self._path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(f"The folder {self._path} cannot be made: {error.strerror}.") from error
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise Problem(f"The folder {self._path} is not writable.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes what was written when the body failed."""
        if error is None:
            return
        for path in self._written:
            path.unlink(missing_ok=True)
        if self._made_folder:
            with suppress(OSError):
                self._path.rmdir()

    def write(self, identity: Identity) -> tuple[Path, ...]:
        """Writes the files; only the owner may read the key. Raises Problem when one cannot be written."""
        return self.write_files(identity_files(identity))

    def write_files(self, files: Mapping[str, str]) -> tuple[Path, ...]:
        """Writes files by name; only the owner may read the key. Raises Problem when one cannot be written."""
        for name, content in files.items():
            path = self._path / name
            try:
                self._write(path, content, SECRET_MODE if name == KEY_FILE else PUBLIC_MODE)
            except OSError as error:
                raise Problem(f"{path} cannot be written: {error.strerror}.") from error
        return tuple(self._written)

    def _write(self, path: Path, content: str, mode: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._written.append(path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
