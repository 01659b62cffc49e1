"""A log that an attacker cannot fill: so many lines of a kind, then their number."""

import logging
from typing import Final

from outfitter_server.gateway.limits import LOG_LINES_MAX, LOG_SECONDS

_ROOM: Final = __name__.rpartition(".")[0] + "."


class Noise(logging.Filter):
    """Lines are of a kind when they were written with the same words, whatever names and numbers stand in them."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        super().__init__()
        self._lines: dict[tuple[str, str], int] = {}
        self._loggers: list[logging.Logger] = []
        self._since = 0

    def attach(self) -> None:
        """Listen to every log of this room."""
        for name in list(logging.root.manager.loggerDict):
            if name.startswith(_ROOM):
                logger = logging.getLogger(name)
                logger.addFilter(self)
                self._loggers.append(logger)

    def detach(self) -> None:
        """Listen no more; what was held back is told."""
        self._tell()
        for logger in self._loggers:
            logger.removeFilter(self)
        self._loggers.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        kind = (record.name, str(record.msg))
        lines = self._lines[kind] = self._lines.get(kind, 0) + 1
        return lines <= LOG_LINES_MAX

    def pass_to(self, second: int) -> None:
        """Let time pass: tell what was held back, and begin to count anew."""
        if second - self._since >= LOG_SECONDS:
            self._since = second
            if self._lines:
                self._tell()

    def _tell(self) -> None:
        lines, self._lines = self._lines, {}
        for (name, words), count in lines.items():
            if count > LOG_LINES_MAX:
                more = count - LOG_LINES_MAX
                logging.getLogger(name).info("%d more lines in %d s like: %s", more, LOG_SECONDS, words)
