"""``outfitterd`` whose clock for jobs a test moves: ``advance SECONDS`` on its standard input, ``advanced`` on its output.

Timers, rates and windows are of minutes and hours. Everything else (signatures, certificates, sessions) keeps the real time.
AHEAD_SECONDS in its environment is how far the clock has come already, for a server that is started again.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping

from outfitter_server.main import command, serve
from outfitter_server.main.assembly import Assembly
from outfitter_server.main.settings import ServeSettings


class TimedAssembly(Assembly):
    """The real server, but for its clock."""

    def __init__(
        self,
        settings: ServeSettings,
        clock: Callable[[], int],
        environment: Mapping[str, str],
        *,
        connections_max: int,
    ) -> None:
        self._ahead_ms = round(float(os.environ.get("AHEAD_SECONDS", "0")) * 1000)
        super().__init__(
            settings,
            clock,
            environment,
            connections_max=connections_max,
            jobs_clock=lambda: clock() + self._ahead_ms,
        )

    async def start(self) -> dict[str, str]:
        bound = await super().start()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)
        return bound

    def _read(self) -> None:
        line = sys.stdin.readline()
        if not line:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            return
        word, seconds = line.split()
        assert word == "advance", line
        self._ahead_ms += round(float(seconds) * 1000)
        self._jobs.look()
        sys.stdout.write("advanced\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve.Assembly = TimedAssembly
    command.main()
