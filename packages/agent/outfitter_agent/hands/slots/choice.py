"""Which slots the setting ``slot`` names: ours, or those of another package, by an entry point."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

from outfitter_agent.hands.slots.port import Slots, SlotsError, SlotSettings

GROUP: Final = "outfitter_agent.slots"
FOLDER: Final = "folder"
RAUC: Final = "rauc"

Maker = Callable[[SlotSettings], Slots]


def make_slots(name: str, settings: SlotSettings) -> Slots:
    """The slots of that name; raises SlotsError."""
    return _maker(name)(settings)


def _maker(name: str) -> Maker:
    if name == FOLDER:
        from outfitter_agent.hands.slots import folder

        return folder.make
    if name == RAUC:
        from outfitter_agent.hands.slots import rauc

        return rauc.make
    found = list(entry_points(group=GROUP, name=name))
    if len(found) != 1:
        known = sorted({FOLDER, RAUC, *(each.name for each in entry_points(group=GROUP))})
        how_many = "no installed package brings" if not found else f"{len(found)} packages bring"
        raise SlotsError(f"slot = {name!r}: {how_many} it; known are {', '.join(known)}")
    try:
        made: Maker = found[0].load()
    except (ImportError, AttributeError) as error:
        raise SlotsError(f"slot = {name!r}: {found[0].value} cannot be loaded: {error}") from error
    return made
