"""One device of the demonstration: a folder as ``outfitter device add`` wrote it, and an agent that may be switched off."""

import json
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from outfitter_fleet.stage.processes import Process, Processes, program

SILENT: Final = "nothing"
_ANSWER_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
_CONNECTED: Final = b" connected to "
# Waits fit for a device that a person watches; the defaults are for devices in the field.
_PATIENCE: Final = """\
settle_seconds = 1
health_timeout_seconds = 8
health_interval_seconds = 0.2
stop_timeout_seconds = 3
reconnect_max_seconds = 1
download_backoff_max_seconds = 1
trial_boots_max = 2
configuration_reload = {reload}
"""
# Of the version that runs, whichever that is.
_RELOAD: Final = (sys.executable, "software/current/reload.py")


class Device:
    """A device that is switched on or off."""

    def __init__(self, name: str, folder: Path, processes: Processes) -> None:
        """``folder`` holds agent.toml."""
        self.name = name
        self.folder = folder
        self._processes = processes
        self._agent: Process | None = None
        self._log = processes.logs / f"{name}.log"
        self._log_start = 0
        drop_in = folder / "agent.toml.d" / "10-demo.toml"
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text(_PATIENCE.format(reload=json.dumps(_RELOAD)))

    @property
    def pid(self) -> int | None:
        """The process id of its agent while it is switched on."""
        return self._agent.pid if self._agent else None

    def switch_on(self) -> None:
        """Start the agent."""
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        arguments = [program("outfitter-agent"), "run", "--config", str(self.folder / "agent.toml")]
        self._agent = self._processes.start(self.name, arguments)

    def switch_off(self) -> None:
        """End the agent and what it runs."""
        if self._agent:
            self._agent.stop()
            self._agent = None

    def cut_power(self) -> None:
        """End everything on it at once."""
        if self._agent:
            self._agent.kill()
            self._agent.wait()
            self._agent = None

    def has_connected(self, timeout_seconds: float) -> bool:
        """Whether the agent says in its log that it is connected, since it was last switched on; waited for."""
        deadline = time.monotonic() + timeout_seconds
        while _CONNECTED not in self._log.read_bytes()[self._log_start :]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def configure(self, parameters: Mapping[str, Any]) -> None:
        """Give it a configuration, as its maker does before it is first switched on."""
        (self.folder / "configuration.json").write_text(json.dumps(parameters))

    def bear_at_most(self, per_cent: int) -> None:
        """Put a weak bulb in."""
        (self.folder / "bulb.json").write_text(json.dumps({"bears": per_cent}))

    def answer(self) -> str:
        """The version that the device's software itself gives, asked now; SILENT when none runs."""
        return self._ask().partition(" ")[0]

    def brightness(self) -> str:
        """How bright the device's software says that it shines, in per cent, asked now; SILENT when none runs."""
        return self._ask().partition(" ")[2] or SILENT

    def _ask(self) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lamp:
            lamp.settimeout(_ANSWER_SECONDS)
            try:
                lamp.connect(str(self.folder / "lamp.sock"))
                return lamp.recv(64).decode() or SILENT
            except OSError:
                return SILENT
