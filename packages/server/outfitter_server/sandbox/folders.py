"""The folder of the workers: outside the data folder, which workers must not enter; new at each start."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from outfitter_server.sandbox.processes import end_marked

PREFIX: Final = "outfitter-functions-"
RECORD: Final = "workers-folder"


def make_folder(kept: Path) -> Path:
    """A fresh folder for workers; ``kept`` is the server's own, where the last one's name is recorded.

    What a server that was killed left behind is ended and removed first.
    """
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = kept / RECORD
    with contextlib.suppress(OSError):
        remove_folder(Path(record.read_text()))
    made = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    made.chmod(0o711)
    record.write_text(str(made))
    for name in ("code", "homes"):
        (made / name).mkdir(mode=0o711)
        (made / name).chmod(0o711)
    return made


def remove_folder(folder: Path) -> None:
    """End the processes that belong to it, and remove it."""
    if folder.name.startswith(PREFIX) and folder.is_dir() and not folder.is_symlink():
        end_marked(str(folder))
        shutil.rmtree(folder, ignore_errors=True)
