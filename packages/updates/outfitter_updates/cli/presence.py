"""Whether a device is connected, for people and as JSON."""

from typing import Any

from outfitter_updates.catalogue.devices import Presence
from outfitter_updates.cli.output import moment


def presence_object(presence: Presence | None) -> dict[str, Any] | None:
    """In JSON output; None when nothing is known."""
    if presence is None:
        return None
    return {"connected": presence.connected, "since": presence.since, "disconnect_reason": presence.reason}


def presence_text(presence: Presence | None) -> str:
    """In tables; "" when nothing is known."""
    if presence is None:
        return ""
    if presence.connected:
        return f"connected since {moment(presence.since)}" if presence.since else "connected"
    if presence.since is None:
        return "not connected"
    return f"left {moment(presence.since)}" + (f" ({presence.reason})" if presence.reason else "")
