"""What ``outfitter-agent status`` tells of a running agent and its past: a small file, which only people rely on.

It is written when something changes, but not again within ten seconds: what changes meanwhile is written after them, so
that a connection that comes and goes wears no flash memory out. It is replaced whole and not synced: a power loss may
take it.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

FILE_NAME: Final = "status.json"
WRITE_SECONDS: Final = 10.0
TEXT_LENGTH_MAX: Final = 1000
KEYS: Final = (
    "connected_since",
    "last_job",
    "last_status",
    "last_ended",
    "last_error",
    "last_error_at",
    "store",
)


class StatusFile:
    """Keeps the file; any thread may tell."""

    def __init__(self, folder: Path, *, write_seconds: float = WRITE_SECONDS) -> None:
        """Go on with what a former agent told; there is no connection yet."""
        self._path = folder / FILE_NAME
        self._write_seconds = write_seconds
        self._guard = threading.Lock()
        self._told = read_status(folder) | {"connected_since": None}
        self._written_at = -float("inf")
        self._timer: threading.Timer | None = None

    def link(self, *, up: bool) -> None:
        """The connection came or went."""
        self._tell(connected_since=_now() if up else None)

    def ended(self, job_id: str, status: str) -> None:
        """The service has answered a final report."""
        self._tell(last_job=job_id, last_status=status, last_ended=_now())

    def handed_over(self, document: object) -> None:
        """The service has handed a job over: where its URL leads. No more of that is kept, as it opens what is there."""
        url = document.get("url") if isinstance(document, dict) else None
        with suppress(ValueError):  # what is no URL fails its job
            parts = urlsplit(url if isinstance(url, str) else "")
            if parts.hostname and parts.scheme in {"http", "https"}:
                host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
                port = "" if parts.port is None else f":{parts.port}"
                self._tell(store=f"{parts.scheme}://{host}{port}/")

    def error(self, text: str) -> None:
        """Something went wrong."""
        self._tell(last_error=text[:TEXT_LENGTH_MAX], last_error_at=_now())

    def close(self) -> None:
        """Write what waits."""
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
                self._write()

    def _tell(self, **changed: str | None) -> None:
        with self._guard:
            self._told |= changed
            if self._timer is not None:
                return
            wait = self._written_at + self._write_seconds - time.monotonic()
            if wait <= 0:
                self._write()
                return
            self._timer = threading.Timer(wait, self._write_late)
            self._timer.daemon = True
            self._timer.start()

    def _write_late(self) -> None:
        with self._guard:
            if self._timer is not None:
                self._write()

    def _write(self) -> None:
        self._timer = None
        self._written_at = time.monotonic()
        temporary = self._path.with_name(self._path.name + ".new")
        with suppress(OSError):  # a full disk, say, which is told where it matters
            temporary.write_text(json.dumps(self._told))
            temporary.replace(self._path)


class LastError(logging.Handler):
    """Tells what is logged as a warning or worse."""

    def __init__(self, status: StatusFile) -> None:
        """Tell this one."""
        super().__init__(logging.WARNING)
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        with suppress(ValueError, TypeError):
            self._status.error(record.getMessage())


def read_status(folder: Path) -> dict[str, str | None]:
    """What was told last, None for what never was."""
    try:
        told: Any = json.loads((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        told = {}
    known: Mapping[str, Any] = told if isinstance(told, dict) else {}
    return {key: value if isinstance(value := known.get(key), str) else None for key in KEYS}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
