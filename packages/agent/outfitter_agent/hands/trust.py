"""Which certificate authorities downloads trust: the system's, when there are any, and the installation's own."""

import logging
from pathlib import Path

from outfitter_agent.hands.durable import write_durably

log = logging.getLogger(__name__)


def write_bundle(target: Path, *, system: Path, own: Path | None) -> Path | None:
    """Join both into one PEM file for libcurl; None when neither exists.

    Where it cannot be written, on a full disk, say, the one of the last start serves, or one of both: the software
    must not wait for it.
    """
    present = [path for path in (own, system) if path is not None and path.is_file()]
    if not present:
        return None
    try:
        content = b"\n".join(path.read_bytes().strip() for path in reversed(present)) + b"\n"
        if not target.is_file() or target.read_bytes() != content:
            write_durably(target, content)
    except OSError as error:
        log.warning("%s could not be written anew: %s", target, error)
        return target if target.is_file() else present[0]
    return target
