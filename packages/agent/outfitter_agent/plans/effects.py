"""What plans ask of the world: frozen values, each with the type of its answer.

A plan is a generator: it yields an effect and receives its result, or has Trouble or Abandoned thrown into it.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from outfitter_contract.image import Manifest
from outfitter_contract.statements import ImageStatement

from outfitter_agent.plans.steps import Step
from outfitter_agent.plans.transaction import Installed, Journal

T = TypeVar("T")
Result = TypeVar("Result")


class Effect(Generic[T]):
    """Something to be done; T is its result."""

    __slots__ = ()


Plan = Generator[Effect[Any], Any, T]


def perform(effect: Effect[Result]) -> Plan[Result]:
    """Yield one effect and return its result, typed."""
    result: Result = yield effect
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """The image file is complete and passed its checks."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The configuration in force: the bytes of its file."""

    content: bytes
    sha256: str
    left_out: tuple[str, ...] = ()
    """Secret parameters that are in the file and not in ``content``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration that lies ready."""

    sha256: str
    ignored: tuple[str, ...] = ()
    """Parameters that are the device's own and would have been overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The store has the whole of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlExpired:
    """The store refuses the URL; what was fetched is kept for another URL of the same object."""

    reason: str
    bytes_gained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether software is healthy."""

    healthy: bool
    reason: str
    """What was seen, for people."""
    log: str = ""
    """The end of the software's output, when it is not healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A trusted key says this of an image."""

    statement: ImageStatement
    key_id: str
    minimum: str | None
    """The lowest version of this software that may be installed here; None: none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysChanged:
    """A statement about keys is in force."""

    counter: int
    key_ids: tuple[str, ...]
    """The keys that count now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """How a step of a device client's document has ended."""

    failure: str = ""
    """Why it counts as failed; empty: it does not."""
    stdout: str = ""
    """The end of what it wrote."""
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(Effect[None]):
    """Write the journal, durably, before the next effect."""

    journal: Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Effect[None]):
    """Tell the service how far the job is, if it can be reached; raises Abandoned when the job has ended elsewhere."""

    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(Effect[Downloaded | UrlExpired]):
    """Fetch the image, resuming; digest and size are checked when given. Raises Trouble, Abandoned."""

    url: str
    sha256: str | None
    size: int | None
    details: Mapping[str, str]
    """What every progress report carries beside percent and bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyDelta(Effect[Downloaded]):
    """Make the image out of the running software and the delta that was downloaded; raises Trouble, Abandoned.

    From then on it is the downloaded image, checked against its digest and, if given, its size.
    """

    running: Installed
    sha256: str
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshDocument(Effect[object]):
    """Ask for the job's document again (new URLs); its decoded JSON. Raises Trouble, Abandoned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadManifest(Effect[Manifest]):
    """The manifest in the downloaded image; raises Trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRunning(Effect[Installed | None]):
    """What the current slot holds; None on a device without software."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCurrentSlot(Effect[str | None]):
    """The slot that runs, whatever it holds; raises Trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOtherSlot(Effect[str]):
    """The slot that the next image goes into; raises Trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpack(Effect[None]):
    """Unpack the downloaded image into the slot that ``installed`` names, durably; raises Trouble."""

    installed: Installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Effect[None]):
    """Make the slot the current one, atomically, at once or from the next boot on; None: there is no current one.

    Harmless when it is so already.
    """

    slot: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSlot(Effect[None]):
    """Tell the boot loader, if it counts boots, that the slot is proven or has failed; raises Trouble."""

    slot: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSoftware(Effect[None]):
    """Run the software of the current slot, if there is one; on probation it is not restarted when it ends."""

    probation: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSoftware(Effect[None]):
    """End the software and everything that it started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchHealth(Effect[Verdict]):
    """Watch software and device until the verdict is clear; raises Abandoned if ``abandonable``."""

    settle: bool
    """Whether health must hold for the settle time, or one good look suffices."""
    abandonable: bool
    software: bool = True
    """Whether there must be software; without, only the device's own checks are looked at."""
    boot_seconds_max: float = 0
    """How old the boot may be until health has held; 0: as old as it may become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBootLog(Effect[str]):
    """The end of what the boot before has written, as far as that can be had; raises Trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(Effect[None]):
    """Reboot, as the settings define it. Does not return when it works; raises Trouble when it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard(Effect[None]):
    """Remove the downloaded image or configuration and what remains of a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfiguration(Effect[Configuration | None]):
    """The configuration in force, None on a device without; raises Trouble when it is too large to be kept."""

    leaving: bool = False
    """Whether it shall leave the device: without its secrets; a file that holds no configuration raises Trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadConfiguration(Effect[Uploaded | UrlExpired]):
    """PUT these bytes; Uploaded only when the store has said so. Raises Trouble, Abandoned."""

    url: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadConfiguration(Effect[Downloaded | UrlExpired]):
    """Fetch a configuration, resuming; digest and size are checked when given. Raises Trouble, Abandoned."""

    url: str
    sha256: str | None
    size: int | None
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareConfiguration(Effect[Prepared]):
    """Check what was downloaded; lay it, and the one in force, beside the file, durably.

    What belongs to the device alone stays as it is. Merged, it is the one in force with the parameters of the downloaded one. Raises Trouble when it is no
    configuration or breaks the device's schema.
    """

    merge: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConfiguration(Effect[None]):
    """Put the prepared configuration in its place, atomically and durably. Harmless when it is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreConfiguration(Effect[None]):
    """Put the configuration before in its place again, atomically and durably; or remove the file."""

    existed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadServices(Effect[Verdict]):
    """Run what tells the services, hooks, command and units; healthy when all of it passes, or there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyImage(Effect[Vouched]):
    """What a trusted key says of the image that the job is about; raises Trouble when none says anything."""

    signed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepMinimum(Effect[None]):
    """From now on no version of this software below is installed here, durably. Harmless when that is so already."""

    name: str
    minimum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeKeys(Effect[KeysChanged]):
    """Put a statement about keys in force, durably; harmless when it is the last one. Raises Trouble, Refusal."""

    signed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep(Effect[None]):
    """Whether the step could be run at all: its handler, its user. Raises Trouble, Refusal."""

    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep(Effect[StepOutcome]):
    """Run the step to its end; raises Trouble, Abandoned, and nothing of it runs on then."""

    step: Step
