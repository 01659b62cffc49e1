"""The operations that a job document may name."""

from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """What a device is asked to do; the word in the document's ``operation`` member."""

    INSTALL = "install"
    CONFIG_DOWNLOAD = "config-download"
    CONFIG_UPLOAD = "config-upload"
    TRUST_UPDATE = "trust-update"


NEEDS_URL: Final = frozenset(Operation) - {Operation.TRUST_UPDATE}
"""Operations whose document must carry ``url``."""
