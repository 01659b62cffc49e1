"""What the agent needs of a device's slots; docs/reference/slots.md tells how to bring slots of one's own.

A slot is a place that holds one whole software. One runs; the other is written by an update, tried, and kept or given up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from outfitter_contract.image import Manifest

from outfitter_agent.hands.base import Base
from outfitter_agent.plans.transaction import Installed

Check = Callable[[], None]
"""Called all the while by what takes long; what it raises ends the work, and is passed on."""


class SlotsError(Exception):
    """The slots cannot be used as they are set; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """What slots are made from."""

    folder: Path
    """The setting ``slots``: the place for slots that are folders."""
    state: Path
    """The agent's own folder, for what must outlive every slot."""
    image_bytes_max: int
    options: Mapping[str, object]
    """The setting ``slot_options``."""


class Slots(Protocol):
    """The slots of one device. Every method may raise Trouble, whose text the job's details tell, and OSError."""

    def names(self) -> Sequence[str]:
        """All slots, empty ones too."""

    def current(self) -> str | None:
        """The slot that runs; None: none does, and none has."""

    def other(self) -> str:
        """The slot that the next image goes into; never the one that runs."""

    def installed(self, slot: str | None) -> Installed | None:
        """What ``unpack`` put into a slot; None when that is not known, or did not come to its end."""

    def path(self, slot: str) -> Path | None:
        """The folder in which the slot's program is started; None when the machine runs it by itself."""

    def unpacking_needs(self, download: Path, image_bytes: int) -> int:
        """Bytes that ``unpack`` will need, at the least, on the disk of ``download`` beside the image file itself."""

    def manifest(self, image: Path, check: Check) -> Manifest:
        """What an image says of itself; nothing is written."""

    def unpack(self, image: Path, installed: Installed, check: Check) -> None:
        """Fill ``installed.slot``, which does not run, and remember ``installed``, durably; nothing is switched.

        Cut off at any instant, or raising, it leaves a slot of which ``installed`` knows nothing.
        """

    def switch(self, slot: str | None) -> None:
        """Make the slot the one that runs, at once or from the next boot on, durably. Harmless when it is.

        None is only ever asked for where ``current`` was None before the update.
        """

    def mark_good(self, slot: str) -> None:
        """The slot is proven: a boot loader that counts its boots need not any more."""

    def mark_bad(self, slot: str) -> None:
        """The slot has failed: a boot loader shall not choose it."""

    def fault(self) -> str | None:
        """What is wrong with the slots, for ``outfitter-agent check``; None: nothing."""


@runtime_checkable
class BaseSlots(Protocol):
    """What slots may have beside that, so that delta images can be applied."""

    def base(self, slot: str) -> Base:
        """The content of the image that the slot was filled from; raises Trouble when it cannot be had."""
