"""Which certificate authorities downloads trust: the system's, when there are any, and the installation's own."""

from pathlib import Path

from outfitter_agent.hands.durable import write_durably


def write_bundle(target: Path, *, system: Path, own: Path | None) -> Path | None:
    """Join both into one PEM file for libcurl; None when neither exists."""
    parts = [path.read_bytes().strip() for path in (system, own) if path is not None and path.is_file()]
    if not parts:
        return None
    write_durably(target, b"\n".join(parts) + b"\n")
    return target
