"""The operations that a job document may name."""

from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """What a device is asked to do; the word in the document's ``operation`` member."""

    INSTALL = "install"
    CONFIG_DOWNLOAD = "config-download"
    CONFIG_UPLOAD = "config-upload"


NEEDS_URL: Final = frozenset(Operation)
"""Operations whose document must carry ``url``: all of them, today."""
